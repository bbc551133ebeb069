//! What debuggers, profilers and backtraces are told of linked images.
//!
//! **You give** a finished link while its objects are open, or what is kept of one ([`Portrait`]); **you get** a [`Description`], which the executor
//! shows to whoever watches. One is made only when somebody watches, or when the executor asks; without watchers a link pays for nothing but a few numbers for
//! each image. **Not here:** lines of crash reports, which come from the objects themselves ([`crate::diagnose`]).

mod file;
mod inputs;
mod lines;

use crate::batch::Part;
use crate::executor::Executor;
use crate::names::{Name, Names, Reach};
use crate::session::{Held, Shared, State};
use crate::source::Item;
use crate::unit::UnitKey;
use dylib_graph::DylibId;
use file::{FileSymbol, Parts};
use jitlink::Linked;
use jitlink::arch::Machine;
use jitlink::debug::{DebugSection, Input, Merger};
use jitlink::graph::{ObjectId, SymbolKind};
use jitlink::linked::LinkedSegment;
use jitlink::memory::ThreadLocal;
use jitlink::object::archive::MemberId;
use jitlink::reloc;
use orc_rt::Watchers;
use orc_rt::debug::{Description, Function, file_base};
use orc_rt::image::ImageId;
use std::collections::HashSet;

/// An object that a batch has read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'f> {
    pub(crate) object: ObjectId,
    pub(crate) bytes: &'f [u8],
    /// Which item of its unit it is, or is a member of.
    pub(crate) item: usize,
    pub(crate) member: Option<MemberId>,
}

/// What is kept of an image, so that it can be described later.
#[derive(Debug)]
pub(crate) struct Portrait {
    machine: &'static Machine,
    segments: Vec<LinkedSegment>,
    eh_frame: Option<(u64, u64)>,
    thread_local: Option<ThreadLocal>,
    /// See [`Executor::thread_local_origin`].
    origin: Option<i64>,
    /// In the order in which they were linked; kept when somebody may ask for debug sections.
    objects: Vec<Kept>,
}

/// An object that was linked.
#[derive(Debug)]
struct Kept {
    name: String,
    item: usize,
    member: Option<MemberId>,
    /// Number and address of its sections.
    sections: Vec<(u32, u64)>,
}

/// Whether code that refers to `name` may read debug sections of its own process.
pub(crate) fn reads_debug(name: &[u8]) -> bool {
    name == b"dl_iterate_phdr"
}

impl Portrait {
    pub(crate) fn of<E: Executor, A>(
        executor: &E,
        linked: &Linked<'_, A>,
        keeps_debug: bool,
        opened: &[Opened<'_>],
    ) -> Self {
        let objects = if keeps_debug { kept(linked, opened) } else { Vec::new() };
        let thread_local = linked.thread_local.map(|image| image.place);
        let origin = thread_local.and_then(|_| executor.thread_local_origin());
        let machine = linked.graph().machine();
        Self { machine, segments: linked.segments.clone(), eh_frame: linked.eh_frame, thread_local, origin, objects }
    }

    /// That of an image that was linked earlier: its machine, segments and call frames, its thread-local storage, and each object with its item, member and sections.
    pub(crate) fn restored<E: Executor>(
        executor: &E,
        (machine, segments, eh_frame): (&'static Machine, Vec<LinkedSegment>, Option<(u64, u64)>),
        thread_local: Option<ThreadLocal>,
        objects: impl Iterator<Item = (String, usize, Option<MemberId>, Vec<(u32, u64)>)>,
    ) -> Self {
        let origin = thread_local.and_then(|_| executor.thread_local_origin());
        let objects = objects.map(|(name, item, member, sections)| Kept { name, item, member, sections }).collect();
        Self { machine, segments, eh_frame, thread_local, origin, objects }
    }

    /// What [`Self::restored`] takes of each object.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&str, usize, Option<MemberId>, &[(u32, u64)])> + '_ {
        self.objects.iter().map(|kept| (&*kept.name, kept.item, kept.member, &*kept.sections))
    }

    fn covers(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.address <= address && address - segment.address < segment.size)
    }

    /// What can be told of the image, but for its number. `names` may have those of other images too.
    fn describe<'n>(
        &self,
        (dylib, name): (DylibId, &str),
        names: impl Iterator<Item = (&'n [u8], Name)>,
        debug: Vec<DebugSection>,
        (base, with_lines): (u64, bool),
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
        let mut functions: Vec<Function> = functions.collect();
        let paths = if with_lines { lines::fill_in(&mut functions, &debug) } else { Vec::new() };
        symbols.iter_mut().for_each(|symbol| symbol.address -= base);
        let segments = self.segments.iter().cloned();
        let segments = segments.map(|segment| LinkedSegment { address: segment.address - base, ..segment });
        let (file, frames) = file::write(Parts {
            machine: reloc::elf_machine(self.machine),
            relative: base != 0,
            segments: &segments.collect::<Vec<_>>(),
            eh_frame: self.eh_frame.map(|(address, size)| (address - base, size)),
            symbols: &symbols,
            debug: &debug,
        });
        let (dylib, name) = (dylib.get(), name.to_owned());
        Description { image: 0, dylib, name, functions, paths, file, frames }
    }

    /// What addresses in a file with relative addresses are relative to.
    fn file_base(&self) -> u64 {
        let segments = self.segments.iter().filter(|segment| segment.size > 0);
        file_base(segments.map(|segment| segment.address).min().unwrap_or(0))
    }

