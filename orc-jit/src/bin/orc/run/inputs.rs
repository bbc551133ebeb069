//! The inputs of a plan, put into the dylibs of a session.

use super::super::plan::{DylibPlan, Item, Plan};
use super::super::talk::Talk;
use super::reports;
use orc_jit::diagnose::Report;
use orc_jit::input::{FileKind, Input, Resolver, SearchPath, Target};
use orc_jit::{Executor, JitDylib, Keep, NativeLibrary, Session};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Puts what the plan names into dylibs.
pub(super) struct Filler<'a, E: Executor> {
    session: &'a Session<E>,
    plan: &'a Plan,
    talk: &'a Talk,
    resolver: Resolver,
    libraries: HashMap<PathBuf, NativeLibrary>,
    /// Added to every dylib, after everything else: what the process offers comes first.
    unasked: Vec<PathBuf>,
}

impl<'a, E: Executor> Filler<'a, E> {
    pub(super) fn new(session: &'a Session<E>, plan: &'a Plan, talk: &'a Talk) -> Self {
        let target = Target::of(session.executor().machine());
        let resolver = Resolver::new(SearchPath::of(target, plan.library_path.clone()));
        // A program that takes nothing from the process takes nothing from its C library either.
        let unasked = if plan.host_symbols { resolver.search_path().unasked_archives() } else { Vec::new() };
        Self { session, plan, talk, resolver, libraries: HashMap::new(), unasked }
    }

    pub(super) fn fill(&mut self) -> Result<(), Vec<Report>> {
        let plan = self.plan;
        let mut dylibs = Vec::with_capacity(plan.dylibs.len());
        for dylib in &plan.dylibs {
            let made = self.session.add_dylib(&dylib.name).map_err(|error| reports(&error))?;
            self.fill_one(dylib, &made)?;
            made.keep_own_definitions(dylib.own_definitions).map_err(|error| reports(&error))?;
            dylibs.push(made);
        }
        // The entry may stand in an archive that nothing else asks.
        dylibs[0].keep_name(&plan.entry).map_err(|error| reports(&error))?;
        // A program alone needs only what its entry reaches, as an executable does; dylibs may look for anything in each other.
        if let [program] = &*dylibs {
            program.keep(Keep::Named).map_err(|error| reports(&error))?;
        }
        for (dylib, made) in plan.dylibs.iter().zip(&dylibs) {
            made.set_link_order(dylib.needs.iter().map(|&index| &dylibs[index])).map_err(|error| reports(&error))?;
        }
        Ok(())
    }

    fn fill_one(&mut self, dylib: &DylibPlan, made: &JitDylib<E>) -> Result<(), Vec<Report>> {
        for item in &dylib.items {
            let (inputs, whole) = match item {
                Item::File { path, whole_archive } => (self.resolver.file(path), *whole_archive),
                Item::Library { name, whole_archive } => (self.resolver.library(name), *whole_archive),
                Item::Absolute { name, address } => {
                    made.define_absolute(name, *address).map_err(|error| reports(&error))?;
                    continue;
                }
                Item::Alias { new, old } => {
                    made.define_alias(new, old).map_err(|error| reports(&error))?;
                    continue;
                }
            };
            for input in inputs.map_err(|error| vec![Report::from(&error)])? {
                self.talk.progress(1, &format!("{}: {}", dylib.name, input.path.display()));
                self.add(&input, whole, made)?;
            }
        }
        for path in &self.unasked {
            made.add_last_archive_file(path).map_err(|error| reports(&error))?;
        }
        Ok(())
    }

    fn add(&mut self, input: &Input, whole: bool, made: &JitDylib<E>) -> Result<(), Vec<Report>> {
        let added = match input.kind {
            FileKind::Object => made.add_object_file(&input.path),
            FileKind::Archive if input.is_nonshared_c_library() && self.comes_unasked(input) => Ok(()),
            FileKind::Archive if whole => made.add_whole_archive_file(&input.path),
            FileKind::Archive => made.add_archive_file(&input.path),
            FileKind::SharedLibrary => made.add_library(self.open_library(&input.path)?),
            FileKind::Script => {
                let title = format!("{} is a linker script that was not followed", input.path.display());
                return Err(vec![Report::error(title)]);
            }
        };
        added.map_err(|error| reports(&error))
    }

    fn comes_unasked(&self, input: &Input) -> bool {
        self.unasked.iter().any(|path| path.file_name() == input.path.file_name())
    }

    /// Each library is opened once.
    fn open_library(&mut self, path: &Path) -> Result<NativeLibrary, Vec<Report>> {
        if let Some(library) = self.libraries.get(path) {
            return Ok(*library);
        }
        let library = self.session.open_library(&loadable(path)).map_err(|error| reports(&error))?;
        self.libraries.insert(path.to_owned(), library);
        Ok(library)
    }
}

/// The dynamic loader searches for names without a slash; a path is meant here.
fn loadable(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains('/') { text } else { format!("./{text}") }
}
