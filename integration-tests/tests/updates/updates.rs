//! Code and links that come while a dylib is open.

use crate::world::everywhere;

/// Opens, updates and closes `p` as its callers say.
const USER: &str = r#"
static void *p;
int open_p(int argc, char **argv) {
    p = dlopen("p", RTLD_NOW);
    error_or("opened");
    return p != 0;
}
int update_p(int argc, char **argv) {
    int result = __orc_rt_jit_dlupdate(p);
    error_or("updated");
    return result;
}
int close_p(int argc, char **argv) {
    int result = dlclose(p);
    error_or("closed");
    return result;
}
int change_and_update(int argc, char **argv) {
    change();
    return update_p(argc, argv);
}
int change_and_open(int argc, char **argv) {
    change();
    return open_p(argc, argv);
}
"#;

//#Rule: 10
everywhere! {
    fn code_that_comes_while_its_dylib_is_opened_runs_with_the_next_open(world) {
        let own = "__attribute__((constructor)) static void init(void) { note(\"p begins\"); change(); note(\"p ends\"); }";
        world.c("p", own, &[]).c("user", USER, &[]);
        world.prepare(|hand| {
            hand.add("p", "TRACED(late)");
        });
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["p begins", "p ends", "opened"]);
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["late", "opened"]);
        assert_eq!((world.call(&user, "update_p"), world.call(&user, "close_p")), (0, 0));
        world.noted(&["updated", "closed"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~late", "closed"]);
    }
}

//#Rule: 10
everywhere! {
    fn code_that_comes_to_a_dependant_in_progress_waits_too(world) {
        let dependency = "__attribute__((constructor)) static void init(void) { note(\"q begins\"); change(); note(\"q ends\"); }";
        world.c("q", dependency, &[]).c("p", "TRACED(p)", &["q"]).c("user", USER, &[]);
        world.prepare(|hand| {
            hand.add("p", "TRACED(late)");
        });
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["q begins", "q ends", "p", "opened"]);
        assert_eq!(world.call(&user, "update_p"), 0);
        world.noted(&["late", "updated"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~late", "~p", "closed"]);
    }
}

//#Rule: 25
everywhere! {
    fn an_update_runs_what_is_new_with_its_dependencies_and_changes_no_count(world) {
        world.c("p", "TRACED(p)", &[]).c("n", "TRACED(n) int of_n = 5;", &[]);
        world.c("user", USER, &[]);
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["p", "opened"]);
        world.prepare(|hand| {
            hand.add("p", "extern int of_n; TRACED(more) int more(void) { return of_n; }").link("p", &["n"]);
        });
        assert_eq!(world.call(&user, "change_and_update"), 0);
        world.noted(&["n", "more", "updated"]);
        assert_eq!(world.call(&user, "update_p"), 0);
        world.noted(&["updated"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~more", "~n", "~p", "closed"]);
    }
}

//#Rule: 25
everywhere! {
    fn an_update_of_what_is_not_open_is_an_error(world) {
        world.c("p", "TRACED(p)", &[]).c("user", USER, &[]);
        let user = world.open("user");
        assert_ne!(world.call(&user, "update_p"), 0);
        assert_eq!((world.call(&user, "open_p"), world.call(&user, "close_p")), (1, 0));
        assert_ne!(world.call(&user, "update_p"), 0);
        let trace = world.take();
        assert!(trace[0].contains("not that of an open JITDylib"), "through {}: {trace:?}", world.kind);
        assert_eq!(trace[1..4], ["p", "opened", "~p"], "through {}", world.kind);
        assert!(trace[5].contains("not that of an open JITDylib"), "through {}: {trace:?}", world.kind);
    }
}

//#Rule: 14 25
everywhere! {
    fn an_update_that_cannot_be_linked_changes_nothing(world) {
        world.c("p", "TRACED(p)", &[]).c("user", USER, &[]);
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.prepare(|hand| {
            hand.add("p", "int of_nobody(void); TRACED(more) int more(void) { return of_nobody(); }");
        });
        assert_ne!(world.call(&user, "change_and_update"), 0);
        assert_ne!(world.call(&user, "update_p"), 0);
        let trace = world.take();
        assert_eq!(trace[..2], ["p", "opened"], "through {}", world.kind);
        assert!(trace[2].contains("of_nobody") && trace[2] == trace[3], "through {}: {trace:?}", world.kind);
        world.prepare(|hand| {
            hand.add("p", "int of_nobody(void) { return 1; }");
        });
        assert_eq!(world.call(&user, "change_and_update"), 0);
        world.noted(&["more", "updated"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~more", "~p", "closed"]);
    }
}

//#Rule: 26
everywhere! {
    fn a_link_order_that_changed_takes_effect_with_the_next_update(world) {
        world.c("a", "TRACED(a)", &[]).c("b", "TRACED(b)", &[]).c("p", "TRACED(p)", &["a"]).c("user", USER, &[]);
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["a", "p", "opened"]);
        world.prepare(|hand| {
            hand.link("p", &["b"]);
        });
        assert_eq!(world.call(&user, "change_and_update"), 0);
        world.noted(&["b", "~a", "updated"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~b", "~p", "closed"]);
    }
}

//#Rule: 26
everywhere! {
    fn a_link_order_that_changed_takes_effect_with_the_next_open_and_close(world) {
        world.c("a", "TRACED(a)", &[]).c("b", "TRACED(b)", &[]).c("p", "TRACED(p)", &["a"]).c("user", USER, &[]);
        let user = world.open("user");
        assert_eq!(world.call(&user, "open_p"), 1);
        world.noted(&["a", "p", "opened"]);
        world.prepare(|hand| {
            hand.link("p", &["b"]);
        });
        assert_eq!(world.call(&user, "change_and_open"), 1);
        world.noted(&["b", "opened"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~a", "closed"]);
        assert_eq!(world.call(&user, "close_p"), 0);
        world.noted(&["~b", "~p", "closed"]);
    }
}
