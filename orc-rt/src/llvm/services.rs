//! The services themselves: arguments are read, the parts are called, answers are packed.

use super::memory::Leaving;
use super::messages::{
    Action, ActionPair, Addresses, Finalize, Initialize, Lookup, Open, Range, Reserve, RunAsMain, Segment,
    SharedSegment,
};
use super::names::{self, Service};
use super::{Services, actions, programs};
use dispatch::packed::{Pack, Status, from_bytes};
use dispatch::{CallError, PackError, Reply, Tag};

type Answer = Result<Reply, PackError>;

impl Services {
    /// Calls what a tag or an action names, on this thread: a service, or a wrapper function in code that this controller has made final.
    pub(super) fn invoke(&self, function: u64, args: &[u8]) -> Result<Reply, CallError> {
        if let Some(service) = names::service_at(function) {
            return Ok(self.serve(service, args));
        }
        let reply = programs::wrapper(&self.session, &self.memory, function, args);
        reply.ok_or(CallError::UnknownTag(Tag(function)))
    }

    /// Whether a call runs linked code, now or in its actions.
    pub(super) fn runs_code(function: u64) -> bool {
        use Service as S;
        match names::service_at(function) {
            None => true,
            Some(S::Finalize | S::Deallocate | S::SharedInitialize | S::SharedDeinitialize | S::SharedRelease) => true,
            Some(S::RunMain | S::RunFunction | S::RunIntFunction) => true,
            // Opening a library runs its initializers, whose thread should live on, as the process's own code.
            Some(_) => false,
        }
    }

    /// Answers one call of a service. Arguments that cannot be read are an error out of band.
    pub(super) fn serve(&self, service: Service, args: &[u8]) -> Reply {
        let reply = self
            .answer(service, args)
            .unwrap_or_else(|error| Reply::error(format!("the arguments of {service:?} could not be read: {error}")));
        if let Some(error) = reply.as_error() {
            // LLVM's wire has no words for it.
            tracing::warn!(target: "orc_rt::llvm", ?service, error, "refused");
        }
        reply
    }

    fn answer(&self, service: Service, args: &[u8]) -> Answer {
        use Service as S;
        Ok(match service {
            S::OpenLibrary => {
                let Open { instance, path, mode: _ } = from_bytes(args)?;
                let opened = self.check(instance).and_then(|()| self.libraries.open(&self.session, path));
                Reply::packed(&opened)
            }
            S::Lookup => {
                let Lookup { instance, library, names } = from_bytes(args)?;
                let look_up = |()| self.libraries.lookup(&self.session, library, &names);
                Reply::packed(&self.check(instance).and_then(look_up))
            }
            S::Reserve => {
                let Reserve { instance, size } = from_bytes(args)?;
                Reply::packed(&self.check(instance).and_then(|()| self.memory.reserve(size)))
            }
            S::Finalize => {
                let Finalize { instance, segments, actions } = from_bytes(args)?;
                let made = self.check(instance).and_then(|()| self.make_final(None, &segments, &actions));
                Reply::packed(&Status(made.map(drop)))
            }
            S::Deallocate => self.release_all(args, false)?,
            S::SharedReserve => {
                let Reserve { instance, size } = from_bytes(args)?;
                Reply::packed(&self.check(instance).and_then(|()| self.memory.reserve_shared(size)))
            }
            S::SharedInitialize => {
                let Initialize { instance, reservation, segments, actions } = from_bytes(args)?;
                let segments: Vec<_> = segments.iter().map(without_content).collect();
                let made = self.check(instance).and_then(|()| self.make_final(Some(reservation), &segments, &actions));
                Reply::packed(&made)
            }
            S::SharedDeinitialize => {
                let Addresses { instance, bases } = from_bytes(args)?;
                Reply::packed(&Status(self.check(instance).and_then(|()| self.each(&bases, Self::close_one))))
            }
            S::SharedRelease => self.release_all(args, true)?,
            S::Write8 => self.write_values::<u8, 1>(args, u8::to_le_bytes)?,
            S::Write16 => self.write_values::<u16, 2>(args, u16::to_le_bytes)?,
            S::Write32 => self.write_values::<u32, 4>(args, u32::to_le_bytes)?,
            S::Write64 => self.write_values::<u64, 8>(args, u64::to_le_bytes)?,
            S::WriteBuffers => done(self.memory.write(&from_bytes::<Vec<(u64, &[u8])>>(args)?)),
            S::RegisterFrames => {
                let Range { start, end } = from_bytes(args)?;
                Reply::packed(&Status(self.tables.register(&self.memory, start, Some(end))))
            }
            S::DeregisterFrames => Reply::packed(&Status(self.tables.deregister(from_bytes::<Range>(args)?.start))),
            S::RegisterObject => {
                let (object, tell) = from_bytes::<(Range, bool)>(args)?;
                Reply::packed(&Status(self.objects.register(&self.memory, object, tell)))
            }
            S::RunMain => {
                let RunAsMain { function, arguments } = from_bytes(args)?;
                plain(programs::main(&self.session, &self.memory, function, &arguments))
            }
            S::RunFunction => plain(programs::function(&self.session, &self.memory, from_bytes(args)?)),
            S::RunIntFunction => {
                let (function, value) = from_bytes::<(u64, i32)>(args)?;
                plain(programs::int_function(&self.session, &self.memory, function, value))
            }
        })
    }

