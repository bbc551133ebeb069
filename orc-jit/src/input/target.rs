//! Where a system keeps its libraries, and how their headers name its machine.

/// One machine as the file system and linker scripts spell it.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The multiarch directory below `/usr/lib`.
    pub multiarch: &'static str,
    /// `e_machine` of its ELF files (gABI, "ELF Header").
    pub elf_machine: u16,
    /// The names that `OUTPUT_FORMAT` in a linker script may give.
    pub output_formats: &'static [&'static str],
}

impl Target {
    /// The machines that are known.
    pub const ALL: &'static [Target] = &[
        Target {
            multiarch: "x86_64-linux-gnu",
            elf_machine: object::elf::EM_X86_64.0,
            output_formats: &["elf64-x86-64", "elf_x86_64"],
        },
        Target {
            multiarch: "aarch64-linux-gnu",
            elf_machine: object::elf::EM_AARCH64.0,
            output_formats: &["elf64-littleaarch64", "aarch64elf"],
        },
    ];

    /// The machine that this process runs on; the first of [`Target::ALL`] where it is not known.
    #[must_use]
    pub fn host() -> &'static Target {
        let of_host = |t: &&Target| t.multiarch.starts_with(std::env::consts::ARCH);
        Self::ALL.iter().find(of_host).unwrap_or(&Self::ALL[0])
    }
}
