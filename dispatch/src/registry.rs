//! The handlers of one side, by tag.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::call::{Caller, Handler, Reply, Tag};
use crate::error::{CallError, TagInUse};
use crate::packed::{self, Pack, Unpack};
use crate::sync::RwLock;

/// Handlers by tag; what is not in here cannot be called.
///
/// As a [`Caller`] it is the in-process path: the handler runs on the calling thread and borrows the caller's very bytes; nothing is
/// copied and no lock is held while it runs, so handlers may call, add and remove.
#[derive(Default)]
pub struct Registry {
    handlers: RwLock<HashMap<Tag, Arc<dyn Handler>>>,
}

impl Registry {
    /// No handlers.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Makes `handler` answer `tag`.
    ///
    /// # Errors
    /// The tag is taken; nothing changes.
    pub fn add(&self, tag: Tag, handler: impl Handler + 'static) -> Result<(), TagInUse> {
        match self.handlers.write().entry(tag) {
            Entry::Occupied(_) => Err(TagInUse(tag)),
            Entry::Vacant(slot) => {
                slot.insert(Arc::new(handler));
                Ok(())
            }
        }
    }

    /// [`add`](Registry::add)s a function of typed arguments and result. Arguments that do not unpack are answered with an error out
    /// of band, and the function does not run.
    ///
    /// `A` owns what it holds; a handler that wants to borrow takes the bytes with `add` and reads them with
    /// [`packed::from_bytes`].
    ///
    /// # Errors
    /// The tag is taken; nothing changes.
    pub fn serve<A, R, F>(&self, tag: Tag, function: F) -> Result<(), TagInUse>
    where
        A: for<'a> Unpack<'a>,
        R: Pack,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        self.add(tag, move |bytes: &[u8]| match packed::from_bytes::<A>(bytes) {
            Ok(args) => Reply::packed(&function(args)),
            Err(error) => Reply::error(format!("the arguments of {tag} could not be read: {error}")),
        })
    }

    /// Takes the handler of `tag` out. Calls that it is serving go on; it lives until the last of them returns.
    pub fn remove(&self, tag: Tag) -> Option<Arc<dyn Handler>> {
        self.handlers.write().remove(&tag)
    }

    /// The tags that have handlers, in ascending order.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags: Vec<Tag> = self.handlers.read().keys().copied().collect();
        tags.sort_unstable();
        tags
    }
}

impl Caller for Registry {
    fn call(&self, tag: Tag, args: &[u8]) -> Result<Reply, CallError> {
        let handler = self.handlers.read().get(&tag).cloned();
        match handler {
            Some(handler) => Ok(handler.handle(args)),
            None => Err(CallError::UnknownTag(tag)),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.tags()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{call_expected, call_typed};

    #[test]
    fn a_direct_call_lends_the_callers_own_bytes() {
        let registry = Registry::new();
        registry.add(Tag(7), |args: &[u8]| Reply::packed(&(args.as_ptr() as u64, args.len() as u64))).unwrap();
        let args = vec![1u8; 5000];
        let reply = registry.call(Tag(7), &args).unwrap();
        let seen: (u64, u64) = packed::from_bytes(reply.bytes().unwrap()).unwrap();
        assert_eq!(seen, (args.as_ptr() as u64, 5000), "the handler must see the same memory, not a copy");
    }

    #[test]
    fn an_unknown_tag_is_an_error_and_a_removed_one_is_unknown() {
        let registry = Registry::new();
        assert_eq!(registry.call(Tag(1), &[]), Err(CallError::UnknownTag(Tag(1))));
        registry.serve(Tag(1), |(): ()| 5u8).unwrap();
        assert_eq!(registry.serve(Tag(1), |(): ()| 6u8), Err(TagInUse(Tag(1))));
        assert_eq!(call_typed::<_, u8>(&registry, Tag(1), &()), Ok(5));
        assert!(registry.remove(Tag(1)).is_some());
        assert!(registry.remove(Tag(1)).is_none());
        assert_eq!(registry.call(Tag(1), &[]), Err(CallError::UnknownTag(Tag(1))));
    }

    #[test]
    fn handlers_may_change_the_registry_that_calls_them() {
        let registry = Arc::new(Registry::new());
        let weak = Arc::downgrade(&registry);
        registry.serve(Tag(1), move |(): ()| weak.upgrade().is_some_and(|r| r.remove(Tag(1)).is_some())).unwrap();
        assert_eq!(call_typed::<_, bool>(&registry, Tag(1), &()), Ok(true));
        assert!(registry.tags().is_empty());
    }

    #[test]
    fn typed_calls_report_what_does_not_fit() {
        let registry = Registry::new();
        registry.serve(Tag(1), |n: u32| if n == 0 { Err("zero".to_owned()) } else { Ok(n) }).unwrap();
        assert_eq!(call_expected::<u32, u32>(&registry, Tag(1), &3), Ok(3));
        assert_eq!(call_expected::<u32, u32>(&registry, Tag(1), &0), Err(CallError::Failed("zero".into())));
        let short = call_expected::<u16, u32>(&registry, Tag(1), &3).unwrap_err().to_string();
        assert!(short.contains("tag-0x1") && short.contains("2 left"), "{short}");
        assert!(matches!(call_typed::<u32, u8>(&registry, Tag(1), &3), Err(CallError::BadReply { .. })));
    }
}
