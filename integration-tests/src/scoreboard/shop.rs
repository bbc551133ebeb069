//! Where workloads are made and kept: `target/bench-workloads`, one folder each, rebuilt only when its recipe changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scoreboard::Result;

/// The folders and the number of hands.
#[derive(Debug)]
pub struct Shop {
    target: PathBuf,
    root: PathBuf,
    scratch: PathBuf,
    jobs: usize,
}

impl Shop {
    /// Finds the target folder from the running bench's or test's place in it; `jobs` compilers are to run at once.
    ///
    /// # Errors
    /// It does not lie in one, or the folders cannot be made.
    pub fn open(jobs: usize) -> Result<Self> {
        let target = target_folder()?;
        let root = target.join("bench-workloads");
        // File linkers write to memory where that is possible, so that no rival is charged for a disk.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let scratch = base.join(format!("orc-bench-{}", std::process::id()));
        for folder in [&root, &scratch] {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        Ok(Self { target, root, scratch, jobs })
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A path under `target/bench-workloads`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A path for what a run leaves behind; gone when the bench ends.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The folder `name`, made by `make` unless it was already made by the same recipe. The recipe is any text that changes when what
    /// `make` would do changes: flags, sources, versions.
    pub(crate) fn cached(&self, name: &str, recipe: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.path(name);
        let stamp = folder.join(".recipe");
        if fs::read_to_string(&stamp).is_ok_and(|kept| kept == recipe) {
            return Ok(folder);
        }
        eprintln!("making {}", folder.display());
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {e}", folder.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        make(&folder)?;
        write(&stamp, recipe)?;
        Ok(folder)
    }

    /// Runs independent commands, a few at once; the first failure ends it.
    pub(crate) fn all(&self, commands: Vec<Command>) -> Result<()> {
        let next = AtomicUsize::new(0);
        let commands: Vec<_> = commands.into_iter().map(Mutex::new).collect();
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(command) = commands.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if failure.lock().expect("no worker panics").is_some() {
                            return;
                        }
                        if let Err(message) = output(&mut command.lock().expect("each is taken once")) {
                            failure.lock().expect("no worker panics").get_or_insert(message);
                        }
                    }
                });
            }
        });
        failure.into_inner().expect("no worker panics").map_or(Ok(()), Err)
    }
}

/// Cargo's target folder: benches and tests run as `<target>/<profile>/deps/<name>`.
fn target_folder() -> Result<PathBuf> {
    let this = std::env::current_exe().map_err(|e| format!("cannot find this program itself: {e}"))?;
    this.ancestors().nth(3).map(Path::to_owned).ok_or_else(|| format!("{}: not in a target folder", this.display()))
}

/// Where figures go unless somebody says otherwise.
///
/// # Errors
/// This program does not lie in a target folder.
pub fn figures_path() -> Result<PathBuf> {
    Ok(target_folder()?.join("bench-workloads/rivals.csv"))
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Nothing sensible can be done about a scratch folder that stays.
        drop(fs::remove_dir_all(&self.scratch));
    }
}

/// Runs a command to its end and gives its standard output; a failure tells the command and the end of what it complained.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let lines: Vec<_> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n");
        return Err(format!("{name} failed ({}):\n{tail}", done.status));
    }
    String::from_utf8(done.stdout).map_err(|_| format!("{name} printed something that is not text"))
}

/// Writes a file whole; the error names it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The files of a folder that end in one of the extensions, in order of their names.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted)))
        .collect();
    found.sort();
    Ok(found)
}
