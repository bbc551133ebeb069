//! Numbers of the command line: addresses, and sizes of slabs.

/// One range of memory for everything that is linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slab {
    pub(super) size: Option<u64>,
    pub(super) address: Option<u64>,
    pub(super) page_size: Option<u64>,
}

/// A number of at most 64 bits, decimal or with `0x` hexadecimal.
pub(super) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // `from_str_radix` would take a sign.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// A size with the suffix Kb, Mb or Gb, in whatever case; without one it is in Kb.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("kb", 10), ("mb", 20), ("gb", 30)];
    let (digits, shift) = units
        .iter()
        .find_map(|(suffix, shift)| Some((lower.strip_suffix(suffix)?, *shift)))
        .unwrap_or((lower.as_str(), 10));
    let bytes = number(digits.trim()).and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| format!("Invalid numeric format for slab size: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("100Kb", 102_400), ("1MB", 1 << 20), ("2gb", 2 << 30), ("64", 65_536), (" 1 kb ", 1024)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "Kb", "1Tb", "-1Kb", "99999999999999999999", "18446744073709551615Gb"] {
            assert_eq!(size(text), Err(format!("Invalid numeric format for slab size: '{text}'")));
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0xffffffffffffffff"), Some(u64::MAX));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "0x", "+1", "0x+1", "-1", "1x", "18446744073709551616"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
