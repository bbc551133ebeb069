//! What sections an object has by its own file: those that are not linked, too, and their full names.
//!
//! A graph has what is loaded, by the names that its passes need. Dumps and rules name sections as LLVM does: with their segment where the format has segments.

use super::picture::Section;
use jitlink::object::archive::{Archive, Content};
use object::{Object as _, ObjectSection as _};

/// `sections` of the object, with those of its file that are missing, in the file's order, and named as it names them. Where the file cannot be read any more, they stay as they are.
pub(super) fn complete(object: &str, sections: Vec<Section>) -> Vec<Section> {
    let Some(names) = names(object) else { return sections };
    let mut all: Vec<Section> =
        names.into_iter().map(|(number, name)| Section { name, number, blocks: Vec::new() }).collect();
    let mut others = Vec::new();
    for section in sections {
        match all.iter_mut().find(|known| section.number != 0 && known.number == section.number) {
            // What is read in pieces has several of one number.
            Some(known) => known.blocks.extend(section.blocks),
            None => others.push(section),
        }
    }
    all.iter_mut().for_each(|section| section.blocks.sort_by_key(|block| block.address));
    all.extend(others);
    all
}

/// Number and name of each section of a file, or of an archive's member.
fn names(object: &str) -> Option<Vec<(u32, String)>> {
    if let Ok(bytes) = std::fs::read(object) {
        return of(&bytes);
    }
    let (path, member) = object.strip_suffix(')')?.split_once('(')?;
    let bytes = std::fs::read(path).ok()?;
    let archive = Archive::parse(&bytes).ok()?;
    let found = archive.members().filter_map(Result::ok).find(|found| found.name == member.as_bytes())?;
    match found.content {
        Content::Bytes(bytes) => of(bytes),
        Content::Thin(_) => None,
    }
}

fn of(bytes: &[u8]) -> Option<Vec<(u32, String)>> {
    let file = object::File::parse(bytes).ok()?;
    let name = |section: object::Section<'_, '_>| {
        let number = u32::try_from(section.index().0).ok()?;
        let name = section.name().ok()?;
        let segment = section.segment_name().ok().flatten().filter(|_| file.format() == object::BinaryFormat::MachO);
        Some((number, segment.map_or_else(|| name.to_owned(), |segment| format!("{segment},{name}"))))
    };
    file.sections().map(name).collect()
}
