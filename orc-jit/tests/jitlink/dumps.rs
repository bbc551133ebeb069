//! What `-show-graphs` and `-show-addrs` print.

use super::support::Bench;

const TEXT: &str = "\
    .text\n.globl main\n.type main, @function\nmain: xorl %eax, %eax\nretq\n.size main, .-main\n\
    .data\n.globl d\n.p2align 3\n.type d, @object\nd: .quad main\n.quad e\n.size d, 16\n\
    .bss\n.globl z\n.p2align 4\n.type z, @object\nz: .zero 32\n.size z, 32\n";

/// The lines of a graph that do not depend on where things are placed: addresses become `@`.
fn shape(text: &str) -> Vec<String> {
    let address = |word: &str| {
        let (front, digits) = match word.split_once("0x") {
            Some((front, digits)) if front.is_empty() || front.ends_with('@') => (front, digits),
            _ => return word.to_owned(),
        };
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        if end == 8 && digits.starts_with('0') { word.to_owned() } else { format!("{front}@{}", &digits[end..]) }
    };
    text.lines().map(|line| line.split(' ').map(address).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_graph_is_written_as_llvm_writes_it() {
    let bench = Bench::new();
    bench.object("a.o", TEXT);
    let line = [
        "-noexec",
        "a.o",
        "-show-graphs",
        "a[.]o",
        "-slab-allocate",
        "64Kb",
        "-slab-address",
        "0xfff00000",
        "-slab-page-size",
        "4096",
        "-abs",
        "e=0x10",
    ];
    let (orc, llvm) = (bench.orc(&line), bench.llvm(&line));
    assert_eq!((orc.status, llvm.status), (Some(0), Some(0)), "{}", orc.stderr);
    let (orc, llvm) = (shape(&orc.stdout), shape(&llvm.stdout));
    assert_eq!(orc[0], "Link graph \"a.o\" post-fixup:");
    assert_eq!(orc[0], llvm[0]);
    // Sections with content: everything from their headline to the empty line after their last block.
    for section in ["section .text:", "section .data:", "section .bss:"] {
        let part = |lines: &[String]| -> Vec<String> {
            let start =
                lines.iter().position(|line| line == section).unwrap_or_else(|| panic!("{section}: {lines:#?}"));
            let rest = &lines[start + 1..];
            let end = rest
                .iter()
                .position(|line| line.starts_with("section ") || line.starts_with("Absolute"))
                .unwrap_or(rest.len());
            rest[..end].to_vec()
        };
        assert_eq!(part(&orc), part(&llvm), "{section}");
    }
    let tail =
        |lines: &[String]| lines.iter().skip_while(|line| *line != "External symbols:").cloned().collect::<Vec<_>>();
    assert_eq!(tail(&llvm).len(), 2);
}

#[test]
fn only_matching_graphs_are_shown() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\nmain: jmp f@plt\n");
    bench.object("b.o", ".globl f\nf: retq\n");
    for (pattern, files) in [("a.o", &["a.o"][..]), (".*", &["a.o", "b.o"]), ("^b", &["b.o"]), ("c", &[])] {
        let ended = bench.both(&["-noexec", "a.o", "b.o", "-show-graphs", pattern], 0);
        let shown: Vec<&str> = ended
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("Link graph \"")?.strip_suffix("\" post-fixup:"))
            .collect();
        assert_eq!(shown, files, "{pattern}");
    }
    assert_eq!(bench.orc(&["-noexec", "a.o", "b.o", "-show-graphs", "("]).status, Some(1));
}

#[test]
fn addresses_are_told() {
    let bench = Bench::new();
    bench.object("a.o", TEXT);
    let ended = bench.both(&["-noexec", "a.o", "-abs", "e=0x10", "-show-addrs"], 0);
    assert!(ended.stdout.starts_with("Registered addresses:\nSymbols:\n"), "{}", ended.stdout);
    let line = ended.stdout.lines().find(|line| line.contains("\"main\"")).unwrap_or_default();
    assert!(line.contains(" target addr = 0x") && line.contains(", content:"), "{line}");
    assert!(ended.stdout.contains("File \"a.o\":\n"), "{}", ended.stdout);
}

#[test]
fn functions_that_refer_to_themselves_get_an_edge() {
    let bench = Bench::new();
    bench.object("a.o", ".globl main\n.type main, @function\nmain: leaq main(%rip), %rax\nretq\n.size main, .-main\n");
    let edge = "addend = -0x00000004, kind = Delta32, target = main";
    let without = bench.orc(&["-noexec", "a.o", "-show-graphs", "."]);
    let with = bench.orc(&["-noexec", "a.o", "-show-graphs", ".", "-add-self-relocations"]);
    assert_eq!((without.status, with.status), (Some(0), Some(0)), "{}", with.stderr);
    assert!(with.stdout.contains(edge), "{}", with.stdout);
    bench.object("b.o", ".globl main\n.type main, @function\nmain: leaq inner(%rip), %rax\nretq\n.size main, .-main\ninner: leaq inner(%rip), %rax\nretq\n");
    let inner = bench.orc(&["-noexec", "b.o", "-show-graphs", ".", "-add-self-relocations"]);
    let shown = inner.stdout.matches("kind = Delta32, target = inner").count();
    assert_eq!(shown, 1, "{}", inner.stdout);
}
