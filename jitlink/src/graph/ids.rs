//! Names of things in a graph: small non-zero integers, one type for each kind of thing.
//!
//! An id prints as a person would name it (`block-3`), is four bytes also inside an `Option`, and indexes the flat array of its kind.

use std::fmt;
use std::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $word:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The id of the thing at `index` of its array.
            ///
            /// # Panics
            /// When `index` is `u32::MAX` or more: graphs refuse to grow that far before they make an id.
            #[inline]
            #[must_use]
            pub fn from_index(index: usize) -> Self {
                match u32::try_from(index + 1).ok().and_then(NonZeroU32::new) {
                    Some(id) => Self(id),
                    None => panic!("more than u32::MAX {}s", $word),
                }
            }

            /// The position of the thing in its array.
            #[inline]
            #[must_use]
            pub fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, "-{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// One relocatable object (a file, or a member of an archive).
    ObjectId,
    "object"
);
id!(
    /// One section of one object.
    SectionId,
    "section"
);
id!(
    /// One block: bytes that stay together.
    BlockId,
    "block"
);
id!(
    /// One symbol. A global name has one id in the whole graph.
    SymbolId,
    "symbol"
);
id!(
    /// One section group of one object: its members are kept or dropped together.
    GroupId,
    "group"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_small_and_print_their_kind() {
        assert_eq!(size_of::<Option<BlockId>>(), 4);
        assert_eq!(BlockId::from_index(2).to_string(), "block-3");
        assert_eq!(format!("{:?}", SymbolId::from_index(0)), "symbol-1");
        assert_eq!(SectionId::from_index(7).index(), 7);
    }
}
