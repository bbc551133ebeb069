//! Files in directories that everyone may write to, which are surely new and this user's.
//!
//! You give a path; you get a file that did not exist before, for this user only. What was there goes if it is this user's, as the file of an earlier process with the same
//! number is; a link is never followed. Not for files that are shared.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes the file at `path`, for reading and writing.
///
/// # Errors
/// Something is there that cannot be removed (in a sticky directory: what belongs to somebody else), or the directory does not take files.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    create().or_else(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        remove_file(path)?;
        create()
    })
}

#[cfg(test)]
mod tests {
    use super::create;
    use std::fs::{read, write};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_is_there_is_replaced_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (precious, path) = (folder.path().join("precious"), folder.path().join("perf-1.map"));
        write(&precious, "kept").expect("written");
        symlink(&precious, &path).expect("linked");
        for _ in 0..2 {
            let mut file = create(&path).expect("made anew");
            file.write_all(b"new").expect("written");
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read(&precious).expect("there"), b"kept");
        assert_eq!(read(&path).expect("there"), b"new");
    }

    #[test]
    fn what_cannot_be_removed_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("perf-1.map");
        std::fs::create_dir(&path).expect("made");
        assert!(create(&path).is_err());
        assert!(path.is_dir());
    }
}
