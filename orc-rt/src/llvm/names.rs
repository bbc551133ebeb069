//! The names under which LLVM 19's controller looks for its executor's services, and the C functions behind them.
//!
//! A tag is the address of such a function: the controller sends it in calls, gives it away in finalize actions, and linked code may call it. Each service
//! is a real wrapper function, which finds the [`Services`] that are meant; calls that arrive over the wire go to these directly.
//!
//! `unsafe` because this is where C pointers come in.
#![allow(unsafe_code)]

use super::Services;
use crate::context;
use crate::sync::leaf::RwLock;
use crate::sync::{Arc, Weak};
use crate::wrapper::{self, Wrapper, WrapperResult};
use dispatch::{Reply, Tag};
use std::collections::BTreeMap;

/// What can be asked of an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Service {
    OpenLibrary,
    Lookup,
    Reserve,
    Finalize,
    Deallocate,
    SharedReserve,
    SharedInitialize,
    SharedDeinitialize,
    SharedRelease,
    Write8,
    Write16,
    Write32,
    Write64,
    WriteBuffers,
    RegisterFrames,
    DeregisterFrames,
    RunMain,
    RunFunction,
    RunIntFunction,
    RegisterObject,
}

use Service as S;

/// Service, name in the Setup, function.
static TABLE: &[(Service, &str, Wrapper)] = &[
    (S::OpenLibrary, "__llvm_orc_SimpleExecutorDylibManager_open_wrapper", entry::<{ S::OpenLibrary as usize }>),
    (S::Lookup, "__llvm_orc_SimpleExecutorDylibManager_lookup_wrapper", entry::<{ S::Lookup as usize }>),
    (S::Reserve, "__llvm_orc_SimpleExecutorMemoryManager_reserve_wrapper", entry::<{ S::Reserve as usize }>),
    (S::Finalize, "__llvm_orc_SimpleExecutorMemoryManager_finalize_wrapper", entry::<{ S::Finalize as usize }>),
    (S::Deallocate, "__llvm_orc_SimpleExecutorMemoryManager_deallocate_wrapper", entry::<{ S::Deallocate as usize }>),
    (S::SharedReserve, "__llvm_orc_ExecutorSharedMemoryMapperService_Reserve", entry::<{ S::SharedReserve as usize }>),
    (
        S::SharedInitialize,
        "__llvm_orc_ExecutorSharedMemoryMapperService_Initialize",
        entry::<{ S::SharedInitialize as usize }>,
    ),
    (
        S::SharedDeinitialize,
        "__llvm_orc_ExecutorSharedMemoryMapperService_Deinitialize",
        entry::<{ S::SharedDeinitialize as usize }>,
    ),
    (S::SharedRelease, "__llvm_orc_ExecutorSharedMemoryMapperService_Release", entry::<{ S::SharedRelease as usize }>),
    (S::Write8, "__llvm_orc_bootstrap_mem_write_uint8s_wrapper", entry::<{ S::Write8 as usize }>),
    (S::Write16, "__llvm_orc_bootstrap_mem_write_uint16s_wrapper", entry::<{ S::Write16 as usize }>),
    (S::Write32, "__llvm_orc_bootstrap_mem_write_uint32s_wrapper", entry::<{ S::Write32 as usize }>),
    (S::Write64, "__llvm_orc_bootstrap_mem_write_uint64s_wrapper", entry::<{ S::Write64 as usize }>),
    (S::WriteBuffers, "__llvm_orc_bootstrap_mem_write_buffers_wrapper", entry::<{ S::WriteBuffers as usize }>),
    (S::RegisterFrames, "llvm_orc_registerEHFrameSectionWrapper", entry::<{ S::RegisterFrames as usize }>),
    (S::DeregisterFrames, "llvm_orc_deregisterEHFrameSectionWrapper", entry::<{ S::DeregisterFrames as usize }>),
    (S::RunMain, "__llvm_orc_bootstrap_run_as_main_wrapper", entry::<{ S::RunMain as usize }>),
    (S::RunFunction, "__llvm_orc_bootstrap_run_as_void_function_wrapper", entry::<{ S::RunFunction as usize }>),
    (S::RunIntFunction, "__llvm_orc_bootstrap_run_as_int_function_wrapper", entry::<{ S::RunIntFunction as usize }>),
];

