//! A batch out of the cache: the same [`Made`] values that a link gives, without the link.
//!
//! [`link`] is what a session calls. Without a cache it links. With one it makes the name of what is to be linked, looks for it, and has everything reserved, read, checked,
//! moved to its new addresses and made final; whatever is in the way, the batch is linked, watched by a [`Recording`](super::recording::Recording), and stored.
//!
//! What is kept is a batch that begins from nothing: dylibs of which nothing is linked yet. What a session has linked before has addresses and names that
//! no later process can be asked for.

use super::bind::{Libraries, Outside};
use super::find::Search;
use super::recording::{Recording, native_number};
use super::{Made, Part, UnitKey, View, Wanted, gather, native_place};
use crate::cache::{CacheEvent, External, ImageEntry, Inputs, Meta, Reading, Request, Source};
use crate::debug::Portrait;
use crate::error::Error;
use crate::executor::Executor;
use crate::map::MapEntry;
use crate::names::{Name, Names, Reach};
use crate::phases;
use crate::source::{self, Item};
use dispatch::packed::from_bytes;
use dylib_graph::DylibId;
use jitlink::Keep;
use jitlink::arch::Machine;
use jitlink::graph::{InitKind, Linkage, Prot, SymbolKind};
use jitlink::linked::{DSO_HANDLE_OFFSET, InitArray, LinkedSegment};
use jitlink::memory::{self, InFlight, Memory, Segment, ThreadLocal, ThreadLocalRequest};
use jitlink::moving::{Anchor, Field, Group, Moved};
use jitlink::object::archive::MemberId;
use orc_rt::image::{ImageInfo, SymbolTable};
use orc_rt::native::NativeSymbol;
use orc_rt::tls::FirstContent;
use std::collections::{HashMap, HashSet};

/// Links what everything in reach still needs, and what `wanted` asks for besides, or takes it from the cache.
pub(crate) fn link<E: Executor>(
    view: &View<'_, E>,
    wanted: Option<Wanted<'_>>,
) -> Result<Vec<Made<E::Allocation>>, Error> {
    let Some(cache) = view.cache else { return super::link_anew(view, wanted) };
    let anew = |why: String| {
        let made = super::link_anew(view, wanted)?;
        if !made.is_empty() {
            cache.tell(CacheEvent::NotStored { why });
        }
        Ok(made)
    };
    let request = match request(view, wanted) {
        Ok(request) => request,
        Err(why) => return anew(why.to_owned()),
    };
    let phase = phases::take().entered();
    // A link says best what is wrong with an input.
    let Some(mut inputs) = crate::cache::inputs(cache.store(), request) else {
        return anew("an input cannot be read".to_owned());
    };
    let mut why = inputs.why().to_owned();
    if let Some(name) = inputs.name() {
        match cache.store().read(&name) {
            Ok(reading) => match take(view, &reading, &name) {
                Ok(made) => {
                    phases::count(&phase, "bytes", || reading.size as usize);
                    cache.tell(CacheEvent::Hit { bytes: reading.size });
                    // Times that moved while contents did not.
                    let _ = inputs.keep(cache.store());
                    return Ok(made);
                }
                Err(Rejected { damaged, why: rejected }) => {
                    if damaged {
                        cache.store().remove(&name);
                    }
                    cache.tell(CacheEvent::Rejected { why: rejected });
                    "its entry could not be used".clone_into(&mut why);
                }
            },
            Err(crate::cache::ReadError::Absent) => {}
            Err(error) => {
                cache.store().remove(&name);
                cache.tell(CacheEvent::Rejected { why: error.to_string() });
                "its entry could not be used".clone_into(&mut why);
            }
        }
    }
    drop(phase);
    let recording = Recording::new(cache.store());
    let made = super::link_anew(&View { recording: Some(&recording), ..*view }, wanted)?;
    if !made.is_empty() {
        let phase = phases::store().entered();
        cache.tell(CacheEvent::Miss { why });
        let event = store(view, recording, &made, &mut inputs);
        if let CacheEvent::Stored { bytes } = event {
            phases::count(&phase, "bytes", || bytes as usize);
        }
        cache.tell(event);
    }
    Ok(made)
}

