//! Does the packed encoding keep what it is given, and survive what it is not?

use std::process::Command;

use dispatch::packed::{Pack, Reader, Status, Unpack, from_bytes, to_bytes};
use dispatch::transport::stream::Stream;
use dispatch::transport::{RecvFrame, Transport};
use dispatch::{Limits, PackError};
use proptest::collection::vec;
use proptest::prelude::*;

dispatch::packed_struct! {
    /// Every kind of field.
    #[derive(Debug, Clone, PartialEq)]
    struct Everything {
        small: u8,
        wide: (u16, u32, u64),
        signed: (i8, i16, i32, i64),
        flag: bool,
        text: String,
        bytes: Vec<u8>,
        maybe: Option<String>,
        result: Result<u64, String>,
        nested: Vec<Inner>,
        nothing: (),
    }

    /// A field of the other, and a struct that borrows nothing.
    #[derive(Debug, Clone, PartialEq)]
    struct Inner {
        names: Vec<String>,
        pairs: Vec<(String, Vec<u8>)>,
    }

    /// Borrows.
    #[derive(Debug, Clone, PartialEq)]
    struct Borrowed<'a> {
        name: &'a str,
        bytes: &'a [u8],
        list: Vec<&'a str>,
    }

    /// No fields.
    #[derive(Debug, PartialEq)]
    struct Empty {}
}

/// A tree: the one shape whose depth the input could choose.
#[derive(Debug, PartialEq)]
struct Tree(Vec<Tree>);

impl Pack for Tree {
    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
    }
}

impl<'a> Unpack<'a> for Tree {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        reader.unpack().map(Tree)
    }
}

fn inner() -> impl Strategy<Value = Inner> {
    let names = vec(".{0,8}", 0..5);
    let pairs = vec((".{0,8}", vec(any::<u8>(), 0..20)), 0..5);
    (names, pairs).prop_map(|(names, pairs)| Inner { names, pairs })
}

fn everything() -> impl Strategy<Value = Everything> {
    let integers = (any::<u8>(), any::<(u16, u32, u64)>(), any::<(i8, i16, i32, i64)>(), any::<bool>());
    let texts = (".{0,20}", vec(any::<u8>(), 0..50), proptest::option::of(".{0,9}"));
    let result = prop_oneof![any::<u64>().prop_map(Ok), ".{0,9}".prop_map(Err)];
    (integers, texts, result, vec(inner(), 0..4)).prop_map(
        |((small, wide, signed, flag), (text, bytes, maybe), result, nested)| Everything {
            small,
            wide,
            signed,
            flag,
            text,
            bytes,
            maybe,
            result,
            nested,
            nothing: (),
        },
    )
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(value in everything()) {
        let bytes = to_bytes(&value);
        prop_assert_eq!(from_bytes::<Everything>(&bytes), Ok(value));
    }

    #[test]
    fn every_shorter_piece_and_every_longer_one_is_refused(value in everything()) {
        let mut bytes = to_bytes(&value);
        for size in 0..bytes.len() {
            prop_assert!(from_bytes::<Everything>(&bytes[..size]).is_err(), "{size} of {}", bytes.len());
        }
        let offset = bytes.len();
        bytes.push(0);
        prop_assert_eq!(from_bytes::<Everything>(&bytes), Err(PackError::Trailing { offset, extra: 1 }));
    }

    #[test]
    fn random_bytes_give_a_value_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        // Whatever is accepted must be what these bytes say: packing it again gives them back.
        if let Ok(value) = from_bytes::<Everything>(&bytes) {
            prop_assert_eq!(to_bytes(&value), bytes);
        }
    }

    #[test]
    fn changed_bytes_give_a_value_or_an_error(
        value in everything(),
        at in any::<prop::sample::Index>(),
        to in any::<u64>(),
    ) {
        let mut bytes = to_bytes(&value);
        let at = at.index(bytes.len());
        for (byte, new) in bytes[at..].iter_mut().zip(to.to_le_bytes()) {
            *byte = new;
        }
        if let Ok(value) = from_bytes::<Everything>(&bytes) {
            prop_assert_eq!(to_bytes(&value), bytes);
        }
    }
}

