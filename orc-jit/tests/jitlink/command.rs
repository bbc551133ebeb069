//! Does the command line mean what it means to llvm-jitlink?

use super::support::Bench;

const MAIN: &str = ".globl main\nmain: xorl %eax, %eax\nretq\n";
const MAIN_CALLS: &str = ".globl main\nmain: subq $8, %rsp\ncallq f@plt\naddq $8, %rsp\nretq\n";
const RETURNS: &str = ".globl f\nf: movl $42, %eax\nretq\n";

#[test]
fn options_have_one_dash_or_two_and_stand_anywhere() {
    let bench = Bench::new();
    bench.object("a.o", MAIN_CALLS);
    bench.object("b.o", ".globl g\ng: movl $42, %eax\nretq\n.globl f\nf: retq\n");
    for line in [
        "-noexec a.o b.o",
        "--noexec a.o b.o",
        "a.o b.o -noexec=true",
        "a.o -entry=g b.o --noexec",
        "--entry g a.o b.o -noexec -noexec",
        "-entry nobody -entry g a.o b.o -noexec",
    ] {
        bench.both(&line.split(' ').collect::<Vec<_>>(), 0);
    }
    for line in ["-noexec -frob a.o b.o", "--no-exec a.o b.o", "-noexec=maybe a.o b.o", "a.o b.o -noexec -entry"] {
        bench.both(&line.split(' ').collect::<Vec<_>>(), 1);
    }
    bench.both(&[], 1);
    bench.both(&["-noexec"], 1);
    assert_eq!(bench.orc(&["-help"]).status, Some(0));
}

#[test]
fn the_entry_is_looked_up_and_only_what_it_reaches_is_linked() {
    let bench = Bench::new();
    bench.object("a.o", MAIN);
    bench.object("b.o", ".globl f\nf: callq nobody@plt\n");
    bench.both(&["-noexec", "a.o", "b.o"], 0);
    let told = bench.both(&["-noexec", "-entry", "f", "a.o", "b.o"], 1);
    assert_eq!(told.stderr, "llvm-jitlink error: Symbols not found: [ nobody ]\n");
    let told = bench.both(&["-noexec", "-entry", "g", "a.o", "b.o"], 1);
    assert_eq!(told.stderr, "llvm-jitlink error: Symbols not found: [ g ]\n");
    let told = bench.both(&["-noexec", "b.o"], 1);
    assert_eq!(told.stderr, "llvm-jitlink error: Symbols not found: [ main ]\n");
    bench.both(&["-noexec", "-entry", "f", "-phony-externals", "a.o", "b.o"], 0);
    bench.both(&["-noexec", "-entry", "f", "-abs", "nobody=0x10", "a.o", "b.o"], 0);
}

#[test]
fn what_two_files_define_is_an_error_though_nobody_needs_it() {
    let bench = Bench::new();
    bench.object("a.o", MAIN);
    bench.object("b.o", ".globl f\nf: retq\n");
    bench.object("c.o", ".globl f\nf: retq\n");
    let told = bench.both(&["-noexec", "a.o", "b.o", "c.o"], 1);
    assert!(told.stderr.starts_with("llvm-jitlink error: In c.o, duplicate definition of f"), "{}", told.stderr);
    bench.both(&["-noexec", "a.o", "b.o", "-abs", "f=0x1"], 1);
    bench.object("d.o", ".weak f\nf: retq\n");
    bench.both(&["-noexec", "a.o", "b.o", "d.o"], 0);
}

#[test]
fn inputs_are_what_their_bytes_and_names_say() {
    let bench = Bench::new();
    bench.object("a.o", MAIN);
    std::fs::copy(bench.path("a.o"), bench.path("a.a")).unwrap();
    bench.write("text.o", "no object\n");
    bench.write("empty.o", "");
    bench.write("cut.o", &std::fs::read(bench.path("a.o")).unwrap()[..100]);
    for line in
        ["-noexec a.o a.a", "-noexec a.o text.o", "-noexec a.o empty.o", "-noexec cut.o", "-noexec a.o absent.o"]
    {
        let told = bench.both(&line.split(' ').collect::<Vec<_>>(), 1);
        assert!(told.stderr.starts_with("llvm-jitlink error: "), "{line}: {}", told.stderr);
        assert_eq!(told.stderr.lines().count(), 1, "{line}: {}", told.stderr);
    }
}

