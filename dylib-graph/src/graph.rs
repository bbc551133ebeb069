//! Who links against whom.
//!
//! You give dylibs and their link orders; you get them back exactly as given, and the walks of
//! [`order`](crate::order) over them. Not for names, symbols or memory: a dylib is a number here.
//!
//! Storage is two flat arrays (a span for each dylib, and one array of links), so a million dylibs
//! cost a few megabytes and a walk reads memory forward.

use std::fmt;
use std::num::NonZeroU32;

use crate::error::GraphError;
use crate::order::{InitOrder, Walker};

/// The number of a dylib. Starts at 1 and prints as `dylib-3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DylibId(NonZeroU32);

impl DylibId {
    /// The id with this number; `None` for 0, which no dylib has.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, as it travels between controller and executor.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The position in an array with one slot for each dylib: the number less one.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The id whose [`index`](Self::index) is `index`.
    pub(crate) fn at(index: usize) -> Self {
        let number = u32::try_from(index + 1).expect("ids are 32 bits wide");
        Self::new(number).expect("an index plus one is not zero")
    }
}

impl fmt::Display for DylibId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dylib-{}", self.0)
    }
}

impl fmt::Debug for DylibId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far beyond the highest known id [`DylibGraph::ensure`] follows: ids are handed out densely, so a
/// larger gap is a damaged message and not a reason to allocate gigabytes.
pub const MAX_GAP: u32 = 1 << 20;

/// Dylibs and their link orders.
///
/// ```
/// use dylib_graph::DylibGraph;
/// let mut graph = DylibGraph::new();
/// let [main, b, c] = [graph.add(), graph.add(), graph.add()];
/// graph.set_link_order(main, &[b, c])?;
/// graph.set_link_order(c, &[b])?;
/// assert_eq!(graph.init_order(main)?.dylibs(), [b, c, main]);
/// assert_eq!(graph.search_order(main)?, [main, b, c]);
/// # Ok::<(), dylib_graph::GraphError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DylibGraph {
    spans: Vec<Span>,
    links: Vec<DylibId>,
    /// Slots of `links` that no span covers any more.
    garbage: usize,
    present: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
    present: bool,
}

impl DylibGraph {
    /// A graph without dylibs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new dylib that links against nothing. Ids are dense: 1, 2, 3, and are never given out twice.
    ///
    /// # Panics
    /// After 2^32 - 1 dylibs.
    pub fn add(&mut self) -> DylibId {
        let id = DylibId::at(self.spans.len());
        self.spans.push(Span { present: true, ..Span::default() });
        self.present += 1;
        id
    }

    /// Makes `dylib` exist, where somebody else hands out the ids. Says whether it is new.
    ///
    /// # Errors
    /// [`GraphError::Sparse`] when the id lies more than [`MAX_GAP`] beyond every known one.
    pub fn ensure(&mut self, dylib: DylibId) -> Result<bool, GraphError> {
        if dylib.index() >= self.spans.len() {
            if dylib.index() - self.spans.len() > MAX_GAP as usize {
                return Err(GraphError::Sparse { dylib, known: self.spans.len() });
            }
            self.spans.resize(dylib.index() + 1, Span::default());
        }
        let span = &mut self.spans[dylib.index()];
        let new = !span.present;
        span.present = true;
        self.present += usize::from(new);
        Ok(new)
    }

    /// Takes a dylib out, with its link order. Link orders that name it keep the name, and every walk passes
    /// over it, until [`ensure`](Self::ensure) brings it back.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when it is not there.
    pub fn remove(&mut self, dylib: DylibId) -> Result<(), GraphError> {
        self.set_link_order(dylib, &[])?;
        self.spans[dylib.index()].present = false;
        self.present -= 1;
        Ok(())
    }

    /// Replaces the link order of `dylib`. Self-links and repeated links are kept as given and change no order.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `dylib` or one of `links` is not there; the old link order stays.
    pub fn set_link_order(&mut self, dylib: DylibId, links: &[DylibId]) -> Result<(), GraphError> {
        for &each in links.iter().chain([&dylib]) {
            self.check(each)?;
        }
        let span = &mut self.spans[dylib.index()];
        let (start, old) = (span.start as usize, span.len as usize);
        if links.len() <= old {
            self.links[start..start + links.len()].copy_from_slice(links);
            span.len = count(links.len());
            self.garbage += old - links.len();
        } else {
            // Cannot overwrite in place: the new order goes to the end.
            span.start = count(self.links.len());
            span.len = count(links.len());
            self.links.extend_from_slice(links);
            self.garbage += old;
        }
        if self.garbage > 1024 && self.garbage > self.links.len() / 2 {
            self.compact();
        }
        Ok(())
    }

    /// The link order of `dylib` as it was set; empty for a dylib that is not there.
    #[must_use]
    pub fn link_order(&self, dylib: DylibId) -> &[DylibId] {
        self.spans.get(dylib.index()).map_or(&[], |span| {
            let start = span.start as usize;
            &self.links[start..start + span.len as usize]
        })
    }

    /// The order of symbol lookup: breadth-first from `root` (which comes first), links in link order, each dylib once.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `root` is not there.
    pub fn search_order(&self, root: DylibId) -> Result<Vec<DylibId>, GraphError> {
        Walker::new().search_order(self, root)
    }

    /// The order of initialization: what `root` reaches, dependencies first, cycles condensed. See [`order`](crate::order).
    ///
    /// # Errors
    /// [`GraphError::Unknown`] when `root` is not there.
    pub fn init_order(&self, root: DylibId) -> Result<InitOrder, GraphError> {
        Walker::new().init_order(self, root)
    }

    /// Whether `dylib` is there.
    #[must_use]
    pub fn contains(&self, dylib: DylibId) -> bool {
        self.spans.get(dylib.index()).is_some_and(|span| span.present)
    }

    /// Every dylib, in the order of their ids.
    pub fn dylibs(&self) -> impl Iterator<Item = DylibId> + '_ {
        let present = |(index, span): (usize, &Span)| span.present.then(|| DylibId::at(index));
        self.spans.iter().enumerate().filter_map(present)
    }

    /// How many dylibs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present
    }

    /// Whether there is no dylib.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// How many slots an array indexed by [`DylibId::index`] needs.
    #[must_use]
    pub fn id_bound(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn check(&self, dylib: DylibId) -> Result<(), GraphError> {
        if self.contains(dylib) { Ok(()) } else { Err(GraphError::Unknown { dylib }) }
    }

    fn compact(&mut self) {
        let mut links = Vec::with_capacity(self.links.len() - self.garbage);
        for span in &mut self.spans {
            let start = span.start as usize;
            span.start = count(links.len());
            links.extend_from_slice(&self.links[start..start + span.len as usize]);
        }
        self.links = links;
        self.garbage = 0;
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a graph has fewer than 2^32 links")
}
