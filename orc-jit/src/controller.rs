//! The controller's side: what the executor asks for, answered from the session.
//!
//! Each request takes the session's lock, reads or links, and answers; no user code runs meanwhile but the resolvers of indirect
//! functions.

use crate::batch::Wanted;
use crate::executor::Executor;
use crate::session::{Shared, State};
use crate::source::Item;
use dispatch::packed::from_bytes;
use dispatch::{Registry, Reply, Tag};
use dylib_graph::DylibId;
use dylib_graph::init::{ArrayKind, InitSection, Priority, finalizer_order, initializer_order};
use dylib_graph::scope::{Scope, search_scope};
use jitlink::graph::InitKind;
use jitlink::linked::{DSO_HANDLE_OFFSET, InitArray as Linked};
use orc_rt::native::NativeKind;
use orc_rt::service::{Found, Images, InitArray, Lookup, Open, Plan, PlanDylib, mode, scope, tag};
use std::sync::{Arc, Weak};

/// Handlers for everything that an executor may ask.
pub(crate) fn serve<E: Executor>(shared: &Arc<Shared<E>>) -> Arc<Registry> {
    let registry = Registry::new();
    let add = |tag: Tag, answer: fn(&Shared<E>, &[u8]) -> Reply| {
        let session: Weak<Shared<E>> = Arc::downgrade(shared);
        let handler = move |args: &[u8]| match session.upgrade() {
            Some(session) => answer(&session, args),
            None => Reply::error("the session has ended"),
        };
        let added = registry.add(tag, handler);
        debug_assert!(added.is_ok(), "each tag is served once");
    };
    add(tag::OPEN, open);
    add(tag::UPDATE, update);
    add(tag::CLOSED, closed);
    add(tag::REMOVED, removed);
    add(tag::LOOKUP, lookup);
    add(tag::DESCRIBE, describe);
    add(tag::IMAGES, images);
    add(tag::LAZY, lazy);
    Arc::new(registry)
}

/// What a resolver of an indirect function hears that asks for something.
const INSIDE_RESOLVER: &str =
    "a resolver of an indirect function cannot open or look up anything: it runs while its code is being linked";

fn malformed(error: &dispatch::PackError) -> Reply {
    Reply::error(format!("malformed request: {error}"))
}

fn open<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let request = match from_bytes::<Open<'_>>(args) {
        Ok(request) => request,
        Err(error) => return malformed(&error),
    };
    let Some(mut state) = session.enter() else {
        return Reply::packed(&Err::<Option<Plan>, String>(INSIDE_RESOLVER.into()));
    };
    let named = if request.name.is_empty() { state.program } else { state.by_name.get(request.name).copied() };
    let Some(root) = named else { return Reply::packed(&Ok::<Option<Plan>, String>(None)) };
    if request.mode & mode::NOLOAD == 0
        && let Err(error) = session.link(&mut state, &[root], None)
    {
        return Reply::packed(&Err::<Option<Plan>, String>(session.fail(error)));
    }
    if request.mode & mode::GLOBAL != 0 && !state.global.contains(&root) {
        state.global.push(root);
    }
    Reply::packed(&Ok::<Option<Plan>, String>(Some(plan(&mut state, root))))
}

fn update<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let root = match from_bytes::<u32>(args) {
        Ok(id) => id,
        Err(error) => return malformed(&error),
    };
    let Some(mut state) = session.enter() else {
        return Reply::packed(&Err::<Plan, String>(INSIDE_RESOLVER.into()));
    };
    let Some(root) = dylib(&state, root) else {
        return Reply::packed(&Err::<Plan, String>(format!("there is no dylib number {root}")));
    };
    match session.link(&mut state, &[root], None) {
        Ok(()) => Reply::packed(&Ok::<Plan, String>(plan(&mut state, root))),
        Err(error) => Reply::packed(&Err::<Plan, String>(session.fail(error))),
    }
}

