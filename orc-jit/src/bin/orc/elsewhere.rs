//! When a symbol is undefined: does a dylib define it that the one that asks was not told to need?
//!
//! Only looked for when a link has failed: then the objects of dylibs that nobody needs are read for their names.

use super::plan::{Item, Plan};
use jitlink::LinkGraph;
use jitlink::graph::Spelling;
use jitlink::object::archive::Archive;
use jitlink::object::{ReadOptions, detect, read};
use orc_jit::diagnose::Report;
use orc_jit::input::FileKind;
use std::path::Path;

/// Adds to each report without advice which dylib out of reach defines its symbol.
pub(crate) fn advise(plan: &Plan, reports: &mut [Report]) {
    for index in out_of_reach(plan) {
        let dylib = &plan.dylibs[index];
        for item in &dylib.items {
            let Item::File { path, .. } = item else { continue };
            let Ok(bytes) = std::fs::read(path) else { continue };
            let open: Vec<&mut Report> = reports.iter_mut().filter(|report| report.notes.is_empty()).collect();
            let names: Vec<&[u8]> =
                open.iter().map(|report| report.symbol.as_deref().unwrap_or("").as_bytes()).collect();
            let found = defined(path, &bytes, &names);
            for report in open.into_iter().zip(found).filter_map(|(report, found)| found.then_some(report)) {
                report.notes.push(format!("{} in dylib {} defines it", path.display(), dylib.name));
                report.help = vec![format!("add {} to the --needs of the dylib that refers to it", dylib.name)];
            }
        }
    }
}

/// Dylibs that the program does not reach.
fn out_of_reach(plan: &Plan) -> impl Iterator<Item = usize> {
    let mut reached = vec![false; plan.dylibs.len()];
    let mut pending = vec![0];
    while let Some(index) = pending.pop() {
        if !std::mem::replace(&mut reached[index], true) {
            pending.extend(&plan.dylibs[index].needs);
        }
    }
    reached.into_iter().enumerate().filter(|(_, reached)| !reached).map(|(index, _)| index)
}

/// Which of `names` the object or archive defines. One that cannot be read defines none: nobody asked for it.
fn defined(path: &Path, bytes: &[u8], names: &[&[u8]]) -> Vec<bool> {
    match FileKind::of_bytes(path, &bytes[..bytes.len().min(4096)]) {
        Ok(FileKind::Archive) => match Archive::parse(bytes) {
            Ok(archive) => names.iter().map(|name| archive.find(name).is_some()).collect(),
            Err(_) => Vec::new(),
        },
        Ok(FileKind::Object) => {
            let Some(machine) = detect::FileKind::detect(bytes).machine() else { return Vec::new() };
            let mut graph = LinkGraph::new(machine).spelled(Spelling::C);
            if read(&mut graph, "", bytes, ReadOptions::default()).is_err() {
                return Vec::new();
            }
            let exports = |name: &&[u8]| graph.find(name).is_some_and(|symbol| graph.symbol(symbol).is_exported());
            names.iter().map(exports).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::DylibPlan;
    use super::*;

    #[test]
    fn what_the_program_does_not_reach() {
        let dylib = |needs: &[usize]| DylibPlan { needs: needs.to_vec(), ..DylibPlan::default() };
        let plan = Plan::for_tests(vec![dylib(&[2]), dylib(&[0]), dylib(&[2, 0]), dylib(&[])]);
        assert_eq!(out_of_reach(&plan).collect::<Vec<_>>(), [1, 3]);
    }
}