fn store<E: Executor>(
    view: &View<'_, E>,
    recording: Recording<'_>,
    made: &[Made<E::Allocation>],
    inputs: &mut Inputs,
) -> CacheEvent {
    let cache = recording.store;
    let failed = |error: std::io::Error| CacheEvent::Failed { why: error.to_string() };
    let finished = match recording.finish(view, made) {
        Ok(finished) => finished,
        Err(why) => return CacheEvent::NotStored { why },
    };
    let (pending, rest) = match finished {
        Ok(finished) => finished,
        Err(error) => return failed(error),
    };
    let name = if inputs.complete() { inputs.name() } else { None };
    let Some(name) = name else {
        return CacheEvent::NotStored { why: "an input has changed while it was linked".to_owned() };
    };
    let stored = cache.put(&name, pending, &rest.table(name));
    match stored.and_then(|bytes| inputs.keep(cache).map(|()| bytes)) {
        Ok(bytes) => CacheEvent::Stored { bytes },
        Err(error) => failed(error),
    }
}

/// What is asked for: everything that the bytes of the batch depend on, but for the content of files and the answers of the process. Or why there is no such name.
fn request<E: Executor>(view: &View<'_, E>, wanted: Option<Wanted<'_>>) -> Result<Request, &'static str> {
    view.executor.caches_images()?;
    if !view.executor.watchers().is_empty() {
        return Err("a debugger or profiler is told of what is linked");
    }
    if view.only.is_some() || !view.global.is_empty() || !view.unique.is_empty() {
        return Err("something is linked already that it may refer to");
    }
    let positions: HashMap<DylibId, u64> =
        (0..).zip(view.reached).map(|(position, dylib)| (*dylib, position)).collect();
    let position = |dylib: DylibId| positions.get(&dylib).copied().unwrap_or(u64::MAX);
    let mut request = Request::new();
    request.number(u64::from(view.host_symbols) | u64::from(view.map) << 1 | u64::from(view.keeps_debug) << 2);
    let entry_points = view.executor.entry_points();
    request.number(entry_points.len() as u64);
    entry_points.iter().for_each(|(name, _)| request.bytes(name.as_bytes()));
    match wanted {
        Some(wanted) => {
            request.number(position(wanted.dylib));
            request.bytes(wanted.name);
        }
        None => request.number(u64::MAX),
    }
    request.number(view.reached.len() as u64);
    for dylib in view.reached {
        let Some(part) = view.part(*dylib) else { return Err("a dylib is gone") };
        let fresh = part.linked == 0 && part.pulled.is_empty() && part.header.is_none();
        if !fresh || part.has_names() {
            return Err("part of what it reaches is linked already");
        }
        if !part.units.is_empty() {
            return Err("it has trackers");
        }
        request.bytes(part.name.as_bytes());
        request.number(u64::from(view.program == Some(*dylib)) | u64::from(part.own_definitions) << 1);
        request.number(match part.keep {
            Keep::Exported => 0,
            Keep::ExplicitlyExported => 1,
            Keep::Named => 2,
        });
        let links = view.graph.link_order(*dylib);
        request.number(links.len() as u64);
        links.iter().for_each(|link| request.number(position(*link)));
        request.number(part.entries.len() as u64);
        part.entries.iter().for_each(|entry| request.bytes(entry.as_bytes()));
        request.number(part.items.len() as u64);
        part.items.iter().for_each(|item| add_item(&mut request, item));
    }
    Ok(request)
}

