//! What is to be undone: finalizers stand in the executor, so that they run however the program ends.
//!
//! The handlers of linked code are the C library's: `atexit` and `__cxa_atexit` are those of the process, and so is `exit`. For each run of
//! initializers that has finalizers a *record* is left in the executor, as a handler of the same dylib, right behind the handlers that the
//! initializers registered. So when a dylib is closed, `__cxa_finalize` finds everything in exact reverse (rule 19); when the program
//! ends, by `exit` from anywhere, handlers come first and then a last handler of ours, which goes through all records: as natively.
//!
//! ```text
//! a record:  0  address of the record before, 0 for the first     16  not 0: its dylib is being closed
//!            8  not 0: finalized                                  24  number of arrays; then each: address, count, step
//! ```

use super::remote::{Array, Remote};
use crate::executor::ExecutorError;
use dylib_graph::DylibId;
use orc_rt::service::InitArray;

/// Offsets in a record.
const BEFORE: u64 = 0;
const CLOSING: u64 = 16;

/// The records that are in the executor, the latest last.
#[derive(Debug, Default)]
pub(super) struct Records {
    list: Vec<Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    address: u64,
    dylib: DylibId,
}

/// The array as the executor's code walks it.
pub(super) fn walked(array: &InitArray) -> Option<Array> {
    let last = array.count.checked_sub(1)?;
    let (address, step) = if array.reverse { (array.address + 8 * last, -8) } else { (array.address, 8) };
    Some(Array { address, count: array.count, step })
}

impl Records {
    /// Leaves the finalizers of a run that has just completed. `dso_handle` is what handlers of the dylib's code are registered under, 0 if
    /// it cannot have any.
    pub(super) fn leave(
        &mut self,
        remote: &Remote,
        dylib: DylibId,
        dso_handle: u64,
        finalizers: &[InitArray],
    ) -> Result<(), ExecutorError> {
        let arrays: Vec<Array> = finalizers.iter().filter_map(walked).collect();
        if arrays.is_empty() {
            return Ok(());
        }
        let before = self.list.last().map_or(0, |record| record.address);
        let mut words = vec![before, 0, 0, arrays.len() as u64];
        words.extend(arrays.iter().flat_map(|array| [array.address, array.count, array.step as u64]));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let address = remote.place(&bytes)?;
        if dso_handle != 0 {
            let arguments = [remote.entry("undo")?, address, dso_handle];
            remote.call(remote.c().cxa_atexit, &arguments, "registering finalizers")?;
        }
        remote.write_words(&[(remote.list(), address)])?;
        self.list.push(Record { address, dylib });
        Ok(())
    }

    /// Says that a dylib is being closed, and gives its records, the latest first.
    pub(super) fn begin_close(&self, remote: &Remote, dylib: DylibId) -> Result<Vec<u64>, ExecutorError> {
        let own = self.list.iter().rev().filter(|record| record.dylib == dylib);
        let own: Vec<u64> = own.map(|record| record.address).collect();
        let words: Vec<(u64, u64)> = own.iter().map(|address| (address + CLOSING, 1)).collect();
        remote.write_words(&words)?;
        Ok(own)
    }

    /// Takes the records of dylibs whose memory goes out of the executor.
    pub(super) fn forget(&mut self, remote: &Remote, dylibs: &[DylibId]) -> Result<(), ExecutorError> {
        let mut gone = Vec::new();
        let mut words = Vec::new();
        let (mut before, mut changed) = (0, false);
        self.list.retain(|record| {
            if dylibs.contains(&record.dylib) {
                gone.push(record.address);
                changed = true;
                return false;
            }
            if std::mem::take(&mut changed) {
                words.push((record.address + BEFORE, before));
            }
            before = record.address;
            true
        });
        if changed {
            words.push((remote.list(), before));
        }
        if remote.is_over() {
            return Ok(());
        }
        remote.write_words(&words)?;
        gone.into_iter().try_for_each(|address| remote.free(address))
    }
}

#[cfg(test)]
mod tests {
    use super::walked;
    use orc_rt::service::InitArray;

    #[test]
    fn arrays_are_walked_from_either_end() {
        let array = |reverse, count| InitArray { address: 0x1000, count, priority: 0, reverse };
        let walk =
            |reverse, count| walked(&array(reverse, count)).map(|array| (array.address, array.count, array.step));
        assert_eq!(walk(false, 3), Some((0x1000, 3, 8)));
        assert_eq!(walk(true, 3), Some((0x1010, 3, -8)));
        assert_eq!(walk(true, 0), None);
    }
}
