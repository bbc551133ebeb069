//! What debuggers, profilers and backtraces are told of linked images.
//!
//! **You give** a finished link while its objects are open, or what is kept of one ([`Portrait`]); **you get** a [`Description`], which the executor
//! shows to whoever watches. One is made only when somebody watches, or when the executor asks; without watchers a link pays for nothing but a few numbers for
//! each image. **Not here:** lines of crash reports, which come from the objects themselves ([`crate::diagnose`]).

mod file;

use crate::executor::Executor;
use crate::names::{Name, Names, Reach};
use crate::session::{Held, Shared, State};
use crate::unit::UnitKey;
use dylib_graph::DylibId;
use file::{FileSymbol, Parts};
use jitlink::Linked;
use jitlink::arch::Machine;
use jitlink::graph::SymbolKind;
use jitlink::linked::LinkedSegment;
use jitlink::reloc;
use orc_rt::Watchers;
use orc_rt::debug::{Description, Function};
use orc_rt::image::ImageId;

/// What is kept of an image, so that it can be described later.
#[derive(Debug)]
pub(crate) struct Portrait {
    segments: Vec<LinkedSegment>,
    eh_frame: Option<(u64, u64)>,
}

impl Portrait {
    pub(crate) fn of<A>(linked: &Linked<'_, A>) -> Self {
        Self { segments: linked.segments.clone(), eh_frame: linked.eh_frame }
    }

    fn covers(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.address <= address && address - segment.address < segment.size)
    }

    /// What can be told of the image, but for its number. `names` may have those of other images too.
    pub(crate) fn describe<'n>(
        &self,
        dylib: DylibId,
        name: &str,
        names: impl Iterator<Item = (&'n [u8], Name)>,
    ) -> Description {
        let here = |(_, what): &(&[u8], Name)| what.kind != SymbolKind::ThreadLocal && self.covers(what.address);
        let mut symbols: Vec<FileSymbol<'n>> = names.filter(here).map(file_symbol).collect();
        symbols.sort_by_key(|symbol| symbol.address);
        let functions = symbols.iter().filter(|symbol| symbol.is_function() && symbol.size > 0);
        let functions = functions.map(|symbol| Function {
            address: symbol.address,
            size: symbol.size,
            name: String::from_utf8_lossy(symbol.name).into_owned(),
            lines: Vec::new(),
        });
        let functions = functions.collect();
        let (file, frames) = file::write(Parts {
            machine: reloc::elf_machine(Machine::ALL[0]),
            segments: &self.segments,
            eh_frame: self.eh_frame,
            symbols,
            debug: Vec::new(),
        });
        let (dylib, name) = (dylib.get(), name.to_owned());
        Description { image: 0, dylib, name, functions, paths: Vec::new(), file, frames }
    }
}

fn file_symbol<'n>((name, what): (&'n [u8], Name)) -> FileSymbol<'n> {
    let Name { address, size, kind, reach, .. } = what;
    FileSymbol { name, address, size, kind, local: reach == Reach::Local }
}

impl<E: Executor> Shared<E> {
    /// Tells watchers of images that were just registered; those who have come since the last time are told of everything. An executor that
    /// cannot be reached has nobody who watches.
    pub(crate) fn tell_watchers(&self, state: &mut State<E>, new: Vec<Description>) {
        let watchers = self.executor.watchers();
        // A debugger that left and comes again has forgotten everything.
        let came = watchers - std::mem::replace(&mut state.told, watchers);
        let descriptions = if came.is_empty() { new } else { state.portrayed(&[], new) };
        if !watchers.is_empty() && !descriptions.is_empty() {
            let _ = self.executor.describe(descriptions);
        }
    }
}

impl<E: Executor> State<E> {
    /// Descriptions of all images of these dylibs (none: of all), as far as they are not among `known`, which go first.
    pub(crate) fn portrayed(&self, dylibs: &[DylibId], known: Vec<Description>) -> Vec<Description> {
        let mut all = known;
        let known: Vec<u64> = all.iter().map(|one| one.image).collect();
        let wanted = |dylib: DylibId| dylibs.is_empty() || dylibs.contains(&dylib);
        for dylib in self.graph.dylibs().filter(|dylib| wanted(*dylib)) {
            let Some(part) = self.part(dylib) else { continue };
            let own = self.held.get(dylib.index()).map(|held| (&part.names, held));
            let units = part.units.iter().filter_map(|(id, unit)| Some((&unit.names, self.held_by_units.get(&id)?)));
            for (names, held) in own.into_iter().chain(units) {
                all.extend(portrayed(dylib, &part.name, names, held, &known));
            }
        }
        let leaving = self.leaving.iter().filter(|one| wanted(one.key.dylib));
        for one in leaving {
            let name = self.part(one.key.dylib).map_or("", |part| &part.name);
            all.extend(portrayed(one.key.dylib, name, &one.unit.names, &one.held, &known));
        }
        all
    }
}

/// The images of one unit; each name is given to the one that has its address.
fn portrayed<A>(dylib: DylibId, name: &str, names: &Names, held: &Held<A>, known: &[u64]) -> Vec<Description> {
    let wanted: Vec<&(ImageId, Portrait)> =
        held.portraits.iter().filter(|(image, _)| !known.contains(&image.number())).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut sorted: Vec<(&[u8], Name)> = names.iter().collect();
    sorted.sort_by_key(|(_, what)| what.address);
    let describe = |(image, portrait): &(ImageId, Portrait)| {
        let inside = portrait.segments.iter().flat_map(|segment| {
            let first = sorted.partition_point(|(_, what)| what.address < segment.address);
            let end = segment.address + segment.size;
            sorted[first..].iter().take_while(move |(_, what)| what.address < end).copied()
        });
        Description { image: image.number(), ..portrait.describe(dylib, name, inside) }
    };
    wanted.into_iter().map(describe).collect()
}

/// A description made while its objects were open.
pub(crate) fn at_once<A>(
    watchers: Watchers,
    key: UnitKey,
    name: &str,
    portrait: &Portrait,
    names: &Names,
    _linked: &Linked<'_, A>,
) -> Option<Description> {
    (!watchers.is_empty()).then(|| portrait.describe(key.dylib, name, names.iter()))
}
