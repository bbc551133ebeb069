//! What rustc adds when it links, for programs that are linked from what it compiles (`rustc --emit=obj` and the toolchain's rlibs).
//!
//! You give a name that nobody defines, or the panic runtimes among a dylib's archives; you get what rustc's own link would have had there. The rules:
//!
//! - **The allocator's shim** (`rustc_codegen_ssa::base::allocator_kind_for_codegen`, `rustc_ast::expand::allocator`). `alloc` calls `__rust_alloc` and its kin, which
//!   `#[global_allocator]` defines, or else rustc: as other names of the standard library's `__rdl_alloc` and so on (of `__rg_alloc`, where
//!   older toolchains have the crate's own allocator under that name). Three more names only say that a shim is there, or answer a question with no.
//! - **The panic runtime.** A toolchain has two, which define the same names. The program's `-C panic` chooses; objects do not say what it was, so the
//!   choice is made by what they do: see [`aborts`]. Who gives one of the two only has chosen.
//!
//! Names are those of the pseudo crate `__rustc`, mangled (v0) with a hash of the toolchain, or plain in toolchains before 1.89. What is made has the same hash: a
//! program and rlibs of two toolchains stay apart, and the error says so.
//!
//! Not for staticlibs and shared libraries that rustc has linked: these have all of it.

use jitlink::LinkGraph;
use jitlink::graph::{
    Content, Definition, GlobalDefinition, Linkage, Prot, Scope, Section, SectionFlags, SectionKind, SymbolKind,
};
use jitlink::object::archive::Archive;

/// How rustc answers a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// With the first of these that is defined.
    OtherName(&'static [&'static str]),
    /// With a function that returns 0.
    Function,
    /// With a byte that is 0.
    Byte,
}

/// Every name of the shim, of all toolchains since 1.60.
const SHIM: &[(&str, Answer)] = &[
    ("__rust_alloc", Answer::OtherName(&["__rg_alloc", "__rdl_alloc"])),
    ("__rust_dealloc", Answer::OtherName(&["__rg_dealloc", "__rdl_dealloc"])),
    ("__rust_realloc", Answer::OtherName(&["__rg_realloc", "__rdl_realloc"])),
    ("__rust_alloc_zeroed", Answer::OtherName(&["__rg_alloc_zeroed", "__rdl_alloc_zeroed"])),
    ("__rust_alloc_error_handler", Answer::OtherName(&["__rg_oom", "__rdl_alloc_error_handler", "__rdl_oom"])),
    ("__rust_alloc_error_handler_should_panic", Answer::Byte),
    ("__rust_alloc_error_handler_should_panic_v2", Answer::Function),
    ("__rust_no_alloc_shim_is_unstable", Answer::Byte),
    ("__rust_no_alloc_shim_is_unstable_v2", Answer::Function),
];

/// A name that rustc would define when it links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shim<'n> {
    name: &'n [u8],
    /// The part of the name before the identifier, if it is mangled.
    prefix: Option<&'n [u8]>,
    answer: Answer,
}

impl<'n> Shim<'n> {
    /// Whether `name` is one of them.
    pub(super) fn of(name: &'n [u8]) -> Option<Self> {
        let (prefix, identifier) = internal(name)?;
        let (_, answer) = SHIM.iter().find(|(known, _)| known.as_bytes() == identifier)?;
        Some(Self { name, prefix, answer: *answer })
    }

    /// The names, the first one first, whose place it is another name of; none if it stands for itself.
    pub(super) fn targets(&self) -> impl Iterator<Item = Vec<u8>> + use<'_, 'n> {
        let names = if let Answer::OtherName(names) = self.answer { names } else { &[] };
        names.iter().map(|name| match self.prefix {
            // v0 has an underscore between the length and an identifier that begins with one.
            Some(prefix) => [prefix, format!("{}_{name}", name.len()).as_bytes()].concat(),
            None => name.as_bytes().to_vec(),
        })
    }

    /// Defines it in `graph` as what it is by itself: for those without [`targets`](Self::targets).
    pub(super) fn define(&self, graph: &mut LinkGraph<'n>) {
        let (name, prot, content, kind): (&[u8], _, &[u8], _) = match self.answer {
            Answer::OtherName(_) => return,
            Answer::Function => (b".text", Prot::READ | Prot::EXEC, graph.machine().zero, SymbolKind::Function),
            Answer::Byte => (b".rodata", Prot::READ, &[0], SymbolKind::Object),
        };
        let object = graph.add_object("<what rustc adds>", false);
        let section = graph.add_section(Section {
            name,
            object,
            prot,
            flags: SectionFlags::empty(),
            kind: SectionKind::Regular,
            entry_size: 0,
            group: None,
            linked_to: None,
            number: 0,
        });
        let size = content.len() as u64;
        let block = graph.add_block(section, Content::Bytes(content), size, 16);
        let offered = GlobalDefinition {
            definition: Definition::Block(block),
            value: 0,
            size,
            linkage: Linkage::Strong,
            // Each dylib that asks has its own.
            scope: Scope::Hidden,
            kind,
            object,
        };
        // Nobody has defined it, or it would not be asked for.
        let _ = graph.define(self.name, offered);
    }
}