#[test]
fn archives_give_what_is_needed() {
    let bench = Bench::new();
    bench.object("a.o", MAIN_CALLS);
    bench.object("f.o", RETURNS);
    bench.object("broken.o", ".globl h\nh: callq nobody@plt\n");
    bench.tool("llvm-ar-19", &["rc", "libf.a", "f.o", "broken.o"]);
    std::fs::create_dir(bench.path("dir")).unwrap();
    std::fs::copy(bench.path("libf.a"), bench.path("dir/libg.a")).unwrap();
    for line in
        ["a.o libf.a", "-L. a.o -lf", "a.o -L . -l f", "-Ldir -lg a.o", "a.o -L. -hidden-lf", "-load_hidden libf.a a.o"]
    {
        bench.both(&line.split(' ').chain(["-noexec"]).collect::<Vec<_>>(), 0);
        bench.both(&line.split(' ').collect::<Vec<_>>(), 42);
    }
    for line in [
        "-noexec a.o -lf",
        "-noexec a.o -L. -lnone",
        "-noexec a.o -La.o -lf",
        "-noexec a.o -Labsent libf.a",
        "-noexec -load_hidden a.o a.o",
    ] {
        bench.both(&line.split(' ').collect::<Vec<_>>(), 1);
    }
}

#[test]
fn dylibs_see_what_they_link_against() {
    let bench = Bench::new();
    bench.object("a.o", MAIN_CALLS);
    bench.object("f.o", RETURNS);
    bench.object("calls_g.o", ".globl f\nf: jmp g@plt\n");
    bench.object("g.o", ".globl g\ng: movl $7, %eax\nretq\n");
    bench.tool("llvm-ar-19", &["rc", "libg.a", "g.o"]);
    bench.both(&["a.o", "-lB", "-jd", "B", "f.o"], 42);
    bench.both(&["-jd", "B", "f.o", "-jd", "main", "a.o", "-lB"], 42);
    bench.both(&["-noexec", "a.o", "-jd", "B", "f.o"], 1);
    bench.both(&["a.o", "-lB", "-jd", "B", "calls_g.o", "-lC", "-jd", "C", "g.o"], 7);
    // llvm-jitlink says the same of the next two, and exits with 0.
    let told = bench.orc(&["-noexec", "a.o", "-lB", "-lC", "-jd", "B", "calls_g.o", "-jd", "C", "g.o"]);
    assert_eq!(
        (told.status, told.stderr.as_str()),
        (
            Some(1),
            "llvm-jitlink error: Symbols not found: [ g ]
"
        )
    );
    // Hidden definitions are those of the dylib that the archive was given to.
    bench.both(&["a.o", "calls_g.o", "-load_hidden", "libg.a"], 7);
    let told = bench.orc(&["-noexec", "a.o", "calls_g.o", "-lB", "-jd", "B", "-load_hidden", "libg.a", "f.o"]);
    assert_eq!(
        (told.status, told.stderr.as_str()),
        (
            Some(1),
            "llvm-jitlink error: Symbols not found: [ g ]
"
        )
    );
    bench.both(&["a.o", "calls_g.o", "-lB", "-jd", "B", "libg.a"], 7);
}

#[test]
fn names_are_given_on_the_command_line() {
    let bench = Bench::new();
    bench.object("a.o", MAIN_CALLS);
    bench.object("g.o", ".globl g\ng: movl $7, %eax\nretq\n");
    bench.write("rules.txt", "# jitlink-check: f = 0x123456789abcdef0\n# jitlink-check: small = 17\n");
    let absolute = ["-noexec", "a.o", "-check", "rules.txt", "-abs", "f=0x123456789abcdef0", "-abs", "small=17"];
    bench.both(&absolute, 0);
    bench.both(&["a.o", "g.o", "-alias", "f=g"], 7);
    bench.both(&["-noexec", "a.o", "g.o", "-alias", "f=nobody"], 1);
    bench.both(&["-noexec", "a.o", "-abs", "f"], 1);
    bench.both(&["-noexec", "a.o", "-abs", "f=x"], 1);
    let across = ["a.o", "-alias", "main:f=B:g", "-jd", "B", "g.o"];
    assert_eq!(bench.orc(&across).status, Some(7));
}