fn add_item(request: &mut Request, item: &Item) {
    let source = |request: &mut Request, source: &source::Source| match source {
        source::Source::File(path) => {
            request.number(0);
            request.file(path);
        }
        source::Source::Memory { name, bytes } => {
            request.number(1);
            request.memory(name, bytes);
        }
    };
    match item {
        Item::Object(object) => {
            request.number(0);
            source(request, object);
        }
        Item::Tested(object) => {
            request.number(5);
            source(request, object);
        }
        Item::AtNeed(object) => {
            request.number(6);
            source(request, object);
        }
        Item::Archive { source: archive, whole, last, hidden } => {
            request.number(1 | u64::from(*whole) << 8 | u64::from(*last) << 9 | u64::from(*hidden) << 10);
            source(request, archive);
        }
        // What it offers is asked for.
        Item::Library(_) => request.number(2),
        Item::Absolute { name, address } => {
            request.number(3);
            request.bytes(name.as_bytes());
            request.number(*address);
        }
        Item::Alias { name, of } => {
            request.number(4);
            request.bytes(name.as_bytes());
            request.bytes(of.as_bytes());
        }
    }
}

/// Why an entry is of no use.
struct Rejected {
    /// Nobody will have use of it.
    damaged: bool,
    why: String,
}

impl Rejected {
    fn damaged(why: impl ToString) -> Self {
        Self { damaged: true, why: why.to_string() }
    }

    fn differs(why: impl ToString) -> Self {
        Self { damaged: false, why: why.to_string() }
    }
}

/// What of an entry has its place.
struct Placed<'e, M> {
    entry: &'e ImageEntry<'e>,
    key: UnitKey,
    memory: M,
    bases: Vec<u64>,
    names: Names,
    own: Option<ThreadLocal>,
}

impl<M> Placed<'_, M> {
    /// Where something is now. Numbers that no entry has give null.
    fn address(&self, (segment, offset): (u8, u64)) -> u64 {
        match segment {
            crate::cache::FIXED => offset,
            crate::cache::THREAD_LOCAL => self.own.map_or(0, ThreadLocal::address).wrapping_add(offset),
            segment => self.bases.get(usize::from(segment)).map_or(0, |base| base.wrapping_add(offset)),
        }
    }
}

/// Makes the batch that an entry describes.
fn take<E: Executor>(
    view: &View<'_, E>,
    reading: &Reading,
    name: &[u8; 32],
) -> Result<Vec<Made<E::Allocation>>, Rejected> {
    let meta: Meta<'_> = from_bytes(&reading.meta).map_err(Rejected::damaged)?;
    if meta.name.0 != *name {
        return Err(Rejected::damaged("it is another one's"));
    }
    for (dylib, item, symbol, was_offered) in &meta.offered {
        let dylib = view.reached.get(*dylib as usize).copied();
        let part = dylib.and_then(|dylib| view.part(dylib));
        let (Some(dylib), Some(part)) = (dylib, part) else { return Err(Rejected::damaged("it names no dylib")) };
        let offered =
            gather::is_offered_before(view, (dylib, part), *item as usize, symbol).map_err(Rejected::differs)?;
        if offered != *was_offered {
            return Err(changed(symbol));
        }
    }
    let mut placed = Vec::with_capacity(meta.images.len());
    for entry in &meta.images {
        placed.push(place(view, entry)?);
    }
    let externals = externals(view, &placed)?;
    for (image, externals) in placed.iter_mut().zip(&externals) {
        write(view.executor.machine(), reading, image, externals)?;
    }
    placed.into_iter().map(|image| finish(view, image)).collect()
}

/// Something that the process offers is not what the entry was linked with.
fn changed(symbol: &[u8]) -> Rejected {
    Rejected::differs(format!("what the process offers as {} has changed", String::from_utf8_lossy(symbol)))
}

