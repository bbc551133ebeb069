//! What a link does, noted for the cache: answers of the process, who defines what, the bytes before they are final, what moves in them.
//!
//! Contents go to the file as they are finished, so that a batch is never in memory twice. Everything else is taken from what the batch made, once all of it is
//! there. **Not here:** how an entry is used ([`super::cached`]), and the form of the file ([`crate::cache`]).

use super::cached::{KINDS, LINKAGES, REACHES, init_numbers};
use super::{Made, UnitKey, View};
use crate::cache::{
    Digest, External, FIXED, ImageEntry, KeptObject, MapBlock, Meta, NameTable, Pending, Segment, Source, Store,
    THREAD_LOCAL, Thread, anchor_number,
};
use crate::names::Names;
use dispatch::packed::to_bytes;
use dylib_graph::DylibId;
use jitlink::graph::{Definition, Symbol, SymbolKind};
use jitlink::link;
use jitlink::memory::{InFlight, ThreadLocal};
use jitlink::moving::{Anchor, Moving, Written};
use orc_rt::native::{NativeKind, NativeSymbol};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

/// Notes of one batch.
#[derive(Debug)]
pub(crate) struct Recording<'c> {
    pub(super) store: &'c Store,
    notes: RefCell<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// The first thing that cannot be stored.
    refused: Option<String>,
    offered: Vec<(DylibId, usize, Box<[u8]>, bool)>,
    /// By image: its externals in the order in which they were asked for.
    externals: Vec<Vec<Asked>>,
    images: Vec<Seen>,
    file: Option<Pending>,
    failed: Option<io::Error>,
}

/// An external, and who defines it.
#[derive(Debug)]
struct Asked {
    name: Box<[u8]>,
    hidden: bool,
    thread_local: bool,
    origin: Origin,
}

/// Who defines an external.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Unit(UnitKey),
    Runtime,
    Native(NativeSymbol),
    Nobody,
}

/// An image before it is final.
#[derive(Debug, Default)]
struct Seen {
    segments: Vec<Segment>,
    low: bool,
    thread_local: Option<Thread>,
    moving: Moving,
    /// The anchor of each of its names.
    names: Vec<Anchor>,
}

/// The kind of what a process offers, as entries have it.
pub(super) fn native_number(symbol: &NativeSymbol) -> u32 {
    match symbol.kind {
        NativeKind::Function => 0,
        NativeKind::Data => 1,
        NativeKind::ThreadLocal(place) if place.distance.is_some() => 2,
        NativeKind::ThreadLocal(_) => 3,
        NativeKind::Unknown => 4,
    }
}

impl<'c> Recording<'c> {
    pub(super) fn new(store: &'c Store) -> Self {
        Self { store, notes: RefCell::default() }
    }

    /// The batch has something that no entry can have.
    pub(super) fn refuse(&self, why: impl Into<String>) {
        self.notes.borrow_mut().refused.get_or_insert_with(|| why.into());
    }

    /// Whether something before an archive offers a name that the archive has.
    pub(super) fn offered(&self, dylib: DylibId, item: usize, name: &[u8], answer: bool) {
        self.notes.borrow_mut().offered.push((dylib, item, name.into(), answer));
    }

    /// The externals that follow are those of another image.
    pub(super) fn begin_image(&self) {
        self.notes.borrow_mut().externals.push(Vec::new());
    }

    /// An external of the image that was begun last.
    pub(super) fn external(&self, external: &link::External<'_>, origin: Origin) {
        let link::External { name, hidden, thread_local, .. } = *external;
        let mut notes = self.notes.borrow_mut();
        let last = notes.externals.last_mut();
        last.into_iter().for_each(|all| all.push(Asked { name: name.into(), hidden, thread_local, origin }));
    }

    /// The external with this number has a definition outside.
    pub(super) fn native(&self, number: usize, found: NativeSymbol) {
        let mut notes = self.notes.borrow_mut();
        let external = notes.externals.last_mut().and_then(|all| all.get_mut(number));
        external.into_iter().for_each(|external| external.origin = Origin::Native(found));
    }

