//! Files that are no relocatable objects for this machine.

use super::support::{assemble, graph};

fn said(data: Vec<u8>) -> String {
    graph(&[("it.o", data)]).expect_err("not an object").to_string()
}

/// An object with one byte of its file header changed.
fn with(at: usize, value: u8) -> Vec<u8> {
    let mut data = assemble(".text\nret");
    data[at] = value;
    data
}

#[test]
fn objects_for_others() {
    const EI_CLASS: usize = 4;
    const EI_DATA: usize = 5;
    const E_TYPE: usize = 16;
    const E_MACHINE: usize = 18;
    assert_eq!(said(with(E_MACHINE, 183)), "it.o: is for aarch64, this link is for x86_64");
    let not = |what: &str| format!("it.o: not a relocatable object: {what}");
    assert_eq!(said(with(E_TYPE, 2)), not("an executable for x86_64 (ELF, 64 bits)"));
    assert_eq!(said(with(E_TYPE, 3)), not("a shared library or an executable for x86_64 (ELF, 64 bits)"));
    assert_eq!(said(with(E_TYPE, 4)), not("a core dump for x86_64 (ELF, 64 bits)"));
    assert_eq!(said(with(EI_CLASS, 9)), not("an ELF file with a damaged header"));
    assert_eq!(said(with(EI_CLASS, 1)), "it.o: is for x86_64 (32 bits), this link is for x86_64");
    let mut big_endian = with(EI_DATA, 2);
    big_endian[E_TYPE..E_TYPE + 4].copy_from_slice(&[0, 1, 0, 62]);
    assert_eq!(said(big_endian), "it.o: is for x86_64 (64 bits, big-endian), this link is for x86_64");
}

#[test]
fn no_objects_at_all() {
    let not = |what: &str| format!("it.o: not a relocatable object: {what}");
    assert_eq!(said(Vec::new()), not("an empty file"));
    assert_eq!(said(b"int main(void) { return 0; }\n".to_vec()), not("text"));
    assert_eq!(said(b"BC\xc0\xde1234".to_vec()), not("LLVM bitcode"));
    assert_eq!(said(b"!<arch>\n".to_vec()), not("an archive"));
    for length in [4, 16, 63] {
        assert_eq!(said(assemble(".text\nret")[..length].to_vec()), not("an ELF file with a damaged header"));
    }
}
