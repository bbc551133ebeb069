//! How a machine's rows are written down: one line each, with its documentation, which says the expression, the range, and where the
//! psABI defines it.

/// Gives the constants of module `kind`, one for each row, and `FIXUPS`, the whole table with the common rows first:
///
/// ```text
/// rows! {
///     /// `S + A - P`, `-2^20 ..= 2^20 - 1` (section, `NAME`).
///     CONSTANT = "Name in dumps", Expr::Relative, field, range;
///     /// ...
///     OTHER = "Name", Expr::Relative, field, range, rewrite;
/// }
/// ```
macro_rules! rows {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $expr:expr, $field:expr, $range:expr $(, $rewrite:expr)?;)*) => {
        /// The rows that only this machine has. Each says its expression, its range, and where the psABI defines it.
        pub mod kind {
            use crate::graph::EdgeKind;

            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "only counts the rows")]
            enum Row { $($constant),* }

            $($(#[$doc])* pub const $constant: EdgeKind = EdgeKind(EdgeKind::FIRST_OF_MACHINE + Row::$constant as u8);)*
        }

        const OWN_FIXUPS: &[$crate::arch::Fixup] = &[
            $($crate::arch::Fixup::new($name, $expr, $field, $range, rows!(@rewrite $($rewrite)?))),*
        ];

        const FIXUPS: [$crate::arch::Fixup; $crate::arch::COMMON_FIXUPS.len() + OWN_FIXUPS.len()] = {
            let common = $crate::arch::COMMON_FIXUPS;
            let mut all = [common[0]; $crate::arch::COMMON_FIXUPS.len() + OWN_FIXUPS.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = if i < common.len() { common[i] } else { OWN_FIXUPS[i - common.len()] };
                i += 1;
            }
            all
        };
    };
    (@rewrite) => { None };
    (@rewrite $rewrite:expr) => { Some($rewrite) };
}
