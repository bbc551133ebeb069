//! Does every kind of archive give the right member for a name, and an error where it is damaged?

use jitlink::object::archive::{Archive, ArchiveProblem, Content, MemberId};
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
use proptest::prelude::*;

/// Writes archives as the several `ar`s of this world do.
struct Writer(Vec<u8>);

impl Writer {
    fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    fn header(&mut self, name: &str, size: usize) -> u32 {
        let at = self.0.len() as u32;
        self.0.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644).bytes());
        at
    }

    fn member(&mut self, name: &str, data: &[u8]) -> u32 {
        let at = self.header(name, data.len());
        self.0.extend(data);
        if !data.len().is_multiple_of(2) {
            self.0.push(b'\n');
        }
        at
    }
}

const MEMBERS: [(&str, &[u8], &[&str]); 3] =
    [("one.o", b"first", &["f", "g"]), ("two.o", b"second", &["g", "h"]), ("one.o", b"third one", &["i"])];

/// Member name, content, names: what every archive of `MEMBERS` must say, however it is written.
fn check(bytes: &[u8]) {
    let archive = Archive::parse(bytes).expect("is an archive");
    let content = |name: &str| {
        archive.find(name.as_bytes()).map(|id| match archive.member(id).expect("is there").content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::Thin(_) => panic!("{name} is not here"),
        })
    };
    assert_eq!(content("f").as_deref(), Some(&b"first"[..]));
    assert_eq!(content("g").as_deref(), Some(&b"first"[..]), "the first definition wins");
    assert_eq!(content("h").as_deref(), Some(&b"second"[..]));
    assert_eq!(content("i").as_deref(), Some(&b"third one"[..]), "the second member called one.o");
    assert_eq!(content("main"), None);
    let mut names: Vec<_> = archive.symbols().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    names.sort();
    assert_eq!(names, ["f", "g", "g", "h", "i"]);
    let members: Vec<_> = archive.members().map(|member| member.expect("is sound")).collect();
    let said: Vec<_> = members.iter().map(|member| (String::from_utf8_lossy(member.name), member.content)).collect();
    assert_eq!(said, MEMBERS.map(|(name, data, _)| (name.into(), Content::Bytes(data))));
    for member in &members {
        assert_eq!(archive.member(member.id).as_ref(), Ok(member));
    }
}

/// Writes what stands before the members, from names and the places of the members that define them.
type Specials<'a> = &'a dyn Fn(&mut Writer, &[(&str, u32)]);

/// An archive with the index that `index` makes of (name, place of the member); it is asked twice, for its size first.
fn indexed(names: [&str; 3], specials: Specials<'_>) -> Vec<u8> {
    let mut places = [0; 3];
    for _ in 0..2 {
        let symbols: Vec<_> = MEMBERS
            .iter()
            .zip(places)
            .flat_map(|((_, _, names), at)| names.iter().map(move |name| (*name, at)))
            .collect();
        let mut writer = Writer::new(b"!<arch>\n");
        specials(&mut writer, &symbols);
        for (i, (_, data, _)) in MEMBERS.iter().enumerate() {
            places[i] = match names[i].strip_prefix("#1/") {
                None => writer.member(names[i], data),
                Some(_) => {
                    let mut named = MEMBERS[i].0.as_bytes().to_vec();
                    named.resize(8, 0);
                    named.extend(*data);
                    writer.member("#1/8", &named)
                }
            };
        }
        if places[2] != 0 && symbols[0].1 != 0 {
            return writer.0;
        }
    }
    unreachable!("places are known in the second round")
}

fn strings(symbols: &[(&str, u32)]) -> Vec<u8> {
    symbols.iter().flat_map(|(name, _)| name.bytes().chain([0])).collect()
}

const SHORT: [&str; 3] = ["one.o/", "two.o/", "one.o/"];

fn gnu() -> Vec<u8> {
    indexed(SHORT, &|writer, symbols| {
        let mut index = (symbols.len() as u32).to_be_bytes().to_vec();
        index.extend(symbols.iter().flat_map(|(_, at)| at.to_be_bytes()));
        index.extend(strings(symbols));
        writer.member("/", &index);
    })
}

fn bsd(name: &str) -> Vec<u8> {
    indexed(["#1/8"; 3], &|writer, symbols| {
        let mut index = (8 * symbols.len() as u32).to_le_bytes().to_vec();
        for (i, (_, at)) in symbols.iter().enumerate() {
            index.extend((2 * i as u32).to_le_bytes());
            index.extend(at.to_le_bytes());
        }
        index.extend((2 * symbols.len() as u32).to_le_bytes());
        index.extend(strings(symbols));
        writer.member(name, &index);
    })
}