    /// An image is written, and not final yet.
    pub(super) fn see<M: InFlight>(&self, written: &mut Written<'_, '_, M>) {
        let mut notes = self.notes.borrow_mut();
        if notes.refused.is_some() || notes.failed.is_some() {
            return;
        }
        match written.moving() {
            Err(why) => notes.refused = Some(format!("it has {why}")),
            Ok(moving) => match notes.copy(self.store, written) {
                Ok(segments) => {
                    let own = written.thread_local();
                    let request = written.request();
                    let thread_local = request.thread_local.zip(own).map(|(wanted, own)| Thread {
                        size: wanted.size,
                        align: wanted.align,
                        constant: wanted.constant,
                        module: own.module,
                        offset: own.offset,
                        distance: own.distance,
                    });
                    let low = request.low;
                    notes.images.push(Seen { segments, low, thread_local, moving, names: Vec::new() });
                }
                Err(error) => notes.failed = Some(error),
            },
        }
    }

    /// A name of the image that was seen last.
    pub(super) fn name(&self, symbol: &Symbol<'_>) {
        let mut notes = self.notes.borrow_mut();
        let Some(seen) = notes.images.last_mut() else { return };
        let anchor = match symbol.definition {
            Definition::Block(_) if symbol.kind == SymbolKind::Indirect => seen.moving.stubs.unwrap_or(Anchor::Fixed),
            Definition::Block(block) => seen.moving.blocks.get(block.index()).copied().unwrap_or(Anchor::Fixed),
            _ => Anchor::Fixed,
        };
        seen.names.push(anchor);
    }

    /// The file with all contents, and the table that belongs to it. Or why there is none: the outer error is about the batch, the inner one the system's.
    pub(super) fn finish<E, A>(
        self,
        view: &View<'_, E>,
        made: &[Made<A>],
    ) -> Result<io::Result<(Pending, Finished)>, String> {
        let Notes { refused, offered, externals, images, file, failed } = self.notes.into_inner();
        if let Some(why) = refused {
            return Err(why);
        }
        if let Some(error) = failed {
            return Ok(Err(error));
        }
        let file = file.filter(|_| images.len() == made.len() && externals.len() == made.len());
        let Some(file) = file else { return Err("some of it was not seen".to_owned()) };
        let positions: HashMap<DylibId, u32> =
            (0..).zip(view.reached).map(|(position, dylib)| (*dylib, position)).collect();
        let position = |dylib: DylibId| positions.get(&dylib).copied().unwrap_or(u32::MAX);
        let numbers: HashMap<UnitKey, u32> = (0..).zip(made).map(|(number, made)| (made.key, number)).collect();
        let mut packed = Vec::with_capacity(made.len());
        for ((made_here, seen), asked) in made.iter().zip(&images).zip(&externals) {
            let sources = sources(asked, seen, made, &numbers)?;
            let dylib = position(made_here.key.dylib);
            let names = name_entries(&made_here.names, seen)?;
            packed.push(to_bytes(&image(dylib, made_here, (seen, asked, &sources), &names, position)));
        }
        let offered =
            offered.into_iter().map(|(dylib, item, name, answer)| (position(dylib), item as u32, name, answer));
        Ok(Ok((file, Finished { offered: offered.collect(), images: packed })))
    }
}

/// What an entry says besides its contents.
#[derive(Debug)]
pub(super) struct Finished {
    offered: Vec<(u32, u32, Box<[u8]>, bool)>,
    /// Packed already: they borrow from what was made.
    images: Vec<Vec<u8>>,
}

