//! Data of shared libraries for code that has 32 bits for an address: it moves to where they reach.

use super::bind::Bound;
use super::{UnitKey, View, report};
use crate::error::Error;
use crate::executor::Executor;
use jitlink::Link;
use jitlink::graph::SymbolId;
use jitlink::link::Placed;
use jitlink::memory::InFlight;
use orc_rt::DataRequest;
use orc_rt::native::NativeSymbol;

/// Signed and unsigned 32-bit fields both hold what lies below.
const REACH: u64 = 1 << 31;

/// An external that is data of a shared library: the link, the number among the link's externals, what the library says.
pub(super) type HostData = (usize, usize, NativeSymbol);

/// Has the executor move what a low link refers to directly, and binds every link of the batch to the new places.
pub(super) fn bring_near<E: Executor, M: InFlight>(
    view: &View<'_, E>,
    placed: &[(UnitKey, Link<'_, Placed<M>>)],
    data: &[HostData],
    all: &mut [Bound],
) -> Result<(), Error> {
    let mut wanted: Vec<(usize, SymbolId, NativeSymbol)> = Vec::new();
    for (at, (_, link)) in placed.iter().enumerate().filter(|(_, (_, link))| link.is_low()) {
        let direct: Vec<SymbolId> = link.direct_externals().map(|external| external.id).collect();
        if direct.is_empty() {
            continue;
        }
        let ids: Vec<SymbolId> = link.asked().map(|external| external.id).collect();
        // Each link's are in one run.
        let start = data.partition_point(|(link, ..)| *link < at);
        let own = data[start..].iter().take_while(|(link, ..)| *link == at);
        let own = own.filter(|(.., found)| found.address >= REACH);
        let ids = own.filter_map(|(_, number, found)| Some((*ids.get(*number)?, *found)));
        wanted.extend(ids.filter(|(id, _)| direct.binary_search(id).is_ok()).map(|(id, found)| (at, id, found)));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let requests: Vec<DataRequest> =
        wanted.iter().map(|(.., found)| DataRequest { address: found.address, size: found.size }).collect();
    let answers = view.executor.copy_data(&requests)?;
    let refused: Vec<(usize, SymbolId, u64, &str)> = wanted
        .iter()
        .zip(&answers)
        .filter_map(|((at, id, found), answer)| Some((*at, *id, found.address, answer.as_ref().err()?.as_str())))
        .collect();
    if !refused.is_empty() {
        return Err(report::out_of_reach(placed, &refused));
    }
    let mut moved: Vec<(DataRequest, u64)> =
        requests.into_iter().zip(answers).filter_map(|(request, answer)| Some((request, answer.ok()?))).collect();
    moved.sort_unstable_by_key(|(request, _)| (request.address, request.size));
    for (link, number, found) in data {
        // The same object, or a part of it under another name, for code that asks for it in other ways.
        let after = moved.partition_point(|(request, _)| request.address <= found.address);
        let Some((request, new)) = moved[..after].last() else { continue };
        let offset = found.address - request.address;
        if offset < request.size
            && let Some(Some(resolution)) = all.get_mut(*link).and_then(|bound| bound.get_mut(*number))
        {
            resolution.address = new + offset;
        }
    }
    Ok(())
}
