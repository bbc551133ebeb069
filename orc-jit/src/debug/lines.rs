//! The lines of an image's functions, from its debug sections.

use addr2line::Context;
use gimli::{DwarfSections, EndianSlice, LittleEndian, SectionId};
use jitlink::debug::DebugSection;
use orc_rt::debug::{Function, Line};
use std::collections::HashMap;
use std::convert::Infallible;

/// Gives each function its lines, and the source files that they speak of. What cannot be read has none.
pub(super) fn fill_in(functions: &mut [Function], debug: &[DebugSection]) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let load = |id: SectionId| {
        let section = debug.iter().find(|section| section.name == id.name());
        Ok::<_, Infallible>(section.map_or(&[][..], |section| &section.bytes))
    };
    let Ok(sections) = DwarfSections::load(load);
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, LittleEndian));
    let Ok(context) = Context::from_dwarf(dwarf) else { return paths };
    let mut numbers: HashMap<String, u32> = HashMap::new();
    for function in functions {
        let (start, end) = (function.address, function.address.saturating_add(function.size));
        let Ok(locations) = context.find_location_range(start, end) else { continue };
        for (address, _, location) in locations {
            let (Some(file), Some(line)) = (location.file, location.line) else { continue };
            let number = match numbers.get(file) {
                Some(number) => *number,
                None => {
                    let number = paths.len() as u32;
                    paths.push(file.to_owned());
                    numbers.insert(file.to_owned(), number);
                    number
                }
            };
            let column = location.column.unwrap_or(0);
            function.lines.push(Line { address: address.max(start), file: number, line, column });
        }
    }
    paths
}
