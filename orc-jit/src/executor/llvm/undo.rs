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
use std::collections::{BTreeMap, HashMap};

/// Offsets in a record.
const BEFORE: u64 = 0;
const CLOSING: u64 = 16;

/// The records that are in the executor.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Addresses by number: a later record has a larger one.
    all: BTreeMap<u64, u64>,
    /// Numbers of each dylib's, the latest last.
    of: HashMap<DylibId, Vec<u64>>,
    left: u64,
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
        let before = self.all.last_key_value().map_or(0, |(_, address)| *address);
        let mut words = vec![before, 0, 0, arrays.len() as u64];
        words.extend(arrays.iter().flat_map(|array| [array.address, array.count, array.step as u64]));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let address = remote.place(&bytes)?;
        if dso_handle != 0 {
            let arguments = [remote.entry("undo")?, address, dso_handle];
            remote.call(remote.c().cxa_atexit, &arguments, "registering finalizers")?;
        }
        remote.write_words(&[(remote.list(), address)])?;
        self.left += 1;
        self.all.insert(self.left, address);
        self.of.entry(dylib).or_default().push(self.left);
        Ok(())
    }

    /// Says that a dylib is being closed, and gives its records, the latest first.
    pub(super) fn begin_close(&self, remote: &Remote, dylib: DylibId) -> Result<Vec<u64>, ExecutorError> {
        let own = self.of.get(&dylib).into_iter().flatten().rev();
        let own: Vec<u64> = own.filter_map(|number| self.all.get(number).copied()).collect();
        let words: Vec<(u64, u64)> = own.iter().map(|address| (address + CLOSING, 1)).collect();
        remote.write_words(&words)?;
        Ok(own)
    }

    /// Takes the records of dylibs whose memory goes out of the executor.
    pub(super) fn forget(&mut self, remote: &Remote, dylibs: &[DylibId]) -> Result<(), ExecutorError> {
        let numbers: Vec<u64> = dylibs.iter().filter_map(|dylib| self.of.remove(dylib)).flatten().collect();
        let gone: Vec<u64> = numbers.iter().filter_map(|number| self.all.remove(number)).collect();
        let around = |number: &u64| {
            let before = self.all.range(..number).next_back().map_or(0, |(_, address)| *address);
            let after = self.all.range(number..).next().map_or(remote.list(), |(_, address)| address + BEFORE);
            (after, before)
        };
        let words: Vec<(u64, u64)> = numbers.iter().map(around).collect();
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
