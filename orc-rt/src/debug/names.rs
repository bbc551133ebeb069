//! Names as people write them, for readers that show names as they are.
//!
//! You give a symbol's name; you get it demangled if it is mangled, C++'s without parameters, as perf shows those of libraries. On one line in any case. Not for names that
//! tools compare with objects.

use std::borrow::Cow;

/// Longer names stay as they are: what a demangled one costs is not linear.
const LONGEST: usize = 4096;

/// The name for people.
pub(super) fn readable(name: &str) -> Cow<'_, str> {
    let shown = demangle(name).map_or(Cow::Borrowed(name), Cow::Owned);
    if shown.contains(char::is_control) { Cow::Owned(shown.replace(char::is_control, "?")) } else { shown }
}

fn demangle(name: &str) -> Option<String> {
    if name.len() > LONGEST || !(name.starts_with("_Z") || name.starts_with("_R")) {
        return None;
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Some(format!("{rust:#}"));
    }
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    symbol.demangle(&cpp_demangle::DemangleOptions::new().no_params().no_return_type()).ok()
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn names_are_as_people_write_them() {
        assert_eq!(readable("main"), "main");
        assert_eq!(readable("_ZN1n1A3hotIlEEiT_"), "n::A::hot<long>");
        assert_eq!(readable("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"), "core::fmt::Write::write_fmt");
        assert_eq!(readable("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(readable("_Zwrong"), "_Zwrong");
        assert_eq!(readable("two\nlines"), "two?lines");
    }
}
