//! Universal files: one file with a part for each of several machines (`mach-o/fat.h`). The parts are objects or archives.

use super::ObjectProblem;
use super::detect::{self, FileKind};
use crate::arch::Machine;
use crate::reloc::mach_o;
use object::macho::{FatArch32, FatArch64};
use object::read::macho::{FatArch, MachOFatFile};

/// The part of `data` that is for `machine`: all of it, unless it is a universal file.
///
/// # Errors
/// The file has no part for the machine, or one that lies outside of it.
pub fn part<'data>(data: &'data [u8], machine: &Machine) -> Result<&'data [u8], ObjectProblem> {
    if FileKind::detect(data) != FileKind::MachOUniversal {
        return Ok(data);
    }
    let wanted = mach_o::table(machine).map(|table| table.cpu_type);
    let parts = parts(data)?;
    let found = parts.iter().find(|part| Some(part.cpu_type) == wanted);
    found.map(|part| part.data).ok_or_else(|| ObjectProblem::WrongMachine {
        found: parts.iter().map(|part| detect::cpu_name(part.cpu_type)).collect::<Vec<_>>().join(" and "),
        wanted: machine.name.to_owned(),
    })
}

/// The machines that a universal file has a part for and that are linked for, in the order of the parts; none for other files.
pub fn machines(data: &[u8]) -> impl Iterator<Item = &'static Machine> {
    let parts = if FileKind::detect(data) == FileKind::MachOUniversal { parts(data) } else { Ok(Vec::new()) };
    parts.unwrap_or_default().into_iter().filter_map(|part| mach_o::machine_of(part.cpu_type))
}

/// One part.
struct Part<'data> {
    cpu_type: u32,
    data: &'data [u8],
}

fn parts(data: &[u8]) -> Result<Vec<Part<'_>>, ObjectProblem> {
    if data.get(3) == Some(&0xbf) { read::<FatArch64>(data) } else { read::<FatArch32>(data) }
}

fn read<Arch: FatArch>(data: &[u8]) -> Result<Vec<Part<'_>>, ObjectProblem> {
    let malformed = |error: object::read::Error| ObjectProblem::Malformed(error.to_string());
    let file = MachOFatFile::<Arch>::parse(data).map_err(malformed)?;
    let part = |arch: &Arch| {
        let data = arch.data(data).map_err(malformed)?;
        Ok(Part { cpu_type: arch.cputype().0, data })
    };
    file.arches().iter().map(part).collect()
}
