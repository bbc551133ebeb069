//! Sections, and which of several COMDAT sections are loaded.

use super::{Fate, Groups, LE, PieceOf, Reader};
use crate::graph::{
    BlockId, Comdat, ComdatOutcome, Content, Definition, InitKind, Linkage, Prot, Scope, Section, SectionFlags,
    SectionKind, Selection, Symbol, SymbolId, SymbolKind,
};
use crate::object::{ObjectError, ObjectProblem};
use object::pe;
use object::read::coff::{CoffHeader, Symbol as _};
use object::{SectionIndex, SymbolIndex};
use std::collections::HashMap;

/// Zeros cost no bytes in a file; the format's sizes have 32 bits, so that this is a bound of what a file can ask for, not of what is sensible.
const MAX_ZEROS: u64 = u32::MAX as u64;

/// What a section header says, and its COMDAT definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'data> {
    pub(super) name: &'data [u8],
    pub(super) flags: u32,
    pub(super) size: u64,
    /// None where all is zero.
    pub(super) bytes: &'data [u8],
    pub(super) relocations: &'data [pe::ImageRelocation],
    /// `IMAGE_COMDAT_SELECT_*`, 0 for a section that is no COMDAT.
    selection: u8,
    /// The section that it is associated with.
    parent: usize,
    /// The symbol that names it.
    leader: Option<SymbolIndex>,
}

impl Shape<'_> {
    pub(super) fn has(&self, flag: pe::SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }

    /// It is a table of functions and of where their call frame information is (PE/COFF, "The .pdata Section").
    pub(super) fn describes_functions(&self) -> bool {
        self.name == b".pdata" || self.name.starts_with(b".pdata$")
    }

    /// For the linker, or for debuggers.
    fn is_ignored(&self) -> bool {
        self.has(pe::IMAGE_SCN_LNK_REMOVE)
            || self.has(pe::IMAGE_SCN_LNK_INFO)
            || (self.has(pe::IMAGE_SCN_MEM_DISCARDABLE) && self.name.starts_with(b".debug"))
    }
}

