//! Do names and addresses mean what they mean when everything is linked?

use crate::common::{self, call};
use crate::{is_linked, world};

#[test]
fn a_function_has_one_address_whoever_asks_and_whenever() {
    let world = world();
    world.c(
        "main",
        "int f(void); int also_f(void); extern int (*const table[])(void); int (*other(void))(void);\n\
         static int same(void *a) { return (void *)f == a && table[0] == a && (void *)other() == a && (void *)also_f == a && dlsym(RTLD_DEFAULT, \"f\") == a; }\n\
         int before(void) { return same((void *)f); } int after(void) { return f() + same((void *)f); }",
    );
    world.c("main", "int f(void) { return 40; } int also_f(void) __attribute__((alias(\"f\"))); static int own(void) { return 0; } int (*mine(void))(void) { return f; }");
    world.c("main", "int f(void); int (*const table[])(void) = { f }; int (*other(void))(void) { return f; }");
    let main = world.open("main");
    let address = main.address("f").expect("a function");
    assert_eq!(call(&main, "before"), 1);
    assert_eq!(main.address("f").expect("a function"), address);
    assert_eq!(call(&main, "after"), 41);
    assert_eq!((main.address("f"), main.address("also_f")).0.expect("a function"), address);
    // SAFETY: the function is defined so; it stands beside the code that it names.
    let mine = unsafe { main.symbol::<extern "C" fn() -> u64>("mine") }.expect("a function");
    assert_eq!(mine(), address);
}

/// clang names a function that it knows not to be preempted by a label of its object; the address is to be everybody's.
#[test]
fn a_function_that_its_object_names_by_a_label_has_the_same_address() {
    let world = world();
    let source = "\
        .text\n.globl f\n.type f, @function\nf:\n.Lf: mov $7, %eax\nret\n.size f, .-f\n\
        .section .text.b,\"ax\",@progbits\n.globl by_label\n.type by_label, @function\nby_label: lea .Lf(%rip), %rax\nret\n\
        .section .data.rel.ro,\"aw\",@progbits\n.globl word\n.type word, @object\nword: .quad .Lf\n.size word, 8\n\
        .section .text.c,\"ax\",@progbits\n.globl calls\n.type calls, @function\ncalls: sub $8, %rsp\ncall .Lf\nadd $8, %rsp\nret\n";
    let object = common::compile(&["gcc", "-x", "assembler"], source);
    world.dylib("main").add_object("labels.o", object).expect("a live session");
    let main = world.open("main");
    let address = main.address("f").expect("a function");
    // SAFETY: the functions are defined so.
    let by_label = unsafe { main.symbol::<extern "C" fn() -> u64>("by_label") }.expect("a function");
    assert_eq!(by_label(), address);
    // SAFETY: a word that nobody writes.
    assert_eq!(unsafe { **main.symbol::<*const u64>("word").expect("data") }, address);
    assert_eq!((call(&main, "calls"), call(&main, "f")), (7, 7));
}

#[test]
fn the_first_definition_counts_though_it_is_not_the_first_to_be_linked() {
    let world = world();
    world.c("main", "int pick(void); int second(void); int run(void) { return second() * 10 + pick(); }");
    world.c("main", "__attribute__((weak)) int pick(void) { return 1; }");
    world.c("main", "__attribute__((weak)) int pick(void) { return 2; } int second(void) { return pick(); }");
    assert_eq!(call(&world.open("main"), "run"), 11);
}

#[test]
fn common_and_weak_data_are_one_in_all_dylibs() {
    let world = world();
    world
        .c("main", "int shared_word; int set(int); int run(void) { set(5); return shared_word; }")
        .links("main", &["other"]);
    world.cxx("main", "inline int &counter() { static int n; return n; } extern \"C\" int here() { return ++counter(); } extern \"C\" int there(); extern \"C\" int both() { here(); there(); return counter(); }");
    world.c("other", "extern int shared_word; int set(int n) { shared_word = n; return 0; }");
    world.cxx(
        "other",
        "inline int &counter() { static int n; return n; } extern \"C\" int there() { return ++counter(); }",
    );
    world.dylib("other").set_link_order([&world.dylib("main")]).expect("dylibs of this session");
    let main = world.open("main");
    assert_eq!((call(&main, "run"), call(&main, "both")), (5, 2));
}