/// Reserves memory and gives everything its address.
fn place<'e, E: Executor>(
    view: &View<'_, E>,
    entry: &'e ImageEntry<'e>,
) -> Result<Placed<'e, <E::Memory as Memory>::InFlight>, Rejected> {
    let dylib = *view.reached.get(entry.dylib as usize).ok_or_else(|| Rejected::damaged("it names no dylib"))?;
    let segments = entry.segments.iter().map(|segment| Segment {
        prot: Prot::from_bits_truncate(segment.prot),
        align: segment.align,
        size: segment.size,
        content_size: segment.content_size,
        far: segment.far,
    });
    let segments: Vec<Segment> = segments.collect();
    let thread_local = entry.thread_local;
    let thread_local =
        thread_local.map(|one| ThreadLocalRequest { size: one.size, align: one.align, constant: one.constant });
    let request = memory::Request { segments: &segments, low: entry.low, thread_local };
    let memory = view.executor.memory().reserve(&request).map_err(Rejected::differs)?;
    let bases = (0..segments.len()).map(|segment| memory.address(segment)).collect();
    let own = thread_local.and_then(|_| memory.thread_local());
    let constant = |distance: Option<i64>| distance.is_some();
    if own.map(|own| constant(own.distance)) != entry.thread_local.map(|was| constant(was.distance)) {
        return Err(Rejected::differs("its thread-local storage is of another kind here"));
    }
    let mut placed = Placed { entry, key: UnitKey::own(dylib), memory, bases, names: Names::default(), own };
    placed.names = names(&placed).ok_or_else(|| Rejected::damaged("its names are damaged"))?;
    Ok(placed)
}