    /// Debug sections of the objects, whose bytes are given in their order, as far as they can be had. Addresses are less `base`, as those that `find` gives are to be.
    fn debug_sections<'b>(
        &self,
        base: u64,
        bytes: impl Iterator<Item = Option<&'b [u8]>>,
        find: impl Fn(&[u8]) -> Option<u64>,
    ) -> Vec<DebugSection> {
        let mut merger = Merger::of(self.machine, self.thread_local).with_origin(self.origin);
        for (object, bytes) in self.objects.iter().zip(bytes) {
            let Some(bytes) = bytes else { continue };
            let less = |(number, address): &(u32, u64)| (*number, address.wrapping_sub(base));
            let sections: Vec<(u32, u64)> = object.sections.iter().map(less).collect();
            let input = Input { name: &object.name, bytes, sections: &sections };
            if let Err(error) = merger.add(&input, &find) {
                tracing::warn!("debug information is left out: {error}");
            }
        }
        merger.finish()
    }
}

fn kept<A>(linked: &Linked<'_, A>, opened: &[Opened<'_>]) -> Vec<Kept> {
    let mut addresses = linked.section_addresses();
    let kept = opened.iter().map(|one| Kept {
        name: linked.graph().object(one.object).name.clone(),
        item: one.item,
        member: one.member,
        sections: std::mem::take(&mut addresses[one.object.index()]),
    });
    kept.collect()
}

fn file_symbol<'n>((name, what): (&'n [u8], Name)) -> FileSymbol<'n> {
    let Name { address, size, kind, reach, .. } = what;
    FileSymbol { name, address, size, kind, local: reach == Reach::Local }
}

/// A description made while its objects are open, if somebody watches.
pub(crate) fn at_once<A>(
    watchers: Watchers,
    (key, name): (UnitKey, &str),
    portrait: &Portrait,
    names: &Names,
    linked: &Linked<'_, A>,
    opened: &[Opened<'_>],
) -> Option<Description> {
    if watchers.is_empty() {
        return None;
    }
    // perf's map has names alone.
    let objects = if watchers == Watchers::PERF_MAP { &[][..] } else { opened };
    let bytes = objects.iter().map(|one| Some(one.bytes));
    let debug = portrait.debug_sections(0, bytes, |name| linked.address(name));
    let with_lines = watchers.contains(Watchers::JITDUMP);
    Some(portrait.describe((key.dylib, name), names.iter(), debug, (0, with_lines)))
}

impl<E: Executor> Shared<E> {
    /// Tells watchers of images that were just registered; those who have come since the last time are told of everything. An executor that
    /// cannot be reached has nobody who watches.
    pub(crate) fn tell_watchers(&self, state: &mut State<E>, new: Vec<Description>) {
        let watchers = self.executor.watchers();
        // A debugger that left and comes again has forgotten everything.
        let came = watchers - std::mem::replace(&mut state.told, watchers);
        let descriptions = if came.is_empty() { new } else { state.portrayed(&[], new, false) };
        if !watchers.is_empty() && !descriptions.is_empty() {
            let _ = self.executor.describe(descriptions);
        }
    }
}

impl<E: Executor> State<E> {
    /// Descriptions of all images of these dylibs (none: of all), as far as they are not among `known`, which go first. Addresses in their files are final, or
    /// relative to [`file_base`].
    pub(crate) fn portrayed(&self, dylibs: &[DylibId], known: Vec<Description>, relative: bool) -> Vec<Description> {
        let mut all = known;
        let known: HashSet<u64> = all.iter().map(|one| one.image).collect();
        let wanted = |dylib: DylibId| dylibs.is_empty() || dylibs.contains(&dylib);
        for dylib in self.graph.dylibs().filter(|dylib| wanted(*dylib)) {
            let Some(part) = self.part(dylib) else { continue };
            let own = self.held.get(dylib.index()).map(|held| (&part.names, &*part.items, held));
            let units = part.units.iter();
            let units = units.filter_map(|(id, unit)| Some((&unit.names, &*unit.items, self.held_by_units.get(&id)?)));
            for (names, items, held) in own.into_iter().chain(units) {
                all.extend(portrayed((dylib, part), names, items, held, (&known, relative)));
            }
        }
        let leaving = self.leaving.iter().filter(|one| wanted(one.key.dylib));
        for one in leaving {
            let Some(part) = self.part(one.key.dylib) else { continue };
            all.extend(portrayed(
                (one.key.dylib, part),
                &one.unit.names,
                &one.unit.items,
                &one.held,
                (&known, relative),
            ));
        }
        all
    }
}

/// The images of one unit; each name is given to the one that has its address.
fn portrayed<A>(
    (dylib, part): (DylibId, &Part),
    names: &Names,
    items: &[Item],
    held: &Held<A>,
    (known, relative): (&HashSet<u64>, bool),
) -> Vec<Description> {
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
        let wanted: Vec<(usize, Option<MemberId>)> =
            portrait.objects.iter().map(|kept| (kept.item, kept.member)).collect();
        let files = inputs::Files::open(items, &wanted);
        let objects = files.objects(&wanted);
        let bytes = objects.iter().map(Option::as_deref);
        let base = if relative { portrait.file_base() } else { 0 };
        let find = |name: &[u8]| {
            let found = part.find(name)?;
            Some(found.thread_local().map_or(found.name.address.wrapping_sub(base), ThreadLocal::address))
        };
        let debug = portrait.debug_sections(base, bytes, find);
        Description { image: image.number(), ..portrait.describe((dylib, &part.name), inside, debug, (base, false)) }
    };
    wanted.into_iter().map(describe).collect()
}
