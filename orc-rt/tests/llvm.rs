//! What does LLVM's controller get from the services, and what is refused? Calls as they come over the wire, without the tool.
#![cfg(not(shuttle))]

#[path = "common/hardened.rs"]
mod hardened;

use dispatch::packed::{Status, Unpack};
use dispatch::{CallError, Caller, Registry, Reply, Setup, Tag, call_typed, packed};
use orc_rt::llvm::Services;
use orc_rt::{Config, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const READ: u8 = 1;
const WRITE: u8 = 2;
const EXEC: u8 = 4;
const PAGE: u64 = 4096;

/// A wrapper function that returns "no error", one zero byte: `xor eax, eax; mov edx, 1; ret`.
const SUCCEEDS: &[u8] = &[0x31, 0xc0, 0xba, 1, 0, 0, 0, 0xc3];
/// A wrapper function that returns the first eight bytes of its arguments: `mov rax, [rdi]; mov edx, 8; ret`.
const ECHOES: &[u8] = &[0x48, 0x8b, 0x07, 0xba, 8, 0, 0, 0, 0xc3];

type Segment<'a> = (u8, u64, u64, &'a [u8]);
type Action = (u64, Vec<u8>);

/// A controller beside its executor.
struct Controller {
    services: Arc<Services>,
    setup: Setup,
    instance: u64,
    _session: Arc<Session>,
}

impl Controller {
    fn new() -> Self {
        // SAFETY: nobody sends plans.
        let session = unsafe { Session::new(Config::new(Arc::new(Registry::new()))) };
        let services = Services::new(&session);
        let setup = Setup { symbols: services.symbols(), map: services.map(), ..Setup::default() };
        let instance = setup.symbol("__llvm_orc_SimpleExecutorMemoryManager_Instance").unwrap();
        Self { services, setup, instance, _session: session }
    }

    fn address(&self, name: &str) -> u64 {
        self.setup.symbol(name).unwrap_or_else(|| panic!("{name} is not in the Setup"))
    }