impl<'data, Coff: CoffHeader> Reader<'_, 'data, Coff> {
    /// Looks at every section header and at the symbols that define sections.
    pub(super) fn read_shapes(&mut self) -> Result<(), ObjectError> {
        const NONE: Shape<'_> =
            Shape { name: b"", flags: 0, size: 0, bytes: &[], relocations: &[], selection: 0, parent: 0, leader: None };
        self.shapes.push(NONE);
        let sections = self.sections;
        for (index, header) in sections.enumerate() {
            let name = header.name(self.symbols.strings());
            self.shapes.push(Shape { flags: header.characteristics.get(LE).0, ..NONE });
            let name = name.map_err(|error| self.malformed(index.0, None, error.to_string()))?;
            self.shapes[index.0].name = name;
            self.shapes[index.0].size = header.size_of_raw_data.get(LE).into();
            self.is_import |= name.starts_with(b".idata$");
        }
        self.read_definitions()
    }

    /// Section definitions (auxiliary format 5), and the first symbol after each of them that stands in the section.
    fn read_definitions(&mut self) -> Result<(), ObjectError> {
        for (index, symbol) in self.symbols.iter() {
            let Some(section) = symbol.section().map(|section| section.0).filter(|at| *at > 0) else { continue };
            let Some(shape) = self.shapes.get(section).copied() else { continue };
            if !shape.has(pe::IMAGE_SCN_LNK_COMDAT) {
                continue;
            }
            if shape.selection == 0 && symbol.has_aux_section() {
                let aux = self.symbols.aux_section(index);
                let aux = aux.map_err(|error| self.malformed(section, None, error.to_string()))?;
                let mut parent = usize::from(aux.number.get(LE));
                if Coff::is_type_bigobj() {
                    parent |= usize::from(aux.high_number.get(LE)) << 16;
                }
                let shape = &mut self.shapes[section];
                (shape.selection, shape.parent) = (aux.selection.0, parent);
            } else if shape.selection != 0 && shape.leader.is_none() {
                self.shapes[section].leader = Some(index);
            }
        }
        Ok(())
    }

    /// Settles which COMDAT sections of this object are loaded.
    pub(super) fn choose_comdats(&mut self) -> Result<Groups, ObjectError> {
        let mut groups: Groups = vec![None; self.shapes.len()];
        let mut by_name: Option<HashMap<&'data [u8], usize>> = None;
        for (section, group) in groups.iter_mut().enumerate().skip(1) {
            let shape = self.shapes[section];
            if shape.is_ignored() || !shape.has(pe::IMAGE_SCN_LNK_COMDAT) {
                continue;
            }
            // The GNU assembler knows no associative sections: what describes a function has its name in its own.
            let of =
                [&b".pdata$"[..], b".xdata$", b".eh_frame$"].iter().find_map(|prefix| shape.name.strip_prefix(*prefix));
            let selection = match pe::ComdatSelection(shape.selection) {
                // To which nothing refers has no symbol there.
                pe::ComdatSelection(0) if of.is_some() => Selection::Any,
                pe::IMAGE_COMDAT_SELECT_NODUPLICATES => Selection::NoDuplicates,
                pe::IMAGE_COMDAT_SELECT_ANY => Selection::Any,
                pe::IMAGE_COMDAT_SELECT_SAME_SIZE => Selection::SameSize,
                pe::IMAGE_COMDAT_SELECT_EXACT_MATCH => Selection::ExactMatch,
                pe::IMAGE_COMDAT_SELECT_LARGEST => Selection::Largest,
                pe::IMAGE_COMDAT_SELECT_NEWEST => Selection::Newest,
                pe::IMAGE_COMDAT_SELECT_ASSOCIATIVE => {
                    if shape.parent == 0 || shape.parent >= self.shapes.len() {
                        let what = format!("is associated with section number {}, which does not exist", shape.parent);
                        return Err(self.malformed(section, None, what));
                    }
                    continue;
                }
                pe::ComdatSelection(0) => {
                    return Err(self.malformed(section, None, "a COMDAT section without a section definition"));
                }
                other => return Err(self.malformed(section, None, format!("COMDAT selection {}", other.0))),
            };
            if let Some(leader) = shape.leader
                && self
                    .symbols
                    .symbol(leader)
                    .is_ok_and(|symbol| symbol.storage_class() == pe::IMAGE_SYM_CLASS_EXTERNAL)
            {
                *group = self.offer_comdat(section, leader, selection)?;
                continue;
            }
            if let (None, Some(function)) = (shape.leader, of) {
                let by_name = by_name.get_or_insert_with(|| self.leaders());
                if let Some(parent) = by_name.get(function) {
                    let shape = &mut self.shapes[section];
                    (shape.selection, shape.parent) = (pe::IMAGE_COMDAT_SELECT_ASSOCIATIVE.0, *parent);
                }
            }
        }
        self.drop_associated();
        Ok(groups)
    }

    /// COMDAT sections by the names of their symbols.
    fn leaders(&self) -> HashMap<&'data [u8], usize> {
        let leaders = self.shapes.iter().enumerate();
        leaders.filter_map(|(section, shape)| Some((self.symbol_name(shape.leader?).ok()?, section))).collect()
    }

    fn offer_comdat(
        &mut self,
        section: usize,
        leader: SymbolIndex,
        selection: Selection,
    ) -> Result<Option<crate::graph::GroupId>, ObjectError> {
        let signature = self.symbol_name(leader)?;
        // One that is defined otherwise already is defined twice.
        if let Some(id) = self.graph.find(signature)
            && let symbol = self.graph.symbol(id)
            && symbol.is_defined()
            && symbol.linkage == Linkage::Strong
        {
            let (first, second) = (symbol.object, self.object);
            return Err(self.duplicate(crate::graph::Redefinition { symbol: id, first, second }));
        }
        let content = self.content(section)?;
        let Some(header) = self.header(section) else { return Ok(None) };
        let offered = Comdat {
            signature,
            object: self.object,
            selection,
            size: self.shapes[section].size,
            content,
            relocations: header.number_of_relocations.get(LE).into(),
            time: self.time,
        };
        match self.graph.offer_comdat(offered) {
            Ok(ComdatOutcome::Kept(group)) => Ok(Some(group)),
            Ok(ComdatOutcome::Dropped) => {
                self.fates[section] = Fate::Dropped;
                Ok(None)
            }
            Err(clash) => Err(self.fail_at(
                section,
                None,
                ObjectProblem::Comdat {
                    symbol: String::from_utf8_lossy(signature).into_owned(),
                    first: self.graph.object(clash.first).name.as_str().into(),
                    why: clash.why.into(),
                },
            )),
        }
    }

    /// What is associated with a dropped section is dropped with it, and what is associated with that, too.
    fn drop_associated(&mut self) {
        let is_associated = |shape: &Shape<'_>| shape.selection == pe::IMAGE_COMDAT_SELECT_ASSOCIATIVE.0;
        let mut dropped: Vec<usize> = (0..self.fates.len()).filter(|at| self.fates[*at] == Fate::Dropped).collect();
        if dropped.is_empty() {
            return;
        }
        let children = self.shapes.iter().enumerate().filter(|(_, shape)| is_associated(shape));
        let mut children: Vec<_> = children.map(|(section, shape)| (shape.parent, section)).collect();
        children.sort_unstable();
        while let Some(parent) = dropped.pop() {
            let start = children.partition_point(|(of, _)| *of < parent);
            for (_, child) in children[start..].iter().take_while(|(of, _)| *of == parent) {
                if self.fates[*child] != Fate::Dropped {
                    self.fates[*child] = Fate::Dropped;
                    dropped.push(*child);
                }
            }
        }
    }

    /// Turns loaded sections into blocks.
    pub(super) fn read_sections(&mut self, groups: &Groups) -> Result<(), ObjectError> {
        for (section, group) in groups.iter().enumerate().skip(1) {
            let shape = self.shapes[section];
            let imported = self.is_import && (shape.name.starts_with(b".idata$") || shape.name == b".text");
            if self.fates[section] != Fate::Dropped && !shape.is_ignored() && !imported {
                self.read_section(section, *group)?;
            }
        }
        self.associate();
        Ok(())
    }

    /// The bytes of a section, none where all are zero.
    pub(super) fn content(&self, section: usize) -> Result<&'data [u8], ObjectError> {
        let Some(header) = self.header(section) else { return Ok(&[]) };
        header.coff_data(self.data).map_err(|()| {
            let start = u64::from(header.pointer_to_raw_data.get(LE));
            let end = start + u64::from(header.size_of_raw_data.get(LE));
            let what = format!("its bytes {start:#x}..{end:#x} lie outside the file, which has {:#x}", self.data.len());
            self.malformed(section, None, what)
        })
    }

    fn read_section(&mut self, section: usize, group: Option<crate::graph::GroupId>) -> Result<(), ObjectError> {
        let bytes = self.content(section)?;
        let Some(header) = self.header(section) else { return Ok(()) };
        let relocations =
            header.coff_relocations(self.data).map_err(|error| self.malformed(section, None, error.to_string()))?;
        self.claim(section, bytes.len() as u64 + size_of_val(relocations) as u64)?;
        let shape = &mut self.shapes[section];
        (shape.bytes, shape.relocations) = (bytes, relocations);
        let shape = *shape;
        let zero = shape.has(pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA);
        if zero && !relocations.is_empty() {
            return Err(self.malformed(section, None, "relocations in a section without content"));
        }
        if zero && shape.size > MAX_ZEROS {
            return Err(self.malformed(section, None, "more zeros than the format can say"));
        }
        let rights = self.directives.rights_of(shape.name).unwrap_or(shape.flags);
        let (write, exec) = (rights & pe::IMAGE_SCN_MEM_WRITE.0 != 0, rights & pe::IMAGE_SCN_MEM_EXECUTE.0 != 0);
        if write && exec {
            return Err(self.fail_at(section, None, ObjectProblem::WritableAndExecutable));
        }
        let prot = match (write, exec) {
            (true, _) => Prot::READ | Prot::WRITE,
            (_, true) => Prot::READ | Prot::EXEC,
            _ => Prot::READ,
        };
        let kind = kind_of(shape.name);
        let name = self.directives.merged(shape.name);
        let id = self.graph.add_section(Section {
            name,
            object: self.object,
            // Arrays of initializers are written by relocation only, as are those of other formats.
            prot: if matches!(kind, SectionKind::Initializers(_)) { Prot::READ } else { prot },
            flags: SectionFlags::GROUPED,
            kind,
            entry_size: 0,
            group,
            linked_to: None,
            number: section as u32,
        });
        self.fates[section] = Fate::Loaded(self.pieces.len());
        let align = header.coff_alignment();
        let mut starts = vec![0];
        if shape.describes_functions() && shape.selection != pe::IMAGE_COMDAT_SELECT_ASSOCIATIVE.0 {
            starts = self.runs_of_functions(&shape);
        }
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(shape.size);
            let content = match zero {
                true => Content::Zero,
                false => Content::Bytes(&bytes[*start as usize..end as usize]),
            };
            let align = if *start == 0 { align } else { align.min(4) };
            let block = self.graph.add_block(id, content, end - start, align);
            if let Some(group) = group {
                self.graph.add_to_group(group, block);
            }
            let symbol = self.anonymous(Definition::Block(block), 0);
            self.pieces.push(PieceOf { section, start: *start, block, symbol });
        }
        Ok(())
    }

    /// A symbol without a name that only this object sees.
    pub(super) fn anonymous(&mut self, definition: Definition, value: u64) -> SymbolId {
        self.graph.add_local(Symbol {
            name: b"",
            definition,
            value,
            size: 0,
            address: 0,
            object: self.object,
            linkage: Linkage::Strong,
            scope: Scope::Local,
            kind: SymbolKind::Section,
            needed: false,
            live: false,
        })
    }

    /// Where `.pdata` is to be cut so that each piece is about the functions of one section: entries live and die with these.
    fn runs_of_functions(&self, shape: &Shape<'data>) -> Vec<u64> {
        let mut starts = vec![0];
        let mut last = None;
        for entry in self.frame_entries(shape) {
            if last.is_some_and(|last| last != entry.function.0) && entry.offset + 12 <= shape.size {
                starts.push(entry.offset);
            }
            last = Some(entry.function.0);
        }
        starts
    }

    /// Blocks that share the fate of another one, now that every section has its own: associated sections, and call frame information of the
    /// functions that it describes.
    fn associate(&mut self) {
        for section in 1..self.shapes.len() {
            let shape = self.shapes[section];
            if shape.selection == pe::IMAGE_COMDAT_SELECT_ASSOCIATIVE.0 {
                if let (Some(own), Some(parent)) = (self.piece_at(section, 0), self.piece_at(shape.parent, 0)) {
                    self.share_fate(own, parent.block);
                }
            } else if shape.describes_functions() {
                for entry in self.frame_entries(&shape) {
                    let own = self.piece_at(section, entry.offset).filter(|own| own.start == entry.offset);
                    if let (Some(own), Some(function)) = (own, self.piece_at(entry.function.0, entry.function.1)) {
                        self.share_fate(own, function.block);
                    }
                }
            }
        }
    }

    /// A section of which several pieces have fates of their own is as many sections.
    fn share_fate(&mut self, piece: PieceOf, parent: BlockId) {
        let mut id = self.graph.block(piece.block).section;
        if self.graph.section(id).linked_to.is_some() {
            let section = Section { group: None, linked_to: None, ..self.graph.section(id).clone() };
            id = self.graph.add_section(section);
            self.graph.blocks[piece.block.index()].section = id;
        }
        let section = &mut self.graph.sections[id.index()];
        section.flags |= SectionFlags::LINK_ORDER;
        section.linked_to = Some(parent);
    }

    /// The section that stands behind a number in the symbol table.
    pub(super) fn section_number(&self, symbol: &Coff::Symbol) -> Option<usize> {
        symbol.section().map(|SectionIndex(section)| section)
    }
}