fn names<M>(image: &Placed<'_, M>) -> Option<Names> {
    let table = &image.entry.names;
    let variables = table.thread_locals.iter().map(|offset| Some(image.own?.at(*offset)));
    let mut names =
        Names::with(table.text, table.entries.len() / crate::cache::NAME_SIZE, variables.collect::<Option<_>>()?);
    for entry in table.entries.chunks_exact(crate::cache::NAME_SIZE) {
        let word = |at: usize| entry[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let length = entry[16..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        let [segment, kind, linkage, reach] = *entry[20..].first_chunk()?;
        let address = match segment {
            // The position of a variable.
            crate::cache::THREAD_LOCAL => word(0)?,
            segment => image.address((segment, word(0)?)),
        };
        let name = Name {
            address,
            size: word(8)?,
            kind: *KINDS.get(usize::from(kind))?,
            linkage: *LINKAGES.get(usize::from(linkage))?,
            reach: *REACHES.get(usize::from(reach))?,
        };
        names.push_next(length, name)?;
    }
    Some(names)
}

pub(super) const KINDS: [SymbolKind; 6] = [
    SymbolKind::Unknown,
    SymbolKind::Function,
    SymbolKind::Object,
    SymbolKind::Section,
    SymbolKind::ThreadLocal,
    SymbolKind::Indirect,
];
pub(super) const LINKAGES: [Linkage; 3] = [Linkage::Strong, Linkage::Weak, Linkage::Unique];
pub(super) const REACHES: [Reach; 3] = [Reach::Exported, Reach::Hidden, Reach::Local];

/// What each external of each image is now.
fn externals<E: Executor, M>(view: &View<'_, E>, placed: &[Placed<'_, M>]) -> Result<Vec<Vec<u64>>, Rejected> {
    let entry_points = view.executor.entry_points();
    let entry_points: HashMap<&[u8], u64> =
        entry_points.iter().map(|(name, address)| (name.as_bytes(), *address)).collect();
    let mut libraries = Libraries::new(view);
    let mut search = Search::new(view.graph);
    let mut all = Vec::with_capacity(placed.len());
    for image in placed {
        search.start(image.key.dylib);
        let externals = &image.entry.externals;
        let mut values = vec![0; externals.len()];
        let mut found: Vec<Option<NativeSymbol>> = vec![None; externals.len()];
        let mut outside = Vec::new();
        for (number, external) in externals.iter().enumerate() {
            match source_of(external)? {
                Source::Image(other, name) => {
                    let other = placed.get(other as usize).ok_or_else(|| Rejected::damaged("it names no image"))?;
                    let name = other.names.get(name as usize).ok_or_else(|| Rejected::damaged("it names no name"))?;
                    values[number] = other.names.place(&name).map_or(name.address, ThreadLocal::address);
                }
                Source::Runtime => {
                    let address = entry_points.get(external.name);
                    values[number] = *address.ok_or_else(|| Rejected::differs("the runtime has other entry points"))?;
                }
                Source::Native(_) | Source::Nobody => {
                    if let (Ok(name), false) = (std::str::from_utf8(external.name), external.hidden) {
                        // What was not called then is nobody's, and says so again.
                        outside.push(Outside { number, name, thread_local: external.thread_local, callable: true });
                    }
                }
            }
        }
        libraries
            .ask(&mut search, outside, |number, symbol| found[number] = Some(symbol))
            .map_err(Rejected::differs)?;
        for (number, external) in externals.iter().enumerate() {
            let kind = found[number].map(|found| native_number(&found));
            match source_of(external)? {
                Source::Native(was) if kind == Some(was) => {
                    values[number] = found[number].map_or(0, |found| super::bind::resolution(found).address);
                }
                Source::Native(_) => return Err(changed(external.name)),
                Source::Nobody if kind.is_some() => return Err(changed(external.name)),
                _ => {}
            }
        }
        all.push(values);
    }
    Ok(all)
}

fn source_of(external: &External<'_>) -> Result<Source, Rejected> {
    Source::of(external.source).ok_or_else(|| Rejected::damaged("an external is defined by nothing known"))
}

/// Reads the contents, and adds to each field what its anchors have moved by.
fn write<M: InFlight>(
    machine: &Machine,
    reading: &Reading,
    image: &mut Placed<'_, M>,
    externals: &[u64],
) -> Result<(), Rejected> {
    let entry = image.entry;
    for (number, segment) in entry.segments.iter().enumerate() {
        let content = usize::try_from(segment.content_size).unwrap_or(usize::MAX);
        let bytes = image.memory.bytes(number);
        let bytes = bytes.get_mut(..content).ok_or_else(|| Rejected::damaged("a segment is too short"))?;
        reading.content(segment.position, &segment.hash.0, bytes).map_err(Rejected::damaged)?;
    }
    let thread_local = |of: fn(ThreadLocal) -> u64| {
        entry.thread_local.map_or(0, |was| image.own.map_or(0, of).wrapping_sub(of(was.place())))
    };
    let moved = |anchor: u32| match crate::cache::anchor(anchor) {
        Anchor::Fixed => Some(0),
        Anchor::ThreadLocal => Some(thread_local(ThreadLocal::address)),
        Anchor::Module => Some(thread_local(|place| place.module)),
        Anchor::ModuleOffset => Some(thread_local(|place| place.offset)),
        Anchor::Segment(segment) => {
            let segment = usize::from(segment);
            Some(image.bases.get(segment)?.wrapping_sub(entry.segments.get(segment)?.address))
        }
        Anchor::External(number) => {
            let number = number as usize;
            Some(externals.get(number)?.wrapping_sub(entry.externals.get(number)?.value))
        }
    };
    for (segment, field, plus, minus, places) in &entry.groups {
        let damaged = || Rejected::damaged("a group of fields is damaged");
        let moved = Moved { plus: moved(*plus).ok_or_else(damaged)?, minus: moved(*minus).ok_or_else(damaged)? };
        if moved.plus == moved.minus {
            continue;
        }
        let field = Field::numbered(machine, *field).ok_or_else(damaged)?;
        let shape = entry.segments.get(usize::from(*segment)).ok_or_else(damaged)?;
        let bytes = image.memory.bytes(usize::from(*segment));
        let bytes = bytes.get_mut(..shape.content_size as usize).ok_or_else(damaged)?;
        Group::apply(machine, places, field, bytes, moved).map_err(|error| match error {
            jitlink::moving::ApplyError::Places => damaged(),
            // Farther apart than they were.
            error => Rejected::differs(error),
        })?;
    }
    Ok(())
}

/// Makes memory final, and says of it what a link would have said.
fn finish<E: Executor>(
    view: &View<'_, E>,
    image: Placed<'_, <E::Memory as Memory>::InFlight>,
) -> Result<Made<E::Allocation>, Rejected> {
    let entry = image.entry;
    let part: &Part = view.part(image.key.dylib).ok_or_else(|| Rejected::damaged("it names no dylib"))?;
    let place = image.own.map(native_place);
    let first_content = entry.first_content.zip(place).map(|((at, content_size, size), place)| FirstContent {
        place,
        address: image.address(at),
        content_size,
        size,
    });
    let mut symbols = SymbolTable::default();
    if entry.symbols_at_hand {
        super::add_functions(&mut symbols, &image.names);
    }
    let segments: Vec<LinkedSegment> = entry
        .segments
        .iter()
        .zip(&image.bases)
        .map(|(segment, address)| LinkedSegment {
            address: *address,
            size: segment.size,
            prot: Prot::from_bits_truncate(segment.prot),
        })
        .collect();
    let header = entry.header.map(|header| image.address(header));
    let eh_frame = entry.eh_frame.map(|(at, size)| (image.address(at), size));
    let info = ImageInfo {
        dylib: image.key.dylib,
        name: part.name.clone(),
        ranges: segments.iter().map(|segment| segment.address..segment.address + segment.size).collect(),
        dso_handle: header.map_or(0, |header| header + DSO_HANDLE_OFFSET),
        eh_frame,
        ifuncs: entry.ifuncs.iter().map(|(resolver, slot)| (image.address(*resolver), image.address(*slot))).collect(),
        thread_local: first_content,
        slots: 0..0,
        symbols,
    };
    let arrays = entry.arrays.iter().map(|(kind, priority, at, count)| {
        let kind = init_kind(*kind, *priority)?;
        Some(InitArray { kind, address: image.address(*at), count: *count })
    });
    let arrays = arrays.collect::<Option<Vec<_>>>().ok_or_else(|| Rejected::damaged("an array is of no known kind"))?;
    let lenders = entry.lenders.iter().filter_map(|dylib| view.reached.get(*dylib as usize)).copied();
    let pulled = entry.pulled.iter().map(|(item, at)| (*item as usize, MemberId::from_offset(*at)));
    let objects = entry.objects.iter().map(|object| {
        let sections = object.sections.iter().map(|(number, at)| (*number, image.address(*at))).collect();
        (object.name.to_owned(), object.item as usize, object.member.map(MemberId::from_offset), sections)
    });
    let portrait = Portrait::restored(view.executor, (view.executor.machine(), segments, eh_frame), image.own, objects);
    let map = entry.map.iter().map(|block| {
        let address = image.address(block.place);
        let symbols = block.symbols.iter().map(|(offset, name)| (address.wrapping_add(*offset), (*name).to_owned()));
        MapEntry {
            dylib: part.name.clone(),
            object: block.object.to_owned(),
            section: block.section.to_owned(),
            address,
            size: block.size,
            symbols: symbols.collect(),
        }
    });
    let (map, pulled) = (map.collect(), pulled.collect::<HashSet<_>>());
    let allocation = image.memory.finalize().map_err(Rejected::differs)?;
    Ok(Made {
        key: image.key,
        allocation,
        image: info,
        names: image.names,
        header,
        arrays,
        map,
        linked: usize::try_from(entry.linked).unwrap_or(usize::MAX).min(part.items.len()),
        pulled,
        lenders: lenders.collect(),
        ties: Vec::new(),
        places: Vec::new(),
        portrait,
        description: None,
        reads_debug: entry.reads_debug,
        step: None,
    })
}

/// An array's kind as two numbers.
pub(super) fn init_numbers(kind: InitKind) -> (u8, u16) {
    match kind {
        InitKind::Preinit => (0, 0),
        InitKind::Init { priority } => (1, priority),
        InitKind::Ctors { priority } => (2, priority),
        InitKind::Fini { priority } => (3, priority),
        InitKind::Dtors { priority } => (4, priority),
    }
}

fn init_kind(kind: u8, priority: u16) -> Option<InitKind> {
    Some(match kind {
        0 => InitKind::Preinit,
        1 => InitKind::Init { priority },
        2 => InitKind::Ctors { priority },
        3 => InitKind::Fini { priority },
        4 => InitKind::Dtors { priority },
        _ => return None,
    })
}
