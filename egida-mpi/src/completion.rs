//! Wait and test, each for one, all, any and some (MPI 5.0, section 3.7.5).
//!
//! What a call sees that does not wait for *named* requests depends on timing, so it is an observation: a re-execution gives
//! the same answer, after waiting until it is true. `MPI_Wait` and `MPI_Waitall` decide nothing. Neither does a call
//! about operations that are over in every execution: buffered sends, and partners that are `MPI_PROC_NULL`.
//!
//! In the answer of a call about the list as a whole (`MPI_Testall`) the first request stands for all.

mod look;

use std::ffi::c_int;
use std::sync::Arc;

use egida_core::api::Observation;
use egida_core::event::Answer;
use egida_core::fault::Fault;

use crate::comm::Communicator;
use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Request, MPI_Status, Table};
use crate::request::{self, Ended, Request};
use crate::sole::Use;
use crate::status::write_flag;
use crate::threads;
use crate::world::{self, World};

pub use look::{
    cancel, request_get_status, request_get_status_all, request_get_status_any, request_get_status_some,
};

/// The requests that a call is about.
struct Asked<'a> {
    requests: Use<'static, Table<MPI_Request, Request>>,
    handles: &'a mut [MPI_Request],
}

impl<'a> Asked<'a> {
    /// Takes the caller's array.
    ///
    /// # Safety
    /// `handles` points to `count` handles.
    unsafe fn new(handles: *mut MPI_Request, count: c_int) -> Outcome<Self> {
        let count =
            usize::try_from(count).map_err(|_| Failure::new(MPI_ERR_ARG, format!("a count of {count}")))?;
        let handles = match count {
            0 => &mut [],
            _ if handles.is_null() => return Err(crate::status::null("the array of requests")),
            // SAFETY: as this function's contract has it.
            _ => unsafe { std::slice::from_raw_parts_mut(handles, count) },
        };
        let requests = request::lock();
        let known = |&handle: &MPI_Request| handle == MPI_REQUEST_NULL || requests.get(handle).is_some();
        if handles.iter().all(known) {
            Ok(Self { requests, handles })
        } else {
            Err(Failure::new(MPI_ERR_REQUEST, "a request is not one, or was freed"))
        }
    }

    fn get(&self, at: usize) -> Option<&Request> {
        self.requests.get(self.handles[at])
    }

    fn is_active(&self, at: usize) -> bool {
        self.get(at).is_some_and(Request::is_active)
    }

    /// The places of what there is to wait for.
    fn active(&self) -> Vec<usize> {
        (0..self.handles.len()).filter(|&at| self.is_active(at)).collect()
    }

    /// Whether all of these are over in every execution.
    fn immediate(&self, places: &[usize]) -> bool {
        places.iter().all(|&at| self.get(at).is_none_or(Request::is_immediate))
    }

    /// Moves one on, and says whether it is over.
    fn advance(&mut self, world: &mut dyn World, at: usize) -> Result<bool, Fault> {
        self.requests.get_mut(self.handles[at]).map_or(Ok(true), |request| request.advance(world))
    }

    /// The same for one that is waited for, or was said to be over.
    fn complete(&mut self, world: &mut dyn World, at: usize) -> Result<bool, Fault> {
        self.requests.get_mut(self.handles[at]).map_or(Ok(true), |request| request.complete(world))
    }

    /// Moves these on, and says which are over.
    fn over(&mut self, world: &mut dyn World, places: &[usize]) -> Result<Vec<usize>, Fault> {
        let mut over = Vec::new();
        for &at in places {
            if self.advance(world, at)? {
                over.push(at);
            }
        }
        Ok(over)
    }

    /// Waits for all of these, one after the other.
    fn wait_all(&mut self, world: &mut dyn World, places: &[usize]) -> Result<(), Fault> {
        self.wait_each(world, places.len(), |nth| places[nth])
    }