/// The identifier of a name in the pseudo crate `__rustc`, and what stands before it in a mangled one.
fn internal(name: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    if name.starts_with(b"__r") {
        return Some((None, name));
    }
    // "Symbol name mangling v0" (the rustc book): a path, nested in the value namespace, in a crate root.
    const CRATE: &[u8] = b"7___rustc";
    let mut rest = name.strip_prefix(b"_RNvC")?;
    if let Some(disambiguated) = rest.strip_prefix(b"s") {
        let end = disambiguated.iter().position(|byte| *byte == b'_')?;
        rest = &disambiguated[end + 1..];
    }
    rest = rest.strip_prefix(CRATE)?;
    let prefix = &name[..name.len() - rest.len()];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let identifier = rest[digits..].strip_prefix(b"_").unwrap_or(&rest[digits..]);
    (identifier.len() == length).then_some((Some(prefix), identifier))
}

/// What a program does when it panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PanicRuntime {
    Unwind,
    Abort,
}

impl PanicRuntime {
    /// Whether `archive` is a panic runtime: its object files are called after their crate.
    pub(super) fn of(archive: &Archive<'_>) -> Option<Self> {
        // Its metadata, its code, perhaps more code: not a search through large archives.
        archive.members().take(2).flatten().find_map(|member| match member.name.split(|byte| *byte == b'-').next()? {
            b"panic_unwind" => Some(Self::Unwind),
            b"panic_abort" => Some(Self::Abort),
            _ => None,
        })
    }
}

/// Whether objects that refer to these names were compiled with `-C panic=abort`.
///
/// With `unwind`, whoever owns something while it calls has a landing pad, and a landing pad has a personality. So objects that free memory and never name the
/// personality abort. Those that do neither get the default.
pub(super) fn aborts<'n>(names: impl Iterator<Item = &'n [u8]>) -> bool {
    let mut frees = false;
    for name in names {
        if name == b"rust_eh_personality" {
            return false;
        }
        frees |= internal(name).is_some_and(|(_, identifier)| identifier == b"__rust_dealloc");
    }
    frees
}

#[cfg(test)]
mod tests {
    use super::{Shim, aborts};

    fn targets(name: &str) -> Option<Vec<String>> {
        let shim = Shim::of(name.as_bytes())?;
        Some(shim.targets().map(|name| String::from_utf8(name).expect("text")).collect())
    }

    #[test]
    fn names_of_the_shim_are_known_by_their_path_whatever_the_hash() {
        let prefix = "_RNvCsfLfy6EI15iL_7___rustc";
        let expected = ["10___rg_alloc", "11___rdl_alloc"].map(|name| format!("{prefix}{name}"));
        assert_eq!(targets("_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc"), Some(expected.to_vec()));
        let expected = ["__rg_dealloc", "__rdl_dealloc"].map(str::to_owned);
        assert_eq!(targets("__rust_dealloc"), Some(expected.to_vec()));
        assert_eq!(targets("_RNvCs_7___rustc35___rust_no_alloc_shim_is_unstable_v2"), Some(vec![]));
        let others = [
            "_RNvCsfLfy6EI15iL_7___rustc13___rust_alloc",
            "_RNvCsfLfy6EI15iL_7___rustc10rust_panic",
            "_RNvCsfLfy6EI15iL_6mycrate12___rust_alloc",
            "_RNvCsfLfy6EI15iL_7___rustc99999999999999999999999_",
            "_RNvCs",
            "__rdl_alloc",
            "malloc",
            "",
        ];
        for name in others {
            assert_eq!(targets(name), None, "{name}");
        }
    }

    #[test]
    fn a_program_aborts_if_it_frees_and_has_no_landing_pad() {
        let aborts = |names: &[&str]| aborts(names.iter().map(|name| name.as_bytes()));
        assert!(aborts(&["main", "_RNvCs1_7___rustc14___rust_dealloc"]));
        assert!(!aborts(&["main", "_RNvCs1_7___rustc14___rust_dealloc", "rust_eh_personality"]));
        assert!(!aborts(&["main", "memcpy"]), "nothing says so");
    }
}
