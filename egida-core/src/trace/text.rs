//! A sentence for people on each event.

use std::fmt;

use super::{Ended, Event, Gated, Line, Logged, Place};

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rank, &self.event) {
            (Some(rank), Event::Begin) => {
                write!(f, "rank {rank} begins as incarnation {}", self.incarnation.unwrap_or(1))
            }
            (Some(rank), Event::Learn) => write!(
                f,
                "incarnation {} of rank {rank} learns that it was given up, and ends",
                self.incarnation.unwrap_or(1)
            ),
            (Some(rank), Event::Crash { cause: Ended::Suspected }) => write!(
                f,
                "rank {rank} is given up and lives on as incarnation {}",
                self.incarnation.unwrap_or(1)
            ),
            (Some(rank), event) => write!(f, "rank {rank} {event}"),
            (None, event) => event.fmt(f),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = |again: bool| if again { " again" } else { "" };
        match self {
            Self::Begin => f.write_str("begins"),
            Self::CaughtUp => f.write_str("is where its predecessor died"),
            Self::Finish => f.write_str("comes to its end"),
            Self::Crash { cause } => write!(f, "dies: {}", cause.why()),
            Self::Send { dest, ssn, len, piggyback, again: repeats, skipped, .. } => {
                let skipped = if *skipped { ", which stands there already" } else { "" };
                let repeats = again(*repeats);
                write!(f, "sends message {ssn} to rank {dest}{repeats}: {len}+{piggyback} bytes{skipped}")
            }
            Self::Closed { source, ssn, before } => {
                write!(f, "waits with message {ssn} of rank {source} before its {}", before.name())
            }
            Self::Open { source, ssn, before } => {
                write!(f, "goes on with the {} of message {ssn} of rank {source}", before.name())
            }
            Self::Postpone { source, ssn } => {
                write!(
                    f,
                    "waits with message {ssn} of rank {source} for a checkpoint, or the news of a failure"
                )
            }
            Self::Arrive { source, ssn, again: repeats, .. } => {
                write!(f, "takes in message {ssn} of rank {source}{}", again(*repeats))
            }
            Self::Drop { source, ssn, reason } => {
                write!(f, "drops message {ssn} of rank {source}: {reason}")
            }
            Self::Deliver { source, ssn, event, again: repeats, .. } => {
                write!(f, "delivers message {ssn} of rank {source}{}", again(*repeats))?;
                event.map_or(Ok(()), |event| write!(f, " as its event {event}"))
            }
            Self::Release { source, below } => {
                write!(f, "needs no message of rank {source} below {below} again")
            }
            Self::Observe { requests, message: None, again: repeats, .. } if requests.is_empty() => {
                write!(f, "sees nothing{}", again(*repeats))
            }
            Self::Observe { message: Some((source, ssn)), again: repeats, .. } => {
                write!(f, "sees message {ssn} of rank {source}{}", again(*repeats))
            }
            Self::Observe { requests, again: repeats, .. } => {
                write!(f, "sees requests {requests:?} complete{}", again(*repeats))
            }
            Self::Read { len, again: repeats, .. } => {
                write!(f, "reads {len} bytes from outside{}", again(*repeats))
            }
            Self::Log { entry, position, len, place } => {
                write!(f, "logs {} of {len} bytes {}, up to position {position}", entry.name(), place.name())
            }
            Self::Stable { place, position } => {
                write!(f, "has its log up to position {position} {}", place.name())
            }
            Self::Copied { domain, position } => {
                write!(f, "has its log up to position {position} in the memory of domain {domain}")
            }
            Self::Write { len } => write!(f, "writes {len} bytes"),
            Self::Output { text, .. } => write!(f, "is heard to say {text:?}"),
            Self::Checkpoint { number, len, forced } => {
                let forced = if *forced { "is forced to take" } else { "takes" };
                write!(f, "{forced} checkpoint {number}: {len} bytes")
            }
            Self::Saved { number, durable: true } => {
                write!(f, "has its checkpoint {number} on stable storage")
            }
            Self::Saved { number, durable: false } => {
                write!(f, "finds that its checkpoint {number} was not written")
            }
            Self::Mirrored { domain, number } => {
                write!(f, "has its checkpoint {number} in the memory of domain {domain}")
            }
            Self::Held => f.write_str("stands still for a checkpoint"),
            Self::LetGo => f.write_str("goes on after a checkpoint"),
            Self::Committed { number } => write!(f, "will never return behind its checkpoint {number}"),
            Self::Token { token } => write!(
                f,
                "hears that version {} of rank {} ended with {} events",
                token.version, token.rank, token.events
            ),
            Self::Cut { domains, until_ns } => {
                write!(f, "domains {domains:?} are cut off until {until_ns}")
            }
            Self::Heal => f.write_str("nobody is cut off any more"),
            Self::Suspect { domain } => write!(f, "domain {domain} is declared dead"),
            Self::Learn => f.write_str("learns that it was given up, and ends"),
            Self::Death { of, lost } => write!(f, "the death of incarnation {lost} of rank {of} is known"),
            Self::Fence { ranks } => write!(f, "ranks {ranks:?} are ended with their domain"),
            Self::Seal { ranks } => write!(f, "what ranks {ranks:?} wrote is sealed"),
            Self::Persist { round } => write!(f, "round {round}: incarnation numbers are made durable"),
            Self::Quiesce { round } => write!(f, "round {round}: survivors are to see the change"),
            Self::Collect { round, ranks } => {
                write!(f, "round {round}: determinants of ranks {ranks:?} are collected")
            }
            Self::Answer { asker } => write!(f, "answers what recovery asks for rank {asker}"),
            Self::Announce { tokens } => {
                f.write_str("announced:")?;
                tokens.iter().try_for_each(|token| {
                    write!(
                        f,
                        " version {} of rank {} ended with {} events",
                        token.version, token.rank, token.events
                    )
                })
            }
            Self::Start { of, next, determinants, messages } => write!(
                f,
                "incarnation {next} of rank {of} is to start with {determinants} determinants and {messages} messages"
            ),
            Self::Recovered { of, next } => write!(f, "rank {of} is back as incarnation {next}"),
            Self::End { how } => write!(f, "the job ends: {how}"),
            Self::Note { text } => f.write_str(text),
        }
    }
}

impl Ended {
    fn why(self) -> &'static str {
        match self {
            Self::Failed => "it failed",
            Self::Fenced => "its domain failed",
            Self::RolledBack => "it rolls back",
            Self::Suspected => "it was taken for dead",
        }
    }
}

impl Gated {
    fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Delivery => "delivery",
        }
    }
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::Copies => "in the memory of other domains",
            Self::Disk => "on stable storage",
        }
    }
}

impl Logged {
    fn name(self) -> &'static str {
        match self {
            Self::Own => "a determinant",
            Self::Held => "another's determinant",
            Self::Message => "a message",
            Self::Mark => "a mark",
        }
    }
}