    /// Waits for `count` of them, one after the other; now and then it moves on all of them, so that messages that came early leave
    /// their channels.
    fn wait_each(
        &mut self,
        world: &mut dyn World,
        count: usize,
        place: impl Fn(usize) -> usize,
    ) -> Result<(), Fault> {
        const ALL_EVERY: u32 = 8;
        let mut over = 0;
        let mut looks = 0u32;
        world::until(world, |world| {
            while over < count && self.complete(world, place(over))? {
                over += 1;
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(ALL_EVERY) && !world.defers() {
                for nth in over + 1..count {
                    self.advance(world, place(nth))?;
                }
            }
            Ok((over == count).then_some(()))
        })
    }

    /// Asks which of these are over, as an observation: at least one where the caller `waits`, perhaps none otherwise.
    /// `choose` cuts what is over to what the call reports.
    fn observe(
        &mut self,
        world: &mut dyn World,
        places: &[usize],
        waits: bool,
        choose: impl Fn(Vec<usize>) -> Vec<usize>,
    ) -> Result<Vec<usize>, Fault> {
        if self.immediate(places) {
            return Ok(choose(places.to_vec()));
        }
        match world.observe()? {
            Observation::Replayed(answer) => {
                let chosen = self.recall(world, answer, waits)?;
                self.wait_all(world, &chosen)?;
                Ok(chosen)
            }
            Observation::Live => {
                let chosen = if waits {
                    world::until(world, |world| {
                        let chosen = choose(self.over(world, places)?);
                        Ok((!chosen.is_empty()).then_some(chosen))
                    })?
                } else {
                    world.progress()?;
                    choose(self.over(world, places)?)
                };
                let named = chosen.iter().map(|&at| at as u32).collect();
                world.observed(if chosen.is_empty() { Answer::Nothing } else { Answer::Requests(named) })?;
                self.take_in(world, &chosen)?;
                Ok(chosen)
            }
        }
    }

    /// Takes in what was only seen to be there of those that are said to be over.
    fn take_in(&mut self, world: &mut dyn World, chosen: &[usize]) -> Result<(), Fault> {
        for &at in chosen {
            if self.get(at).is_some_and(Request::is_partitioned) {
                self.wait_all(world, &[at])?;
            }
        }
        Ok(())
    }

    /// The places that an earlier execution's answer names.
    fn recall(&self, world: &dyn World, answer: Answer, waits: bool) -> Result<Vec<usize>, Fault> {
        let places: Vec<usize> = match answer {
            Answer::Nothing if !waits => return Ok(Vec::new()),
            Answer::Requests(named) => named.into_iter().map(|at| at as usize).collect(),
            answer => return Err(diverged(world, &format!("a completion call was answered {answer:?}"))),
        };
        match places.iter().find(|&&at| at >= self.handles.len() || !self.is_active(at)) {
            Some(at) => Err(diverged(world, &format!("request {at} was complete, and is not active now"))),
            None => Ok(places),
        }
    }

    /// Shows the end of one that is over to the application.
    fn conclude(&mut self, at: usize) -> Ended {
        self.conclude_with(at, |_, _| ())
    }

    /// The same, and shows it beside its communicator before the request is gone.
    fn conclude_with(&mut self, at: usize, mut seen: impl FnMut(&Arc<Communicator>, &Ended)) -> Ended {
        let handle = self.handles[at];
        if request::is_shared(handle) {
            self.handles[at] = MPI_REQUEST_NULL;
            return Ended::with(MPI_Status::empty());
        }
        let Some(request) = self.requests.get_mut(handle) else { return Ended::with(MPI_Status::empty()) };
        let mut ended = request.ended();
        let mut lives = true;
        if request.is_active() {
            let (again, trouble) = request.conclude();
            ended.error = ended.error.or(trouble.map(Box::new));
            lives = again;
        }
        seen(request.comm(), &ended);
        if !lives {
            self.requests.discard(handle);
            self.handles[at] = MPI_REQUEST_NULL;
        }
        ended
    }

    /// Shows the end of one, and raises its error on its communicator.
    unsafe fn conclude_one(&mut self, at: usize, status: *mut MPI_Status) -> Outcome {
        let comm = self.get(at).map(|request| request.comm().clone());
        // SAFETY: `status` is the caller's.
        unsafe { self.conclude(at).show(status) }.map_err(|failure| match &comm {
            Some(comm) => failure.on(comm),
            None => failure,
        })
    }

    /// Shows the ends of several. The status of the i-th of `places` goes to place `to(i)` of the caller's array.
    unsafe fn conclude_several(
        &mut self,
        places: impl IntoIterator<Item = usize>,
        statuses: *mut MPI_Status,
        to: impl Fn(usize, usize) -> usize,
    ) -> Outcome {
        let mut failed = None;
        for (nth, at) in places.into_iter().enumerate() {
            let ended = self.conclude_with(at, |comm, ended| {
                if ended.error.is_some() && failed.is_none() {
                    failed = Some(comm.clone());
                }
            });
            if !statuses.is_null() {
                // SAFETY: the caller's array has room for a status for each request.
                unsafe { statuses.add(to(nth, at)).write(ended.status) };
            }
        }
        match failed {
            None => Ok(()),
            Some(comm) => Err(Failure::new(MPI_ERR_IN_STATUS, "a receive failed").on(&comm)),
        }
    }
}

/// The re-execution does something else than what is to be repeated.
pub fn diverged(world: &dyn World, what: &str) -> Fault {
    Fault::Divergence { rank: world.rank(), what: what.to_owned() }
}

fn first(mut places: Vec<usize>) -> Vec<usize> {
    places.truncate(1);
    places
}

/// Waits by testing until the flag says that it is over.
fn tested(test: impl Fn(*mut c_int) -> Outcome) -> Outcome {
    threads::until(|| {
        let mut flag = 0;
        test(&raw mut flag)?;
        Ok((flag != 0).then_some(()))
    })
}

/// `MPI_Wait`
pub unsafe fn wait(request: *mut MPI_Request, status: *mut MPI_Status) -> Outcome {
    // SAFETY: the caller points to a handle and, perhaps, to a status.
    unsafe {
        if threads::take_turns() {
            return tested(|flag| test(request, flag, status));
        }
        let mut asked = Asked::new(request, 1)?;
        world::with(|world| asked.wait_all(world, &[0]))?;
        asked.conclude_one(0, status)
    }
}

/// `MPI_Waitall`
pub unsafe fn waitall(count: c_int, requests: *mut MPI_Request, statuses: *mut MPI_Status) -> Outcome {
    // SAFETY: the caller gives `count` handles and, perhaps, room for as many statuses.
    unsafe {
        if threads::take_turns() {
            return tested(|flag| testall(count, requests, flag, statuses));
        }
        let mut asked = Asked::new(requests, count)?;
        let count = asked.handles.len();
        world::with(|world| asked.wait_each(world, count, |at| at))?;
        asked.conclude_several(0..count, statuses, |_, at| at)
    }
}

/// `MPI_Waitany`
pub unsafe fn waitany(
    count: c_int,
    requests: *mut MPI_Request,
    index: *mut c_int,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `count` handles, room for an index and, perhaps, for a status.
    unsafe {
        if threads::take_turns() {
            return tested(|flag| testany(count, requests, index, flag, status));
        }
        let mut asked = Asked::new(requests, count)?;
        let active = asked.active();
        if active.is_empty() {
            index.write(MPI_UNDEFINED);
            MPI_Status::empty().write(status);
            return Ok(());
        }
        let chosen = world::with(|world| asked.observe(world, &active, true, first))?;
        index.write(chosen[0] as c_int);
        asked.conclude_one(chosen[0], status)
    }
}

/// `MPI_Waitsome`
pub unsafe fn waitsome(
    incount: c_int,
    requests: *mut MPI_Request,
    outcount: *mut c_int,
    indices: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller's arrays, as in `some`.
    unsafe {
        if threads::take_turns() {
            return threads::until(|| {
                some(false, incount, requests, outcount, indices, statuses)?;
                Ok((*outcount != 0).then_some(()))
            });
        }
        some(true, incount, requests, outcount, indices, statuses)
    }
}

/// `MPI_Testsome`
pub unsafe fn testsome(
    incount: c_int,
    requests: *mut MPI_Request,
    outcount: *mut c_int,
    indices: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller's arrays, as in `some`.
    unsafe { some(false, incount, requests, outcount, indices, statuses) }
}

/// # Safety
/// `requests` points to `incount` handles; there is room for as many indices and, perhaps, statuses, and for a count.
unsafe fn some(
    waits: bool,
    incount: c_int,
    requests: *mut MPI_Request,
    outcount: *mut c_int,
    indices: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: as this function's contract has it.
    unsafe {
        let mut asked = Asked::new(requests, incount)?;
        let active = asked.active();
        if active.is_empty() {
            outcount.write(MPI_UNDEFINED);
            return Ok(());
        }
        let chosen = world::with(|world| asked.observe(world, &active, waits, |over| over))?;
        outcount.write(chosen.len() as c_int);
        for (nth, &at) in chosen.iter().enumerate() {
            indices.add(nth).write(at as c_int);
        }
        asked.conclude_several(chosen, statuses, |nth, _| nth)
    }
}

/// `MPI_Test`
pub unsafe fn test(request: *mut MPI_Request, flag: *mut c_int, status: *mut MPI_Status) -> Outcome {
    // SAFETY: the caller points to a handle, to a flag and, perhaps, to a status.
    unsafe {
        let mut asked = Asked::new(request, 1)?;
        let over = world::with(|world| all_over(&mut asked, world))?;
        write_flag(flag, over);
        if over { asked.conclude_one(0, status) } else { Ok(()) }
    }
}

/// `MPI_Testall`
pub unsafe fn testall(
    count: c_int,
    requests: *mut MPI_Request,
    flag: *mut c_int,
    statuses: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `count` handles, a flag and, perhaps, room for as many statuses.
    unsafe {
        let mut asked = Asked::new(requests, count)?;
        let over = world::with(|world| all_over(&mut asked, world))?;
        write_flag(flag, over);
        let all = 0..asked.handles.len();
        if over { asked.conclude_several(all, statuses, |_, at| at) } else { Ok(()) }
    }
}

/// Whether all that was asked about is over, as an observation.
fn all_over(asked: &mut Asked<'_>, world: &mut dyn World) -> Result<bool, Fault> {
    let active = asked.active();
    if asked.immediate(&active) {
        return Ok(true);
    }
    let whole = |over: Vec<usize>| if over.len() == active.len() { first(over) } else { Vec::new() };
    let over = !asked.observe(world, &active, false, whole)?.is_empty();
    if over {
        // The answer of an earlier execution names the first for all: wait for the rest.
        asked.wait_all(world, &active)?;
    }
    Ok(over)
}

/// `MPI_Testany`
pub unsafe fn testany(
    count: c_int,
    requests: *mut MPI_Request,
    index: *mut c_int,
    flag: *mut c_int,
    status: *mut MPI_Status,
) -> Outcome {
    // SAFETY: the caller gives `count` handles, room for an index, a flag and, perhaps, a status.
    unsafe {
        let mut asked = Asked::new(requests, count)?;
        let active = asked.active();
        if active.is_empty() {
            write_flag(flag, true);
            index.write(MPI_UNDEFINED);
            MPI_Status::empty().write(status);
            return Ok(());
        }
        let chosen = world::with(|world| asked.observe(world, &active, false, first))?;
        write_flag(flag, !chosen.is_empty());
        match chosen.first() {
            None => {
                index.write(MPI_UNDEFINED);
                Ok(())
            }
            Some(&at) => {
                index.write(at as c_int);
                asked.conclude_one(at, status)
            }
        }
    }
}

/// `MPI_Request_free`
pub unsafe fn request_free(request: *mut MPI_Request) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *request };
    if !request::is_shared(*handle) {
        let mut requests = request::lock();
        let named = requests.get(*handle).ok_or_else(|| Failure::new(MPI_ERR_REQUEST, "no such request"))?;
        named.may_be_freed().map_err(|failure| failure.on(named.comm()))?;
        let freed = requests.remove(*handle);
        drop(requests);
        freed.into_iter().for_each(Request::detach);
    }
    *handle = MPI_REQUEST_NULL;
    Ok(())
}

