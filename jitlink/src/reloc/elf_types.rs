//! How a machine's ELF relocation types are written down: those that have a row, and those that have no place in relocatable objects, each with the reason.

/// Gives `lookup` over a table of rows by number, up to the highest:
///
/// ```text
/// elf_rows! {
///     up to R_MACHINE_HIGHEST;
///     R_MACHINE_32 => kind::POINTER,
/// }
/// ```
macro_rules! elf_rows {
    (up to $highest:ident; $($constant:ident => $kind:expr,)*) => {
        static ROWS: [Option<$crate::reloc::Row>; object::elf::$highest.0 as usize + 1] = {
            let mut rows = [None; object::elf::$highest.0 as usize + 1];
            $(rows[object::elf::$constant.0 as usize] =
                Some($crate::reloc::Row { name: stringify!($constant), kind: $kind });)*
            rows
        };

        /// What `r_type` means in a relocatable object; `None` when it has no place there ([`refuse`] says why).
        #[inline]
        #[must_use]
        pub fn lookup(r_type: u32) -> Option<&'static $crate::reloc::Row> {
            ROWS.get(r_type as usize)?.as_ref()
        }
    };
}

/// Gives `name` and `refuse`, beside a `lookup`; `table` is what messages call the machine's types:
///
/// ```text
/// elf_refused! {
///     "ELF machine";
///     R_MACHINE_COPY: "it copies a shared library's variable into the program",
/// }
/// ```
macro_rules! elf_refused {
    ($table:literal; $($constant:ident: $reason:literal,)*) => {
        const NOT_HERE: &[(u32, &str, &str)] =
            &[$((object::elf::$constant.0, stringify!($constant), $reason)),*];

        /// The name of `r_type`, for those that have no place in objects too.
        #[must_use]
        pub fn name(r_type: u32) -> Option<&'static str> {
            let other = || NOT_HERE.iter().find(|(number, ..)| *number == r_type).map(|(_, name, _)| *name);
            lookup(r_type).map(|row| row.name).or_else(other)
        }

        /// Why [`lookup`] has no row for `r_type`.
        #[must_use]
        pub fn refuse(r_type: u32) -> $crate::reloc::Refused {
            match NOT_HERE.iter().find(|(number, ..)| *number == r_type) {
                Some(&(_, name, reason)) => $crate::reloc::Refused::DynamicOnly { number: r_type, name, reason },
                None => $crate::reloc::Refused::Unknown { number: r_type, table: $table },
            }
        }
    };
}
