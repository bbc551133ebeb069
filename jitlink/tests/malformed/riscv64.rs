//! Sound objects for riscv64 to damage: every relocation type, padding, pairs.

use super::support::compile_with;

pub(crate) fn objects() -> Vec<Vec<u8>> {
    let c = "
        extern int other(int); static const char *const names[] = {\"one\", \"two\", \"three\"}; int shared; __thread int own = 3;
        const char *name(unsigned n) { switch (n) { case 0: case 7: return names[other(1)]; case 9: return \"two\"; case 4: return names[own]; case 5: return names[1] + 1; } return names[n % 3]; }
        __attribute__((constructor(200))) static void start(void) { shared = other(2); }
        __attribute__((weak)) int maybe(void); int try(void) { return maybe ? maybe() : -1; }
        int sum(int *p, int n) { int s = 0; for (int i = 0; i < n; i++) s += p[i]; return s; }
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
        .option relax
        .section .text.f,\"axG\",@progbits,sig,comdat
        .weak f
        f: .cfi_startproc
        .cfi_personality 0x9b, ref
        .cfi_lsda 0x1b, .Ltable
        call g
        .p2align 4
        .Lafter: la a0, x
        lla a1, x
        sw a1, x, t0
        .cfi_def_cfa_offset 16
        la.tls.ie a2, v
        la.tls.gd a0, v
        call __tls_get_addr
        lui a0, %hi(x)
        addi a0, a0, %lo(x)
        sw a0, %lo(x)(a0)
        lui a0, %tprel_hi(v)
        add a0, a0, tp, %tprel_add(v)
        sw a0, %tprel_lo(v)(a0)
        .Ldesc: auipc a2, %tlsdesc_hi(v)
        ld a3, %tlsdesc_load_lo(.Ldesc)(a2)
        addi a0, a2, %tlsdesc_add_lo(.Ldesc)
        jalr t0, 0(a3), %tlsdesc_call(.Ldesc)
        beqz a0, f
        bne a0, t6, .Lafter
        jal ra, f
        j f
        ret
        .Lend:
        .cfi_endproc
        .section .gcc_except_table,\"aG\",@progbits,sig,comdat
        .Ltable: .word 1
        .uleb128 .Lend - .Lafter
        .section .data.rel.ro,\"aw\"
        ref: .quad personality
        .data
        .globl x, p
        x: .quad 1
        p: .quad f, i, __start_set, __stop_set, __dso_handle, s, s+3, .Ls2
        .word x, x - .
        .word .Lend - .Lafter, f - p
        .half .Lend - .Lafter
        .byte .Lend - .Lafter
        .quad g - f
        .word f@plt - .
        .word f@gotpcrel
        .byte 1
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
        c.nop
        .p2align 5
        g: ret
        .type i, @gnu_indirect_function
        i: lla a0, g
        ret
    ";
    let clang = |language, flags: &[&str], source| {
        let target = ["--target=riscv64-linux-gnu", "-march=rv64gc"];
        compile_with("clang-19", language, &[&target, flags].concat(), source)
    };
    vec![
        clang("assembler", &[], everything),
        clang("c", &["-O2", "-ffunction-sections", "-fdata-sections", "-fPIC"], c),
        clang("c", &["-O0", "-fno-pic", "-mcmodel=medlow"], c),
        clang("c++", &["-O1", "-g"], cpp),
        clang(
            "assembler",
            &[],
            ".data\n.globl q\nq: .quad x, p\n.section set,\"aw\"\n.quad 2\n.section .rodata.str,\"aMS\",@progbits,1\n.globl s2\ns2: .string \"text\"",
        ),
    ]
}
