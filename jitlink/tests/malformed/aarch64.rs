//! Sound objects for aarch64 to damage: every sort of relocation, thread-local sequences, call frames with their augmentations.

use super::support::compile_with;

pub(crate) fn objects() -> Vec<Vec<u8>> {
    let c = "
        extern int other(int); static const char *const names[] = {\"one\", \"two\", \"three\"}; int shared; __thread int own = 3;
        const char *name(unsigned n) { switch (n) { case 0: case 7: return names[other(1)]; case 9: return \"two\"; case 4: return names[own]; } return names[n % 3]; }
        __attribute__((constructor(200))) static void start(void) { shared = other(2); }
        __attribute__((weak)) int maybe(void); int try(void) { return maybe ? maybe() : -1; }
        int count(void) { return __atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST); }
    ";
    let cpp = "
        extern \"C\" int other(int);
        template<class T> T twice(T x) { if (x == T{}) throw \"null\"; return x + x; }
        struct Base { virtual ~Base(); virtual int f() { return 1; } }; Base::~Base() {}
        inline int counter = 7;
        int use(Base& b) { try { return twice(b.f()) + counter++; } catch (const char *text) { return text[0]; } }
        struct Global { int x; Global() : x(other(3)) {} ~Global() { other(x); } } global;
    ";
    let everything = "
        .section .text.f,\"axG\",@progbits,sig,comdat
        .weak f
        f: .cfi_startproc
        .cfi_personality 0x9b, ref
        .cfi_lsda 0x1b, .Ltable
        .cfi_b_key_frame
        .cfi_negate_ra_state
        bl g
        b other
        b.ne f
        cbz x0, other
        tbnz x1, #40, other
        adrp x0, x
        add x0, x0, :lo12:x
        ldrb w1, [x0, :lo12:x]
        ldrh w1, [x0, :lo12:x]
        ldr w1, [x0, :lo12:x]
        ldr x1, [x0, :lo12:x]
        ldr q1, [x0, :lo12:aligned]
        adrp x2, :got:x
        ldr x2, [x2, :got_lo12:x]
        adrp x3, _GLOBAL_OFFSET_TABLE_
        ldr x3, [x3, :gotpage_lo15:x]
        ldr x4, :got:x
        adr x5, f
        ldr x6, f
        movz x7, #:abs_g3:x
        movk x7, #:abs_g2_nc:x
        movk x7, #:abs_g1_nc:x
        movk x7, #:abs_g0_nc:x
        movz x8, #:prel_g2:x
        movk x8, #:prel_g1_nc:x
        movk x8, #:prel_g0_nc:x
        movz x9, #:abs_g1_s:low
        adrp x0, :tlsdesc:v
        ldr x1, [x0, :tlsdesc_lo12:v]
        add x0, x0, :tlsdesc_lo12:v
        .tlsdesccall v
        blr x1
        adrp x2, :gottprel:v
        ldr x2, [x2, :gottprel_lo12:v]
        add x3, x3, :tprel_hi12:v
        add x3, x3, :tprel_lo12_nc:v
        ldr w3, [x3, :tprel_lo12_nc:v]
        movz x4, #:tprel_g1:v
        movk x4, #:tprel_g0_nc:v
        add x3, x3, :dtprel_hi12:v
        add x3, x3, :dtprel_lo12_nc:v
        ret
        .cfi_endproc
        .section .gcc_except_table,\"aG\",@progbits,sig,comdat
        .Ltable: .word 1
        .section .data.rel.ro,\"aw\"
        ref: .quad personality
        .data
        .globl x, p
        .balign 16
        aligned: x: .quad 1
        p: .quad f, i, __start_set, __stop_set, __dso_handle, s, s+3, .Ls2
        .word x - ., f@PLT - .
        .hword x - .
        .byte 1
        .set low, 0x1234
        .section .rodata.str,\"aMS\",@progbits,1
        s: .string \"text\"
        .Ls2: .string \"more\"
        .section .rodata.cst8,\"aM\",@progbits,8
        .quad 1, 2, 1
        .section set,\"aw\"
        .quad 1
        .section list,\"ao\",@progbits,.text.f
        .quad f
        .section .init_array.5,\"aw\",@init_array
        .quad g
        .section .tdata,\"awT\"
        .word 1
        v: .word 2
        .bss
        .zero 64
        .comm shared, 16, 32
        .text
        .globl g, i
        g: ret
        .type i, @gnu_indirect_function
        i: adr x0, g
        ret
    ";
    let clang = |language, flags: &[&str], source| {
        compile_with("clang-19", language, &[&["--target=aarch64-linux-gnu"], flags].concat(), source)
    };
    let pic = ["-O2", "-ffunction-sections", "-fdata-sections", "-fPIC", "-mbranch-protection=standard"];
    vec![
        clang("assembler", &[], everything),
        clang("c", &pic, c),
        clang("c", &["-O0", "-fno-pic", "-mno-outline-atomics"], c),
        clang("c++", &["-O1", "-g"], cpp),
        clang(
            "assembler",
            &[],
            ".data\n.globl q\nq: .quad x, p\n.section set,\"aw\"\n.quad 2\n.section .rodata.str,\"aMS\",@progbits,1\n.globl s2\ns2: .string \"text\"",
        ),
    ]
}
