//! elf_loader with an object of one function: loaded from memory, relocated, looked up, called and dropped. Prints the nanoseconds of each cycle, a line for each of as many as the
//! second argument says; the first names the object.
//!
//! `unsafe` because what was just loaded is called by address.
#![allow(unsafe_code)]

use elf_loader::{AddressSpaceId, Domain, Loader, Relocator};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let object = std::fs::read(words.next().ok_or("which object?")?)?;
    let count: usize = words.next().ok_or("how many?")?.parse()?;
    let loader = Loader::new();
    for _ in 0..count {
        let begin = Instant::now();
        let answer = cycle(&loader, &object).map_err(|error| error.to_string())?;
        let took = begin.elapsed().as_nanos();
        if answer != Some(42) {
            return Err(format!("it says {answer:?}").into());
        }
        println!("{took}");
    }
    Ok(())
}

fn cycle(loader: &Loader, object: &Vec<u8>) -> elf_loader::Result<Option<i32>> {
    let loaded = loader.run(Domain::native(AddressSpaceId::PROCESS)).load_object(object)?;
    let linked = Relocator::new().run(loaded).relocate()?;
    // SAFETY: `f` is declared so.
    let function = unsafe { linked.get::<extern "C" fn() -> i32>("f")? };
    Ok(function.map(|function| function()))
}
