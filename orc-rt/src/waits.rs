//! Waits that last are told (rule 13): who waits for what, who has it, what that thread does there and what it waits for itself.
//!
//! A thread that waits notes it here, wakes up when a report is due, and gives a [`WaitReport`] to whoever wants to hear it; when it was
//! told that a wait lasts, it is told that it is over as well. Not for deciding who waits: that is the loader's.

use crate::context;
use crate::sync::leaf;
use dispatch::packed::{Pack, Reader, Unpack};
use dispatch::{PackError, packed_struct};
use dylib_graph::VisitorId;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hears of waits that last. Called on a thread that waits, with no lock held: what it does makes the wait no shorter.
pub type WaitHook = Arc<dyn Fn(&WaitReport) + Send + Sync>;

/// Waits that last as long are told, unless somebody says otherwise.
pub const REPORT_WAITS: Duration = Duration::from_secs(5);
/// How many threads a report names.
pub(crate) const MOST_HOLDERS: usize = 8;
/// When nothing is to be told.
const NEVER: Duration = Duration::from_secs(3600);

packed_struct! {
    /// A wait that lasts, or has lasted and is over. Prints as a sentence.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct WaitReport {
        /// The same in every report of one wait of one session.
        pub wait: u64,
        /// Who waits.
        pub waiter: ThreadName,
        /// For what.
        pub awaited: Awaited,
        /// The JITDylibs concerned, by name.
        pub dylibs: Vec<String>,
        /// For how long, in milliseconds.
        pub milliseconds: u64,
        /// It is over, and nothing more of it will be told.
        pub over: bool,
        /// Who has it, then who has what that one waits for, and so on, as far as it is known; nobody when it is over.
        pub holders: Vec<Holder>,
    }

    /// A thread, as its process names it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ThreadName {
        /// Its name; empty when it has none.
        pub name: String,
        /// The system's number of it.
        pub number: u32,
    }

    /// A thread that others wait for, and why.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Holder {
        /// The thread.
        pub thread: ThreadName,
        /// What it does.
        pub activity: Activity,
        /// With which JITDylib; empty when that is not known.
        pub dylib: String,
        /// The initializer or finalizer that it is in: its address, and its name as in the object file, if known.
        pub function: Option<(u64, String)>,
        /// For how long, in milliseconds.
        pub milliseconds: u64,
        /// What it waits for itself, in words; empty for nothing that is known here.
        pub waits_for: String,
    }
}

/// Enums that travel as one byte; a number that is not known is the first.
macro_rules! by_number {
    ($(#[$meta:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$each])* $variant = $number,)*
        }

        impl Pack for $name {
            fn pack(&self, out: &mut Vec<u8>) {
                (*self as u8).pack(out);
            }
        }

        impl<'a> Unpack<'a> for $name {
            const MIN_SIZE: usize = 1;
            fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
                Ok(match u8::unpack(reader)? {
                    $($number => Self::$variant,)*
                    _ => Self::default(),
                })
            }
        }
    };
}

by_number! {
    /// What a thread waits for.
    Awaited {
        /// Another thread to initialize a dylib.
        #[default]
        Initialization = 0,
        /// A dylib to be gone, so that it can be opened anew.
        Unload = 1,
        /// Its turn to have the controller plan an open, an update or an unload.
        Planning = 2,
        /// Threads to leave dylibs, so that these can be closed.
        Inside = 3,
        /// The same, but nobody stands still: dylibs are unloaded, and their memory stays for those inside.
        Memory = 4,
        /// Another thread to be through with `exit`.
        Exit = 5,
    }
}

by_number! {
    /// What a thread does that others wait for.
    Activity {
        /// It has the dylib in hand, and runs nothing of it at this moment.
        #[default]
        HasIt = 0,
        /// It runs initializers.
        Initializes = 1,
        /// It runs finalizers.
        Finalizes = 2,
        /// It waits for the controller's plan.
        Plans = 3,
        /// It is inside of a call ([`Keepalive`](crate::Keepalive)).
        Calls = 4,
        /// It runs `main`.
        RunsProgram = 5,
        /// It has destructors of thread-local objects to run when it ends.
        HasThreadLocals = 6,
        /// It was started with a function of the dylib.
        WasStarted = 7,
        /// It ends the program.
        Exits = 8,
    }
}

/// All waits of one session.
pub(crate) struct Waits {
    /// In milliseconds, 0 for never.
    every: AtomicU64,
    hook: leaf::Mutex<Option<WaitHook>>,
    next: AtomicU64,
    now: leaf::Mutex<BTreeMap<u64, Noted>>,
}

/// Who waits for what at this moment.
#[derive(Debug, Clone)]
struct Noted {
    visitor: VisitorId,
    awaited: Awaited,
    dylibs: Vec<String>,
}

/// A wait. Dropped when it is over, with no lock held.
pub(crate) struct Wait<'a> {
    waits: &'a Waits,
    number: u64,
    since: Instant,
    due: Option<Instant>,
    told: bool,
}

