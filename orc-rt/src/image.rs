//! Linked code in this process: which addresses belong to which dylib of which session.
//!
//! You register an image when it is finalized; calls that come out of it, `dso_handle`s and `dladdr` are attributed by address, in O(log n),
//! whatever the number of images and sessions.

use crate::names::Shown;
use crate::recent;
use crate::session::Session;
use crate::sync::leaf::{Mutex, RwLock};
use crate::sync::{Arc, Weak};
use crate::tls::FirstContent;
use dylib_graph::DylibId;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A registered image. Prints as `image-3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub(crate) u64);

impl ImageId {
    /// Its number in its session, for those who name it from another process.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The image with this number. Any number may be named: one that was never given out is no image.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image-{}", self.0)
    }
}

/// What is registered for one finalized allocation.
#[derive(Debug)]
pub struct ImageInfo {
    /// The dylib it belongs to; a dylib may have several images.
    pub dylib: DylibId,
    /// The dylib's name, which `dladdr` reports.
    pub name: String,
    /// The address ranges of its segments. Ranges of different images do not overlap.
    pub ranges: Vec<Range<u64>>,
    /// Address of the dylib's `__dso_handle`, 0 without one.
    pub dso_handle: u64,
    /// Address and size of the merged `.eh_frame`, which ends in a zero word.
    pub eh_frame: Option<(u64, u64)>,
    /// Indirect functions: address of the resolver, address of the slot that takes its result.
    pub ifuncs: Vec<(u64, u64)>,
    /// What the image's thread-local storage begins with in every thread.
    pub thread_local: Option<FirstContent>,
    /// Where the words are that say where stubs lead, and that [`Session::write_slots`] may write; empty without any.
    pub slots: Range<u64>,
    /// Symbols for `dladdr`; without them the controller is asked ([`DESCRIBE`](crate::service::tag::DESCRIBE)).
    pub symbols: SymbolTable,
}

/// Symbols of an image: flat arrays.
#[derive(Default)]
pub struct SymbolTable {
    /// Address, size, offset of the name.
    entries: Vec<(u64, u64, u32)>,
    /// Names, each ended by a zero byte.
    names: Vec<u8>,
}

impl SymbolTable {
    /// Adds a symbol; one whose name holds a zero byte has no C name and is left out.
    pub fn push(&mut self, address: u64, size: u64, name: &str) {
        let Ok(offset) = u32::try_from(self.names.len()) else { return };
        if !name.contains('\0') {
            self.entries.push((address, size, offset));
            self.names.extend_from_slice(name.as_bytes());
            self.names.push(0);
        }
    }

    /// Address, size and name of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, &str)> + '_ {
        self.entries.iter().filter_map(|&(address, size, name)| {
            let name = CStr::from_bytes_until_nul(self.names.get(name as usize..)?).ok()?;
            Some((address, size, name.to_str().ok()?))
        })
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn sort(&mut self) {
        self.entries.sort_unstable();
    }

    /// The symbol that covers `address` (or, when it has no size, the nearest before).
    fn find(&self, address: u64) -> Option<(&CStr, u64)> {
        let after = self.entries.partition_point(|&(start, ..)| start <= address);
        let &(start, size, name) = self.entries[..after].last()?;
        if size != 0 && address - start >= size {
            return None;
        }
        Some((CStr::from_bytes_until_nul(&self.names[name as usize..]).ok()?, start))
    }
}

impl fmt::Debug for SymbolTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SymbolTable({} symbols)", self.entries.len())
    }
}

/// An image while it is registered.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: ImageId,
    pub(crate) session: Weak<Session>,
    pub(crate) dylib: DylibId,
    pub(crate) name: CString,
    /// Lowest address.
    pub(crate) base: u64,
    /// The process that registered it: a forked child cannot ask the controller about it.
    pub(crate) process: u32,
    /// Its number among all images of this process, in the order of registration.
    number: u64,
    /// How dl_iterate_phdr(3) and its kin show it.
    pub(crate) shown: Shown,
    symbols: SymbolTable,
    /// What the controller said about addresses, kept because C callers hold pointers to the names.
    described: Mutex<HashMap<u64, Option<Arc<Described>>>>,
}

/// A symbol as `dladdr` reports it.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) name: CString,
    pub(crate) address: u64,
    /// As dladdr1(3) gives it, made when it is asked for.
    pub(crate) entry: OnceLock<libc::Elf64_Sym>,
}

impl Described {
    fn new(name: CString, address: u64) -> Arc<Self> {
        Arc::new(Self { name, address, entry: OnceLock::new() })
    }
}

impl Image {
    pub(crate) fn new(id: ImageId, session: Weak<Session>, info: &mut ImageInfo) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = CString::new(info.name.replace('\0', "?")).unwrap_or_default();
        let mut symbols = std::mem::take(&mut info.symbols);
        symbols.sort();
        Self {
            id,
            session,
            dylib: info.dylib,
            shown: Shown::new(info, &name),
            name,
            base: info.ranges.iter().filter(|range| !range.is_empty()).map(|range| range.start).min().unwrap_or(0),
            process: std::process::id(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            symbols,
            described: Mutex::default(),
        }
    }

    /// The symbol that covers `address`. The pointer in it is valid as long as the image.
    pub(crate) fn symbol(&self, address: u64) -> Option<Arc<Described>> {
        if let Some(known) = self.described.lock().get(&address) {
            return known.clone();
        }
        let found = if self.symbols.is_empty() {
            let (name, address) = self.session.upgrade()?.symbol_at(address)?;
            Some(Described::new(CString::new(name).ok()?, address))
        } else {
            self.symbols.find(address).map(|(name, address)| Described::new(name.to_owned(), address))
        };
        self.described.lock().entry(address).or_insert(found).clone()
    }

    /// As [`Self::symbol`], for signal handlers: what is known is passed to `read` with its address; nothing is allocated, waited for or asked.
    pub(crate) fn symbol_at_once<R>(&self, address: u64, read: impl FnOnce(&CStr, u64) -> R) -> Option<R> {
        if !self.symbols.is_empty() {
            let (name, start) = self.symbols.find(address)?;
            return Some(read(name, start));
        }
        let described = self.described.try_lock()?;
        let symbol = described.get(&address)?.as_ref()?;
        Some(read(&symbol.name, symbol.address))
    }
}

/// Every image of this process.
#[derive(Debug)]
struct Table {
    /// By first address.
    ranges: BTreeMap<u64, (u64, Arc<Image>)>,
    dso_handles: BTreeMap<u64, Arc<Image>>,
    /// By [`Image::number`].
    images: BTreeMap<u64, Arc<Image>>,
    counts: Counts,
}

/// How many images have come and gone, as dl_iterate_phdr(3) counts objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) added: u64,
    pub(crate) removed: u64,
}

static TABLE: RwLock<Table> = RwLock::new(Table {
    ranges: BTreeMap::new(),
    dso_handles: BTreeMap::new(),
    images: BTreeMap::new(),
    counts: Counts { added: 0, removed: 0 },
});

/// The range of an image meets one that is registered already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}..{} is already registered by {owner}: release that image first", hex(range.start), hex(range.end))]
pub struct Overlap {
    /// The range that was to be registered.
    pub range: Range<u64>,
    /// The image that has it.
    pub owner: ImageId,
}

fn hex(address: u64) -> String {
    format!("{address:#x}")
}

/// Makes `ranges` and `dso_handle` known as `image`'s, all or nothing.
pub(crate) fn add(image: &Arc<Image>, ranges: &[Range<u64>], dso_handle: u64) -> Result<(), Overlap> {
    let mut table = TABLE.write();
    for (index, range) in ranges.iter().enumerate().filter(|(_, range)| !range.is_empty()) {
        let before = table.ranges.range(..range.end).next_back();
        if let Some((_, (_, owner))) = before.filter(|(_, (end, _))| *end > range.start) {
            let owner = owner.id;
            for range in &ranges[..index] {
                table.ranges.remove(&range.start);
            }
            return Err(Overlap { range: range.clone(), owner });
        }
        table.ranges.insert(range.start, (range.end, Arc::clone(image)));
    }
    if dso_handle != 0 {
        // Images that were added to the dylib later share its handle.
        table.dso_handles.entry(dso_handle).or_insert_with(|| Arc::clone(image));
    }
    table.images.insert(image.number, Arc::clone(image));
    table.counts.added += 1;
    drop(table);
    recent::turn();
    Ok(())
}

/// Forgets what [`add`] made known.
pub(crate) fn remove(image: &Image, ranges: &[Range<u64>], dso_handle: u64) {
    let mut table = TABLE.write();
    if table.images.remove(&image.number).is_some() {
        table.counts.removed += 1;
    }
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        table.ranges.remove(&range.start);
    }
    if table.dso_handles.get(&dso_handle).is_some_and(|owner| owner.number == image.number) {
        table.dso_handles.remove(&dso_handle);
    }
    drop(table);
    recent::turn();
}

/// The image that covers `address`.
pub(crate) fn at(address: u64) -> Option<Arc<Image>> {
    let table = TABLE.read();
    let (_, (end, image)) = table.ranges.range(..=address).next_back()?;
    (address < *end).then(|| Arc::clone(image))
}

/// As [`at`], for signal handlers: what `read` makes of the image. `None` also if the table is being changed by the very thread that the signal has interrupted.
pub(crate) fn at_once<R>(address: u64, read: impl FnOnce(&Image) -> R) -> Option<R> {
    /// Other threads change it in less time.
    const ATTEMPTS: usize = 10_000;
    let table = (0..ATTEMPTS).find_map(|_| {
        let table = TABLE.try_read();
        if table.is_none() {
            std::hint::spin_loop();
        }
        table
    })?;
    let (_, (end, image)) = table.ranges.range(..=address).next_back()?;
    (address < *end).then(|| read(image))
}

/// Every image of this process in the order of registration, and how many there have been.
pub(crate) fn all() -> (Vec<Arc<Image>>, Counts) {
    let table = TABLE.read();
    (table.images.values().cloned().collect(), table.counts)
}

/// The first image of a dylib.
pub(crate) fn of_dylib(session: &Session, dylib: DylibId) -> Option<Arc<Image>> {
    let table = TABLE.read();
    let mut images = table.images.values();
    images.find(|image| image.dylib == dylib && std::ptr::eq(image.session.as_ptr(), session)).cloned()
}

/// The session and the dylib whose image covers `address`.
pub(crate) fn owner(address: u64) -> Option<(Arc<Session>, DylibId)> {
    let table = TABLE.read();
    let (_, (end, image)) = table.ranges.range(..=address).next_back()?;
    if address >= *end {
        return None;
    }
    Some((image.session.upgrade()?, image.dylib))
}

/// Where the images of `session` lie.
pub(crate) fn ranges_of(session: &Session) -> Vec<Range<u64>> {
    let table = TABLE.read();
    let own = table.ranges.iter().filter(|(_, (_, image))| std::ptr::eq(image.session.as_ptr(), session));
    own.map(|(start, (end, _))| *start..*end).collect()
}

/// The image whose dylib has this `__dso_handle`.
pub(crate) fn of_dso_handle(dso_handle: u64) -> Option<Arc<Image>> {
    TABLE.read().dso_handles.get(&dso_handle).cloned().or_else(|| at(dso_handle))
}

#[cfg(test)]
mod tests {
    use super::{Image, ImageId, ImageInfo, SymbolTable, add, at, of_dso_handle, remove};
    use crate::sync::{Arc, Weak};
    use dylib_graph::DylibId;

    fn image(id: u64, mut symbols: SymbolTable) -> Arc<Image> {
        symbols.push(0x7100, 0x10, "sized");
        let mut info = ImageInfo {
            dylib: DylibId::new(1).expect("not zero"),
            name: "lib".into(),
            ranges: vec![],
            dso_handle: 0,
            eh_frame: None,
            ifuncs: vec![],
            thread_local: None,
            slots: 0..0,
            symbols,
        };
        Arc::new(Image::new(ImageId(id), Weak::new(), &mut info))
    }

    #[test]
    fn addresses_belong_to_the_image_that_covers_them() {
        // Addresses that no real mapping has, since the table is shared with other tests.
        let base = 1 << 60;
        let middle = Vec::from_iter(std::iter::once(base + 0x1000..base + 0x2000));
        let (first, second) = (image(1, SymbolTable::default()), image(2, SymbolTable::default()));
        add(&first, &[base..base + 0x1000, base + 0x3000..base + 0x4000], base + 8).expect("free");
        add(&second, &middle, base + 8).expect("free");
        assert_eq!(at(base + 0xfff).map(|image| image.id), Some(ImageId(1)));
        assert_eq!(at(base + 0x1000).map(|image| image.id), Some(ImageId(2)));
        assert!(at(base + 0x2000).is_none());
        let overlap =
            add(&second, &[base + 0x5000..base + 0x6000, base + 0x2fff..base + 0x3001], 0).expect_err("taken");
        assert_eq!(overlap.owner, ImageId(1));
        assert!(at(base + 0x5000).is_none(), "a refused image leaves nothing behind");
        assert_eq!(of_dso_handle(base + 8).map(|image| image.id), Some(ImageId(1)));
        remove(&second, &middle, base + 8);
        remove(&first, &[base..base + 0x1000, base + 0x3000..base + 0x4000], base + 8);
        assert!(at(base).is_none() && of_dso_handle(base + 8).is_none());
    }

    #[test]
    fn symbols_are_found_by_address() {
        let mut symbols = SymbolTable::default();
        symbols.push(0x7200, 0, "unsized");
        symbols.push(0x7000, 4, "first");
        symbols.push(0x7300, 4, "no\0name");
        let image = image(3, symbols);
        let name = |address| {
            image.symbol(address).map(|symbol| (symbol.name.to_str().expect("text").to_owned(), symbol.address))
        };
        assert_eq!(name(0x7003), Some(("first".into(), 0x7000)));
        assert_eq!(name(0x7004), None);
        assert_eq!(name(0x7108), Some(("sized".into(), 0x7100)));
        assert_eq!(name(0x9999), Some(("unsized".into(), 0x7200)));
        assert_eq!(name(0x6fff), None);
    }
}
