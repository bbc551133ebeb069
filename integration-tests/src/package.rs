//! Sources that cargo packages ship: `@PACKAGE/FOLDER/*.c` in a directive becomes their paths.
//!
//! The packages stand in `programs/Cargo.toml` and its lock file; cargo itself fetches them and says where they are.

use crate::workplace::Workplace;
use crate::{Failure, context, tool};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Replaces a pattern by what it names, sorted: `@PACKAGE/PATH` lies in a cargo package, a path with a `*` in the case's folder.
/// Any other word stays as it is.
///
/// # Errors
/// An unknown package, a pattern that matches nothing, or cargo cannot fetch the package.
pub fn expand(workplace: &Workplace, folder: &Path, word: &str) -> Result<Vec<String>, Failure> {
    let Some(rest) = word.strip_prefix('@') else {
        return if word.contains('*') { matches(folder, word, "") } else { Ok(vec![word.to_owned()]) };
    };
    static FOLDERS: OnceLock<Result<HashMap<String, PathBuf>, Failure>> = OnceLock::new();
    let folders = FOLDERS.get_or_init(|| folders(&workplace.package.join("programs/Cargo.toml")));
    let folders = folders.as_ref().map_err(Clone::clone)?;
    let (package, pattern) = rest.split_once('/').ok_or_else(|| format!("`{word}` wants @PACKAGE/PATH"))?;
    let root = folders.get(package).ok_or_else(|| format!("`{word}`: programs/Cargo.toml does not name {package}"))?;
    let prefix = format!("{}/", root.display());
    if pattern.contains('*') {
        return matches(root, pattern, &prefix);
    }
    let path = root.join(pattern);
    if path.exists() { Ok(vec![prefix + pattern]) } else { Err(format!("`{word}`: {} is not there", path.display())) }
}

/// Files of `root` that a pattern with one `*` in its last part names, as paths from there with `prefix` before.
fn matches(root: &Path, pattern: &str, prefix: &str) -> Result<Vec<String>, Failure> {
    let (parent, name) = pattern.rsplit_once('/').map_or(("", pattern), |(parent, name)| (parent, name));
    let (before, after) =
        name.split_once('*').ok_or_else(|| format!("`{pattern}`: only the last part may have a `*`"))?;
    let folder = root.join(parent);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(context(folder.display()))? {
        let file = entry.map_err(context(folder.display()))?.file_name().to_string_lossy().into_owned();
        if file.len() >= before.len() + after.len() && file.starts_with(before) && file.ends_with(after) {
            let slash = if parent.is_empty() { "" } else { "/" };
            found.push(format!("{prefix}{parent}{slash}{file}"));
        }
    }
    found.sort();
    if found.is_empty() { Err(format!("`{pattern}` names nothing in {}", root.display())) } else { Ok(found) }
}

/// Package name to the folder of its manifest.
fn folders(manifest: &Path) -> Result<HashMap<String, PathBuf>, Failure> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|error| tool::cannot_start("cargo", &error))?;
    if !output.status.success() {
        return Err(format!("cargo cannot bring the programs' sources:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let pairs = packages.iter().filter_map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some((package["name"].as_str()?.to_owned(), manifest.parent()?.to_owned()))
    });
    Ok(pairs.collect())
}
