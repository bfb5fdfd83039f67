//! Looking at messages before they are received (MPI 5.0, section 3.8).

use std::ffi::c_int;

use egida_core::api::{Matched, Observation, Pattern};
use egida_core::event::Answer;
use egida_core::fault::Fault;

use crate::comm;
use crate::errors::Outcome;
use crate::handle::{MPI_Comm, MPI_Status};
use crate::p2p::pattern;
use crate::request::status_of;
use crate::status::write_flag;
use crate::threads;
use crate::world::{self, World};

/// `MPI_Probe`. One of a named source decides nothing: its channel is in order.
pub unsafe fn probe(source: c_int, tag: c_int, comm: MPI_Comm, status: *mut MPI_Status) -> Outcome {
    comm::on(comm, |comm| {
        let seen = match pattern(comm, source, tag)? {
            None => MPI_Status::of_no_process(),
            Some(pattern) => {
                let seen = if threads::take_turns() {
                    threads::until(|| world::with(|world| look(world, pattern)))?
                } else {
                    world::with(|world| wait(world, pattern))?
                };
                status_of(&seen, comm, seen.len)
            }
        };
        // SAFETY: the caller may give room for a status.
        unsafe { seen.write(status) };
        Ok(())
    })
}

/// The first message that fits, when one has come.
pub fn wait(world: &mut dyn World, pattern: Pattern) -> Result<Matched, Fault> {
    match pattern.source {
        Some(_) => world::until(world, |world| Ok(world.peek(pattern))),
        None => probe_any(world, pattern),
    }
}

fn probe_any(world: &mut dyn World, pattern: Pattern) -> Result<Matched, Fault> {
    match world.observe()? {
        Observation::Replayed(Answer::Message { source, ssn }) => {
            world::until(world, |world| Ok(world.arrived(source, ssn)))
        }
        Observation::Replayed(answer) => Err(diverged(world, &answer)),
        Observation::Live => {
            let seen = world::until(world, |world| Ok(world.peek(pattern)))?;
            world.observed(Answer::Message { source: seen.source, ssn: seen.ssn })?;
            Ok(seen)
        }
    }
}

/// `MPI_Iprobe`
pub unsafe fn iprobe(
    source: c_int,
    tag: c_int,
    comm: MPI_Comm,
    flag: *mut c_int,
    status: *mut MPI_Status,
) -> Outcome {
    comm::on(comm, |comm| {
        let seen = match pattern(comm, source, tag)? {
            None => Some(MPI_Status::of_no_process()),
            Some(pattern) => {
                world::with(|world| look(world, pattern))?.map(|seen| status_of(&seen, comm, seen.len))
            }
        };
        // SAFETY: the caller gives room for a flag and, perhaps, for a status.
        unsafe {
            write_flag(flag, seen.is_some());
            if let Some(seen) = seen {
                seen.write(status);
            }
        }
        Ok(())
    })
}

/// The first message that fits, if one has come.
pub fn look(world: &mut dyn World, pattern: Pattern) -> Result<Option<Matched>, Fault> {
    match world.observe()? {
        Observation::Replayed(Answer::Nothing) => Ok(None),
        Observation::Replayed(Answer::Message { source, ssn }) => {
            world::until(world, |world| Ok(world.arrived(source, ssn))).map(Some)
        }
        Observation::Replayed(answer) => Err(diverged(world, &answer)),
        Observation::Live => {
            world.progress()?;
            let seen = world.peek(pattern);
            world.observed(
                seen.map_or(Answer::Nothing, |seen| Answer::Message { source: seen.source, ssn: seen.ssn }),
            )?;
            Ok(seen)
        }
    }
}

fn diverged(world: &dyn World, answer: &Answer) -> Fault {
    Fault::Divergence { rank: world.rank(), what: format!("a probe was answered {answer:?}") }
}

#[cfg(test)]
mod tests {
    use egida_core::wire::Envelope;

    use super::*;
    use crate::world::scripted::Scripted;

    const ANY: Pattern = Pattern { source: None, context: 4, tag: None };

    #[test]
    fn a_replayed_probe_waits_for_its_message_and_sees_no_other() {
        let mut world = Scripted::default();
        world.late.extend((0..3).map(|tag| Envelope { context: 4, tag }));
        let answer = Answer::Message { source: 0, ssn: 1 };
        world.answers.extend([Answer::Nothing, answer.clone(), answer]);
        assert_eq!(look(&mut world, ANY).unwrap(), None);
        assert_eq!(look(&mut world, ANY).unwrap().unwrap().envelope.tag, 1);
        assert_eq!(probe_any(&mut world, ANY).unwrap().envelope.tag, 1);
        assert_eq!(world.late.len(), 1);
        assert_eq!(probe_any(&mut world, ANY).unwrap().envelope.tag, 0);
        assert_eq!(world.made, [Answer::Message { source: 0, ssn: 0 }]);
    }

    #[test]
    fn an_answer_about_requests_is_divergence() {
        let mut world = Scripted::default();
        world.answers.extend([Answer::Requests(vec![0]), Answer::Nothing]);
        assert!(matches!(look(&mut world, ANY), Err(Fault::Divergence { .. })));
        assert!(matches!(probe_any(&mut world, ANY), Err(Fault::Divergence { .. })));
    }
}