    fn check(&self, instance: u64) -> Result<(), String> {
        if instance == self.session.dispatch_context() {
            return Ok(());
        }
        Err(format!("{instance:#x} is not the instance that this executor's Setup names"))
    }

    /// Contents, protections, then actions; all or nothing.
    fn make_final(
        &self,
        shared: Option<u64>,
        segments: &[Segment<'_>],
        pairs: &[ActionPair<'_>],
    ) -> Result<u64, String> {
        if segments.is_empty() && shared.is_none() {
            let idle = |action: &Action<'_>| action.function == 0;
            return match pairs.iter().all(|pair| idle(&pair.finalize) && idle(&pair.dealloc)) {
                true => Ok(0),
                false => Err("actions belong to memory, and none was made final".to_owned()),
            };
        }
        let in_flight = self.memory.begin(shared, segments)?;
        let ranges = segments.iter().map(|segment| segment.address..segment.address.saturating_add(segment.size));
        let registered = ranges.clone().try_for_each(|range| self.tables.contents_came(&self.memory, &range));
        match registered.and_then(|()| actions::finalize(self, pairs)) {
            Ok(undo) => Ok(self.memory.complete(in_flight, undo)),
            Err(error) => {
                ranges.for_each(|range| self.forget(&range));
                self.memory.fail(in_flight);
                Err(error)
            }
        }
    }

    fn release_all(&self, args: &[u8], shared: bool) -> Answer {
        let Addresses { instance, bases } = from_bytes(args)?;
        let release = |services: &Self, base| services.release_one(base, shared);
        Ok(Reply::packed(&Status(self.check(instance).and_then(|()| self.each(&bases, release)))))
    }

    /// The last one first; one that fails does not keep the others.
    fn each(&self, bases: &[u64], undo: impl Fn(&Self, u64) -> Result<(), String>) -> Result<(), String> {
        let failures: Vec<_> = bases.iter().rev().filter_map(|&base| undo(self, base).err()).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    fn release_one(&self, base: u64, shared: bool) -> Result<(), String> {
        let Leaving { range, actions } = self.memory.begin_release(base, shared)?;
        let undone = actions::dealloc(self, actions);
        self.forget(&range);
        self.memory.remove(base).and(undone)
    }

    fn close_one(&self, key: u64) -> Result<(), String> {
        let Leaving { range, actions } = self.memory.begin_close(key)?;
        let undone = actions::dealloc(self, actions);
        self.forget(&range);
        self.memory.close(key);
        undone
    }

    /// What a controller left registered in memory that goes.
    fn forget(&self, range: &std::ops::Range<u64>) {
        self.tables.forget(range);
        self.objects.forget(range);
    }

    fn write_values<'a, T, const N: usize>(&self, args: &'a [u8], bytes: impl Fn(T) -> [u8; N]) -> Answer
    where
        T: dispatch::packed::Unpack<'a>,
    {
        let values: Vec<(u64, T)> = from_bytes(args)?;
        let values: Vec<(u64, [u8; N])> = values.into_iter().map(|(address, value)| (address, bytes(value))).collect();
        let writes: Vec<(u64, &[u8])> = values.iter().map(|(address, bytes)| (*address, &bytes[..])).collect();
        Ok(done(self.memory.write(&writes)))
    }
}

fn without_content<'a>(segment: &SharedSegment) -> Segment<'a> {
    let SharedSegment { prot, address, size } = *segment;
    Segment { prot, address, size, content: &[] }
}

/// A result that has no room for an error.
fn plain<T: Pack>(result: Result<T, String>) -> Reply {
    result.map_or_else(Reply::error, |value| Reply::packed(&value))
}

fn done(result: Result<(), String>) -> Reply {
    result.map_or_else(Reply::error, |()| Reply::empty())
}
