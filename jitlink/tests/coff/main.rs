//! COFF objects of Windows: which sections and names count, what is written, what is refused.

mod comdat;
mod relocations;
mod support;
