//! Typed symbols of this process: functions and variables that cannot outlive their dylib.
//!
//! `unsafe` because an address becomes a function or a reference of a type that only the caller can know.
#![allow(unsafe_code)]

use crate::dylib::Opened;
use crate::error::Error;
use crate::executor::InProcess;
use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A symbol of an open dylib, usable as a `T` for as long as the dylib is open. What guards it is its lifetime; where other code may close
/// more than it has opened, [`Opened::keepalive_at`] keeps the memory all the same.
///
/// `T` is what a pointer can be: an `extern "C" fn` type, or a raw pointer to a variable. A symbol cannot outlive its dylib:
///
/// ```compile_fail,E0505
/// # fn main() -> Result<(), orc_jit::Error> {
/// # let session = orc_jit::Session::in_process()?;
/// let plugin = session.open("plugin")?;
/// // SAFETY: plugin.c defines `void start(void)`.
/// let start = unsafe { plugin.symbol::<extern "C" fn()>("start")? };
/// plugin.close()?;
/// start();
/// # Ok(())
/// # }
/// ```
pub struct Symbol<'dylib, T> {
    address: *const c_void,
    life: PhantomData<(&'dylib (), T)>,
}

impl Opened<InProcess> {
    /// The symbol `name` as a `T`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), orc_jit::Error> {
    /// let session = orc_jit::Session::in_process()?;
    /// session.add_dylib("plugin")?.add_object_file("plugin.o")?;
    /// let plugin = session.open("plugin")?;
    /// // SAFETY: plugin.c defines `int add(int, int)`.
    /// let add = unsafe { plugin.symbol::<extern "C" fn(i32, i32) -> i32>("add")? };
    /// assert_eq!(add(2, 3), 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Safety
    /// `T` must be the type of the symbol: for a function its exact `extern` type, for a variable a pointer to its type.
    ///
    /// # Errors
    /// When nobody defines it, when it is null (a weak symbol), or when `T` is not of a pointer's size.
    pub unsafe fn symbol<T: Copy>(&self, name: &str) -> Result<Symbol<'_, T>, Error> {
        let fail = |reason| Error::Type { symbol: name.to_owned(), type_name: std::any::type_name::<T>(), reason };
        if size_of::<T>() != size_of::<*const c_void>() || align_of::<T>() != align_of::<*const c_void>() {
            return Err(fail("it does not have the size of a pointer"));
        }
        let address = self.address(name)?;
        if address == 0 {
            return Err(fail("it is a weak symbol that nobody defines"));
        }
        let address = std::ptr::with_exposed_provenance(address as usize);
        Ok(Symbol { address, life: PhantomData })
    }
}

impl<T> Symbol<'_, T> {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> *const c_void {
        self.address
    }
}

impl<T: Copy> Deref for Symbol<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the field holds a non-null pointer, `T` has its size and alignment (checked when the symbol was made), and the
        // maker promised that the symbol is a `T`.
        unsafe { &*(&raw const self.address).cast::<T>() }
    }
}

impl<T> fmt::Debug for Symbol<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({:p})", self.address)
    }
}