/// Wrapper functions that are not in the Setup: the controller looks them up in the process.
static LOOKED_UP: &[(Service, &str, Wrapper)] = &[
    (S::RegisterObject, "llvm_orc_registerJITLoaderGDBWrapper", entry::<{ S::RegisterObject as usize }>),
    (S::RegisterObject, "llvm_orc_registerJITLoaderGDBAllocAction", entry::<{ S::RegisterObject as usize }>),
];

/// Names whose value is passed back as the first argument of the services beside them.
const INSTANCES: [&str; 3] = [
    "__llvm_orc_SimpleExecutorDylibManager_Instance",
    "__llvm_orc_SimpleExecutorMemoryManager_Instance",
    "__llvm_orc_ExecutorSharedMemoryMapperService_Instance",
];

/// Every name of the Setup and its value. `instance` is the session's number.
pub(super) fn symbols(instance: u64) -> Vec<(String, u64)> {
    let services = TABLE.iter().map(|&(_, name, function)| (name, address(function)));
    let own = [
        ("__llvm_orc_SimpleRemoteEPC_dispatch_ctx", instance),
        ("__llvm_orc_SimpleRemoteEPC_dispatch_fn", dispatch as *const () as u64),
    ];
    let all = services.chain(INSTANCES.map(|name| (name, instance))).chain(own);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The address of a wrapper function that the controller looks up by name.
pub(super) fn looked_up(name: &str) -> Option<u64> {
    LOOKED_UP.iter().find(|(_, known, _)| *known == name).map(|&(_, _, function)| address(function))
}

/// The service at an address.
pub(super) fn service_at(tag: u64) -> Option<Service> {
    let mut all = TABLE.iter().chain(LOOKED_UP);
    all.find(|&&(_, _, function)| address(function) == tag).map(|&(service, ..)| service)
}

fn address(function: Wrapper) -> u64 {
    function as *const () as u64
}

/// The C face of service number `N`.
///
/// # Safety
/// `data` points to `size` bytes.
unsafe extern "C-unwind" fn entry<const N: usize>(data: *const u8, size: usize) -> WrapperResult {
    // SAFETY: the caller's promise.
    let args = unsafe { wrapper::arguments(data, size) };
    let named = TABLE.iter().chain(LOOKED_UP).find(|(service, ..)| *service as usize == N);
    let reply = match (the_one_that_is_meant(), named) {
        (Some(services), Some(&(service, ..))) => services.serve(service, args),
        _ => Reply::error("no session of LLVM's controller has called this code"),
    };
    WrapperResult::of(&reply)
}

/// The way from linked code to the controller, `WrapperResult (void *context, const void *tag, const char *args, size_t size)`.
///
/// LLVM's runtime asks for initializers and for `main` here, and calls what it gets: which may need what is not final yet, see [`programs`](super::programs).
///
/// # Safety
/// `data` points to `size` bytes.
unsafe extern "C-unwind" fn dispatch(context: u64, tag: u64, data: *const u8, size: usize) -> WrapperResult {
    // SAFETY: the caller's promise.
    let args = unsafe { wrapper::arguments(data, size) };
    let services = ALL.read().get(&context).and_then(Weak::upgrade);
    let Some(services) = services else {
        return WrapperResult::error("no session of LLVM's controller has this context");
    };
    let reply = services.session.dispatch(Tag(tag), args);
    services.memory.settle();
    match reply {
        Ok(reply) => WrapperResult::of(&reply),
        Err(error) => WrapperResult::error(&error.to_string()),
    }
}

/// By session number.
static ALL: RwLock<BTreeMap<u64, Weak<Services>>> = RwLock::new(BTreeMap::new());

pub(super) fn announce(number: u64, services: &Weak<Services>) {
    ALL.write().insert(number, services.clone());
}

pub(super) fn withdraw(number: u64) {
    ALL.write().remove(&number);
}

/// The services whose code this thread is running, or the only ones there are.
pub(super) fn the_one_that_is_meant() -> Option<Arc<Services>> {
    let all = ALL.read();
    if let Some((session, _)) = context::running() {
        return all.get(&session.dispatch_context())?.upgrade();
    }
    let mut alive = all.values().filter_map(Weak::upgrade);
    let first = alive.next()?;
    alive.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::{LOOKED_UP, Service, TABLE, address, service_at};

    #[test]
    fn each_service_is_found_by_its_own_address() {
        for &(service, name, function) in TABLE.iter().chain(LOOKED_UP) {
            assert_eq!(service_at(address(function)), Some(service), "{name}");
        }
        assert_eq!(service_at(address(TABLE[0].2) + 1), None::<Service>);
    }
}
