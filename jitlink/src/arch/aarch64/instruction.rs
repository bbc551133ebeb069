//! Which instruction stands somewhere, as far as rewriting has to know (*Arm Architecture Reference Manual*, C4.1).

pub(super) const NOP: u32 = 0xd503_201f;
/// `mrs x0, tpidr_el0`; the register is in the low five bits.
pub(super) const MRS_THREAD_POINTER: u32 = 0xd53b_d040;
/// `movz x0, #0`
pub(super) const MOVZ: u32 = 0xd280_0000;
/// `movz x0, #0, lsl #16`
pub(super) const MOVZ_16: u32 = 0xd2a0_0000;
/// `movk x0, #0`
pub(super) const MOVK: u32 = 0xf280_0000;
/// `add x0, x0, #0`
pub(super) const ADD: u32 = 0x9100_0000;
/// `add x0, x0, #0, lsl #12`
pub(super) const ADD_12: u32 = 0x9140_0000;
/// `add x0, x1, x0`
pub(super) const ADD_X0_X1_X0: u32 = 0x8b00_0020;

/// An instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instruction(pub(super) u32);

impl Instruction {
    /// The one at an offset, which may be any number.
    pub(super) fn at(content: &[u8], offset: usize) -> Option<Self> {
        let bytes = content.get(offset..)?.first_chunk()?;
        Some(Self(u32::from_le_bytes(*bytes)))
    }

    /// Puts it where [`Self::at`] found one; `false`, and nothing changed, where there is none.
    pub(super) fn put(self, content: &mut [u8], offset: usize) -> bool {
        let bytes = content.get_mut(offset..).and_then(|rest| rest.first_chunk_mut());
        bytes.map(|bytes| *bytes = self.0.to_le_bytes()).is_some()
    }

    fn is(self, mask: u32, bits: u32) -> bool {
        self.0 & mask == bits
    }

    /// The register that is written: bits 0 to 4.
    pub(super) fn rd(self) -> u32 {
        self.0 & 31
    }

    /// The first register that is read: bits 5 to 9.
    pub(super) fn rn(self) -> u32 {
        self.0 >> 5 & 31
    }

    /// `adr xd, label`
    pub(super) fn is_adr(self) -> bool {
        self.is(0x9f00_0000, 0x1000_0000)
    }

    /// `adrp xd, label`
    pub(super) fn is_adrp(self) -> bool {
        self.is(0x9f00_0000, 0x9000_0000)
    }

    /// `ldr xt, [xn, #imm]`, of a register that is not `xzr`.
    pub(super) fn is_load(self) -> bool {
        self.is(0xffc0_0000, 0xf940_0000) && self.rd() != 31
    }

    /// `ldr xt, label`
    pub(super) fn is_load_of_literal(self) -> bool {
        self.is(0xff00_0000, 0x5800_0000)
    }

    /// `ldr xt, [xn, xm]`
    pub(super) fn is_load_of_sum(self) -> bool {
        self.is(0xffe0_fc00, 0xf860_6800)
    }

    /// `add xd, xn, #imm`
    pub(super) fn is_add(self) -> bool {
        self.is(0xffc0_0000, ADD)
    }

    /// `add xd, xn, xm`
    pub(super) fn is_add_of_registers(self) -> bool {
        self.is(0xffe0_fc00, 0x8b00_0000)
    }

    /// `movz xd, #imm, lsl #16`, `movn xd, #imm, lsl #16`
    pub(super) fn is_move_16(self) -> bool {
        self.is(0xbfe0_0000, 0x92a0_0000)
    }

    /// `movk xd, #imm`
    pub(super) fn is_movk(self) -> bool {
        self.is(0xffe0_0000, MOVK)
    }

    /// `bl label`
    pub(super) fn is_call(self) -> bool {
        self.is(0xfc00_0000, 0x9400_0000)
    }

    /// `blr xn`
    pub(super) fn is_call_of_register(self) -> bool {
        self.is(0xffff_fc1f, 0xd63f_0000)
    }

    /// `b`, `bl`, `b.cond`, `cbz`, `cbnz`, `tbz`, `tbnz`
    pub(super) fn is_branch(self) -> bool {
        self.is(0x7c00_0000, 0x1400_0000) || self.is(0xff00_0000, 0x5400_0000) || self.is(0x7c00_0000, 0x3400_0000)
    }
}
