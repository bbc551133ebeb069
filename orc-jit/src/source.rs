//! What a dylib is made of: items in the order in which they were added, and where their bytes come from.

use jitlink::file::FileMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the bytes of an object or archive come from. They are read anew whenever the dylib is linked anew.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Memory { name: String, bytes: Arc<[u8]> },
}

/// The bytes of a [`Source`], for as long as a link needs them.
#[derive(Debug)]
pub(crate) enum Bytes {
    File(FileMap),
    Memory(Arc<[u8]>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Source {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    pub(crate) fn read(&self) -> std::io::Result<Bytes> {
        match self {
            Self::File(path) => FileMap::open(path).map(Bytes::File).map_err(|error| error.source),
            Self::Memory { bytes, .. } => Ok(Bytes::Memory(bytes.clone())),
        }
    }
}

/// One thing that a dylib is made of.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Linked as a whole.
    Object(Source),
    /// The same; where it clashes with others, they stand ([`jitlink::graph::Role::Tested`]).
    Tested(Source),
    /// Linked as a whole when it defines something that is missing, as a member of an archive is.
    AtNeed(Source),
    /// Asked for what is missing; with `whole`, linked as a whole. `last` ones are asked only after the process itself. Nobody outside of the dylib sees what is
    /// defined in `hidden` ones.
    Archive { source: Source, whole: bool, last: bool, hidden: bool },
    /// A shared library that the executor has open.
    Library(orc_rt::native::NativeLibrary),
    /// A name for an address.
    Absolute { name: String, address: u64 },
    /// Another name for what `of` names.
    Alias { name: String, of: String },
}

impl Item {
    /// Where its bytes come from, if it has some.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Object(source) | Self::Tested(source) | Self::AtNeed(source) | Self::Archive { source, .. } => {
                Some(source)
            }
            Self::Library(_) | Self::Absolute { .. } | Self::Alias { .. } => None,
        }
    }

    /// Its file, in words.
    pub(crate) fn file(&self) -> Option<String> {
        self.source().map(Source::name)
    }

    /// Whether the item is linked without being asked for.
    pub(crate) fn is_root(&self) -> bool {
        !matches!(self, Self::Archive { whole: false, .. } | Self::AtNeed(_) | Self::Library(_))
    }
}
