//! The libraries: one object for each, compiled once. We link the objects; for glibc each is linked once against all the others, and a
//! program's graph is written into the dynamic sections.
//!
//! You give a folder; you get objects in memory and a folder of libraries. Not for code of other forms: that is what `cases/` is for.

use crate::program::{LIBRARIES, Program};
use integration_tests::process::tool;
use integration_tests::{Failure, context};
use object::Endianness;
use object::elf::{DT_NEEDED, Dyn64, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use std::ffi::OsString;
use std::fs::{self, File};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is linked, and by whom.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) folder: PathBuf,
}

const FLAGS: [&str; 4] = ["-O1", "-Wall", "-D_GNU_SOURCE", "-fPIC"];

/// An entry that glibc does not look at (gABI, "Dynamic Section": tags from here on are the system's; it knows none of this number).
const IGNORED: u64 = 0x6000_0fff;

impl Objects {
    /// Compiles and links everything, 26 starts of gcc.
    pub(crate) fn build(folder: &Path) -> Result<Self, Failure> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/glibc_oracle");
        for made in ["alone", "so"] {
            fs::create_dir_all(folder.join(made)).map_err(context(folder.display()))?;
        }
        let gcc = |words: &[&str]| {
            let words: Vec<OsString> = [&["gcc"], words].concat().into_iter().map(OsString::from).collect();
            tool(folder, &words, &[])
        };
        let source = |name: &str| sources.join(name).to_string_lossy().into_owned();
        gcc(&[&FLAGS[..], &["-c", "-o", "interpreter.o", &source("interpreter.c")]].concat())?;
        gcc(&[&FLAGS[..], &["-rdynamic", "-o", "driver", &source("driver.c"), "interpreter.o"]].concat())?;
        for n in 1..=LIBRARIES {
            let (number, object) = (format!("-DNUMBER={n}"), format!("o{n}.o"));
            gcc(&[&FLAGS[..], &[&number, "-c", "-o", &object, &source("library.c")]].concat())?;
            // A name with a slash is a path, so nothing is searched for.
            let name = format!("-Wl,-z,now,-soname,./o{n}");
            gcc(&["-shared", "-nodefaultlibs", &name, "-o", &format!("alone/o{n}"), &object])?;
        }
        let others: Vec<_> = (1..=LIBRARIES).map(|n| format!("alone/o{n}")).collect();
        for n in 1..=LIBRARIES {
            let (name, library, object) =
                (format!("-Wl,--no-as-needed,-z,now,-soname,./o{n}"), format!("so/o{n}"), format!("o{n}.o"));
            let mut words = vec!["-shared", "-nodefaultlibs", &name, "-o", &library, &object];
            words.extend(others.iter().map(String::as_str));
            gcc(&words)?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The bytes of `o1.o`, `interpreter.o` and so on.
    pub(crate) fn object(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(name);
        fs::read(&path).map_err(context(path.display()))
    }
}

/// A folder of libraries of its own, whose graph can be changed.
#[derive(Debug)]
pub(crate) struct Libraries {
    pub(crate) folder: PathBuf,
    files: Vec<Library>,
}

#[derive(Debug)]
struct Library {
    file: File,
    /// Where the entries stand that say what it needs.
    slots: u64,
    /// The place of each library's name among the strings.
    names: Vec<u64>,
}

impl Libraries {
    /// Copies the libraries to `folder`.
    pub(crate) fn copy(objects: &Objects, folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(context(folder.display()))?;
        let mut files = Vec::new();
        for n in 1..=LIBRARIES {
            let path = folder.join(format!("o{n}"));
            let bytes = objects.object(&format!("so/o{n}"))?;
            fs::write(&path, &bytes).map_err(context(path.display()))?;
            let file = File::options().write(true).open(&path).map_err(context(path.display()))?;
            let (slots, names) = needed(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            if names.len() != LIBRARIES {
                return Err(format!("{}: it needs {} libraries instead of {LIBRARIES}", path.display(), names.len()));
            }
            files.push(Library { file, slots, names });
        }
        Ok(Self { folder: folder.to_owned(), files })
    }

    /// Makes every library need what it needs in `program`, in that order.
    pub(crate) fn arrange(&self, program: &Program) -> Result<(), Failure> {
        for (library, links) in self.files.iter().zip(&program.links) {
            let mut slots = Vec::new();
            for at in 0..LIBRARIES {
                let (tag, value) = match links.get(at) {
                    Some(link) => (DT_NEEDED.0 as u64, library.names[link.index()]),
                    None => (IGNORED, 0),
                };
                slots.extend(tag.to_le_bytes());
                slots.extend(value.to_le_bytes());
            }
            library.file.write_all_at(&slots, library.slots).map_err(context("a dynamic section"))?;
        }
        Ok(())
    }
}

/// Where the `DT_NEEDED` entries stand, and their values: the libraries in ascending order, as they were linked.
fn needed(bytes: &[u8]) -> Result<(u64, Vec<u64>), object::read::Error> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut found = (0, Vec::new());
    for section in sections.iter() {
        let Some((entries, _)) = section.dynamic(endian, bytes)? else { continue };
        let is_needed = |entry: &&Dyn64<Endianness>| entry.d_tag.get(endian) == DT_NEEDED;
        let first = entries.iter().position(|entry| is_needed(&entry)).unwrap_or_default();
        let place = section.sh_offset(endian) + (first * size_of::<Dyn64<Endianness>>()) as u64;
        found = (place, entries[first..].iter().take_while(is_needed).map(|entry| entry.d_val.get(endian)).collect());
    }
    Ok(found)
}

const _: () = assert!(offset_of!(Dyn64<Endianness>, d_val) == 8, "a tag of eight bytes, a value of eight bytes");
