//! Exit handlers: who registered which, and which runs next.
//!
//! Every handler gets a number when it is registered, from the same count that numbers finished initializer runs; what is undone
//! goes back through these numbers, so the order is the exact reverse of what happened (rule 19), across dylibs. Each dylib has a stack of its own:
//! closing one dylib never looks at the handlers of the others.

use crate::image::ImageId;
use dylib_graph::DylibId;
use std::collections::BinaryHeap;

/// A registered handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    /// `__cxa_atexit(f, argument, dso_handle)`.
    Cxa { function: u64, argument: u64 },
    /// `atexit(f)`.
    Plain { function: u64 },
    /// `on_exit(f, argument)`.
    OnExit { function: u64, argument: u64 },
}

impl Handler {
    /// The address of the function.
    pub(crate) fn function(self) -> u64 {
        match self {
            Self::Cxa { function, .. } | Self::Plain { function } | Self::OnExit { function, .. } => function,
        }
    }
}

/// A handler that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Registered {
    number: u64,
    handler: Handler,
    /// The image whose code registered it, if that is known.
    image: Option<ImageId>,
}

/// The handlers of all dylibs of a session.
#[derive(Debug, Default)]
pub(crate) struct Handlers {
    /// By dylib index, the latest last.
    stacks: Vec<Vec<Registered>>,
    /// Counts registrations.
    registered: u64,
}

/// Walks the handlers of some dylibs from the latest back, including those that are registered meanwhile.
#[derive(Debug)]
pub(crate) struct Backwards {
    dylibs: Vec<DylibId>,
    latest: BinaryHeap<(u64, DylibId)>,
    registered: Option<u64>,
}

impl Handlers {
    /// `handler` belongs to `dylib`, to its `image` if known; `number` is larger than every number before.
    pub(crate) fn register(&mut self, dylib: DylibId, image: Option<ImageId>, number: u64, handler: Handler) {
        if self.stacks.len() <= dylib.index() {
            self.stacks.resize_with(dylib.index() + 1, Vec::new);
        }
        self.stacks[dylib.index()].push(Registered { number, handler, image });
        self.registered += 1;
    }

    /// The dylibs that have handlers, and how many.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (DylibId, usize)> + '_ {
        let counted = self.stacks.iter().zip(1u32..).filter(|(stack, _)| !stack.is_empty());
        counted.filter_map(|(stack, number)| Some((DylibId::new(number)?, stack.len())))
    }

    /// Takes the latest handler of `walk`'s dylibs that was registered after `floor`. Taken before it runs, so that a handler that throws or exits is not
    /// called again.
    pub(crate) fn take_latest(&mut self, walk: &mut Backwards, floor: u64) -> Option<Handler> {
        if walk.registered != Some(self.registered) {
            walk.registered = Some(self.registered);
            walk.latest = walk.dylibs.iter().filter_map(|&dylib| Some((self.latest_of(dylib)?, dylib))).collect();
        }
        loop {
            let (number, dylib) = *walk.latest.peek()?;
            if number < floor {
                return None;
            }
            walk.latest.pop();
            let stack = &mut self.stacks[dylib.index()];
            // Another thread, or `__cxa_finalize`, may have taken it.
            let taken = stack.pop_if(|latest| latest.number == number);
            walk.latest.extend(self.latest_of(dylib).map(|number| (number, dylib)));
            if let Some(Registered { handler, .. }) = taken {
                return Some(handler);
            }
        }
    }

    /// Takes the handlers of `dylib` that `which` picks by image and function, with their numbers, the oldest first.
    pub(crate) fn take_all(
        &mut self,
        dylib: DylibId,
        which: impl Fn(Option<ImageId>, u64) -> bool,
    ) -> Vec<(u64, Handler)> {
        let Some(stack) = self.stacks.get_mut(dylib.index()) else { return Vec::new() };
        let taken = stack.extract_if(.., |one| which(one.image, one.handler.function()));
        taken.map(|one| (one.number, one.handler)).collect()
    }

    /// Counts registrations: another number says that there may be more to take.
    pub(crate) fn registrations(&self) -> u64 {
        self.registered
    }

    fn latest_of(&self, dylib: DylibId) -> Option<u64> {
        self.stacks.get(dylib.index())?.last().map(|latest| latest.number)
    }
}

impl Backwards {
    /// Over the handlers of `dylibs`.
    pub(crate) fn over(dylibs: Vec<DylibId>) -> Self {
        Self { dylibs, latest: BinaryHeap::new(), registered: None }
    }
}

#[cfg(test)]
mod tests {
    use super::{Backwards, Handler, Handlers, ImageId};
    use dylib_graph::DylibId;

    fn dylib(number: u32) -> DylibId {
        DylibId::new(number).expect("not zero")
    }

    fn plain(function: u64) -> Handler {
        Handler::Plain { function }
    }

    #[test]
    fn the_latest_goes_first_across_dylibs_and_others_stay() {
        let mut handlers = Handlers::default();
        for (number, of) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 3)] {
            handlers.register(dylib(of), None, number, plain(number));
        }
        let mut walk = Backwards::over(vec![dylib(1), dylib(2)]);
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(4)));
        assert_eq!(handlers.take_latest(&mut walk, 2), Some(plain(2)));
        assert_eq!(handlers.take_latest(&mut walk, 2), None);
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(1)));
        assert_eq!(handlers.take_latest(&mut walk, 0), None);
        assert_eq!(handlers.pending().collect::<Vec<_>>(), [(dylib(3), 2)]);
    }

    #[test]
    fn the_handlers_of_an_image_go_and_the_others_keep_their_order() {
        let mut handlers = Handlers::default();
        for (number, image) in [(1, 7), (2, 8), (3, 7), (4, 9)] {
            handlers.register(dylib(1), Some(ImageId(image)), number, plain(number));
        }
        let taken = handlers.take_all(dylib(1), |image, function| image == Some(ImageId(7)) || function == 4);
        assert_eq!(taken, [(1, plain(1)), (3, plain(3)), (4, plain(4))]);
        assert_eq!(handlers.take_all(dylib(2), |_, _| true), []);
        let mut walk = Backwards::over(vec![dylib(1)]);
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(2)));
        assert_eq!(handlers.take_latest(&mut walk, 0), None);
    }

    #[test]
    fn what_a_handler_registers_runs_before_the_older_ones() {
        let mut handlers = Handlers::default();
        handlers.register(dylib(1), None, 1, plain(1));
        handlers.register(dylib(1), None, 2, plain(2));
        let mut walk = Backwards::over(vec![dylib(1)]);
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(2)));
        handlers.register(dylib(1), None, 3, plain(3));
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(3)));
        assert_eq!(handlers.take_latest(&mut walk, 0), Some(plain(1)));
    }
}