fn closed<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let ids = match from_bytes::<Vec<u32>>(args) {
        Ok(ids) => ids,
        Err(error) => return malformed(&error),
    };
    let Some(mut state) = session.enter() else { return Reply::error(INSIDE_RESOLVER) };
    let dylibs: Vec<DylibId> = ids.into_iter().filter_map(|id| dylib(&state, id)).collect();
    session.unload(&mut state, &dylibs);
    Reply::packed(&())
}

fn removed<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let images = match from_bytes::<Vec<u64>>(args) {
        Ok(images) => images,
        Err(error) => return malformed(&error),
    };
    let Some(mut state) = session.enter() else { return Reply::error(INSIDE_RESOLVER) };
    session.let_go(&mut state, &images);
    Reply::packed(&())
}

fn describe<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    match from_bytes::<u64>(args) {
        Ok(address) => Reply::packed(&session.enter().and_then(|state| state.covering(address))),
        Err(error) => malformed(&error),
    }
}

fn images<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let Images { dylibs: ids, relative } = match from_bytes::<Images>(args) {
        Ok(request) => request,
        Err(error) => return malformed(&error),
    };
    let Some(state) = session.enter() else { return Reply::error(INSIDE_RESOLVER) };
    let dylibs: Vec<DylibId> = ids.iter().filter_map(|id| dylib(&state, *id)).collect();
    // None of those that were asked for is not everything.
    let nobody = dylibs.is_empty() && !ids.is_empty();
    let portrayed = if nobody { Vec::new() } else { state.portrayed(&dylibs, Vec::new(), relative) };
    Reply::packed(&portrayed)
}

fn lazy<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let slot = match from_bytes::<u64>(args) {
        Ok(slot) => slot,
        Err(error) => return malformed(&error),
    };
    let answer: Result<Vec<(u64, u64)>, String> = match session.enter() {
        Some(mut state) => session.link_called(&mut state, slot),
        None => Err(
            "a function that is not linked was called while this thread links: by a resolver of an indirect function"
                .into(),
        ),
    };
    Reply::packed(&answer)
}

fn lookup<E: Executor>(session: &Shared<E>, args: &[u8]) -> Reply {
    let request = match from_bytes::<Lookup<'_>>(args) {
        Ok(request) => request,
        Err(error) => return malformed(&error),
    };
    let Some(mut state) = session.enter() else {
        return Reply::packed(&Err::<Option<Found>, String>(INSIDE_RESOLVER.into()));
    };
    let asking = dylib(&state, request.dylib);
    let name = request.name.as_bytes();
    let own = asking.filter(|_| request.scope == scope::HANDLE);
    let order = search(&state, request.scope, asking);
    if let Err(error) = session.link_named(&mut state, &order, name, true) {
        return Reply::packed(&Err::<Option<Found>, String>(session.fail(error)));
    }
    if let Some(found) = own.and_then(|own| state.exported(&[own], name)) {
        return Reply::packed(&Ok::<Option<Found>, String>(Some(found)));
    }
    if let Some(found) = state.exported_for_sure(&order, name) {
        return Reply::packed(&Ok::<Option<Found>, String>(Some(found)));
    }
    if state.has_more(&order)
        && let Some(first) = order.first()
    {
        let wanted = Wanted { dylib: *first, name };
        let linked = session.link(&mut state, &order, Some(wanted));
        if let Err(error) = linked.and_then(|()| session.link_named(&mut state, &order, name, false)) {
            return Reply::packed(&Err::<Option<Found>, String>(session.fail(error)));
        }
    }
    let found = state.exported(&order, name).or_else(|| in_libraries(session, &state, &order, request.name));
    Reply::packed(&Ok::<Option<Found>, String>(found))
}

/// The dylibs of a scope, in the order in which they are searched (dlsym(3)).
fn search<E: Executor>(state: &State<E>, from: u8, asking: Option<DylibId>) -> Vec<DylibId> {
    let scope = match (from, asking) {
        (scope::HANDLE, None) => return Vec::new(),
        (scope::HANDLE, Some(dylib)) => Scope::Handle(dylib),
        (scope::NEXT, _) => Scope::Next,
        _ => Scope::Default,
    };
    search_scope(&state.graph, scope, state.program, &state.global, asking).unwrap_or_default()
}

