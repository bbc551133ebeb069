//! Cases about systems that lack a part. A filter that is there first plays such a system.

use super::child::{Case, Place, call, denied};
use orc_rt::sandbox::{Part, SandboxError};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::fs;

pub(crate) const CASES: &[Case] = &[
    Case::new("without Landlock there is no sandbox", |place| {
        lack(libc::SYS_landlock_create_ruleset, libc::ENOSYS);
        refused(place, Part::Files, "Landlock");
    }),
    Case::new("with Landlock turned off there is no sandbox", |place| {
        lack(libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP);
        refused(place, Part::Files, "lsm=");
    }),
    Case::new("without seccomp there is no sandbox", |place| {
        lack(libc::SYS_seccomp, libc::EINVAL);
        refused(place, Part::Calls, "seccomp");
    }),
    Case::new("best effort without Landlock limits calls", without_landlock),
    Case::new("best effort without seccomp limits files", without_seccomp),
];

/// From now on the call answers with `errno`.
fn lack(number: i64, errno: i32) {
    let machine = std::env::consts::ARCH.try_into().expect("a known machine");
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(BTreeMap::from([(number, Vec::new())]), SeccompAction::Allow, answer, machine);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&program).expect("installed");
}

fn refused(place: &Place, missing: Part, word: &str) {
    let error = place.sandbox().enter().expect_err("a part is missing");
    assert!(matches!(error, SandboxError::Unsupported { part, .. } if part == missing), "{error:?}");
    assert!(error.to_string().contains(word), "{error}");
}

fn without_landlock(place: &Place) {
    let parent = rustix::process::getppid().expect("the test");
    lack(libc::SYS_landlock_create_ruleset, libc::ENOSYS);
    let entered = place.sandbox().best_effort().enter().expect("the rest");
    assert_eq!(entered.not_enforced(), [Part::Files]);
    denied("a socket", std::net::TcpListener::bind("127.0.0.1:0"), &[libc::EPERM]);
    // What Landlock would see is closed by the filter.
    let path = c"open/text".as_ptr() as usize;
    denied("truncation by path", call(libc::SYS_truncate, &[path, 0]), &[libc::EPERM]);
    denied("a signal", rustix::process::test_kill_process(parent).map_err(Into::into), &[libc::EPERM]);
    rustix::process::test_kill_process(rustix::process::getpid()).expect("itself");
    fs::read(place.at("secret/text")).expect("files are what is missing");
}

fn without_seccomp(place: &Place) {
    lack(libc::SYS_seccomp, libc::EINVAL);
    let entered = place.sandbox().best_effort().enter().expect("the rest");
    assert_eq!(entered.not_enforced(), [Part::Calls]);
    denied("the secret", fs::read(place.at("secret/text")), &[libc::EACCES]);
    // Landlock knows TCP from Linux 6.7, the rest of the network not at all.
    std::os::unix::net::UnixDatagram::pair().expect("calls are what is missing");
}
