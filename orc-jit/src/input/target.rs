//! Where a system keeps its libraries, and how their headers name its machine.

use jitlink::arch::Machine;
use object::elf;

/// One machine as the file system and linker scripts spell it.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name ([`Machine::name`]).
    pub machine: &'static str,
    /// The multiarch directory below `/usr/lib`.
    pub multiarch: &'static str,
    /// `e_machine` of its ELF files (gABI, "ELF Header").
    pub elf_machine: u16,
    /// The names that `OUTPUT_FORMAT` in a linker script may give.
    pub output_formats: &'static [&'static str],
    /// Code calls functions that are in the compiler's `libgcc.a` alone, hidden there: atomics that choose their instructions when they run, prologues that are shared.
    pub calls_libgcc: bool,
}

impl Target {
    /// The machines that are known.
    pub const ALL: &'static [Target] = &[
        Target {
            machine: "x86_64",
            multiarch: "x86_64-linux-gnu",
            elf_machine: elf::EM_X86_64.0,
            output_formats: &["elf64-x86-64", "elf_x86_64"],
            calls_libgcc: false,
        },
        Target {
            machine: "aarch64",
            multiarch: "aarch64-linux-gnu",
            elf_machine: elf::EM_AARCH64.0,
            output_formats: &["elf64-littleaarch64", "aarch64elf"],
            calls_libgcc: true,
        },
        Target {
            machine: "riscv64",
            multiarch: "riscv64-linux-gnu",
            elf_machine: elf::EM_RISCV.0,
            output_formats: &["elf64-littleriscv", "elf64lriscv"],
            calls_libgcc: true,
        },
    ];

    /// The machine that this process runs on; the first of [`Target::ALL`] where it is not known.
    #[must_use]
    pub fn host() -> &'static Target {
        Self::named(std::env::consts::ARCH).unwrap_or(&Self::ALL[0])
    }

    /// The system of an executor with this processor; this one's where it is not known.
    #[must_use]
    pub fn of(machine: &Machine) -> &'static Target {
        Self::named(machine.name).unwrap_or_else(Self::host)
    }

    fn named(name: &str) -> Option<&'static Target> {
        Self::ALL.iter().find(|target| target.machine == name)
    }
}
