//! Names as their author wrote them.

use std::borrow::Cow;

/// `name` as it stands in the source: Rust (v0 and legacy) and C++ (Itanium ABI) names are demangled, others are themselves.
///
/// ```
/// use orc_jit::diagnose::demangle;
///
/// assert_eq!(demangle("_ZN3net7connectEPKc"), "net::connect(char const*)");
/// assert_eq!(demangle("puts"), "puts");
/// ```
#[must_use]
pub fn demangle(name: &str) -> Cow<'_, str> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves out the hash.
        return format!("{rust:#}").into();
    }
    if !is_cpp(name) {
        return name.into();
    }
    match cpp_demangle::Symbol::new(name)
        .ok()
        .and_then(|symbol| symbol.demangle(&cpp_demangle::DemangleOptions::default()).ok())
    {
        Some(cpp) => table_in_words(&cpp).unwrap_or(cpp).into(),
        None => name.into(),
    }
}

/// `{vtable(B)}` as C++ tools write it: `vtable for B`.
fn table_in_words(cpp: &str) -> Option<String> {
    let inner = cpp.strip_prefix('{')?.strip_suffix(")}")?;
    let (what, of) = inner.split_once('(')?;
    let what = if what == "vtt" { "VTT" } else { what };
    Some(format!("{what} for {of}"))
}

/// Whether `name` is mangled as the Itanium C++ ABI says ("Mangling Structure").
pub(crate) fn is_cpp(name: &str) -> bool {
    name.starts_with("_Z")
}

/// The unqualified function name of a C++ function that stands in no namespace or class: `compute` of `_Z7computei`.
pub(crate) fn cpp_base_name(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("_Z")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let length: usize = rest[..digits].parse().ok()?;
    rest.get(digits..digits.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_by_language() {
        let check = |name, expected: &str| assert_eq!(demangle(name), expected);
        check("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)");
        check("_RNvCs1234_7mycrate4main", "mycrate::main");
        check("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt");
        check("_ZTV4Base", "vtable for Base");
        check("_ZTT4Base", "VTT for Base");
        check("_Z", "_Z");
        check("_Znot mangled at all", "_Znot mangled at all");
        check("", "");
    }

    #[test]
    fn base_names_of_plain_functions() {
        assert_eq!(cpp_base_name("_Z7computei"), Some("compute"));
        assert_eq!(cpp_base_name("_ZN3net7connectEv"), None);
        assert_eq!(cpp_base_name("_Z99x"), None);
        assert_eq!(cpp_base_name("_Z18446744073709551615x"), None);
        assert_eq!(cpp_base_name("compute"), None);
    }
}
