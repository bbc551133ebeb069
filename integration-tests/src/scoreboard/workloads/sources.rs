//! C sources that cargo packages ship, fetched by cargo itself.

use std::path::PathBuf;
use std::process::Command;

use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, output, write};

// Exact versions: a scoreboard is compared with yesterday's.
const MANIFEST: &str = r#"[package]
name = "bench-sources"
version = "0.0.0"
edition = "2021"

[dependencies]
libsqlite3-sys = "=0.39.1"
lua-src = "=551.1.0"

[lib]
path = "lib.rs"

[workspace]
"#;

/// The folder of a package's sources.
pub(super) fn package(shop: &Shop, name: &str) -> Result<PathBuf> {
    let folder = shop.cached("sources", MANIFEST, |folder| {
        write(&folder.join("Cargo.toml"), MANIFEST)?;
        write(&folder.join("lib.rs"), "")?;
        output(cargo().arg("fetch").current_dir(folder)).map(drop)
    })?;
    let told = output(cargo().args(["metadata", "--format-version", "1"]).current_dir(&folder))?;
    let told: serde_json::Value = serde_json::from_str(&told).map_err(|e| format!("cargo metadata: {e}"))?;
    let found = told["packages"].as_array().into_iter().flatten().find(|package| package["name"] == name);
    let manifest = found.and_then(|package| package["manifest_path"].as_str());
    let manifest = PathBuf::from(manifest.ok_or_else(|| format!("cargo metadata does not know {name}"))?);
    Ok(manifest.parent().ok_or("a manifest without a folder")?.to_owned())
}

/// The cargo that runs this bench.
pub(super) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