impl Finished {
    /// The table of contents of the entry called `name`.
    pub(super) fn table(&self, name: [u8; 32]) -> Vec<u8> {
        let offered =
            self.offered.iter().map(|(dylib, item, name, answer)| (*dylib, *item, &**name, *answer)).collect();
        let mut table = to_bytes(&Meta { name: Digest(name), offered, images: Vec::new() });
        // The count of images comes last, and the images behind it.
        table.truncate(table.len() - size_of::<u64>());
        table.extend_from_slice(&(self.images.len() as u64).to_le_bytes());
        self.images.iter().for_each(|image| table.extend_from_slice(image));
        table
    }
}

impl Notes {
    /// Writes the contents of all segments to the file.
    fn copy<M: InFlight>(&mut self, store: &Store, written: &mut Written<'_, '_, M>) -> io::Result<Vec<Segment>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = store.begin()?;
                file.skip_header();
                none.insert(file)
            }
        };
        let shapes: Vec<_> = written.request().segments.to_vec();
        let mut segments = Vec::with_capacity(shapes.len());
        for (number, shape) in shapes.into_iter().enumerate() {
            let content = written.content(number);
            let hash = Digest(*blake3::hash(content).as_bytes());
            let position = file.append(content)?;
            segments.push(Segment {
                prot: shape.prot.bits(),
                align: shape.align,
                size: shape.size,
                content_size: shape.content_size,
                far: shape.far,
                address: written.address(number),
                position,
                hash,
            });
        }
        Ok(segments)
    }
}

/// Where the externals of an image come from, as a later process can find them.
fn sources<A>(
    asked: &[Asked],
    seen: &Seen,
    made: &[Made<A>],
    numbers: &HashMap<UnitKey, u32>,
) -> Result<Vec<Source>, String> {
    if asked.len() != seen.moving.externals.len() {
        return Err("externals were asked for that nobody noted".to_owned());
    }
    let source = |(external, value): (&Asked, &u64)| {
        let called = || String::from_utf8_lossy(&external.name).into_owned();
        match external.origin {
            Origin::Runtime => Ok(Source::Runtime),
            Origin::Nobody => Ok(Source::Nobody),
            Origin::Native(found) if super::bind::resolution(found).address == *value => {
                Ok(Source::Native(native_number(&found)))
            }
            Origin::Native(_) => {
                Err(format!("{} of a shared library was moved for code that holds addresses in 32 bits", called()))
            }
            Origin::Unit(key) => {
                let earlier = || format!("{} is defined by what was linked before", called());
                let image = *numbers.get(&key).ok_or_else(earlier)?;
                let names = &made[image as usize].names;
                let (number, name) = names.position(&external.name).ok_or_else(earlier)?;
                let address = names.place(&name).map_or(name.address, ThreadLocal::address);
                if address == *value { Ok(Source::Image(image, number)) } else { Err(earlier()) }
            }
        }
    };
    asked.iter().zip(&seen.moving.externals).map(source).collect()
}

