//! What must be done whoever links: copies bytes into fresh pages, hashes the names, writes as many relocations, protects.
//!
//! You give the file of a floor (`scoreboard::floor` has its form); you get one line: microseconds of CPU, microseconds of wall time, page
//! faults. Nothing that is counted is read from a disk. It is not a linker: nobody could run what it makes.
#![allow(clippy::print_stdout, reason = "a program that is asked for figures")]

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memmap2::MmapMut;
use rustix::time::{ClockId, clock_gettime};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("floor FILE");
        return ExitCode::from(2);
    };
    match std::fs::read(&path).map_err(|e| e.to_string()).and_then(|kept| Floor::read(&kept)?.measure()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("floor: {}: {why}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// The file's parts.
struct Floor<'a> {
    segments: [&'a [u8]; 3],
    zeros: usize,
    names: Vec<&'a [u8]>,
    relocations: Vec<(u32, u32)>,
}

impl<'a> Floor<'a> {
    fn read(kept: &'a [u8]) -> Result<Self, String> {
        let mut rest = kept;
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = u64::from_le_bytes(take(&mut rest, 8)?.try_into().expect("eight bytes")) as usize;
        }
        let [code, constants, written, zeros, names, relocations] = counts;
        let segments = [take(&mut rest, code)?, take(&mut rest, constants)?, take(&mut rest, written)?];
        let mut names = take(&mut rest, names)?;
        let mut every = Vec::new();
        while !names.is_empty() {
            let length = number(take(&mut names, 4)?);
            every.push(take(&mut names, length as usize)?);
        }
        let pairs = take(&mut rest, 8 * relocations)?.chunks_exact(8);
        let relocations = pairs.map(|pair| (number(&pair[..4]), number(&pair[4..]))).collect();
        Ok(Self { segments, zeros, names: every, relocations })
    }

    fn measure(&self) -> Result<String, String> {
        let before = (clock(), Instant::now(), faults()?);
        // Pages of one protection each, the zeros behind what is written.
        let map = |length: usize| MmapMut::map_anon(length.max(1)).map_err(|e| e.to_string());
        let [code, constants, written] = self.segments;
        let mut pages = [map(code.len())?, map(constants.len())?, map(written.len() + self.zeros)?];
        for (pages, bytes) in pages.iter_mut().zip(self.segments) {
            pages[..bytes.len()].copy_from_slice(bytes);
        }
        let mut table: HashMap<&[u8], u32, FixedState> = HashMap::default();
        let numbers: Vec<u32> = self
            .names
            .iter()
            .map(|name| {
                let next = table.len() as u32;
                *table.entry(name).or_insert(next)
            })
            .collect();
        let addresses: Vec<u32> = (0..table.len() as u32).map(|number| number.wrapping_mul(16)).collect();
        for (place, name) in &self.relocations {
            let target = numbers.get(*name as usize).map_or(0, |number| addresses[*number as usize]);
            let mut place = *place as usize;
            let mut segment = 0;
            while segment < 2 && place >= self.segments[segment].len() {
                place -= self.segments[segment].len();
                segment += 1;
            }
            let field = pages[segment].get_mut(place..place + 4).ok_or("a relocation beyond its section")?;
            field.copy_from_slice(&target.wrapping_sub(place as u32).to_le_bytes());
        }
        let [code, constants, written] = pages;
        let protected =
            (code.make_exec().map_err(|e| e.to_string())?, constants.make_read_only().map_err(|e| e.to_string())?);
        let (cpu, wall, faults) = (clock() - before.0, before.1.elapsed(), faults()? - before.2);
        drop((protected, written, table));
        Ok(format!("{} {} {faults}", cpu.as_micros(), wall.as_micros()))
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    rest.split_off(..length).ok_or_else(|| "the file is cut short".to_owned())
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// Of this process.
fn clock() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Minor faults of this process: proc(5), the tenth field, the second being a name in brackets.
fn faults() -> Result<u64, String> {
    let told = std::fs::read_to_string("/proc/self/stat").map_err(|e| e.to_string())?;
    let fields = told.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(7).and_then(|field| field.parse().ok()).ok_or_else(|| "no page faults".to_owned())
}
