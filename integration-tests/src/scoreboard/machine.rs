//! The machine in words: figures without it mean nothing.

use super::shop::output;
use std::fs;
use std::process::Command;

/// Processor, cores, memory, system, kernel, compilers, load.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = field(&cpus, "model name", ':').unwrap_or("unknown processor");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kib: u64 = field(&memory, "MemTotal", ':').and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0);
    let release = read("/etc/os-release");
    let system = field(&release, "PRETTY_NAME", '=').unwrap_or("unknown system").trim_matches('"');
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let virtual_machine = if cpus.contains(" hypervisor") { ", virtual machine" } else { "" };
    format!(
        "{count} x {model}{virtual_machine}, {} GB, {system}, Linux {}, {}, load {load} at start",
        kib.div_ceil(1 << 20),
        kernel.trim(),
        compilers().join(", ")
    )
}

/// What the workloads and ours were compiled with.
pub fn compilers() -> Vec<String> {
    ["gcc", "rustc"]
        .into_iter()
        .filter_map(|name| {
            let told = output(Command::new(name).arg("--version")).ok()?;
            Some(told.lines().next()?.to_owned())
        })
        .collect()
}

fn field<'a>(text: &'a str, key: &str, separator: char) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(separator)?.1.trim())
}