fn in_libraries<E: Executor>(session: &Shared<E>, state: &State<E>, order: &[DylibId], name: &str) -> Option<Found> {
    let parts = order.iter().filter_map(|dylib| state.part(*dylib));
    let libraries = parts.flat_map(|part| &part.items).filter_map(|item| match item {
        Item::Library(library) => Some(*library),
        _ => None,
    });
    let ask = |library| session.executor.lookup(Some(library), &[name]).ok()?.into_iter().next().flatten();
    let symbol = libraries.filter_map(ask).next()?;
    let thread_local = match symbol.kind {
        NativeKind::ThreadLocal(place) => Some(place),
        _ => None,
    };
    Some(Found { address: symbol.address, thread_local })
}

fn dylib<E: Executor>(state: &State<E>, number: u32) -> Option<DylibId> {
    DylibId::new(number).filter(|dylib| state.graph.contains(*dylib))
}

impl<E: Executor> State<E> {
    /// Arrays of a dylib's units that no plan has named, the older units' first.
    fn take_arrays_of_units(&mut self, dylib: DylibId) -> Vec<Linked> {
        let Some(Some(part)) = self.parts.get_mut(dylib.index()) else { return Vec::new() };
        let units = std::mem::take(&mut part.units.with_arrays);
        let mut arrays = Vec::new();
        for unit in units {
            arrays.extend(
                self.held_by_units.get_mut(&unit).map(|held| std::mem::take(&mut held.arrays)).unwrap_or_default(),
            );
        }
        arrays
    }
}

/// What is to be initialized for `root`: arrays are named in one plan only.
fn plan<E: Executor>(state: &mut State<E>, root: DylibId) -> Plan {
    let mut plan = Plan { root: root.get(), epoch: state.epoch, dylibs: Vec::new() };
    for dylib in state.graph.search_order(root).unwrap_or_default() {
        let Some(part) = state.part(dylib) else { continue };
        let mut planned = PlanDylib {
            id: dylib.get(),
            name: part.name.clone(),
            links: state.graph.link_order(dylib).iter().map(|link| link.get()).collect(),
            dso_handle: part.header.map_or(0, |header| header + DSO_HANDLE_OFFSET),
            is_program: state.program == Some(dylib),
            ..PlanDylib::default()
        };
        let mut arrays = std::mem::take(&mut state.held[dylib.index()].arrays);
        arrays.extend(state.take_arrays_of_units(dylib));
        sort_arrays(&arrays, &mut planned);
        plan.dylibs.push(planned);
    }
    plan
}

/// Rule 6: ascending effective priority, then the order of objects and sections, which is that of `arrays`.
fn sort_arrays(arrays: &[Linked], planned: &mut PlanDylib) {
    let sections: Vec<InitSection> = arrays.iter().enumerate().map(|(number, array)| section(number, array)).collect();
    let array = |at: usize| InitArray {
        address: arrays[at].address,
        count: arrays[at].count,
        priority: sections[at].priority.get(),
        reverse: sections[at].kind.runs_backward(),
    };
    for at in initializer_order(&sections) {
        if sections[at].kind == ArrayKind::Preinit {
            planned.new_preinit.push(array(at));
        } else {
            planned.new_initializers.push(array(at));
        }
    }
    planned.new_finalizers.extend(finalizer_order(&sections).into_iter().map(array));
}

fn section(number: usize, array: &Linked) -> InitSection {
    let priority = |priority: u16| if priority == u16::MAX { Priority::LAST } else { Priority::new(priority.into()) };
    let (kind, priority) = match array.kind {
        InitKind::Preinit => (ArrayKind::Preinit, Priority::LAST),
        InitKind::Init { priority: p } => (ArrayKind::Init, priority(p)),
        InitKind::Ctors { priority: p } => (ArrayKind::Ctors, priority(p)),
        InitKind::Fini { priority: p } => (ArrayKind::Fini, priority(p)),
        InitKind::Dtors { priority: p } => (ArrayKind::Dtors, priority(p)),
    };
    InitSection { kind, priority, object: number as u32, section: 0 }
}
