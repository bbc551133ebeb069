//! How a session links: what is chosen once, when it is made.

use crate::cache::Cache;
use jitlink::Plugin;
use jitlink::graph::Spelling;
use orc_rt::Watchers;
use orc_rt::waits::REPORT_WAITS;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// How a session links.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Names that nobody defines are looked for in the executor's process.
    pub host_symbols: bool,
    /// What is linked is remembered for [`Session::link_map`](crate::Session::link_map).
    pub map: bool,
    /// A thread's wait for another thread's dylib, or for threads to leave one, is told when it has lasted so long, and again after each such time;
    /// zero: never. To whom: [`Session::on_wait`](crate::Session::on_wait).
    pub report_waits: Duration,
    /// Who is told of linked code besides: debuggers, profilers. By default whoever the environment names ([`Watchers::from_environment`]); a debugger that is
    /// attached is told in any case.
    pub watch: Watchers,
    /// Code that runs in this process and dies of a signal is told on standard error, with its callers, before the signal does what it does
    /// ([`crash`](mod@crate::crash)). Also set by `ORC_CRASH_REPORTS=1` in the environment. An executor elsewhere is told of in any case.
    pub crash_reports: bool,
    /// What backtraces of the process's own code need is kept, so that they have files and lines in frames of linked code: for
    /// [`orc_rt::names::show_to_process`]. Linked code that makes backtraces by itself needs nothing.
    pub backtraces: bool,
    /// Dylibs are linked lazily unless they say otherwise ([`JitDylib::link_lazily`](crate::JitDylib::link_lazily)).
    pub lazy: bool,
    /// Where linked images are kept for later sessions, of this process and of others ([`cache`](mod@crate::cache)).
    pub cache: Option<Cache>,
    /// How many threads may link at once, that of the caller among them; what comes out does not depend on it. `None`: one,
    /// and two where there are more than 4 MiB of relocations to read. Small links start none, and all have ended before linked code runs.
    pub jobs: Option<NonZeroUsize>,
    /// What becomes of names that nobody defines.
    pub undefined: Undefined,
    /// When references are shortened.
    pub relax: Relax,
    /// How names are spelled everywhere in the session: by default as C does, also where objects put an underscore before them.
    pub spelling: Spelling,
    /// The user's own passes. Images that they have to see come from no cache.
    pub plugins: Plugins,
}

/// What becomes of names that nobody defines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Undefined {
    /// They are an error, which tells all of them.
    #[default]
    Refused,
    /// They are null, as weak ones are.
    Null,
}

/// When loads from slots and merge sections become shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Relax {
    /// Before placing: what need not be made is not.
    #[default]
    Early,
    /// Loads when all addresses are known ([`jitlink::LinkOptions::relax_late`]); merge sections never.
    Late,
    /// Never: everything stays as the objects have it.
    Never,
}

/// Makes the passes of one image; it is given the name of the dylib.
pub type MakePlugin = dyn Fn(&str) -> Box<dyn Plugin> + Send + Sync;

/// Passes for every image that a session links.
///
/// ```
/// use jitlink::pass::{Plugin, PluginResult};
/// use jitlink::written::WrittenImage;
/// use orc_jit::{InProcess, Session, SessionOptions};
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// static LINKED: AtomicUsize = AtomicUsize::new(0);
///
/// /// Counts bytes.
/// struct Count;
/// impl Plugin for Count {
///     fn written(&mut self, image: &mut WrittenImage<'_, '_>) -> PluginResult {
///         let size: u64 = image.segments().iter().map(|segment| segment.size).sum();
///         LINKED.fetch_add(size as usize, Ordering::Relaxed);
///         Ok(())
///     }
/// }
///
/// let mut options = SessionOptions::default();
/// options.plugins.add(|_dylib| Box::new(Count));
/// let session = Session::new(InProcess::new(), options)?;
/// # Ok::<(), orc_jit::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Plugins(Vec<Arc<MakePlugin>>);

impl Plugins {
    /// Adds what `make` makes for each image, behind what was added before.
    pub fn add(&mut self, make: impl Fn(&str) -> Box<dyn Plugin> + Send + Sync + 'static) {
        self.0.push(Arc::new(make));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn for_dylib<'p>(&'p self, name: &'p str) -> impl Iterator<Item = Box<dyn Plugin>> + 'p {
        self.0.iter().map(move |make| make(name))
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} plugins", self.0.len())
    }
}

impl SessionOptions {
    /// Nothing is asked for that an image from the cache would not know of.
    pub(crate) fn links_as_usual(&self) -> bool {
        self.undefined == Undefined::Refused
            && self.relax == Relax::Early
            && self.spelling == Spelling::C
            && self.plugins.is_empty()
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            host_symbols: true,
            map: false,
            report_waits: REPORT_WAITS,
            watch: Watchers::from_environment(),
            crash_reports: false,
            backtraces: false,
            lazy: false,
            cache: None,
            jobs: None,
            undefined: Undefined::default(),
            relax: Relax::default(),
            spelling: Spelling::C,
            plugins: Plugins::default(),
        }
    }
}
