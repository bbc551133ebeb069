//! In which order the initializers of one dylib run, over all its objects (rule 6).
//!
//! You give sections by name, object and position; you get the order in which to walk their arrays. Not for
//! reading the arrays: their entries are code addresses, which the linker knows and this crate does not.
//!
//! ```
//! use dylib_graph::init::{InitSection, initializer_order};
//! // Two objects: the first has a plain array, the second a plain one and one with priority 101.
//! let names = [(".init_array", 0), (".init_array", 1), (".init_array.101", 1)];
//! let sections: Vec<_> = names
//!     .iter()
//!     .enumerate()
//!     .filter_map(|(section, &(name, object))| InitSection::from_name(name, object, section as u32))
//!     .collect();
//! assert_eq!(initializer_order(&sections), [2, 0, 1]);
//! ```

/// A section that holds an array of code addresses to call.
///
/// The names are those of the gABI ("Initialization and Termination Functions") and, for `.ctors` and `.dtors`, of GNU crtstuff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArrayKind {
    /// `.preinit_array`: before all others, in the root program only.
    Preinit,
    /// `.init_array[.N]`.
    Init,
    /// `.ctors[.N]`: called from the last entry to the first.
    Ctors,
    /// `.fini_array[.N]`: called from the last entry to the first.
    Fini,
    /// `.dtors[.N]`.
    Dtors,
}

impl ArrayKind {
    /// Whether the array is called from its last entry to its first.
    #[must_use]
    pub const fn runs_backward(self) -> bool {
        matches!(self, Self::Ctors | Self::Fini)
    }

    /// Whether the array is called at the end and not at the beginning.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Fini | Self::Dtors)
    }

    /// Whether an entry of this value is no function: `.ctors` and `.dtors` may hold 0 and -1 as end marks (crtstuff), and a
    /// null pointer is never called. `pointer_bytes` is the size of an entry.
    #[must_use]
    pub const fn skips(self, entry: u64, pointer_bytes: u32) -> bool {
        let marks = matches!(self, Self::Ctors | Self::Dtors);
        let all_ones = if pointer_bytes >= 8 { u64::MAX } else { (1 << (8 * pointer_bytes)) - 1 };
        entry == 0 || (marks && entry == all_ones)
    }
}

/// The effective priority of an array: lower runs earlier at the beginning, and later at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u32);

impl Priority {
    /// Of a section without a number: after all that have one.
    pub const LAST: Self = Self(u32::MAX);

    /// Of a section with this effective number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        if number == u32::MAX { Self(u32::MAX - 1) } else { Self(number) }
    }

    /// As a number that orders in the same way.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// An array of initializers or finalizers, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InitSection {
    /// What it is.
    pub kind: ArrayKind,
    /// When it runs among its dylib's.
    pub priority: Priority,
    /// Which of the dylib's objects it comes from, in the order in which they were given to the linker.
    pub object: u32,
    /// Which of its object's sections it is.
    pub section: u32,
}

impl InitSection {
    /// The section of this ELF name; `None` when the name is not one of an array.
    ///
    /// `.init_array.N` and `.fini_array.N` have priority N, `.ctors.N` and `.dtors.N` have 65535 - N. What follows the
    /// dot is decimal and may have leading zeros; if it is not a number, the section has no priority, as for GNU ld.
    #[must_use]
    pub fn from_name(name: &str, object: u32, section: u32) -> Option<Self> {
        const KINDS: [(&str, ArrayKind); 5] = [
            (".preinit_array", ArrayKind::Preinit),
            (".init_array", ArrayKind::Init),
            (".ctors", ArrayKind::Ctors),
            (".fini_array", ArrayKind::Fini),
            (".dtors", ArrayKind::Dtors),
        ];
        KINDS.into_iter().find_map(|(stem, kind)| {
            let rest = name.strip_prefix(stem)?;
            let priority = match (rest.strip_prefix('.'), rest) {
                (Some(suffix), _) => suffix_priority(kind, suffix),
                (None, "") => Priority::LAST,
                (None, _) => return None,
            };
            Some(Self { kind, priority, object, section })
        })
    }

    pub(crate) fn key(&self) -> (bool, Priority, u32, u32) {
        (self.kind != ArrayKind::Preinit, self.priority, self.object, self.section)
    }
}

fn suffix_priority(kind: ArrayKind, suffix: &str) -> Priority {
    if suffix.is_empty() || !suffix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Priority::LAST;
    }
    // More digits than fit are a very late priority, not no priority.
    let number = suffix.parse().unwrap_or(u32::MAX);
    match kind {
        ArrayKind::Ctors | ArrayKind::Dtors => Priority::new(65535_u32.saturating_sub(number)),
        ArrayKind::Preinit | ArrayKind::Init | ArrayKind::Fini => Priority::new(number),
    }
}

/// The order in which the arrays of initializers run, as positions in `sections`; finalizers are left out.
///
/// `.preinit_array` first (give none for a dylib that is not the root program: the gABI ignores it there), then ascending priority;
/// at equal priority in the order of objects, then of sections. Whoever calls an array asks
/// [`ArrayKind::runs_backward`].
#[must_use]
pub fn initializer_order(sections: &[InitSection]) -> Vec<usize> {
    order_of(sections, false)
}

/// The order in which the arrays of finalizers run, as positions in `sections`; initializers are left out. It is the exact reverse
/// of what [`initializer_order`] would do with arrays of the same numbers.
#[must_use]
pub fn finalizer_order(sections: &[InitSection]) -> Vec<usize> {
    let mut order = order_of(sections, true);
    order.reverse();
    order
}

fn order_of(sections: &[InitSection], is_final: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sections.len()).filter(|&at| sections[at].kind.is_final() == is_final).collect();
    // Stable: sections that somebody gave the same place stay as given.
    order.sort_by_key(|&at| sections[at].key());
    order
}