#[test]
fn names_that_nobody_defines_are_told_at_the_open() {
    let world = world();
    world.c("main", "int missing(void); int never(void) { return missing(); } int run(void) { return 1; }");
    assert!(world.refuses("main").contains("missing"));
    // A program keeps what is reached: what only the rest refers to need not be there.
    let world = crate::world();
    world.dylib("main").keep(orc_jit::Keep::Named).expect("a live session");
    world.dylib("main").keep_name("run").expect("a live session");
    let sections = common::compile(
        &["gcc", "-x", "c", "-ffunction-sections"],
        "int missing(void); int never(void) { return missing(); } int run(void) { return 1; }",
    );
    world.dylib("main").add_object("main.o", sections).expect("a live session");
    assert_eq!(call(&world.open("main"), "run"), 1);
}

#[test]
fn a_dylib_that_is_opened_later_is_bound_to_what_waits() {
    let world = world();
    world.c("main", "int value = 3; int twice(int n) { return 2 * n; } int quiet(void) { return 0; }");
    let main = world.open("main");
    world.c("late", "extern int value; int twice(int); int (*keep)(int) = twice; int run(void) { return keep == twice ? twice(value++) : 0; }");
    world.links("late", &["main"]);
    let late = world.open("late");
    assert_eq!((call(&late, "run"), call(&late, "run")), (6, 8));
    assert_eq!(common::read(&main, "value"), 5);
    assert_eq!(main.address("twice").expect("a function"), late.address("twice").expect("a function"));
}

#[test]
fn what_is_added_to_an_open_dylib_sees_all_of_it() {
    let world = world();
    world.c("main", "int n = 1; int get(void) { return n; } int set(int m) { return n = m; }");
    let main = world.open("main");
    assert_eq!(call(&main, "get"), 1);
    let set = main.address("set").expect("a function");
    world.c("main", "extern int n; int set(int); int get(void); int (*p)(int) = set; INIT(\"added\") int more(void) { n = 8; return get() + (p == set); }");
    main.update().expect("it links");
    assert_eq!((world.log.take(), call(&main, "more")), (vec!["added".to_owned()], 9));
    assert_eq!(main.address("set").expect("a function"), set);
    assert!(is_linked(&world, "set"));
    // Two strong definitions are an error, as ever.
    world.c("main", "int get(void) { return 0; }");
    assert!(main.update().expect_err("get is defined").to_string().contains("get"));
}

#[test]
fn thread_local_variables_and_indirect_functions_are_there() {
    let world = world();
    world.c("main", "static __thread int own = 4; __thread int shared = 5; int f(void); int run(void) { return f() + own++; } int own_of(void) { return own; }");
    world.c("main", "extern __thread int shared; int chosen(void); int f(void) { return shared++ + chosen(); }");
    world.c("main", "static int fast(void) { return 100; } int level(void) { return 1; } static void *pick(void) { return level() ? fast : 0; } int chosen(void) __attribute__((ifunc(\"pick\")));");
    let main = world.open("main");
    assert_eq!((call(&main, "run"), call(&main, "run")), (109, 111));
    std::thread::scope(|scope| scope.spawn(|| assert_eq!(call(&main, "run"), 109)).join()).expect("no panic");
}

/// Where code holds addresses in 32 bits, that decides where everything lies, also what is linked later.
#[test]
fn code_that_is_not_position_independent_is_linked_at_once() {
    let world = world();
    world.c("main", "int far_data = 6; int far(void) { return far_data; }");
    let assembly = ".text\n.globl near\n.type near, @function\nnear: mov $word, %eax\nmov (%rax), %eax\nret\n.data\n.globl word\nword: .long 9\n";
    let object = common::compile(&["gcc", "-x", "assembler"], assembly);
    world.dylib("main").add_object("near.o", object).expect("a live session");
    let main = world.open("main");
    assert!(is_linked(&world, "far"));
    assert_eq!((call(&main, "near"), call(&main, "far")), (9, 6));
}

#[test]
fn a_dylib_may_be_lazy_by_itself() {
    let world = common::World::over({
        let options = orc_jit::SessionOptions { map: true, ..Default::default() };
        orc_jit::Session::new(orc_jit::InProcess::new(), options).expect("a session")
    });
    world.c("eager", "int now(void) { return 1; }");
    world.c("lazy", "int later(void) { return 2; }").links("eager", &["lazy"]);
    world.dylib("lazy").link_lazily(true).expect("a live session");
    let main = world.open("eager");
    assert!(is_linked(&world, "now") && !is_linked(&world, "later"));
    assert_eq!(call(&main, "later"), 2);
}
