//! What rules can ask of linked images.

use super::check::{Instruction, World};
use super::decode;
use super::picture::{Object, Picture};

/// All images of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'p>(pub(super) &'p [Picture]);

/// More bytes than any instruction has.
const LONGEST: u64 = 16;

impl<'p> Images<'p> {
    fn find<T>(&self, symbol: &str, find: impl FnMut(&'p Picture) -> Option<T>) -> Result<T, String> {
        self.0.iter().find_map(find).ok_or_else(|| format!("there is no symbol {symbol}"))
    }

    /// The image and the object of a file.
    fn file(&self, name: &str) -> Result<(&'p Picture, &'p Object), String> {
        let objects = self.0.iter().flat_map(|picture| picture.objects.iter().map(move |object| (picture, object)));
        let mut found = objects.filter(|(_, object)| object.file_name() == name || object.name == name);
        let first = found.next().ok_or_else(|| format!("no file {name} is linked"))?;
        match found.find(|(_, object)| object.name != first.1.name) {
            None => Ok(first),
            Some((_, other)) => Err(format!("{name} may be {} or {}", first.1.name, other.name)),
        }
    }

    /// The bytes at an address, up to so many; zeros are made.
    fn bytes(&self, address: u64, count: u64) -> Option<Vec<u8>> {
        let segments = self.0.iter().flat_map(|picture| &picture.segments);
        segments.into_iter().find_map(|segment| {
            let offset = address.wrapping_sub(segment.address);
            if offset >= segment.size {
                return None;
            }
            let count = count.min(segment.size - offset);
            let byte = |at: u64| usize::try_from(at).ok().and_then(|at| segment.bytes.get(at)).copied().unwrap_or(0);
            Some((offset..offset + count).map(byte).collect())
        })
    }
}

impl World for Images<'_> {
    fn symbol(&self, name: &str) -> Result<u64, String> {
        self.find(name, |picture| picture.symbols.get(name)).map(|named| named.address)
    }

    fn read(&self, address: u64, bytes: u8) -> Result<u64, String> {
        let found = self.bytes(address, bytes.into()).filter(|found| found.len() == usize::from(bytes));
        let found = found.ok_or_else(|| format!("nothing is linked at {address:#x}"))?;
        // Every machine that is linked for has the least significant byte first.
        Ok(found.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn section(&self, file: &str, section: &str) -> Result<u64, String> {
        let (_, object) = self.file(file)?;
        let sections = object.sections.iter().filter(|known| known.name == section);
        let blocks = sections.flat_map(|section| &section.blocks);
        // Where its first symbol is, or else its first byte.
        let first =
            blocks.flat_map(|block| block.symbols.iter().map(|symbol| symbol.address).min().or(Some(block.address)));
        first.min().ok_or_else(|| format!("{file} has no section {section} in what is linked"))
    }

    fn slot(&self, file: &str, symbol: &str) -> Result<u64, String> {
        let (picture, _) = self.file(file)?;
        let slot = picture.slots.get(symbol).copied().or_else(|| Some(picture.stubs.get(symbol)?.slot));
        slot.ok_or_else(|| format!("{file} has no GOT entry for {symbol}"))
    }

    fn stub(&self, file: &str, symbol: &str, kind: Option<&str>) -> Result<u64, String> {
        let (picture, _) = self.file(file)?;
        if let Some(kind) = kind {
            return Err(format!("stubs of {} have no kinds, and none is {kind}", picture.machine.name));
        }
        let stub = picture.stubs.get(symbol).ok_or_else(|| format!("{file} has no stub for {symbol}"))?;
        Ok(stub.address)
    }

    fn instruction(&self, symbol: &str, offset: u64) -> Result<Instruction, String> {
        let (picture, named) = self.find(symbol, |picture| Some((picture, picture.symbols.get(symbol)?)))?;
        let address = named.address.wrapping_add(offset);
        let bytes = self.bytes(address, LONGEST).ok_or_else(|| format!("nothing is linked at {address:#x}"))?;
        decode::decode(picture.machine, &bytes).map_err(|why| format!("{symbol}: {why}"))
    }
}
