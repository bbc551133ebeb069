//! The floor of a workload: what must be done whoever links it. Which bytes live and which relocations stand in them is what `orc run --map`
//! and the objects say; nothing is invented.
//!
//! A floor is kept as one file, which the program `floor` reads before its clock starts:
//!
//! ```text
//! u64 count of: code bytes, read-only bytes, written bytes, zeros, bytes of names, relocations
//! code, read-only and written bytes, one after the other
//! names: u32 length, bytes; every global symbol of every live object, as often as it stands in one
//! relocations: u32 place in these bytes, u32 number of the name (or all ones: of the object itself)
//! ```

use super::Result;
use super::shop::{Shop, output};
use super::workloads::Workload;
use object::elf::{FileHeader64, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SectionFlags};
use object::read::archive::ArchiveFile;
use object::read::elf::{ElfFile, FileHeader, SectionHeader, Sym};
use object::{LittleEndian, Object, ObjectSection};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when the file does.
const VERSION: u32 = 1;
/// A relocation against what the object has itself.
pub(crate) const OWN: u32 = u32::MAX;

/// Everything that lives: code, read-only, written; zeros; names; relocations by segment, place and name.
#[derive(Default)]
struct Live {
    segments: [Vec<u8>; 3],
    zeros: u64,
    names: Vec<u8>,
    count: u32,
    relocations: Vec<(usize, u32, u32)>,
}

/// The file of a workload's floor, made unless it is there already.
pub(crate) fn make(shop: &Shop, workload: &Workload, orc: &Path) -> Result<PathBuf> {
    let mut recipe = format!("floor {VERSION}");
    for input in inputs(workload) {
        let size = std::fs::metadata(input).map_err(|e| format!("{}: {e}", input.display()))?.len();
        recipe.push_str(&format!("\n{} {size}", input.display()));
    }
    let folder = shop.cached(&format!("floor-{}", workload.name), &recipe, |folder| {
        let map = folder.join("map");
        let mut run = Command::new(orc);
        run.arg("run").arg("--map").arg(&map).args(inputs(workload));
        run.args(workload.libraries.iter().map(|library| format!("-l{}", library.link)));
        output(run.args(["--entry", "main", "--"]).args(&workload.args).current_dir(folder))?;
        let live = live(&std::fs::read_to_string(&map).map_err(|e| format!("{}: {e}", map.display()))?)?;
        let kept = folder.join("floor");
        std::fs::write(&kept, live.to_bytes()).map_err(|e| format!("{}: {e}", kept.display()))
    })?;
    Ok(folder.join("floor"))
}

fn inputs(workload: &Workload) -> impl Iterator<Item = &PathBuf> {
    workload.objects.iter().chain(&workload.archives)
}

/// Reads what the map names: lines of `ADDRESS SIZE DYLIB OBJECT:(SECTION)`, an object being a file or `ARCHIVE(MEMBER)`.
fn live(map: &str) -> Result<Live> {
    let mut sections: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for line in map.lines() {
        let Some((object, section)) = line.strip_suffix(')').and_then(|line| line.rsplit_once(":(")) else { continue };
        let Some((_, object)) = object.split_once(" main ") else { continue };
        sections.entry(object).or_default().insert(section);
    }
    let mut live = Live::default();
    let mut open: Option<(&str, Vec<u8>)> = None;
    for (object, sections) in sections.iter().filter(|(object, _)| !object.starts_with('<')) {
        let (file, member) = match object.strip_suffix(')').and_then(|name| name.split_once('(')) {
            Some((file, member)) => (file, Some(member)),
            None => (*object, None),
        };
        if open.as_ref().is_none_or(|(path, _)| *path != file) {
            open = Some((file, std::fs::read(file).map_err(|e| format!("{file}: {e}"))?));
        }
        let Some((_, bytes)) = &open else { continue };
        let data = match member {
            None => &bytes[..],
            Some(member) => find(bytes, member).map_err(|e| format!("{file}({member}): {e}"))?,
        };
        live.add(data, sections).map_err(|e| format!("{object}: {e}"))?;
    }
    if live.segments[0].is_empty() { Err("the map names no code".to_owned()) } else { Ok(live) }
}

fn find<'a>(archive: &'a [u8], wanted: &str) -> std::result::Result<&'a [u8], object::Error> {
    for member in ArchiveFile::parse(archive)?.members() {
        let member = member?;
        if member.name() == wanted.as_bytes() {
            return member.data(archive);
        }
    }
    Ok(&[])
}

impl Live {
    fn add(&mut self, data: &[u8], sections: &HashSet<&str>) -> std::result::Result<(), object::Error> {
        if data.is_empty() {
            return Ok(());
        }
        let file = ElfFile::<FileHeader64<LittleEndian>>::parse(data)?;
        let endian = file.elf_header().endian()?;
        let symbols = file.elf_symbol_table();
        let mut of_symbol = vec![OWN; symbols.len()];
        for (index, symbol) in symbols.enumerate().filter(|(_, symbol)| !symbol.is_local()) {
            let name = symbols.symbol_name(endian, symbol)?;
            self.names.extend((name.len() as u32).to_le_bytes());
            self.names.extend(name);
            of_symbol[index.0] = self.count;
            self.count += 1;
        }
        for section in file.sections().filter(|section| section.name().is_ok_and(|name| sections.contains(name))) {
            let header = section.elf_section_header();
            let has = |flag: SectionFlags| header.sh_flags(endian).0 & flag.0 != 0;
            if !has(SHF_ALLOC) {
                continue;
            }
            if header.sh_type(endian) == SHT_NOBITS {
                self.zeros += section.size();
                continue;
            }
            let segment = if has(SHF_EXECINSTR) { 0 } else { 1 + usize::from(has(SHF_WRITE)) };
            let bytes = &mut self.segments[segment];
            let start = bytes.len().next_multiple_of(section.align().max(1) as usize);
            bytes.resize(start, 0);
            bytes.extend(section.data()?);
            for (offset, relocation) in section.relocations() {
                let object::RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
                self.relocations.push((segment, start as u32 + offset as u32, of_symbol[symbol.0]));
            }
        }
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sizes = self.segments.each_ref().map(|segment| segment.len() as u64);
        let counts = [self.zeros, self.names.len() as u64, self.relocations.len() as u64];
        bytes.extend(sizes.iter().chain(&counts).flat_map(|count| count.to_le_bytes()));
        self.segments.iter().for_each(|segment| bytes.extend(segment));
        bytes.extend(&self.names);
        let starts = [0, sizes[0], sizes[0] + sizes[1]];
        for (segment, place, name) in &self.relocations {
            bytes.extend((starts[*segment] as u32 + place).to_le_bytes());
            bytes.extend(name.to_le_bytes());
        }
        bytes
    }
}
