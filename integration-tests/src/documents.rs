//! The examples of the documents, compiled and run as documentation tests. One item for each page, so that a failure names it.

/// README.md
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// jitlink/README.md
#[doc = include_str!("../../jitlink/README.md")]
pub struct Jitlink;

/// dylib-graph/README.md
#[doc = include_str!("../../dylib-graph/README.md")]
pub struct DylibGraph;

/// dispatch/README.md
#[doc = include_str!("../../dispatch/README.md")]
pub struct Dispatch;

/// orc-rt/README.md
#[doc = include_str!("../../orc-rt/README.md")]
pub struct OrcRt;

/// orc-jit/README.md
#[doc = include_str!("../../orc-jit/README.md")]
pub struct OrcJit;
