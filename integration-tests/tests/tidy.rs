//! House rules, each a test: `cargo test -p integration-tests --test tidy`.
//!
//! **You give** the tree as it lies in the working folder. **You get** rule, file and line of every breach, all of them at once.
//! **Not here:** what the compiler, rustfmt and clippy say already.
//!
//! A rule that has exceptions keeps them in a list beside it, each with its reason; an exception that nothing needs any longer is a
//! breach as well.

mod tidy {
    mod arrows;
    mod documents;
    mod files;
    mod manifests;
    mod names;
    mod pure;
    mod rules;
    mod tree;
    mod unsafe_code;
    mod words;
}

/// Fails with every breach of `rule`, one a line.
#[track_caller]
fn refuse(rule: &str, breaches: Vec<String>) {
    let count = breaches.len();
    assert!(breaches.is_empty(), "{rule}\n\n  {}\n\n({count} of them)", breaches.join("\n  "));
}
