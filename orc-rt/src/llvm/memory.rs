//! The memory that LLVM's controller reserves, fills and gives back, by address.
//!
//! You give sizes, then segments within what was reserved; you get addresses, and segments with their final protections. Reservations are cut from arenas near libc,
//! so that code reaches code whatever its order, and the number of kernel mappings stays small.
//!
//! It runs no actions and answers no calls; `services.rs` puts them together.
//!
//! `unsafe` because pages change protection and contents: of reservations that nobody else has been given.
#![allow(unsafe_code)]

use super::actions::Kept;
use super::messages::Segment;
use super::reservation::{Allocation, Final, Reservation, still_inside};
use super::shared::SharedFile;
use crate::memory::{Prot, Reach};
use crate::slab::{FreeRuns, reserve_pages};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::sys::pages::Pages;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Address space of an arena; halved while the process's limits do not allow it.
const ARENA: u64 = 512 << 20;
/// The smallest arena worth having.
const SMALLEST_ARENA: u64 = 16 << 20;
/// Larger reservations get a range of their own.
const LARGEST_RUN: u64 = 64 << 20;
/// How long a call waits for contents that are to come.
const PATIENCE: Duration = Duration::from_secs(2);

/// All memory of one controller.
#[derive(Debug)]
pub(super) struct Memory {
    page: u64,
    state: Mutex<State>,
    /// Something became final, or went back.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arenas: Vec<Arena>,
    /// By first address.
    reservations: BTreeMap<u64, Reservation>,
    /// Counts what became final.
    finalized: u64,
    /// Reservations whose contents have not come yet.
    awaited: usize,
}

#[derive(Debug)]
struct Arena {
    pages: Arc<Pages>,
    free: FreeRuns,
}

/// Segments that are being made final. Until [`Memory::complete`] or [`Memory::fail`] nobody else can give the reservation back.
#[derive(Debug)]
#[must_use = "a reservation stays busy until this is completed or has failed"]
pub(super) struct InFlight {
    base: u64,
    segments: Vec<u64>,
}

/// Somebody uses memory, most of all a call into code; it stays while this lives.
#[derive(Debug)]
#[must_use = "the memory may go when this is dropped"]
pub(super) struct Inside<'a> {
    memory: &'a Memory,
    base: u64,
}

