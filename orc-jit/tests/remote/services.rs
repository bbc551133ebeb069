//! Does a user's own service take ten lines on either side, and is everything else an error?
#![allow(clippy::print_stdout, reason = "a child tells its parent what happened")]

use crate::support::{Listener, World, spawn, wait_for};
use dispatch::transport::unix::{self, Unix};
use dispatch::{CallError, Caller as _, Tag, TagInUse, call_expected, call_typed};
use orc_jit::executor::remote::RemoteOptions;
use orc_jit::{InProcess, Remote, executor::Executor};
use orc_rt::serve;
use std::process::{Child, Command, Stdio};

/// Two numbers up, one back, and a text that does not fit into a register.
const CALLS: &str = r#"
int add(void) {
    unsigned long numbers[2] = {40, 2};
    Result result = CALL(7, numbers, sizeof numbers);
    return result.size == 8 ? *(unsigned long *)result.data.bytes : -1;
}
int greet(void) {
    struct { unsigned long size; char text[5]; } name = {5, "world"};
    Result result = CALL(8, &name, 13);
    int good = result.size == 8 + 13 && !memcmp(result.data.pointer + 8, "hello, world!", 13);
    free(result.data.pointer);
    return good;
}
static int says(Result result, const char *part) {
    int good = result.size == 0 && result.data.pointer && strstr(result.data.pointer, part);
    free(result.data.pointer);
    return good;
}
int unknown(void) { return says(CALL(9, "", 0), "no handler is registered for tag-0x9"); }
int malformed(void) { return says(CALL(7, "abc", 3), "could not be read"); }
int refused(void) { return says(CALL(10, "", 0), "not today"); }
"#;

fn serves_linked_code<E: Executor>(world: &World<E>) {
    let session = &world.session;
    session.serve(Tag(7), |(a, b): (u64, u64)| a + b).expect("a free tag");
    session.serve(Tag(8), |name: String| format!("hello, {name}!")).expect("a free tag");
    session.serve(Tag(10), |(): ()| -> u8 { panic!("not today") }).expect("a free tag");
    assert_eq!(session.serve(Tag(7), |(): ()| ()), Err(TagInUse(Tag(7))));
    world.c("main", CALLS);
    let main = world.open("main");
    assert_eq!(world.call(&main, "add"), 42);
    for check in ["greet", "unknown", "malformed"] {
        assert_eq!(world.call(&main, check), 1, "{check}");
    }
}

#[test]
fn linked_code_calls_a_service_of_the_session_from_every_process() {
    serves_linked_code(&World::over(InProcess::new()));
    serves_linked_code(&World::at(&spawn()));
    serves_linked_code(&World::at(&Listener::tcp().place()));
}

#[test]
fn a_service_that_panics_is_an_error_over_there() {
    let world = World::at(&spawn());
    serves_linked_code(&world);
    let main = world.open("main");
    assert_eq!(world.call(&main, "refused"), 1);
    assert_eq!(world.call(&main, "add"), 42, "the session goes on");
}

/// A process of the user's own, with a service of its own: this test again.
struct Custom {
    child: Child,
    _folder: tempfile::TempDir,
}

const SOCKET: &str = "ORC_JIT_TEST_SOCKET";

impl Custom {
    fn start() -> (Self, Unix) {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listener = unix::Listener::bind(&path).expect("a socket");
        let child = Command::new(std::env::current_exe().expect("this test's program"))
            .args(["services::a_custom_executor", "--exact", "--nocapture", "--test-threads=1"])
            .env(SOCKET, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let transport = listener.accept().expect("it connects");
        (Self { child, _folder: folder }, transport)
    }
}

impl Drop for Custom {
    fn drop(&mut self) {
        // It ends with its connection; a test that failed may still have that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_custom_executor() {
    if let Ok(path) = std::env::var(SOCKET) {
        // SAFETY: whoever listens there is the test.
        let executor = unsafe { serve::Executor::new() };
        executor.services().serve(Tag(0x1234), |(a, b): (u64, u64)| a * b).expect("a free tag");
        let connected = executor.over(Unix::connect(path).expect("it listens")).expect("it connects");
        let Err(error) = connected.run();
        panic!("no thread: {error}");
    }
    let (mut custom, transport) = Custom::start();
    let world = World::over(Remote::over(transport, RemoteOptions::default()).expect("an executor"));
    assert_eq!(world.process(), custom.child.id());
    let peer = world.session.executor().peer();
    assert_eq!(call_typed::<_, u64>(&peer, Tag(0x1234), &(6u64, 7u64)), Ok(42));
    let unknown = call_typed::<_, u64>(&peer, Tag(0x1235), &(6u64, 7u64)).expect_err("nobody serves it");
    assert_eq!(unknown, CallError::Failed("no handler is registered for tag-0x1235".into()));
    let short = call_expected::<_, u64>(&peer, Tag(0x1234), &1u8).expect_err("too short").to_string();
    assert!(short.contains("could not be read"), "{short}");

    world.c("main", "BOTH(\"main\") int main(void) { return getpid() == gettid() ? 1 : 5; }");
    assert_eq!(world.run("main").expect("it runs"), 5, "the thread that calls run() is not that process's first");
    assert_eq!(world.trace(), ["main", "~main"]);
    drop((peer, world));
    wait_for("the end of the executor", || custom.child.try_wait().is_ok_and(|status| status.is_some()));
    let status = custom.child.try_wait().expect("a child").expect("it has ended");
    assert_eq!(status.code(), Some(0), "a goodbye was said");
}

#[test]
fn a_custom_executor_ends_with_a_connection_that_is_lost() {
    let (mut custom, transport) = Custom::start();
    let cut = dispatch::layer::fault::Fault::new(transport).cut_at(6);
    // Setup there and here, ATTACH and its answer; then two more.
    let mut options = RemoteOptions::default();
    options.heartbeat = None;
    let world = World::over(Remote::over(cut, options).expect("an executor"));
    let peer = world.session.executor().peer();
    assert_eq!(call_typed::<_, u64>(&peer, Tag(0x1234), &(6u64, 7u64)), Ok(42));
    assert!(matches!(peer.call(Tag(0x1234), b""), Err(CallError::Disconnected(_))));
    wait_for("the end of the executor", || custom.child.try_wait().is_ok_and(|status| status.is_some()));
    assert_eq!(custom.child.try_wait().expect("a child").expect("it has ended").code(), Some(124));
}