/// Everything that is said of an image.
fn image<'m, A>(
    dylib: u32,
    made: &'m Made<A>,
    (seen, asked, sources): (&'m Seen, &'m [Asked], &[Source]),
    name_entries: &'m [u8],
    position: impl Fn(DylibId) -> u32,
) -> ImageEntry<'m> {
    let place = |address: u64| seen.place(address);
    let info = &made.image;
    let externals = asked.iter().zip(sources).zip(&seen.moving.externals).map(|((asked, source), value)| External {
        name: &asked.name,
        hidden: asked.hidden,
        thread_local: asked.thread_local,
        source: source.numbers(),
        value: *value,
    });
    let groups = seen.moving.groups.iter().map(|group| {
        let anchors = (anchor_number(group.plus), anchor_number(group.minus));
        (group.segment, group.field.number(), anchors.0, anchors.1, &*group.places)
    });
    let arrays = made.arrays.iter().map(|array| {
        let (kind, priority) = init_numbers(array.kind);
        (kind, priority, place(array.address), array.count)
    });
    let mut pulled: Vec<(u32, u64)> =
        made.pulled.iter().map(|(item, member)| (*item as u32, member.offset())).collect();
    pulled.sort_unstable();
    let mut lenders: Vec<u32> = made.lenders.iter().map(|lender| position(*lender)).collect();
    lenders.sort_unstable();
    let objects = made.portrait.objects().map(|(name, item, member, sections)| KeptObject {
        name,
        item: item as u32,
        member: member.map(jitlink::object::archive::MemberId::offset),
        sections: sections.iter().map(|(number, address)| (*number, place(*address))).collect(),
    });
    let map = made.map.iter().map(|block| MapBlock {
        object: &block.object,
        section: &block.section,
        place: place(block.address),
        size: block.size,
        symbols: block.symbols.iter().map(|(at, name)| (at.wrapping_sub(block.address), name.as_str())).collect(),
    });
    let own = seen.thread_local.map_or(0, |own| own.offset);
    let thread_locals = made.names.thread_locals().iter().map(|place| place.offset.wrapping_sub(own)).collect();
    ImageEntry {
        dylib,
        segments: seen.segments.clone(),
        low: seen.low,
        thread_local: seen.thread_local,
        externals: externals.collect(),
        groups: groups.collect(),
        names: NameTable { text: made.names.whole_text(), entries: name_entries, thread_locals },
        eh_frame: info.eh_frame.map(|(address, size)| (place(address), size)),
        header: made.header.map(place),
        arrays: arrays.collect(),
        ifuncs: info.ifuncs.iter().map(|(resolver, slot)| (place(*resolver), place(*slot))).collect(),
        first_content: info.thread_local.map(|first| (place(first.address), first.content_size, first.size)),
        linked: made.linked as u64,
        pulled,
        lenders,
        symbols_at_hand: !info.symbols.is_empty(),
        reads_debug: made.reads_debug,
        objects: objects.collect(),
        map: map.collect(),
    }
}

impl Seen {
    /// An address as a place: in a segment, at the end of one, in thread-local storage, or nowhere in particular.
    fn place(&self, address: u64) -> (u8, u64) {
        let segments = || (0u8..).zip(&self.segments);
        let inside = segments().find(|(_, segment)| address.wrapping_sub(segment.address) < segment.size);
        let found = inside.or_else(|| segments().find(|(_, segment)| address == segment.address + segment.size));
        match (found, self.thread_local) {
            (Some((number, segment)), _) => (number, address - segment.address),
            (None, Some(own)) => (THREAD_LOCAL, address.wrapping_sub(own.place().address())),
            (None, None) => (FIXED, address),
        }
    }
}

/// What the table of names says of each, but for its text.
fn name_entries(names: &Names, seen: &Seen) -> Result<Vec<u8>, String> {
    if names.len() != seen.names.len() {
        return Err("names were made that nobody noted".to_owned());
    }
    let mut entries = Vec::with_capacity(names.len() * crate::cache::NAME_SIZE);
    let number = |found: Option<usize>| found.map_or(u8::MAX, |at| at as u8);
    for ((text, name), anchor) in names.iter().zip(&seen.names) {
        let (segment, value) = match anchor {
            _ if name.kind == SymbolKind::ThreadLocal && names.place(&name).is_some() => (THREAD_LOCAL, name.address),
            Anchor::Segment(segment) => {
                let base = seen.segments.get(usize::from(*segment)).map_or(0, |segment| segment.address);
                (*segment, name.address.wrapping_sub(base))
            }
            _ => (FIXED, name.address),
        };
        entries.extend_from_slice(&value.to_le_bytes());
        entries.extend_from_slice(&name.size.to_le_bytes());
        entries.extend_from_slice(&(text.len() as u32).to_le_bytes());
        entries.push(segment);
        entries.push(number(KINDS.iter().position(|kind| *kind == name.kind)));
        entries.push(number(LINKAGES.iter().position(|linkage| *linkage == name.linkage)));
        entries.push(number(REACHES.iter().position(|reach| *reach == name.reach)));
    }
    Ok(entries)
}