#[test]
fn slabs_pretend_to_be_anywhere() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\nmain: retq\n.data\n.globl d\nd: .quad main\n");
    let slab =
        ["-noexec", "a.o", "-check", "rules.txt", "-slab-allocate", "64Kb", "-slab-page-size", "4096", "-slab-address"];
    bench.write("rules.txt", "# jitlink-check: *{8}d = main\n");
    for address in ["0", "0xfff00000", "4096", "0x7fffffff0000", "0xfffffffffff00000"] {
        bench.both(&[&slab[..], &[address]].concat(), 0);
    }
    bench.write("rules.txt", "# jitlink-check: main[63:16] = 0xfff0\n# jitlink-check: d[63:16] = 0xfff0\n");
    bench.both(&[&slab[..], &["0xfff00000"]].concat(), 0);
    for line in [
        "-noexec -slab-address 0 a.o",
        "-slab-allocate 64Kb -slab-address 0 a.o",
        "-noexec -slab-page-size 4096 a.o",
        "-noexec -slab-allocate x a.o",
        "-oop-executor -slab-allocate 64Kb a.o",
    ] {
        bench.both(&line.split(' ').collect::<Vec<_>>(), 1);
    }
    let told = bench.orc(&["-noexec", "a.o", "-slab-allocate", "4Kb", "-slab-page-size", "4096", "-slab-address", "0"]);
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("the slab of 0x1000 bytes has no room"), "{}", told.stderr);
}

#[test]
fn what_is_out_of_range_is_told_in_one_shape() {
    let bench = Bench::new();
    for (field, kind) in
        [(".long far", "Pointer32"), (".short far", "Pointer16"), (".byte far", "Pointer8"), (".long far-.", "Delta32")]
    {
        bench.object("a.o", &format!(".globl main\nmain: retq\n.data\n.globl d\nd: {field}\n"));
        let arguments = [
            "-noexec",
            "a.o",
            "-entry",
            "d",
            "-slab-allocate",
            "64Kb",
            "-slab-address",
            "0x10000",
            "-slab-page-size",
            "4096",
            "-abs",
            "far=0x123456789ab",
        ];
        let told = bench.both(&arguments, 1);
        let start = "llvm-jitlink error: In graph a.o, section .data: relocation target \"far\" at address 0x123456789ab is out of range of ";
        let rest = told.stderr.strip_prefix(start).unwrap_or_else(|| panic!("{}", told.stderr));
        assert!(rest.starts_with(&format!("{kind} fixup at 0x")), "{}", told.stderr);
        assert!(rest.ends_with(" + 0x0)\n") && rest.contains(" (d, 0x"), "{}", told.stderr);
    }
}

#[test]
fn sections_are_made_from_files() {
    let bench = Bench::new();
    bench.object("a.o", MAIN);
    bench.write("bytes.txt", "ZZ**more");
    bench.write("rules.txt", "# jitlink-check: *{4}foo = 0x2a2a5a5a\n# jitlink-check: bar = foo + 4\n");
    let line =
        ["-noexec", "a.o", "-entry", "foo", "-check", "rules.txt", "-sectcreate", "__data,bytes.txt@foo=0,bar=4"];
    bench.both(&line, 0);
    for wrong in ["__data", "__data,absent.txt@foo=0", "__data,bytes.txt@foo"] {
        bench.both(&["-noexec", "a.o", "-entry", "foo", "-sectcreate", wrong], 1);
    }
    let beyond = bench.orc(&["-noexec", "a.o", "-entry", "foo", "-sectcreate", "__data,bytes.txt@foo=100"]);
    assert_eq!(beyond.status, Some(1), "{}", beyond.stderr);
}
