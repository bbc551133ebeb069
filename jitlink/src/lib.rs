//! Links relocatable objects into memory.
//!
//! **You give** relocatable objects (bytes of `.o` files), somewhere to put the result ([`Memory`]) and the addresses of what lies
//! outside. **You get** the same objects as running code would see them: placed, relocated, with unwind information, lists of
//! initializers and exported addresses. **It is not for** writing executables or shared libraries, deciding what initializes
//! first, or running anything: those who do that build on it.
//!
//! Two objects into a `Vec<u8>`:
//!
//! ```
//! # use object::write::{Object, Relocation, Symbol, SymbolSection, StandardSection};
//! # use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope, RelocationFlags};
//! # fn symbol(name: &[u8], section: SymbolSection) -> Symbol {
//! #     Symbol { name: name.into(), value: 0, size: 0, kind: SymbolKind::Text, scope: SymbolScope::Dynamic, weak: false, section, flags: SymbolFlags::None }
//! # }
//! # fn caller() -> Vec<u8> {
//! #     let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
//! #     let text = object.section_id(StandardSection::Text);
//! #     object.append_section_data(text, &[0xe8, 0, 0, 0, 0, 0xc3], 16); // call callee; ret
//! #     object.add_symbol(symbol(b"caller", SymbolSection::Section(text)));
//! #     let callee = object.add_symbol(symbol(b"callee", SymbolSection::Undefined));
//! #     let flags = RelocationFlags::Elf { r_type: object::elf::R_X86_64_PLT32 };
//! #     object.add_relocation(text, Relocation { offset: 1, symbol: callee, addend: -4, flags }).unwrap();
//! #     object.write().unwrap()
//! # }
//! # fn callee() -> Vec<u8> {
//! #     let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
//! #     let text = object.section_id(StandardSection::Text);
//! #     object.append_section_data(text, &[0xb8, 7, 0, 0, 0, 0xc3], 16); // mov $7, %eax; ret
//! #     object.add_symbol(symbol(b"callee", SymbolSection::Section(text)));
//! #     object.write().unwrap()
//! # }
//! use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Roots, arch};
//!
//! let (caller, callee) = (caller(), callee()); // two object files: `call callee; ret` and `mov $7, %eax; ret`
//! let mut graph = LinkGraph::new(&arch::x86_64::MACHINE);
//! jitlink::object::read(&mut graph, "caller.o", &caller, Default::default())?;
//! jitlink::object::read(&mut graph, "callee.o", &callee, Default::default())?;
//!
//! let linked = Link::new(graph, LinkOptions::default())
//!     .prune(&Roots { required: &[b"caller"], ..Roots::default() })?
//!     .place(&FlatMemory::new(0x10_0000))?
//!     .resolve(|external| panic!("nothing is external, but {external:?} was asked for"))?
//!     .finalize()?;
//!
//! let exports: Vec<_> = linked.exports().map(|export| (export.name, export.address)).collect();
//! assert_eq!(exports, [(&b"caller"[..], 0x10_0000), (&b"callee"[..], 0x10_0010)]);
//! let image: &[u8] = linked.allocation.at(0x10_0000, 6).unwrap();
//! assert_eq!(image, [0xe8, 0x0b, 0, 0, 0, 0xc3]); // 0x10_0000 + 5 + 0xb = callee
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rooms: [`graph`] is the data; [`mod@object`] reads formats; [`arch`] and [`reloc`] are tables of machines; [`pass`] is what
//! pruning consists of; [`link`] is the line of steps; [`memory`] is where bytes go; [`moving`] is for those who store what was
//! linked; [`lazy`] links parts of a graph when they are needed; [`workers`] is how several threads take part;
//! [`debug`] is for those who tell debuggers what was linked.

#![deny(unsafe_code)] // one exception: the mapping of input files, in `file`

pub mod arch;
pub mod bridge;
pub mod debug;
pub mod error;

pub mod file;
pub mod fixup;
pub mod graph;
mod islands;
mod layout;
pub mod lazy;
pub mod link;
pub mod linked;
pub mod memory;
pub mod moving;
pub mod object;
pub mod pass;
pub mod reloc;
mod runs;
pub mod workers;
mod write;

pub use error::{LinkError, Place, Unresolved};
pub use file::FileMap;
pub use graph::LinkGraph;
pub use link::{External, Link, LinkOptions, Resolution};
pub use linked::Linked;
pub use memory::{FlatMemory, InFlight, Memory};
pub use pass::Plugin;
pub use pass::prune::{Keep, Roots};
pub use workers::Workers;
