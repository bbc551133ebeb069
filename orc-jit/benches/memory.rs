//! What a session keeps of each function that it has linked.
//!
//! ```text
//! cargo bench -p orc-jit --bench memory            # 10,000 and 100,000 functions
//! cargo bench -p orc-jit --bench memory -- 50000
//! ```
//!
//! Files of a hundred small functions each, with names as C++ has them, are linked as one dylib, looked up in once and unloaded. Prints the bytes of the heap (mallinfo2(3)) and of the slab for each function: while it is linked, after the first lookup (which indexes the names), and what is
//! left of it all after the unload; besides it the bytes of the names themselves, which nobody can go under.
//!
//! `unsafe` because the C library is asked for its accounts.
#![allow(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
use orc_jit::{InProcess, Session, SessionOptions};
use std::error::Error;
use std::fs;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Functions of an object.
const EACH: usize = 100;

fn main() -> Outcome<()> {
    let asked: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![10_000, 100_000] } else { asked };
    println!("| functions | names | kept, linked | kept, looked up in | slab | kept, unloaded |");
    println!("|---:|---:|---:|---:|---:|---:|");
    // The first one pays for what a process makes once.
    measure(1000)?;
    for count in counts {
        let [names, linked, indexed, slab, unloaded] = measure(count)?.map(|bytes| bytes / count as f64);
        println!("| {count} | {names:.1} | {linked:.1} | {indexed:.1} | {slab:.1} | {unloaded:.2} |");
    }
    println!("\nbytes for each function");
    Ok(())
}

/// Bytes of names, of the heap while linked and after a lookup, of the slab, of the heap after the unload.
fn measure(count: usize) -> Outcome<[f64; 5]> {
    let folder = tempfile::tempdir()?;
    let mut names = 0;
    let session = Session::new(InProcess::new(), SessionOptions::default())?;
    let dylib = session.add_dylib("kept")?;
    for number in 0..count / EACH {
        let path = folder.path().join(format!("{number}.o"));
        fs::write(&path, object(number, &mut names)?)?;
        dylib.add_object_file(&path)?;
    }
    let before = heap();
    let opened = session.open("kept")?;
    let linked = heap() - before;
    opened.address(&name(0, 0))?;
    let indexed = heap() - before;
    let slab = session.executor().runtime().slab().usage().used;
    opened.close()?;
    let unloaded = heap() - before;
    Ok([names as f64, linked, indexed, slab as f64, unloaded])
}

/// Bytes that are allocated.
fn heap() -> f64 {
    // SAFETY: the function takes nothing and gives numbers.
    let accounts = unsafe { libc::mallinfo2() };
    accounts.uordblks as f64 + accounts.hblkhd as f64
}

fn name(object: usize, function: usize) -> String {
    let class = format!("Unit{object}");
    let method = format!("method{function}");
    format!("_ZN{}{class}{}{method}Ei", class.len(), method.len())
}

/// An object with [`EACH`] functions.
fn object(number: usize, names: &mut usize) -> Outcome<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    for function in 0..EACH {
        let name = name(number, function).into_bytes();
        *names += name.len();
        // lea 1(%rdi), %eax; ret
        let code = [0x8d, 0x47, 0x01, 0xc3];
        let value = object.append_section_data(text, &code, 16);
        object.add_symbol(Symbol {
            name,
            value,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    Ok(object.write()?)
}
