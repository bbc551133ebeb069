//! Thin archives (GNU `ar rcT`): headers without contents, one after another.
//!
//! A name is short (`NAME/`), or `/N`: it begins at `N` of the table of long names and ends before `/` and a line feed. `/N:ORIGIN` is
//! the member whose header is at `ORIGIN` of the archive that the name is of.

use super::{ArchiveError, Content, FIRST_MEMBER, HEADER_SIZE, Member, MemberId, damaged_member};

/// Where the members begin, and the table of long names.
pub(super) fn prologue(data: &[u8]) -> Result<(u64, &[u8]), ArchiveError> {
    let mut names: &[u8] = &[];
    let mut at = FIRST_MEMBER;
    while at < data.len() as u64 {
        let header = header(data, at)?;
        let special = field(&header[..16]);
        if !matches!(special, b"/" | b"//" | b"/SYM64/") {
            break;
        }
        let size = number(field(&header[48..58])).ok_or_else(|| damaged_member(at, "its size is no number"))?;
        let start = at + HEADER_SIZE;
        let content = start.checked_add(size).and_then(|end| data.get(start as usize..usize::try_from(end).ok()?));
        let content = content.ok_or_else(|| damaged_member(at, "it ends after the archive"))?;
        if special == b"//" {
            names = content;
        }
        at = start + size.next_multiple_of(2);
    }
    Ok((at, names))
}

/// The member whose header is at `id`.
pub(super) fn member<'data>(
    data: &'data [u8],
    names: &'data [u8],
    id: MemberId,
) -> Result<Member<'data>, ArchiveError> {
    let header = header(data, id.offset())?;
    let spelled = field(&header[..16]);
    let damaged = || damaged_member(id.offset(), "its name cannot be found");
    let Some(reference) = spelled.strip_prefix(b"/") else {
        let name = spelled.strip_suffix(b"/").unwrap_or(spelled);
        return Ok(Member { id, name, content: Content::Thin(name), inside: None });
    };
    let mut parts = reference.splitn(2, |byte| *byte == b':');
    let start = parts.next().and_then(number).and_then(|start| usize::try_from(start).ok()).ok_or_else(damaged)?;
    let rest = names.get(start..).ok_or_else(damaged)?;
    let end = rest.windows(2).position(|pair| pair == b"/\n").ok_or_else(damaged)?;
    let name = &rest[..end];
    let inside = match parts.next() {
        None => None,
        Some(origin) => Some(MemberId(number(origin).ok_or_else(damaged)?)),
    };
    Ok(Member { id, name, content: Content::Thin(name), inside })
}

/// The header at `at`, its last two bytes checked.
fn header(data: &[u8], at: u64) -> Result<&[u8], ArchiveError> {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    let header = start.checked_add(HEADER_SIZE as usize).and_then(|end| data.get(start..end));
    let header = header.filter(|header| header.ends_with(b"`\n"));
    header.ok_or_else(|| damaged_member(at, "no header is here"))
}

fn field(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_end()
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}
