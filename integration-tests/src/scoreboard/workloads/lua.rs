//! W3: Lua as an archive of 32 members, of which a driver needs all but a few.

use std::process::Command;

use super::{LIBM, Workload, sources};
use crate::scoreboard::Result;
use crate::scoreboard::shop::{Shop, files, output, write};

const DRIVER: &str = include_str!("../../../benches/programs/lua_main.c");
const SCRIPT: &str = include_str!("../../../benches/programs/script.lua");
// Without __ELF__ Lua leaves its internal functions at default visibility; llvm-jitlink 19 knows no STV_INTERNAL and would refuse them all.
const FLAGS: &[&str] = &["-O2", "-fPIC", "-DLUA_USE_POSIX", "-U__ELF__", "-c"];

pub(super) fn make(shop: &Shop) -> Result<Workload> {
    let package = sources::package(shop, "lua-src")?;
    let lua = std::fs::read_dir(&package)
        .map_err(|e| format!("{}: {e}", package.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lua-5.4")))
        .ok_or("lua-src ships no Lua 5.4")?;
    let recipe = format!("{} {FLAGS:?}\n{DRIVER}{SCRIPT}", lua.display());
    let folder = shop.cached("W3", &recipe, |folder| {
        write(&folder.join("lua_main.c"), DRIVER)?;
        write(&folder.join("script.lua"), SCRIPT)?;
        let members = folder.join("members");
        std::fs::create_dir(&members).map_err(|e| format!("{}: {e}", members.display()))?;
        output(Command::new("gcc").args(FLAGS).arg("-I").arg(&lua).arg("lua_main.c").current_dir(folder))?;
        output(Command::new("gcc").args(FLAGS).args(files(&lua, &["c"])?).current_dir(&members))?;
        output(Command::new("ar").arg("rcs").arg("liblua.a").args(files(&members, &["o"])?).current_dir(folder))
            .map(drop)
    })?;
    Ok(Workload {
        name: "W3",
        what: "Lua: main + archive of 32",
        objects: vec![folder.join("lua_main.o")],
        archives: vec![folder.join("liblua.a")],
        inputs_for_jitlink: None,
        dylibs: None,
        libraries: &[LIBM],
        args: vec![folder.join("script.lua").display().to_string()],
        stdin: None,
        expected: None,
        floor: None,
    })
}