#[test]
fn gnu_indexes() {
    check(&gnu());
    check(&indexed(SHORT, &|writer, symbols| {
        let mut index = (symbols.len() as u64).to_be_bytes().to_vec();
        index.extend(symbols.iter().flat_map(|(_, at)| u64::from(*at).to_be_bytes()));
        index.extend(strings(symbols));
        writer.member("/SYM64/", &index);
    }));
    check(&indexed(["/0", "/7", "/0"], &|writer, symbols| {
        let mut index = (symbols.len() as u32).to_be_bytes().to_vec();
        index.extend(symbols.iter().flat_map(|(_, at)| at.to_be_bytes()));
        index.extend(strings(symbols));
        writer.member("/", &index);
        writer.member("//", b"one.o/\ntwo.o/\n");
    }));
}

#[test]
fn bsd_indexes() {
    check(&bsd("__.SYMDEF"));
    check(&bsd("__.SYMDEF SORTED"));
    check(&indexed(["#1/8"; 3], &|writer, symbols| {
        let mut index = b"__.SYMDEF_64\0\0\0\0".to_vec();
        index.extend((16 * symbols.len() as u64).to_le_bytes());
        for (i, (_, at)) in symbols.iter().enumerate() {
            index.extend((2 * i as u64).to_le_bytes());
            index.extend(u64::from(*at).to_le_bytes());
        }
        index.extend((2 * symbols.len() as u64).to_le_bytes());
        index.extend(strings(symbols));
        writer.member("#1/16", &index);
    }));
}

#[test]
fn coff_linker_members() {
    check(&indexed(SHORT, &|writer, symbols| {
        let mut first = (symbols.len() as u32).to_be_bytes().to_vec();
        first.extend(symbols.iter().flat_map(|(_, at)| at.to_be_bytes()));
        first.extend(strings(symbols));
        writer.member("/", &first);
        let mut places: Vec<_> = symbols.iter().map(|(_, at)| *at).collect();
        places.dedup();
        if places.len() == 1 {
            places = vec![0; 3];
        }
        let mut second = 3_u32.to_le_bytes().to_vec();
        second.extend(places.iter().flat_map(|at| at.to_le_bytes()));
        second.extend((symbols.len() as u32).to_le_bytes());
        for (_, at) in symbols {
            let number = places.iter().position(|place| place == at).expect("is there") as u16 + 1;
            second.extend(number.to_le_bytes());
        }
        second.extend(strings(symbols));
        writer.member("/", &second);
    }));
}

fn thin() -> Vec<u8> {
    let mut writer = Writer::new(b"!<thin>\n");
    let mut index = 1_u32.to_be_bytes().to_vec();
    index.extend((8 + 60 + 10 + 60 + 16_u32).to_be_bytes());
    index.extend(b"f\0");
    writer.member("/", &index);
    writer.member("//", b"sub/dir/one.o/\n\n");
    writer.header("/0", 12345);
    writer.header("two.o/", 67);
    // The second member called one.o of another archive.
    let inner = gnu();
    let place = Archive::parse(&inner).expect("is an archive").find(b"i").expect("is defined").offset();
    writer.header(&format!("/0:{place}"), 89);
    writer.0
}

#[test]
fn thin_archives_name_files() {
    let mut writer = Writer(thin());
    let archive = Archive::parse(&writer.0).expect("is an archive");
    assert!(archive.is_thin());
    let member = archive.find(b"f").map(|id| archive.member(id).expect("is there"));
    assert_eq!(member.map(|member| member.content), Some(Content::Thin(b"sub/dir/one.o")));
    let members: Vec<_> = archive.members().map(|member| member.expect("is sound").name).collect();
    assert_eq!(members, [&b"sub/dir/one.o"[..], b"two.o", b"sub/dir/one.o"]);
    let last = archive.members().last().expect("there are three").expect("is sound");
    assert_eq!(last.in_file(&gnu()), Ok(&b"third one"[..]));
    assert_eq!(member.map(|member| member.in_file(b"all of it")), Some(Ok(&b"all of it"[..])));
    assert!(last.in_file(b"no archive").is_err());
    writer.header("/99", 1);
    let archive = Archive::parse(&writer.0).expect("is an archive");
    let error = archive.members().last().expect("there are four").expect_err("has no name");
    assert_eq!(
        (error.offset as usize, error.to_string().ends_with("its name cannot be found")),
        (writer.0.len() - 60, true)
    );
}