/// What a section is for, by its name: the C runtime's arrays of functions (`crtdefs.h`; the Microsoft C runtime, "CRT initialization") and those of
/// GNU tools. Functions of `.CRT$XI*` run before those of `.CRT$XC*`, `.CRT$XP*` before `.CRT$XT*`, each in the order of the names.
fn kind_of(name: &[u8]) -> SectionKind {
    let init = SectionKind::Initializers;
    let numbered = |prefix: &[u8]| -> Option<u16> {
        match name.strip_prefix(prefix)?.split_first() {
            None => Some(u16::MAX),
            Some((b'.', digits)) => Some(u16::MAX - str::from_utf8(digits).ok()?.parse::<u16>().ok()?),
            _ => None,
        }
    };
    match name {
        [b'.', b'C', b'R', b'T', b'$', b'X', b'I', ..] => init(InitKind::Init { priority: 0 }),
        [b'.', b'C', b'R', b'T', b'$', b'X', b'C', ..] => init(InitKind::Init { priority: u16::MAX }),
        [b'.', b'C', b'R', b'T', b'$', b'X', b'P', ..] => init(InitKind::Fini { priority: u16::MAX }),
        [b'.', b'C', b'R', b'T', b'$', b'X', b'T', ..] => init(InitKind::Fini { priority: 0 }),
        b".eh_frame" => SectionKind::EhFrame,
        _ if name.starts_with(b".eh_frame$") => SectionKind::EhFrame,
        _ => match (numbered(b".ctors"), numbered(b".dtors")) {
            (Some(priority), _) => init(InitKind::Ctors { priority }),
            (_, Some(priority)) => init(InitKind::Dtors { priority }),
            _ => SectionKind::Regular,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_known_by_their_names() {
        let init = SectionKind::Initializers;
        for (name, kind) in [
            (&b".CRT$XCU"[..], init(InitKind::Init { priority: 65535 })),
            (b".CRT$XIA", init(InitKind::Init { priority: 0 })),
            (b".CRT$XPX", init(InitKind::Fini { priority: 65535 })),
            (b".CRT$XTZ", init(InitKind::Fini { priority: 0 })),
            (b".CRT$XLB", SectionKind::Regular),
            (b".CRT", SectionKind::Regular),
            (b".ctors", init(InitKind::Ctors { priority: 65535 })),
            (b".ctors.65435", init(InitKind::Ctors { priority: 100 })),
            (b".dtors.00001", init(InitKind::Dtors { priority: 65534 })),
            (b".ctors.x", SectionKind::Regular),
            (b".text$mn", SectionKind::Regular),
        ] {
            assert_eq!(kind_of(name), kind, "{}", String::from_utf8_lossy(name));
        }
    }
}
