//! Links relocatable objects into memory.

pub mod arch;
pub mod fixup;
pub mod graph;
pub mod object;
pub mod pass;
pub mod reloc;