#[cfg(test)]
mod tests {
    use egida_core::api::Pattern;
    use egida_core::wire::{Envelope, SendMode};

    use super::*;
    use crate::request::{Memory, Receiving};
    use crate::world::scripted::Scripted;
    use crate::{comm, types};

    const CONTEXT: u32 = 90;

    fn envelope(tag: i32) -> Envelope {
        Envelope { context: CONTEXT, tag }
    }

    fn send(world: &mut Scripted, tag: i32) {
        use egida_core::api::Api;
        world.send(0, envelope(tag), SendMode::Standard, &[]).unwrap();
    }

    /// A receive of nothing from anybody for each tag below `count`.
    fn receives(world: &mut Scripted, count: i32) -> Vec<MPI_Request> {
        comm::init(0, 1);
        let comm = comm::get(MPI_COMM_WORLD).unwrap();
        (0..count)
            .map(|tag| {
                let memory =
                    Memory { base: std::ptr::null_mut(), count: 0, datatype: types::get(MPI_BYTE).unwrap() };
                let pattern = Pattern { source: None, context: CONTEXT, tag: Some(tag) };
                // SAFETY: there is no memory to leave alone.
                let begun = Receiving::post(world, pattern, unsafe { memory.target() }.unwrap().unpacker());
                request::lock().insert(Request::receiving(&comm, begun.unwrap()))
            })
            .collect()
    }

