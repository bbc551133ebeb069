//! Instructions, as far as checks ask: how long they are, and their immediates by LLVM's numbering (the order of operands in an `MCInst`).
//!
//! **You give** a machine and bytes. **You get** an [`Instruction`]. Libraries decode; what is here counts their operands as LLVM does.

mod aarch64;
mod loongarch;
mod riscv;
mod x86;

use super::check::Instruction;
use jitlink::arch::Machine;

/// Decodes the first instruction of `bytes`.
pub(super) fn decode(machine: &Machine, bytes: &[u8]) -> Result<Instruction, String> {
    let decoded = match machine.name {
        "x86_64" => x86::decode(64, bytes),
        "i386" | "i686" => x86::decode(32, bytes),
        "aarch64" | "arm64" => aarch64::decode(bytes),
        "riscv64" => riscv::decode(raki::Isa::Rv64, bytes),
        "riscv32" => riscv::decode(raki::Isa::Rv32, bytes),
        "loongarch64" => loongarch::decode(bytes),
        other => return Err(format!("there is no decoder for {other}")),
    };
    decoded.ok_or_else(|| format!("the bytes {:02x?} are no instruction that is known", &bytes[..bytes.len().min(8)]))
}

/// What is no immediate.
const REGISTER: Option<i64> = None;

/// What `bytes` were decoded as is all of them, and has the immediate that rules ask for: its number and value.
#[cfg(test)]
#[track_caller]
fn check_immediate(decoded: Option<Instruction>, bytes: &[u8], number: usize, value: i64) {
    let decoded = decoded.expect("an instruction");
    assert_eq!(decoded.length, bytes.len() as u64, "{bytes:02x?}");
    assert_eq!(decoded.operands.get(number), Some(&Some(value)), "{bytes:02x?}: {:?}", decoded.operands);
}