/// An object with one definition of each kind, and names that it only refers to or keeps for itself.
fn object(defined: &str) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, &[0xc3; 16], 16);
    let mut add = |name: String, scope, weak, section| {
        let (value, size, kind, flags) = (8, 8, SymbolKind::Data, SymbolFlags::None);
        object.add_symbol(Symbol { name: name.into(), value, size, kind, scope, weak, section, flags });
    };
    let here = SymbolSection::Section(text);
    add(format!("{defined}_strong"), SymbolScope::Dynamic, false, here);
    add(format!("{defined}_weak"), SymbolScope::Dynamic, true, here);
    add(format!("{defined}_hidden"), SymbolScope::Linkage, false, here);
    add(format!("{defined}_local"), SymbolScope::Compilation, false, here);
    add(format!("{defined}_common"), SymbolScope::Dynamic, false, SymbolSection::Common);
    add(format!("{defined}_absolute"), SymbolScope::Dynamic, false, SymbolSection::Absolute);
    add(format!("{defined}_elsewhere"), SymbolScope::Dynamic, false, SymbolSection::Undefined);
    object.write().expect("can be written")
}

#[test]
fn a_missing_index_is_made_from_the_members() {
    let mut writer = Writer::new(b"!<arch>\n");
    writer.member("lib.rmeta/", b"rust metadata");
    writer.member("README/", b"not an object");
    let first = writer.member("a.o/", &object("a"));
    let second = writer.member("b.o/", &object("b"));
    let archive = Archive::parse(&writer.0).expect("is an archive");
    let place = |name: &str| archive.find(name.as_bytes()).map(|id| id.offset() as u32);
    for kind in ["strong", "weak", "hidden", "common", "absolute"] {
        assert_eq!(place(&format!("a_{kind}")), Some(first), "{kind}");
        assert_eq!(place(&format!("b_{kind}")), Some(second), "{kind}");
    }
    assert_eq!((place("a_local"), place("a_elsewhere")), (None, None));
    let members: Vec<_> = archive.members().map(|member| member.expect("is sound").name).collect();
    assert_eq!(members, [&b"README"[..], b"a.o", b"b.o"], "metadata is no member");
}

#[test]
fn empty_archives_are_archives() {
    let archive = Archive::parse(b"!<arch>\n").expect("is an archive");
    assert_eq!((archive.symbols().len(), archive.members().count(), archive.find(b"main")), (0, 0, None));
}

#[test]
fn errors_say_where() {
    let said = |bytes: &[u8]| Archive::parse(bytes).expect_err("is damaged").to_string();
    assert_eq!(said(b"int x;"), "archive offset 0x0: not an archive but text");
    let mut writer = Writer::new(b"!<thin>\n");
    writer.header("one.o/", 10);
    assert_eq!(said(&writer.0), "archive offset 0x8: a thin archive without an index; `ranlib` writes one");

    let mut writer = Writer::new(b"!<arch>\n");
    writer.member("a.o/", b"\x7fELF");
    let first = writer.0.len();
    writer.member("b.o/", &object("b")[..100]);
    let error = Archive::parse(&writer.0).expect_err("b.o is cut");
    assert_eq!(error.offset, first as u64);
    assert!(matches!(error.problem, ArchiveProblem::Symbols { .. }), "{error}");

    // The last member says that it is longer than the file.
    let mut bytes = gnu();
    bytes.truncate(bytes.len() - 4);
    let archive = Archive::parse(&bytes).expect("the index is whole");
    let id: MemberId = archive.find(b"i").expect("is in the index");
    let error = archive.member(id).expect_err("is cut");
    assert_eq!(error.offset, id.offset());
    assert_eq!(archive.members().filter(Result::is_err).count(), 1);
}

proptest! {
    #[test]
    fn damage_never_panics(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = match which {
            0 => gnu(),
            1 => bsd("__.SYMDEF"),
            2 => thin(),
            _ => {
                let mut writer = Writer::new(b"!<arch>\n");
                writer.member("a.o/", &object("a"));
                writer.0
            }
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(archive) = Archive::parse(&bytes) {
            for (name, id) in archive.symbols() {
                let found = archive.find(name).expect("what the index names is found");
                prop_assert!(archive.symbols().any(|(other, at)| other == name && at == found));
                let _ = archive.member(id);
            }
            prop_assert!(archive.members().count() <= bytes.len() / 60);
        }
    }
}
