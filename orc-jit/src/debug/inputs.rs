//! The objects of an image, opened again: nobody keeps them open after a link.

use crate::source::{Bytes, Item, Source};
use jitlink::object::archive::{Archive, Content, MemberId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

/// Which item of a unit an object is, or is a member of.
type Which = (usize, Option<MemberId>);

/// Open files of a unit.
#[derive(Debug)]
pub(super) struct Files {
    items: HashMap<usize, (PathBuf, Bytes)>,
}

/// The bytes of an object.
#[derive(Debug)]
pub(super) enum ObjectBytes<'a> {
    Inside(&'a [u8]),
    /// A file that a thin archive names, and the part of it that is the object.
    Thin(Bytes),
}

impl std::ops::Deref for ObjectBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inside(bytes) => bytes,
            Self::Thin(bytes) => bytes,
        }
    }
}

impl Files {
    /// Opens the items that objects are of, each once. What has become unreadable since is not among them.
    pub(super) fn open(items: &[Item], objects: &[Which]) -> Self {
        let mut open = HashMap::new();
        for (index, _) in objects {
            if let Some(item) = items.get(*index)
                && let Some(source) = item.source()
                && !open.contains_key(index)
                && let Ok(bytes) = source.read()
            {
                open.insert(*index, (PathBuf::from(source.name()), bytes));
            }
        }
        Self { items: open }
    }

    /// The objects, in the order in which they are named.
    pub(super) fn objects(&self, objects: &[Which]) -> Vec<Option<ObjectBytes<'_>>> {
        let mut archives: HashMap<usize, Archive<'_>> = HashMap::new();
        let mut open = |&(item, member): &Which| {
            let (path, bytes) = self.items.get(&item)?;
            let Some(member) = member else { return Some(ObjectBytes::Inside(bytes)) };
            let archive = match archives.entry(item) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Archive::parse(bytes).ok()?),
            };
            let member = archive.member(member).ok()?;
            match member.content {
                Content::Bytes(object) => Some(ObjectBytes::Inside(object)),
                Content::Thin(file) => {
                    let folder = path.parent().unwrap_or(Path::new(""));
                    let file = Source::File(folder.join(String::from_utf8_lossy(file).as_ref())).read().ok()?;
                    let whole = member.in_file(&file).ok().is_some_and(|object| object.len() == file.len());
                    whole.then_some(ObjectBytes::Thin(file))
                }
            }
        };
        objects.iter().map(&mut open).collect()
    }
}
