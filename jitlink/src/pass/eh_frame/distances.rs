//! Distances that records hold in their bytes, for formats whose objects leave them there without relocations.
//!
//! You give the bytes of a table. You get where each record says where its code is, and where the language's table of that code is. What stands
//! there, and what it points at, is the reader's to find out.

use super::parse::{Fields, extent, word};
use super::{Cie, EhFrameProblem};

/// A field of a frame description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Distance {
    /// Where the record starts in the table, in bytes.
    pub(crate) record: usize,
    /// Where the field starts in the table, in bytes.
    pub(crate) offset: usize,
    /// How it is written (`DW_EH_PE_*`).
    pub(crate) encoding: u8,
    /// It says where code is, not where the language's table is.
    pub(crate) code: bool,
}

/// Every such field of the records in `bytes`, in order.
///
/// # Errors
/// What is wrong with the first record that cannot be read, and where that starts.
pub(crate) fn distances(bytes: &[u8], pointer: u8) -> Result<Vec<Distance>, (usize, EhFrameProblem)> {
    let mut found = Vec::new();
    let mut common: Vec<(usize, Cie)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match word(bytes, at) {
            Some(0) => {
                at += 4;
                continue;
            }
            None if bytes[at..].iter().all(|byte| *byte == 0) => break,
            _ => {}
        }
        let record = at;
        let fail = |problem| (record, problem);
        let (_, body, end) = extent(bytes, at).map_err(fail)?;
        let link = word(&bytes[..end], body).ok_or_else(|| fail(EhFrameProblem::Truncated("identifier")))?;
        let mut fields = Fields { bytes: &bytes[..end], at: body + 4, pointer };
        at = end;
        if link == 0 {
            common.push((record, fields.cie().map_err(fail)?));
            continue;
        }
        let target = body as i64 - i64::from(link);
        let cie =
            usize::try_from(target).ok().and_then(|target| common.binary_search_by_key(&target, |(at, _)| *at).ok());
        let (_, cie) = common[cie.ok_or_else(|| fail(EhFrameProblem::NoCie(target)))?];
        found.push(Distance { record, offset: fields.at, encoding: cie.pointer_encoding, code: true });
        for encoding in [cie.pointer_encoding, cie.pointer_encoding & 0x0f] {
            fields.pointer(encoding, "addresses").map_err(fail)?;
        }
        if let Some(encoding) = cie.lsda_encoding {
            fields.leb("augmentation length").map_err(fail)?;
            let offset = fields.at;
            fields.pointer(encoding, "augmentation data").map_err(fail)?;
            if fields.at > offset {
                found.push(Distance { record, offset, encoding, code: false });
            }
        }
    }
    Ok(found)
}