impl Waits {
    pub(crate) fn new(every: Duration, hook: Option<WaitHook>) -> Self {
        let waits = Self {
            every: AtomicU64::new(0),
            hook: leaf::Mutex::new(hook),
            next: AtomicU64::new(1),
            now: leaf::Mutex::default(),
        };
        waits.report_every(every);
        waits
    }

    /// For waits that begin from now on; zero for never.
    pub(crate) fn report_every(&self, every: Duration) {
        let milliseconds = every.as_millis().try_into().unwrap_or(u64::MAX);
        self.every.store(if every.is_zero() { 0 } else { milliseconds.max(1) }, Ordering::Relaxed);
    }

    pub(crate) fn every(&self) -> Option<Duration> {
        let every = self.every.load(Ordering::Relaxed);
        (every != 0).then(|| Duration::from_millis(every))
    }

    pub(crate) fn set_hook(&self, hook: Option<WaitHook>) {
        *self.hook.lock() = hook;
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, visitor: VisitorId, awaited: Awaited, dylibs: Vec<String>) -> Wait<'_> {
        let number = self.next_number();
        self.now.lock().insert(number, Noted { visitor, awaited, dylibs });
        let since = Instant::now();
        Wait { waits: self, number, since, due: self.every().and_then(|every| since.checked_add(every)), told: false }
    }

    /// What a thread waits for, in words.
    pub(crate) fn of(&self, visitor: VisitorId) -> String {
        let now = self.now.lock();
        let noted = now.values().rev().find(|noted| noted.visitor == visitor);
        noted.map(|noted| words(noted.awaited, &noted.dylibs)).unwrap_or_default()
    }

    pub(crate) fn tell(&self, report: &WaitReport) {
        let hook = self.hook.lock().clone();
        match hook {
            Some(hook) => hook(report),
            // Nobody else would say it. A standard error that is gone cannot be told of that.
            None => drop(writeln!(std::io::stderr(), "{report}")),
        }
    }
}

impl Wait<'_> {
    /// What it is about has changed.
    pub(crate) fn now_for(&mut self, awaited: Awaited, dylibs: Vec<String>) {
        if let Some(noted) = self.waits.now.lock().get_mut(&self.number) {
            noted.awaited = awaited;
            noted.dylibs = dylibs;
        }
    }

    /// How long until it has to be told.
    pub(crate) fn left(&self) -> Duration {
        self.due.map_or(NEVER, |due| due.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Tells it, once for each period. With no lock held.
    pub(crate) fn report(&mut self, holders: impl FnOnce(&Waits) -> Vec<Holder>) {
        self.told = true;
        let holders = holders(self.waits);
        self.tell(false, holders);
        self.due = self.waits.every().and_then(|every| Instant::now().checked_add(every));
    }

    fn tell(&self, over: bool, holders: Vec<Holder>) {
        let Some(Noted { visitor, awaited, dylibs }) = self.waits.now.lock().get(&self.number).cloned() else { return };
        self.waits.tell(&WaitReport {
            wait: self.number,
            waiter: thread_name(visitor),
            awaited,
            dylibs,
            milliseconds: milliseconds(self.since),
            over,
            holders,
        });
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.told {
            self.tell(true, Vec::new());
        }
        self.waits.now.lock().remove(&self.number);
    }
}

pub(crate) fn milliseconds(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

/// The thread that has the right to plan.
pub(crate) fn planner(visitor: VisitorId, since: Instant) -> Holder {
    Holder {
        thread: thread_name(visitor),
        activity: Activity::Plans,
        milliseconds: milliseconds(since),
        ..Holder::default()
    }
}

/// The thread behind a visitor of this process.
pub(crate) fn thread_name(visitor: VisitorId) -> ThreadName {
    let number = context::thread_of(visitor);
    let name = std::fs::read_to_string(format!("/proc/self/task/{number}/comm")).unwrap_or_default();
    ThreadName { name: name.trim_end().to_owned(), number }
}

/// As in "waits for ...".
fn words(awaited: Awaited, dylibs: &[String]) -> String {
    let dylibs = match dylibs {
        [] => "a JITDylib".to_owned(),
        [one] => format!("JITDylib {one}"),
        [first, rest @ ..] => format!("JITDylib {first} and {} more", rest.len()),
    };
    match awaited {
        Awaited::Initialization => format!("{dylibs} to be initialized"),
        Awaited::Unload => format!("{dylibs} to be unloaded"),
        Awaited::Planning => "its turn to open, update or unload".to_owned(),
        Awaited::Inside => format!("all threads to leave {dylibs}"),
        Awaited::Memory => format!("all threads to leave {dylibs}, so that the memory can go"),
        Awaited::Exit => "another thread's exit".to_owned(),
    }
}

struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            milliseconds @ ..1000 => write!(f, "{milliseconds} ms"),
            milliseconds => write!(f, "{} s", milliseconds / 1000),
        }
    }
}

impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => write!(f, "thread {}", self.number),
            name => write!(f, "thread {name} ({})", self.number),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, activity, dylib, function, milliseconds, waits_for } = self;
        let function = match function {
            Some((address, name)) if name.is_empty() => format!("the one at {address:#x}"),
            Some((address, name)) => format!("{name} at {address:#x}"),
            None => "none at this moment".to_owned(),
        };
        write!(f, "{thread} ")?;
        match activity {
            Activity::HasIt => write!(f, "has {dylib} in hand"),
            Activity::Initializes => write!(f, "runs the initializers of {dylib} ({function})"),
            Activity::Finalizes => write!(f, "runs the finalizers of {dylib} ({function})"),
            Activity::Plans => write!(f, "waits for the controller's plan"),
            Activity::Calls => write!(f, "is inside of a call of {dylib}"),
            Activity::RunsProgram => write!(f, "runs the main of {dylib}"),
            Activity::HasThreadLocals => write!(f, "has thread-local objects of {dylib}, until it ends"),
            Activity::WasStarted => write!(f, "was started with a function of {dylib} and has not ended"),
            Activity::Exits => write!(f, "ends the program"),
        }?;
        if *milliseconds > 0 {
            write!(f, ", for {}", Seconds(*milliseconds))?;
        }
        match &**waits_for {
            "" => Ok(()),
            what => write!(f, ", and waits for {what}"),
        }
    }
}

impl fmt::Display for WaitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waiter, awaited, dylibs, milliseconds, over, holders, .. } = self;
        let (what, time) = (words(*awaited, dylibs), Seconds(*milliseconds));
        match (over, awaited) {
            (true, Awaited::Memory) => return write!(f, "the wait for {what} is over after {time}"),
            (true, _) => return write!(f, "{waiter} has waited for {what}: it is over after {time}"),
            (false, Awaited::Memory) => write!(f, "for {time}, an unload by {waiter} has waited for {what}")?,
            (false, _) => write!(f, "{waiter} has waited {time} for {what}")?,
        }
        for (index, holder) in holders.iter().enumerate() {
            write!(f, "{} {holder}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("every", &self.every()).field("now", &*self.now.lock()).finish_non_exhaustive()
    }
}

#[cfg(not(shuttle))]
#[cfg(test)]
mod tests {
    use super::*;
    use dispatch::packed::{from_bytes, to_bytes};

    fn report() -> WaitReport {
        let thread = |name: &str, number| ThreadName { name: name.into(), number };
        WaitReport {
            wait: 7,
            waiter: thread("lane-1", 71),
            awaited: Awaited::Initialization,
            dylibs: vec!["b".into()],
            milliseconds: 5400,
            over: false,
            holders: vec![
                Holder {
                    thread: thread("orc", 70),
                    activity: Activity::Initializes,
                    dylib: "b".into(),
                    function: Some((0x1000, "start_b".into())),
                    milliseconds: 6000,
                    waits_for: "JITDylib a to be initialized".into(),
                },
                Holder { thread: thread("", 72), dylib: "a".into(), ..Holder::default() },
            ],
        }
    }

    #[test]
    fn a_report_is_a_sentence_with_names() {
        let text = "thread lane-1 (71) has waited 5 s for JITDylib b to be initialized: thread orc (70) runs the initializers of b \
                    (start_b at 0x1000), for 6 s, and waits for JITDylib a to be initialized; thread 72 has a in hand";
        assert_eq!(report().to_string(), text);
        let over = WaitReport { over: true, milliseconds: 7000, holders: vec![], ..report() };
        let text = "thread lane-1 (71) has waited for JITDylib b to be initialized: it is over after 7 s";
        assert_eq!(over.to_string(), text);
    }

    #[test]
    fn a_report_survives_the_wire() {
        assert_eq!(from_bytes(&to_bytes(&report())), Ok(report()));
        let bytes = to_bytes(&report());
        assert!((0..bytes.len()).all(|length| from_bytes::<WaitReport>(&bytes[..length]).is_err()));
    }

    #[test]
    fn a_wait_is_told_when_it_is_due_and_when_it_is_over() {
        let told = Arc::new(leaf::Mutex::new(Vec::new()));
        let hook: WaitHook = Arc::new({
            let told = Arc::clone(&told);
            move |report| told.lock().push((report.over, report.waiter.number))
        });
        let waits = Waits::new(Duration::from_millis(1), Some(hook));
        let me = context::visitor();
        drop(waits.begin(me, Awaited::Unload, vec!["quick".into()]));
        assert!(told.lock().is_empty(), "a wait that does not last is not told");
        let mut wait = waits.begin(me, Awaited::Unload, vec!["slow".into()]);
        std::thread::sleep(Duration::from_millis(3));
        assert!(wait.is_due());
        assert_eq!(waits.of(me), "JITDylib slow to be unloaded");
        wait.report(|_| Vec::new());
        assert!(wait.left() <= Duration::from_millis(1));
        drop(wait);
        let number = context::thread_of(me);
        assert_eq!(*told.lock(), [(false, number), (true, number)]);
        assert_eq!(waits.of(me), "");
    }

    #[test]
    fn zero_means_never() {
        let waits = Waits::new(Duration::ZERO, None);
        let wait = waits.begin(context::visitor(), Awaited::Exit, Vec::new());
        assert!(!wait.is_due() && wait.left() == NEVER && waits.every().is_none());
    }
}
