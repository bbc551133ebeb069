//! Writing of records (LSB, "Exception Frames"), for who makes code or reads another form of them.

/// Appends a record: its length, the distance to its common information from there (0 for common information itself), `body`, no-ops up to four bytes.
pub(crate) fn write(out: &mut Vec<u8>, common: u32, body: &[u8]) {
    let size = (body.len() + 4).next_multiple_of(4);
    out.extend((size as u32).to_le_bytes());
    out.extend(common.to_le_bytes());
    out.extend(body);
    out.resize(out.len().next_multiple_of(4), 0);
}
