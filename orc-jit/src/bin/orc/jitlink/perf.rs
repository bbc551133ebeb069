//! `-perf-support`: where LLVM puts its jitdump, scripts look for ours.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What LLVM's folders for one process begin with.
const FOLDER: &str = "llvm-IR-jit-";

/// Has the jitdump written into a folder of its own in `$JITDUMPDIR/.debug/jit`, or in the home folder's: the runtime takes its folder from the environment, which
/// belongs to a process from its beginning, so this starts the program again.
///
/// # Errors
/// The folder cannot be made, or the program not be started; does not return otherwise, unless it was started so.
pub(super) fn in_llvms_folder() -> std::io::Result<()> {
    let given = std::env::var_os("JITDUMPDIR").map(PathBuf::from);
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDER));
    if given.as_ref().is_some_and(is_ours) {
        return Ok(());
    }
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let folder = given.or_else(home).unwrap_or_else(|| Path::new(".").into());
    let folder = folder.join(".debug/jit").join(format!("{FOLDER}{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let name: &OsStr = &name;
    Err(Command::new(std::env::current_exe()?).arg0(name).args(words).env("JITDUMPDIR", folder).exec())
}