    fn call<R: for<'a> Unpack<'a>>(&self, name: &str, args: &impl packed::Pack) -> R {
        call_typed(&*self.services, Tag(self.address(name)), args).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn raw(&self, tag: u64, args: &impl packed::Pack) -> Result<Reply, CallError> {
        self.services.call(Tag(tag), &packed::to_bytes(args))
    }

    fn reserve(&self, size: u64) -> u64 {
        let name = "__llvm_orc_SimpleExecutorMemoryManager_reserve_wrapper";
        self.call::<Result<u64, String>>(name, &(self.instance, size)).unwrap()
    }

    fn finalize(&self, segments: &[Segment<'_>], actions: &[(Action, Action)]) -> Result<(), String> {
        let name = "__llvm_orc_SimpleExecutorMemoryManager_finalize_wrapper";
        let actions: Vec<(&Action, &Action)> = actions.iter().map(|(first, second)| (first, second)).collect();
        let mut args = packed::to_bytes(&self.instance);
        args.extend(packed::to_bytes(segments));
        args.extend((actions.len() as u64).to_le_bytes());
        for (first, second) in actions {
            args.extend(packed::to_bytes(first));
            args.extend(packed::to_bytes(second));
        }
        let reply = self.services.call(Tag(self.address(name)), &args).unwrap();
        packed::from_bytes::<Status>(reply.bytes().unwrap()).unwrap().0
    }

    fn deallocate(&self, bases: &[u64]) -> Result<(), String> {
        let name = "__llvm_orc_SimpleExecutorMemoryManager_deallocate_wrapper";
        self.call::<Status>(name, &(self.instance, bases.to_vec())).0
    }

    /// One page of code.
    fn code(&self, bytes: &[u8]) -> u64 {
        let base = self.reserve(PAGE);
        self.finalize(&[(READ | EXEC, base, bytes.len() as u64, bytes)], &[]).unwrap();
        base
    }
}

fn nothing() -> Action {
    (0, Vec::new())
}

#[test]
fn every_name_that_llvm_19_looks_for_is_there() {
    let controller = Controller::new();
    let names = [
        "__llvm_orc_SimpleRemoteEPC_dispatch_ctx",
        "__llvm_orc_SimpleRemoteEPC_dispatch_fn",
        "__llvm_orc_SimpleExecutorDylibManager_Instance",
        "__llvm_orc_SimpleExecutorDylibManager_open_wrapper",
        "__llvm_orc_SimpleExecutorDylibManager_lookup_wrapper",
        "__llvm_orc_SimpleExecutorMemoryManager_Instance",
        "__llvm_orc_SimpleExecutorMemoryManager_reserve_wrapper",
        "__llvm_orc_SimpleExecutorMemoryManager_finalize_wrapper",
        "__llvm_orc_SimpleExecutorMemoryManager_deallocate_wrapper",
        "__llvm_orc_ExecutorSharedMemoryMapperService_Instance",
        "__llvm_orc_ExecutorSharedMemoryMapperService_Reserve",
        "__llvm_orc_ExecutorSharedMemoryMapperService_Initialize",
        "__llvm_orc_ExecutorSharedMemoryMapperService_Deinitialize",
        "__llvm_orc_ExecutorSharedMemoryMapperService_Release",
        "__llvm_orc_bootstrap_mem_write_uint8s_wrapper",
        "__llvm_orc_bootstrap_mem_write_uint16s_wrapper",
        "__llvm_orc_bootstrap_mem_write_uint32s_wrapper",
        "__llvm_orc_bootstrap_mem_write_uint64s_wrapper",
        "__llvm_orc_bootstrap_mem_write_buffers_wrapper",
        "__llvm_orc_bootstrap_run_as_main_wrapper",
        "__llvm_orc_bootstrap_run_as_void_function_wrapper",
        "__llvm_orc_bootstrap_run_as_int_function_wrapper",
        "llvm_orc_registerEHFrameSectionWrapper",
        "llvm_orc_deregisterEHFrameSectionWrapper",
    ];
    for name in names {
        assert_ne!(controller.address(name), 0, "{name}");
    }
    assert_eq!(controller.setup.symbols.len(), names.len());
}

#[test]
fn functions_are_called_with_their_arguments() {
    let controller = Controller::new();
    // mov eax, edi; add eax, eax; ret
    let doubles = controller.code(&[0x89, 0xf8, 0x01, 0xc0, 0xc3]);
    let name = "__llvm_orc_bootstrap_run_as_int_function_wrapper";
    assert_eq!(controller.call::<i32>(name, &(doubles, -21i32)), -42);
    // mov eax, 7; ret
    let seven = controller.code(&[0xb8, 7, 0, 0, 0, 0xc3]);
    assert_eq!(controller.call::<i32>("__llvm_orc_bootstrap_run_as_void_function_wrapper", &seven), 7);
    // As a main it is given argc and argv: mov rax, [rsi + 8]; movzx eax, byte [rax]; add eax, edi; ret
    let main = controller.code(&[0x48, 0x8b, 0x46, 0x08, 0x0f, 0xb6, 0x00, 0x01, 0xf8, 0xc3]);
    let words = vec!["prog".to_owned(), "A".to_owned()];
    assert_eq!(controller.call::<i64>("__llvm_orc_bootstrap_run_as_main_wrapper", &(main, words)), 65 + 2);
}

#[test]
fn a_tag_is_called_only_where_this_controller_has_final_code() {
    let controller = Controller::new();
    let code = controller.code(ECHOES);
    assert_eq!(controller.raw(code, &0x1234_5678u64).unwrap().bytes(), Ok(&0x1234_5678u64.to_le_bytes()[..]));

    let data = controller.reserve(PAGE);
    controller.finalize(&[(READ | WRITE, data, 8, ECHOES.get(..8).unwrap())], &[]).unwrap();
    let elsewhere = SUCCEEDS.as_ptr() as u64;
    let of_the_system = libc::getpid as *const () as u64;
    for tag in [data, elsewhere, of_the_system, 0, 1, u64::MAX, code + PAGE] {
        assert_eq!(controller.raw(tag, &()), Err(CallError::UnknownTag(Tag(tag))), "{tag:#x}");
    }
    // What another controller has linked is nothing to this one.
    let other = Controller::new();
    assert_eq!(other.raw(code, &()), Err(CallError::UnknownTag(Tag(code))));
    controller.deallocate(&[code]).unwrap();
    assert_eq!(controller.raw(code, &()), Err(CallError::UnknownTag(Tag(code))));
}

#[test]
fn segments_are_checked_before_anything_is_final() {
    let controller = Controller::new();
    let refused = |segments: &dyn Fn(u64) -> Vec<Segment<'static>>, why: &str| {
        let base = controller.reserve(4 * PAGE);
        let error = controller.finalize(&segments(base), &[]).unwrap_err();
        assert!(error.contains(why), "{error}");
        // What failed is given back.
        assert!(controller.deallocate(&[base]).unwrap_err().contains("no memory was reserved"));
    };
    refused(&|base| vec![(READ | WRITE | EXEC, base, 8, &[])], "writable and executable");
    refused(&|base| vec![(READ | 0x40, base, 8, &[])], "protections that nobody knows");
    refused(&|base| vec![(READ, base, 2, b"four")], "more contents than bytes");
    refused(&|base| vec![(READ, base + 8, 8, &[])], "does not begin on a page");
    refused(&|base| vec![(READ, base, 4 * PAGE + 1, &[])], "beyond what was reserved");
    refused(&|base| vec![(READ, base, u64::MAX, &[])], "beyond what was reserved");
    refused(&|base| vec![(READ, base, PAGE + 1, &[]), (READ | EXEC, base + PAGE, 8, &[])], "shares a page");
    refused(&|base| vec![(READ, base, 8, &[]), (READ, base, 8, &[])], "shares a page");
    assert!(controller.finalize(&[(READ, 0x1000, 8, &[])], &[]).unwrap_err().contains("no memory was reserved"));
}

#[test]
fn what_contents_do_not_cover_is_zero_also_when_memory_is_used_again() {
    let controller = Controller::new();
    for round in 0..3 {
        let base = controller.reserve(2 * PAGE);
        let filled = vec![0xffu8; PAGE as usize];
        controller.call::<()>("__llvm_orc_bootstrap_mem_write_buffers_wrapper", &vec![(base, &filled[..])]);
        controller.finalize(&[(READ | WRITE, base, PAGE, &[1])], &[]).unwrap();
        // SAFETY: the page was just made final, readable.
        let bytes = unsafe { std::slice::from_raw_parts(base as *const u8, PAGE as usize) };
        assert!(bytes[0] == 1 && bytes[1..].iter().all(|&byte| byte == 0), "round {round}");
        controller.deallocate(&[base]).unwrap();
    }
}

#[test]
fn values_are_written_only_to_writable_memory_of_this_controller() {
    let controller = Controller::new();
    let base = controller.reserve(2 * PAGE);
    controller.finalize(&[(READ | WRITE, base, 64, &[]), (READ, base + PAGE, 64, &[])], &[]).unwrap();
    let write = |name: &str, args: &[u8]| {
        let tag = controller.address(&format!("__llvm_orc_bootstrap_mem_write_{name}_wrapper"));
        controller.services.call(Tag(tag), args).unwrap().into_bytes()
    };
    assert_eq!(write("uint8s", &packed::to_bytes(&vec![(base, 1u8)])), Ok(vec![]));
    assert_eq!(write("uint16s", &packed::to_bytes(&vec![(base + 2, 0x0203u16)])), Ok(vec![]));
    assert_eq!(write("uint32s", &packed::to_bytes(&vec![(base + 4, 4u32)])), Ok(vec![]));
    assert_eq!(write("uint64s", &packed::to_bytes(&vec![(base + 8, 5u64), (base + 16, 6u64)])), Ok(vec![]));
    // SAFETY: final, readable memory of 64 bytes.
    let bytes = unsafe { std::slice::from_raw_parts(base as *const u8, 24) };
    assert_eq!(bytes, [1, 0, 3, 2, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);

    let ours = 0u64;
    for address in [base + PAGE, base + 60, base + 64, base + 2 * PAGE, &raw const ours as u64, 0, u64::MAX - 3] {
        // One that is refused keeps the whole call from being done.
        let refused = write("uint64s", &packed::to_bytes(&vec![(base, 99u64), (address, 1u64)]));
        assert!(
            refused.as_ref().is_err_and(|error| error.contains("not writable memory")),
            "{address:#x}: {refused:?}"
        );
    }
    assert_eq!(bytes[0], 1);
    assert!(write("uint32s", &[9, 9]).unwrap_err().contains("could not be read"));
}

/// A function of this test cannot be an action, only services and linked code can: here it is code that appends to a log.
#[test]
fn actions_run_in_order_and_are_undone_in_reverse() {
    let controller = Controller::new();
    let log = controller.reserve(PAGE);
    controller.finalize(&[(READ | WRITE, log, 64, &[])], &[]).unwrap();
    // Reads (slot address: u64, value: u64) and appends: mov rax,[rdi]; mov rcx,[rax]; mov rdx,[rdi+8]; mov [rax+rcx*8+8],rdx; inc qword [rax];
    // xor eax,eax; mov edx,1; ret
    let append: &[u8] = &[
        0x48, 0x8b, 0x07, 0x48, 0x8b, 0x08, 0x48, 0x8b, 0x57, 0x08, 0x48, 0x89, 0x54, 0xc8, 0x08, 0x48, 0xff, 0x00,
        0x31, 0xc0, 0xba, 1, 0, 0, 0, 0xc3,
    ];
    let append = controller.code(append);
    let note = |value: u64| (append, packed::to_bytes(&(log, value)));
    let noted = || {
        // SAFETY: final, readable memory of 64 bytes.
        let words = unsafe { std::slice::from_raw_parts(log as *const u64, 8) };
        words[1..=words[0] as usize].to_vec()
    };
    let base = controller.reserve(PAGE);
    let pairs = [(note(1), note(11)), (nothing(), note(12)), (note(3), nothing())];
    controller.finalize(&[(READ, base, 8, &[])], &pairs).unwrap();
    assert_eq!(noted(), [1, 3]);
    controller.deallocate(&[base]).unwrap();
    assert_eq!(noted(), [1, 3, 12, 11]);

    // The second one fails: the first is undone, its own other half is not run.
    let reset =
        |value: u64| controller.call::<()>("__llvm_orc_bootstrap_mem_write_uint64s_wrapper", &vec![(log, value)]);
    reset(0);
    let base = controller.reserve(PAGE);
    let deregister = controller.address("llvm_orc_deregisterEHFrameSectionWrapper");
    let fails = (deregister, packed::to_bytes(&(base, base + 8)));
    let pairs = [(note(1), note(11)), (note(2), note(12)), (fails, note(13)), (note(4), note(14))];
    let error = controller.finalize(&[(READ, base, 8, &[])], &pairs).unwrap_err();
    assert!(error.contains("finalize action 3 of 4") && error.contains("no .eh_frame is registered"), "{error}");
    assert_eq!(noted(), [1, 2, 12, 11]);
    assert!(controller.deallocate(&[base]).is_err());

    // An action that nobody knows is no reason to call anything.
    let base = controller.reserve(PAGE);
    let unknown = (libc::abort as *const () as u64, vec![]);
    assert!(controller.finalize(&[(READ, base, 8, &[])], &[(unknown, nothing())]).is_err());

    // What is left is undone at the end, the latest first.
    reset(0);
    for value in [1, 2] {
        let base = controller.reserve(PAGE);
        controller.finalize(&[(READ, base, 8, &[])], &[(nothing(), note(value))]).unwrap();
    }
    controller.services.close().unwrap();
    assert_eq!(noted(), [2, 1]);
    controller.services.close().unwrap();
    assert_eq!(noted(), [2, 1], "only once");
}

#[test]
fn memory_is_given_back_once_and_the_last_first() {
    let controller = Controller::new();
    let bases: Vec<u64> = (0..3).map(|_| controller.reserve(PAGE)).collect();
    controller.deallocate(&bases).unwrap();
    let error = controller.deallocate(&bases[..1]).unwrap_err();
    assert!(error.contains("no memory was reserved"), "{error}");
    // The same pages serve again.
    assert!(bases.contains(&controller.reserve(PAGE)));
    assert!(
        controller
            .call::<Status>("__llvm_orc_SimpleExecutorMemoryManager_deallocate_wrapper", &(7u64, bases))
            .0
            .is_err()
    );
}

#[test]
fn memory_stays_while_a_call_is_inside() {
    static GO: AtomicU32 = AtomicU32::new(0);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    extern "C" fn wait() {
        INSIDE.store(1, Ordering::SeqCst);
        while GO.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    let controller = Controller::new();
    // push rbx; movabs rax, WAIT; call rax; mov eax, 5; pop rbx; ret
    let mut code = vec![0x53, 0x48, 0xb8];
    code.extend((wait as extern "C" fn() as usize as u64).to_le_bytes());
    code.extend([0xff, 0xd0, 0xb8, 5, 0, 0, 0, 0x5b, 0xc3]);
    let code = controller.code(&code);
    std::thread::scope(|scope| {
        let call = || controller.call::<i32>("__llvm_orc_bootstrap_run_as_void_function_wrapper", &code);
        let running = scope.spawn(call);
        while INSIDE.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let refused = [controller.deallocate(&[code]), controller.services.close()];
        GO.store(1, Ordering::SeqCst);
        assert_eq!(running.join().unwrap(), 5);
        for refused in refused {
            assert!(refused.as_ref().is_err_and(|error| error.contains("has not returned")), "{refused:?}");
        }
    });
    controller.deallocate(&[code]).unwrap();
}

#[test]
fn a_program_waits_for_what_is_on_its_way_but_not_for_ever() {
    let controller = Controller::new();
    let seven = controller.code(&[0xb8, 7, 0, 0, 0, 0xc3]);
    let run = || controller.call::<i32>("__llvm_orc_bootstrap_run_as_void_function_wrapper", &seven);
    let late = controller.reserve(PAGE);
    std::thread::scope(|scope| {
        let running = scope.spawn(run);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!running.is_finished(), "something is still to come");
        controller.finalize(&[(READ, late, 8, &[])], &[]).unwrap();
        assert_eq!(running.join().unwrap(), 7);
    });
    // What never comes keeps the first program for a while, and no other.
    controller.reserve(PAGE);
    assert_eq!(run(), 7);
    let started = std::time::Instant::now();
    assert_eq!(run(), 7);
    assert!(started.elapsed() < std::time::Duration::from_secs(1));
}

#[test]
fn symbols_come_from_the_process_and_from_libraries() {
    let controller = Controller::new();
    let open = |path: &str| {
        let name = "__llvm_orc_SimpleExecutorDylibManager_open_wrapper";
        controller.call::<Result<u64, String>>(name, &(controller.instance, path, 0u64))
    };
    let look_up = |library: u64, names: &[(&str, bool)]| {
        let name = "__llvm_orc_SimpleExecutorDylibManager_lookup_wrapper";
        controller.call::<Result<Vec<(u64, (u8, u8))>, String>>(name, &(controller.instance, library, names.to_vec()))
    };
    let process = open("").unwrap();
    const EXPORTED: (u8, u8) = (0x10, 0);
    let found = look_up(process, &[("getpid", true), ("nobody_has_this", false)]).unwrap();
    assert_eq!(found, [(libc::getpid as *const () as u64, EXPORTED), (0, (0, 0))]);
    let error = look_up(process, &[("getpid", true), ("nobody_has_this", true)]).unwrap_err();
    assert_eq!(error, "Missing definition for nobody_has_this");

    let library = open("libm.so.6").unwrap();
    assert_eq!(open("libm.so.6"), Ok(library));
    assert_ne!(look_up(library, &[("cos", true)]).unwrap()[0].0, 0);
    assert!(open("/nowhere/libnothing.so").unwrap_err().contains("libnothing.so"));
    for handle in [0, library + 1, u64::MAX] {
        assert!(look_up(handle, &[("getpid", true)]).unwrap_err().contains("no library was opened"), "{handle}");
    }
    // Of C++ only when somebody asks for it.
    assert_ne!(look_up(process, &[("_ZSt4cout", true)]).unwrap()[0].0, 0);
}

#[test]
fn arguments_that_cannot_be_read_do_nothing() {
    let controller = Controller::new();
    for (name, tag) in controller.setup.symbols.iter().filter(|(name, _)| name.to_lowercase().contains("wrapper")) {
        for args in [&[][..], &[1, 2, 3], &[0xff; 40]] {
            let reply = controller.services.call(Tag(*tag), args).unwrap();
            let failed = match reply.bytes() {
                Err(text) => text.contains("could not be read") || text.contains("no code"),
                // A result that has room for an error says it there: the flag of an error, or of an expected value.
                Ok(bytes) => bytes.len() > 9,
            };
            assert!(failed, "{name}: {args:?}: {reply:?}");
        }
    }
}

#[test]
fn all_of_this_holds_where_nothing_writable_may_become_executable() {
    hardened::everything_again();
}