#[test]
fn the_bytes_are_those_of_llvm() {
    // Each written out by hand from the rules of the encoding: count as u64, then the elements; flags of one byte.
    assert_eq!(to_bytes("ab"), [2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
    assert_eq!(to_bytes(&(1u8, 0x0203u16, true)), [1, 3, 2, 1]);
    assert_eq!(to_bytes(&Some(7u8)), [1, 7]);
    assert_eq!(to_bytes(&None::<u8>), [0]);
    assert_eq!(to_bytes(&Ok::<u8, String>(7)), [1, 7]);
    assert_eq!(to_bytes(&Err::<u8, &str>("x")), [0, 1, 0, 0, 0, 0, 0, 0, 0, b'x']);
    assert_eq!(to_bytes(&Status(Ok(()))), [0]);
    assert_eq!(to_bytes(&Status(Err("x".into()))), [1, 1, 0, 0, 0, 0, 0, 0, 0, b'x']);
    assert_eq!(to_bytes(&vec![(1u8, ()), (2, ())]), [2, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(to_bytes(&-2i32), [0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(to_bytes(&Empty {}), []);
    assert_eq!(from_bytes::<Empty>(&[]), Ok(Empty {}));
    assert_eq!(from_bytes::<Status>(&[0]), Ok(Status(Ok(()))));
}

#[test]
fn borrowed_values_point_into_the_bytes() {
    let value = Borrowed { name: "libm", bytes: &[1, 2, 3], list: vec!["a", "", "ü"] };
    let bytes = to_bytes(&value);
    let read: Borrowed<'_> = from_bytes(&bytes).unwrap();
    assert_eq!(read, value);
    assert!(bytes.as_ptr_range().contains(&read.name.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&read.bytes.as_ptr()));
}

#[test]
fn a_count_that_cannot_fit_is_refused() {
    let mut bytes = to_bytes(&u64::MAX);
    bytes.extend([0; 100]);
    let refused = |count| PackError::Count { offset: 0, count, remaining: 100 };
    assert_eq!(from_bytes::<Vec<u8>>(&bytes), Err(refused(u64::MAX)));
    assert_eq!(from_bytes::<&str>(&bytes), Err(refused(u64::MAX)));
    assert_eq!(from_bytes::<Vec<(u64, String)>>(&bytes), Err(refused(u64::MAX)));
    // 13 strings of at least 8 bytes do not fit in 100 bytes; 12 might.
    bytes[..8].copy_from_slice(&13u64.to_le_bytes());
    assert_eq!(from_bytes::<Vec<String>>(&bytes), Err(refused(13)));
    bytes[..8].copy_from_slice(&12u64.to_le_bytes());
    assert_eq!(from_bytes::<Vec<String>>(&bytes), Err(PackError::Trailing { offset: 104, extra: 4 }));
}

/// Large in memory, one byte on the wire.
#[derive(Debug)]
struct Large([u64; 1024]);

impl<'a> Unpack<'a> for Large {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        // Only the first element is what it should be: what was reserved ahead is what is measured.
        if reader.unpack::<u8>()? == 0 {
            Err(PackError::Utf8 { offset: reader.offset() })
        } else {
            Ok(Large([1; 1024]))
        }
    }
}

/// Runs the test below in a process of 256 MiB, where an allocation on a mere claim ends it.
#[test]
fn claims_do_not_make_us_allocate() {
    let test = std::env::current_exe().unwrap();
    let script = r#"ulimit -v 262144 && exec "$0" --exact --ignored --test-threads=1 hostile_claims"#;
    let output = Command::new("sh").arg("-c").arg(script).arg(test).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run with limited memory by claims_do_not_make_us_allocate"]
fn hostile_claims() {
    let inner = Inner { names: vec!["a".into(); 3], pairs: vec![("b".into(), vec![1, 2, 3]); 3] };
    let original = to_bytes(&(vec![inner.clone(), inner], String::from("c"), vec![1u64, 2, 3]));
    for at in 0..=original.len() - 8 {
        for claim in [u64::MAX, 1 << 63, 1 << 40, 1 << 32, 1 << 29, 1000] {
            let mut bytes = original.clone();
            bytes[at..at + 8].copy_from_slice(&claim.to_le_bytes());
            let read = from_bytes::<(Vec<Inner>, String, Vec<u64>)>(&bytes);
            assert!(read.is_err() || at > 8, "byte {at} as {claim:#x}");
        }
    }
    // A mebibyte that claims to be a mebi of 8 KiB elements, all but the first of them wrong.
    let mut bytes = to_bytes(&(1u64 << 20));
    bytes.resize(8 + (1 << 20), 0);
    bytes[8] = 1;
    assert!(from_bytes::<Vec<Large>>(&bytes).is_err());
    assert_eq!(Large([1; 1024]).0.len() * 8, size_of::<Large>());

    // The header of a frame that claims as much as is allowed, and little behind it.
    let limits = Limits { max_frame: u64::MAX, ..Limits::default() };
    for claim in [1u64 << 30, 1 << 40, 1 << 62] {
        let mut bytes = [claim, 3, 1, 1].map(u64::to_le_bytes).concat();
        bytes.extend([7; 1000]);
        let stream = Stream::new(std::io::Cursor::new(bytes), std::io::sink());
        let error = stream.split(&limits).unwrap().1.recv().unwrap_err();
        assert!(error.to_string().contains("came as 1032 bytes"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |bytes: &[u8], words: &str| {
        let text = from_bytes::<(u8, bool)>(bytes).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    check(&[1, 2], "offset 1 should be a boolean (0 or 1) but is 0x02");
    check(&[1], "end at offset 1: 1 more needed, 0 left");
    let mut bytes = to_bytes("a good beginning");
    bytes[12] = 0xff;
    assert_eq!(from_bytes::<String>(&bytes), Err(PackError::Utf8 { offset: 12 }));
}

#[test]
fn the_input_does_not_choose_the_depth_of_our_stack() {
    let nested = |depth: usize| {
        let mut bytes = Vec::new();
        for _ in 1..depth {
            bytes.extend(1u64.to_le_bytes());
        }
        bytes.extend(0u64.to_le_bytes());
        bytes
    };
    assert!(from_bytes::<Tree>(&nested(64)).is_ok());
    assert!(matches!(from_bytes::<Tree>(&nested(65)), Err(PackError::Depth { limit: 64, .. })));
    assert!(matches!(from_bytes::<Tree>(&nested(1_000_000)), Err(PackError::Depth { .. })));
}
