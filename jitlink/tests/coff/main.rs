//! COFF objects of Windows: which sections and names count, what is written, what is refused.

mod comdat;
mod directives;
mod frames;
mod imports;
mod libraries;
mod lld;
mod malformed;
mod names;
mod relocations;
mod sections;
mod support;
