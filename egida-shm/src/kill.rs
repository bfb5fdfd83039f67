//! Where a test wants the rank to die.

use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::fault::Fault;
use rustix::process::{Signal, getpid, kill_process};

/// Places at which the rank kills itself, as in `send:1000;deliver:500;point:match:3`.
#[derive(Debug, Default)]
pub struct KillSwitch {
    triggers: Vec<Trigger>,
    death: Death,
}

/// How a rank dies at a crash point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Death {
    /// As by `kill -9`.
    #[default]
    Kill,
    /// [`Fault::Crashed`] is returned, for tests in one process: the driver must not be used again.
    Return,
}

#[derive(Debug, Clone, Copy)]
struct Trigger {
    place: CrashPoint,
    /// How many times the place must still be passed.
    remaining: u64,
}

impl KillSwitch {
    /// Reads the list of places. `send:N` and `deliver:N` name the N-th send and delivery, `point:NAME` and
    /// `point:NAME:K` a failpoint passed for the first or the K-th time.
    ///
    /// # Errors
    /// [`Fault::Driver`] for anything else.
    pub fn parse(list: &str, death: Death) -> Result<Self, Fault> {
        let places = list.split(';').map(str::trim).filter(|place| !place.is_empty());
        Ok(Self { triggers: places.map(Trigger::parse).collect::<Result<_, _>>()?, death })
    }

    /// Dies where the place is on the list.
    ///
    /// # Errors
    /// [`Fault::Crashed`] under [`Death::Return`].
    #[inline]
    pub fn pass(&mut self, place: CrashPoint) -> Result<(), Fault> {
        if self.triggers.is_empty() { Ok(()) } else { self.look_up(place) }
    }

    /// Dies where the failpoint is on the list.
    ///
    /// # Errors
    /// [`Fault::Crashed`] under [`Death::Return`].
    #[inline]
    pub fn failpoint(&mut self, point: Failpoint) -> Result<(), Fault> {
        self.pass(CrashPoint::At(point))
    }

    #[cold]
    fn look_up(&mut self, place: CrashPoint) -> Result<(), Fault> {
        let mut hit = false;
        for trigger in self.triggers.iter_mut().filter(|trigger| trigger.place == place) {
            trigger.remaining = trigger.remaining.saturating_sub(1);
            hit |= trigger.remaining == 0;
        }
        match (hit, self.death) {
            (false, _) => Ok(()),
            (true, Death::Return) => Err(Fault::Crashed),
            (true, Death::Kill) => {
                // It cannot fail for the own process; should it ever, the fault ends the rank all the same.
                let _ = kill_process(getpid(), Signal::KILL);
                Err(Fault::Crashed)
            }
        }
    }
}

impl Trigger {
    fn parse(text: &str) -> Result<Self, Fault> {
        let malformed = |why: &str| Fault::Driver(format!("cannot kill a rank at `{text}`: {why}"));
        let count = |number: &str| match number.parse::<u64>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(malformed(&format!("`{number}` is not a count from 1 on"))),
        };
        match text.split_once(':') {
            Some(("send", number)) => Ok(Self { place: CrashPoint::Send(count(number)?), remaining: 1 }),
            Some(("deliver", number)) => {
                Ok(Self { place: CrashPoint::Deliver(count(number)?), remaining: 1 })
            }
            Some(("point", point)) => {
                let (name, times) = point.split_once(':').unwrap_or((point, "1"));
                let point: Failpoint = name.parse().map_err(|why: String| malformed(&why))?;
                Ok(Self { place: CrashPoint::At(point), remaining: count(times)? })
            }
            _ => Err(malformed("it is none of `send:N`, `deliver:N`, `point:NAME`, `point:NAME:K`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_time_is_the_third_time() {
        let mut kill = KillSwitch::parse("send:5; point:match:3;", Death::Return).unwrap();
        for _ in 0..2 {
            kill.failpoint(Failpoint::Match).unwrap();
        }
        kill.failpoint(Failpoint::Init).unwrap();
        kill.pass(CrashPoint::Send(4)).unwrap();
        assert_eq!(kill.pass(CrashPoint::Send(5)), Err(Fault::Crashed));
        assert_eq!(kill.failpoint(Failpoint::Match), Err(Fault::Crashed));
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for bad in ["send", "send:", "send:0", "send:x", "point:", "point:match:0", "point:mach", "later:3"] {
            let error = KillSwitch::parse(bad, Death::Return).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