    fn asked(handles: &mut [MPI_Request]) -> Asked<'_> {
        // SAFETY: the array is one.
        unsafe { Asked::new(handles.as_mut_ptr(), handles.len() as c_int) }.unwrap()
    }

    fn everything(over: Vec<usize>) -> Vec<usize> {
        over
    }

    #[test]
    fn a_live_answer_is_reported_and_logged() {
        let mut world = Scripted::default();
        let mut handles = receives(&mut world, 3);
        send(&mut world, 2);
        send(&mut world, 1);
        let mut asked = asked(&mut handles);
        let active = asked.active();
        assert_eq!(asked.observe(&mut world, &active, true, everything).unwrap(), [1, 2]);
        assert_eq!(asked.observe(&mut world, &active, false, first).unwrap(), [1]);
        assert_eq!(world.made, [Answer::Requests(vec![1, 2]), Answer::Requests(vec![1])]);
    }

    #[test]
    fn a_replayed_answer_is_given_though_more_is_over() {
        let mut world = Scripted::default();
        let mut handles = receives(&mut world, 3);
        (0..3).for_each(|tag| send(&mut world, tag));
        world.answers.extend([Answer::Nothing, Answer::Requests(vec![2, 0])]);
        let mut asked = asked(&mut handles);
        let active = asked.active();
        assert!(asked.observe(&mut world, &active, false, everything).unwrap().is_empty());
        assert_eq!(asked.observe(&mut world, &active, true, everything).unwrap(), [2, 0]);
        assert!(world.made.is_empty());
    }

    #[test]
    fn a_replayed_answer_is_waited_for() {
        let mut world = Scripted::default();
        let mut handles = receives(&mut world, 2);
        world.late.extend([envelope(0), envelope(1)]);
        world.answers.push_back(Answer::Requests(vec![1]));
        let mut asked = asked(&mut handles);
        let active = asked.active();
        assert_eq!(asked.observe(&mut world, &active, false, first).unwrap(), [1]);
        assert!(world.late.is_empty());
    }

    #[test]
    fn a_test_of_a_list_succeeds_again_when_all_is_over() {
        let mut world = Scripted::default();
        let mut handles = receives(&mut world, 2);
        let mut asked = asked(&mut handles);
        assert!(!all_over(&mut asked, &mut world).unwrap());
        world.late.extend([envelope(0), envelope(1)]);
        world.answers.push_back(Answer::Requests(vec![0]));
        assert!(all_over(&mut asked, &mut world).unwrap());
        assert!(world.late.is_empty());
        assert_eq!(world.made, [Answer::Nothing]);
    }

    #[test]
    fn an_answer_that_does_not_fit_is_divergence() {
        let mut world = Scripted::default();
        let mut handles = receives(&mut world, 1);
        let mut asked = asked(&mut handles);
        let active = asked.active();
        let message = Answer::Message { source: 0, ssn: 0 };
        for (waits, answer) in [(true, Answer::Nothing), (false, message), (true, Answer::Requests(vec![4]))]
        {
            world.answers.push_back(answer);
            let result = asked.observe(&mut world, &active, waits, first);
            assert!(matches!(result, Err(Fault::Divergence { .. })), "{result:?}");
        }
    }
}