/// An allocation that goes back.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) range: Range<u64>,
    pub(super) actions: Vec<Kept>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { page: crate::sys::page_size(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Zeroed memory of `size` bytes, readable and writable.
    pub(super) fn reserve(&self, size: u64) -> Result<u64, String> {
        let awaited = size > 0;
        let size = self.whole_pages(size)?;
        let mut state = self.state.lock();
        let (pages, run, base) = match state.take(size, self.page)? {
            Some(found) => found,
            None => {
                let pages = Arc::new(address_space(size, self.page)?);
                let base = pages.base();
                (pages, None, base)
            }
        };
        // SAFETY: the pages have just been taken; nobody has their address.
        if let Err(error) = unsafe { pages.reopen(base..base + size) } {
            state.give(run);
            return Err(format!("cannot make {size:#x} bytes at {base:#x} writable: {error}"));
        }
        let reservation = Reservation { awaited, ..Reservation::new(base, size, pages, run, None) };
        state.reservations.insert(base, reservation);
        state.awaited += usize::from(awaited);
        Ok(base)
    }

    /// Memory whose contents the controller writes itself, through a file in shared memory. Inaccessible here until it is final.
    pub(super) fn reserve_shared(&self, size: u64) -> Result<(u64, String), String> {
        let size = self.whole_pages(size)?;
        let pages = Arc::new(address_space(size, self.page)?);
        let base = pages.base();
        // SAFETY: the pages are a fresh reservation; nobody has their address.
        let file = unsafe { SharedFile::map_over(base, size) }
            .map_err(|error| format!("cannot make shared memory of {size:#x} bytes: {error}"))?;
        let name = file.name().to_owned();
        self.state.lock().reservations.insert(base, Reservation::new(base, size, pages, None, Some(file)));
        Ok((base, name))
    }

    fn whole_pages(&self, size: u64) -> Result<u64, String> {
        // An allocation without bytes still needs an address to be known by.
        let whole = size.max(1).checked_next_multiple_of(self.page).filter(|&size| size <= 1 << 46);
        whole.ok_or_else(|| format!("{size:#x} bytes are more than an address space has"))
    }

    /// Writes the segments' contents and sets their protections. In `shared` memory, the reservation at that address, the contents are there.
    ///
    /// When it fails, nothing of it is final. The reservation is given back unless it is shared.
    pub(super) fn begin(&self, shared: Option<u64>, segments: &[Segment<'_>]) -> Result<InFlight, String> {
        let mut state = self.state.lock();
        let lowest = segments.iter().map(|segment| segment.address).min().unwrap_or(shared.unwrap_or_default());
        let (base, reservation) = state.at(lowest)?;
        if shared != reservation.shared.as_ref().map(|_| base) {
            return Err(format!("the memory at {lowest:#x} was not reserved for this"));
        }
        if reservation.busy {
            return Err(format!("the memory at {base:#x} is becoming final or going back already"));
        }
        match reservation.make_final(self.page, segments) {
            Ok(segments) => {
                reservation.busy = true;
                Ok(InFlight { base, segments })
            }
            Err(error) => {
                if shared.is_none() {
                    state.remove(base);
                    self.changed.notify_all();
                }
                Err(error)
            }
        }
    }

    /// Its actions have run: it stays, with what undoes them, under the address returned.
    pub(super) fn complete(&self, in_flight: InFlight, actions: Vec<Kept>) -> u64 {
        let mut state = self.state.lock();
        state.finalized += 1;
        let number = state.finalized;
        let InFlight { base, segments } = in_flight;
        let key = segments.iter().copied().min().unwrap_or(base);
        if let Some(reservation) = state.reservations.get_mut(&base) {
            reservation.busy = false;
            reservation.allocations.insert(key, Allocation { number, segments, actions });
            state.awaited -= usize::from(std::mem::take(&mut reservation.awaited));
        }
        self.changed.notify_all();
        key
    }

    /// An action has failed, and those before it are undone.
    pub(super) fn fail(&self, in_flight: InFlight) {
        let mut state = self.state.lock();
        let Some(reservation) = state.reservations.get_mut(&in_flight.base) else { return };
        if reservation.shared.is_some() {
            reservation.busy = false;
            reservation.close_segments(&in_flight.segments);
        } else {
            state.remove(in_flight.base);
        }
        self.changed.notify_all();
    }

    /// Begins to give a whole reservation back: what is to be undone first. It ends with [`remove`](Self::remove).
    pub(super) fn begin_release(&self, base: u64, shared: bool) -> Result<Leaving, String> {
        let mut state = self.state.lock();
        let reservation = state.reservations.get_mut(&base).filter(|found| found.shared.is_some() == shared);
        let reservation = reservation.ok_or_else(|| format!("no memory was reserved at {base:#x}"))?;
        reservation.claim()?;
        let mut allocations: Vec<_> = std::mem::take(&mut reservation.allocations).into_values().collect();
        allocations.sort_unstable_by_key(|allocation| allocation.number);
        let actions = allocations.into_iter().flat_map(|allocation| allocation.actions).collect();
        Ok(Leaving { range: base..base + reservation.size, actions })
    }

    /// Gives a reservation back whose actions are undone.
    pub(super) fn remove(&self, base: u64) -> Result<(), String> {
        let mut state = self.state.lock();
        if let Some(reservation) = state.reservations.get_mut(&base).filter(|reservation| reservation.inside > 0) {
            reservation.busy = false;
            return Err(still_inside(base));
        }
        state.remove(base);
        self.changed.notify_all();
        Ok(())
    }

    /// Begins to undo what became final together, in shared memory. It ends with [`close`](Self::close).
    pub(super) fn begin_close(&self, key: u64) -> Result<Leaving, String> {
        let mut state = self.state.lock();
        let (_, reservation) = state.at(key)?;
        if !reservation.allocations.contains_key(&key) {
            return Err(format!("nothing became final at {key:#x}"));
        }
        reservation.claim()?;
        let Reservation { allocations, segments, .. } = reservation;
        let allocation = allocations.get_mut(&key).expect("it was there just now");
        let last = allocation.segments.iter().max().and_then(|last| segments.get(last));
        let range = key..last.map_or(key, |last| last.range.end);
        Ok(Leaving { range, actions: std::mem::take(&mut allocation.actions) })
    }

    /// Makes its segments inaccessible.
    pub(super) fn close(&self, key: u64) {
        let mut state = self.state.lock();
        let Ok((_, reservation)) = state.at(key) else { return };
        reservation.busy = false;
        if let Some(allocation) = reservation.allocations.remove(&key) {
            reservation.close_segments(&allocation.segments);
        }
    }

    /// What undoes everything that is final, the latest last; it is not asked for again. The memory stays. Refused while a call is inside of any of it.
    pub(super) fn all_actions(&self) -> Result<Vec<Kept>, String> {
        let mut state = self.state.lock();
        if let Some((&base, _)) = state.reservations.iter().find(|(_, reservation)| reservation.inside > 0) {
            return Err(still_inside(base));
        }
        let allocations = state.reservations.values_mut().flat_map(|found| found.allocations.values_mut());
        let mut all: Vec<_> = allocations.map(|found| (found.number, std::mem::take(&mut found.actions))).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        Ok(all.into_iter().flat_map(|(_, actions)| actions).collect())
    }

    /// Waits until the contents of everything that is reserved have come, but not for ever: a link that has failed may leave something behind, which nobody
    /// waits for a second time.
    pub(super) fn settle(&self) {
        let mut state = self.wait(|state| state.awaited == 0);
        if state.awaited > 0 {
            state.reservations.values_mut().for_each(|reservation| reservation.awaited = false);
            state.awaited = 0;
        }
    }

    /// The state when there is `enough` of it, or when it took too long.
    fn wait(&self, enough: impl Fn(&mut State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        while !enough(&mut state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left);
        }
        state
    }

    /// Enters code that is final; `None` if there is none at `address`. Waits for code that is still to come.
    pub(super) fn enter(&self, address: u64) -> Option<Inside<'_>> {
        let mut state = self.wait(|state| {
            !state.at(address).is_ok_and(|(_, found)| found.awaited && found.segment_at(address).is_none())
        });
        let (base, reservation) = state.at(address).ok()?;
        let segment = reservation.segment_at(address)?;
        if !segment.prot.contains(Prot::EXEC) {
            return None;
        }
        reservation.inside += 1;
        Some(Inside { memory: self, base })
    }

    /// Keeps final, readable memory at `address`, and says where its segment ends.
    pub(super) fn pin(&self, address: u64) -> Option<(Inside<'_>, u64)> {
        let mut state = self.state.lock();
        let (base, reservation) = state.at(address).ok()?;
        let segment = reservation.segment_at(address)?;
        if !segment.prot.contains(Prot::READ) {
            return None;
        }
        let end = segment.range.end;
        reservation.inside += 1;
        Some((Inside { memory: self, base }, end))
    }

    /// Whether `address` lies in what was reserved.
    pub(super) fn holds(&self, address: u64) -> bool {
        self.state.lock().at(address).is_ok()
    }

    /// Whether `address` lies in what was reserved and is not final yet.
    pub(super) fn is_awaited(&self, address: u64) -> bool {
        let mut state = self.state.lock();
        state.at(address).is_ok_and(|(_, reservation)| reservation.segment_at(address).is_none())
    }

    /// Changes words of one final segment that is not code.
    pub(super) fn amend(&self, words: &[(u64, u32)]) -> Result<(), String> {
        let Some(&(first, _)) = words.first() else { return Ok(()) };
        let mut state = self.state.lock();
        let (_, reservation) = state.at(first)?;
        let segment = reservation.segment_at(first).filter(|segment| !segment.prot.contains(Prot::EXEC));
        let inside = |segment: &&Final| {
            words.iter().all(|(address, _)| segment.range.start <= *address && address + 4 <= segment.range.end)
        };
        let segment = segment.filter(inside).ok_or_else(|| format!("the memory at {first:#x} cannot be changed"))?;
        let pages = segment.range.start..segment.range.end.next_multiple_of(self.page);
        let set = |prot| {
            // SAFETY: the segment is not code, and can only do more meanwhile.
            unsafe { reservation.pages.protect(pages.clone(), prot) }
                .map_err(|error| format!("cannot change the protection of the memory at {first:#x}: {error}"))
        };
        set(Prot::READ | Prot::WRITE)?;
        for &(address, word) in words {
            let to = std::ptr::with_exposed_provenance_mut::<u32>(address as usize);
            // SAFETY: in the segment (checked), whose pages are writable now, and which stays while the state is locked.
            unsafe { to.write_unaligned(word) };
        }
        set(segment.prot)
    }

    /// Writes at several addresses: all of it, or nothing if one lies elsewhere than in writable memory of this controller.
    pub(super) fn write(&self, writes: &[(u64, &[u8])]) -> Result<(), String> {
        let mut state = self.state.lock();
        for (address, bytes) in writes {
            let refusal = || format!("{} bytes at {address:#x} are not writable memory of this session", bytes.len());
            let end = address.checked_add(bytes.len() as u64).ok_or_else(refusal)?;
            let (_, reservation) = state.at(*address).map_err(|_| refusal())?;
            if !reservation.is_writable(&(*address..end), self.page) {
                return Err(refusal());
            }
        }
        for (address, bytes) in writes {
            state.at(*address)?.1.dirty = true;
            let to = std::ptr::with_exposed_provenance_mut::<u8>(*address as usize);
            // SAFETY: the range is writable memory of ours (checked above), and stays while the state is locked.
            unsafe { std::ptr::copy(bytes.as_ptr(), to, bytes.len()) };
        }
        Ok(())
    }
}

fn address_space(size: u64, page: u64) -> Result<Pages, String> {
    reserve_pages(size, page, Reach::Near)
        .map_err(|error| format!("cannot reserve {size:#x} bytes of address space: {error}"))
}

/// Pages, where in an arena they are, and their address.
type Taken = (Arc<Pages>, Option<(usize, u32, u32)>, u64);

impl State {
    /// The reservation that `address` lies in.
    fn at(&mut self, address: u64) -> Result<(u64, &mut Reservation), String> {
        let before = self.reservations.range_mut(..=address).next_back();
        match before.filter(|(base, reservation)| address - **base < reservation.size) {
            Some((&base, reservation)) => Ok((base, reservation)),
            None => Err(format!("no memory was reserved at {address:#x}")),
        }
    }

    /// Takes pages of an arena, a new one if need be; `None` when the reservation is too large for one.
    fn take(&mut self, size: u64, page: u64) -> Result<Option<Taken>, String> {
        if size > LARGEST_RUN {
            return Ok(None);
        }
        let count = (size / page) as u32;
        let found =
            self.arenas.iter_mut().enumerate().find_map(|(index, arena)| Some((index, arena.free.take(count, 1, 0)?)));
        let (index, first) = match found {
            Some(found) => found,
            None => {
                let mut space = ARENA;
                let pages = loop {
                    match address_space(space, page) {
                        Err(_) if space > SMALLEST_ARENA => space /= 2,
                        other => break other?,
                    }
                };
                let mut free = FreeRuns::new((space / page) as u32);
                let Some(first) = free.take(count, 1, 0) else { return Ok(None) };
                self.arenas.push(Arena { pages: Arc::new(pages), free });
                (self.arenas.len() - 1, first)
            }
        };
        let pages = Arc::clone(&self.arenas[index].pages);
        let base = pages.base() + u64::from(first) * page;
        Ok(Some((pages, Some((index, first, count)), base)))
    }

    fn give(&mut self, run: Option<(usize, u32, u32)>) {
        if let Some((arena, first, count)) = run {
            self.arenas[arena].free.give(first, count);
        }
    }

    /// Gives a reservation back that nobody uses.
    fn remove(&mut self, base: u64) {
        let Some(reservation) = self.reservations.remove(&base) else { return };
        self.awaited -= usize::from(reservation.awaited);
        if reservation.run.is_none() {
            return;
        }
        let range = base..base + reservation.size;
        // SAFETY: no call is inside, and the controller, which says who else uses it, has given it back.
        let closed = unsafe { reservation.pages.close(range) }.is_ok();
        // Pages that the system would not close are not given out again.
        if closed {
            self.give(reservation.run);
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state: MutexGuard<'_, State> = self.memory.state.lock();
        if let Some(reservation) = state.reservations.get_mut(&self.base) {
            reservation.inside -= 1;
        }
    }
}
