//! Do random sequences of additions, removals and replacements do what a model of a few lines says?

use crate::common::tiny::Tiny;
use crate::common::{World, call};
use orc_jit::{Error, InProcess, Opened, Removal, Tracker};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: usize = 6;

/// What a function does.
#[derive(Clone, Copy, Debug)]
enum Body {
    Returns(i32),
    /// One more than another function.
    Calls(usize),
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Add { redefinable: bool, body: Body },
    Remove(bool),
    Replace(Body),
    Reopen,
}

/// Who is defined, as what, and whether it can be redefined.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<usize, (Body, bool)>);

impl Model {
    fn users(&self, name: usize) -> BTreeSet<usize> {
        let uses = |body: &Body| matches!(body, Body::Calls(target) if *target == name);
        self.0.iter().filter(|(user, (body, _))| **user != name && uses(body)).map(|(user, _)| *user).collect()
    }

    fn links(&self, body: Body) -> bool {
        match body {
            Body::Returns(_) => true,
            Body::Calls(target) => self.0.contains_key(&target),
        }
    }

    /// What a call returns; `None` when it never does.
    fn value(&self, name: usize) -> Option<i32> {
        let (mut at, mut more) = (name, 0);
        loop {
            match self.0.get(&at)?.0 {
                Body::Returns(value) => return Some(value + more),
                Body::Calls(target) if more as usize <= NAMES => (at, more) = (target, more + 1),
                Body::Calls(_) => return None,
            }
        }
    }

    fn remove_with_users(&mut self, name: usize) {
        for user in self.users(name) {
            if self.0.contains_key(&name) {
                self.0.remove(&name);
            }
            self.remove_with_users(user);
        }
        self.0.remove(&name);
    }
}

fn object(name: usize, body: Body) -> Vec<u8> {
    let own = format!("f{name}");
    match body {
        Body::Returns(value) => Tiny::new().returns(&own, value).bytes(),
        Body::Calls(target) => Tiny::new().calls(&own, &format!("f{target}")).bytes(),
    }
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![(0..1000).prop_map(Body::Returns), (0..NAMES).prop_map(Body::Calls)]
}

fn actions() -> impl Strategy<Value = (usize, Action)> {
    let action = prop_oneof![
        4 => (any::<bool>(), bodies()).prop_map(|(redefinable, body)| Action::Add { redefinable, body }),
        2 => any::<bool>().prop_map(Action::Remove),
        3 => bodies().prop_map(Action::Replace),
        1 => Just(Action::Reopen),
    ];
    (0..NAMES, action)
}

struct Run {
    world: World,
    main: Option<Opened<InProcess>>,
    trackers: BTreeMap<usize, Tracker<InProcess>>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        world.dylib("main").add_object("main.o", Tiny::new().returns("main", 0).bytes()).expect("a live session");
        let main = Some(world.open("main"));
        Self { world, main, trackers: BTreeMap::new(), model: Model::default() }
    }

    fn opened(&self) -> &Opened<InProcess> {
        self.main.as_ref().expect("open but for a moment")
    }

    fn act(&mut self, name: usize, action: Action) {
        match action {
            Action::Add { redefinable, body } if !self.model.0.contains_key(&name) => {
                let dylib = self.world.dylib("main");
                let own = format!("f{name}");
                let tracker = if redefinable { dylib.redefinable(own) } else { dylib.tracker(own) };
                let tracker = tracker.expect("a live session");
                tracker.add_object(format!("f{name}.o"), object(name, body)).expect("a live session");
                let links = self.model.links(body) || matches!(body, Body::Calls(target) if target == name);
                let linked = self.opened().update();
                assert_eq!(linked.is_ok(), links, "{linked:?}");
                if links {
                    self.trackers.insert(name, tracker);
                    self.model.0.insert(name, (body, redefinable));
                } else {
                    tracker.remove(Removal::Refuse).expect("it is not linked");
                }
            }
            Action::Remove(cascade) if self.model.0.contains_key(&name) => {
                let users = self.model.users(name);
                let tracker = &self.trackers[&name];
                let known: BTreeSet<String> =
                    tracker.dependents().expect("it is there").into_iter().map(|user| user.object).collect();
                assert_eq!(known, users.iter().map(|user| format!("f{user}.o")).collect());
                let removed = tracker.remove(if cascade { Removal::Cascade } else { Removal::Refuse });
                if cascade || users.is_empty() {
                    removed.expect("everything that uses it can go");
                    self.model.remove_with_users(name);
                    self.trackers.retain(|name, _| self.model.0.contains_key(name));
                } else {
                    assert!(matches!(removed, Err(Error::StillUsed { .. })), "{removed:?}");
                }
            }
            Action::Replace(body) if self.model.0.contains_key(&name) => {
                let (_, redefinable) = self.model.0[&name];
                let before = self.opened().address(&format!("f{name}")).expect("it is there");
                let replaced =
                    self.trackers[&name].replace(|new| new.add_object(format!("f{name}.o"), object(name, body)));
                if !self.model.links(body) {
                    assert!(replaced.is_err());
                } else if redefinable || self.model.users(name).is_empty() {
                    replaced.expect("nothing stands in the way");
                    self.model.0.insert(name, (body, redefinable));
                    if redefinable {
                        assert_eq!(self.opened().address(&format!("f{name}")).expect("it is there"), before);
                    }
                } else {
                    assert!(matches!(replaced, Err(Error::CannotReplace { .. })), "{replaced:?}");
                }
            }
            Action::Reopen => {
                self.main.take().expect("open").close().expect("open");
                assert_eq!(self.world.holds(), (0, 0));
                self.main = Some(self.world.open("main"));
            }
            _ => {}
        }
        for name in 0..NAMES {
            let own = format!("f{name}");
            assert_eq!(self.opened().address(&own).is_ok(), self.model.0.contains_key(&name), "{own}");
            if let Some(value) = self.model.value(name) {
                assert_eq!(call(self.opened(), &own), value, "{own} of {:?}", self.model);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_is_what_its_history_says(history in prop::collection::vec(actions(), 1..40)) {
        let mut run = Run::new();
        for (name, action) in history {
            run.act(name, action);
        }
        run.main.take().expect("open").close().expect("open");
        prop_assert_eq!(run.world.holds(), (0, 0));
    }
}
