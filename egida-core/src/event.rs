//! Non-deterministic events and their determinants (section 3.1 of the Egida paper).

use serde::{Deserialize, Serialize};

use crate::clock::IncarnationClock;
use crate::ids::{EventIndex, Rank, Ssn};
use crate::wire::{Reader, WireError, put_bytes, put_varint};

/// The determinant of one non-deterministic event: what a re-execution needs to take the same turn.
///
/// It is the paper's `{source, sesn, dest, desn}` for a delivery (`dest` is `owner`, `desn` is `index`), and the outcome
/// with the number of the call for the other kinds. Every determinant also carries how many observations its process
/// had made: those below that number that have no determinant of their own were answered "nothing", so a run of failed
/// polls costs no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Determinant {
    /// The process whose event it is.
    pub owner: Rank,
    /// Its number among the process's events; dense from 0.
    pub index: EventIndex,
    /// How many observations (tests, probes) the process had completed when the event happened.
    pub observed: u64,
    /// What happened.
    pub what: Happened,
    /// What the event came to depend on, where the protocol tracks that: the clock of the message that was delivered.
    pub after: Option<Box<IncarnationClock>>,
}

/// What a non-deterministic event decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// A posted receive was matched with a message.
    Delivery {
        /// The sender.
        source: Rank,
        /// The message's number on the channel from the sender.
        ssn: Ssn,
        /// Which receive: the number of receives posted before it.
        post: u64,
    },
    /// A test or probe succeeded, or a wait chose among several.
    Observation {
        /// Which call: the number of observations before it.
        call: u64,
        /// Its answer.
        answer: Answer,
    },
    /// Input from outside was read.
    Read {
        /// Which call: the number of reads before it.
        call: u64,
        /// The bytes read.
        value: Vec<u8>,
    },
    /// Only polls that found nothing, made known because something may come to depend on them.
    Polls,
}

/// The answer of an observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing: the test or probe failed. Never logged by itself.
    Nothing,
    /// These of the requests asked about, in the order reported.
    Requests(Vec<u32>),
    /// This message, seen by a probe.
    Message {
        /// The sender.
        source: Rank,
        /// The message's number on the channel from the sender.
        ssn: Ssn,
    },
}

const DELIVERY: u8 = 1;
const OBSERVED_REQUESTS: u8 = 2;
const OBSERVED_MESSAGE: u8 = 3;
const READ: u8 = 4;
const POLLS: u8 = 5;

/// Set in the kind of a determinant that a clock stands behind.
const AFTER: u8 = 0x80;

/// No answer names more requests than this; a larger count in a record is corruption.
const MAX_REQUESTS: u64 = 1 << 24;

impl Determinant {
    /// Appends the compact form used in piggybacks and journals.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match &self.what {
            Happened::Delivery { .. } => DELIVERY,
            Happened::Observation { answer: Answer::Message { .. }, .. } => OBSERVED_MESSAGE,
            Happened::Observation { .. } => OBSERVED_REQUESTS,
            Happened::Read { .. } => READ,
            Happened::Polls => POLLS,
        };
        out.push(if self.after.is_some() { kind | AFTER } else { kind });
        put_varint(out, u64::from(self.owner));
        put_varint(out, self.index);
        put_varint(out, self.observed);
        match &self.what {
            Happened::Delivery { source, ssn, post } => {
                put_varint(out, u64::from(*source));
                put_varint(out, *ssn);
                put_varint(out, *post);
            }
            Happened::Observation { call, answer } => {
                put_varint(out, *call);
                match answer {
                    Answer::Nothing => put_varint(out, 0),
                    Answer::Requests(indices) => {
                        put_varint(out, indices.len() as u64);
                        for &index in indices {
                            put_varint(out, u64::from(index));
                        }
                    }
                    Answer::Message { source, ssn } => {
                        put_varint(out, u64::from(*source));
                        put_varint(out, *ssn);
                    }
                }
            }
            Happened::Read { call, value } => {
                put_varint(out, *call);
                put_bytes(out, value);
            }
            Happened::Polls => {}
        }
        if let Some(after) = &self.after {
            after.encode(out);
        }
    }

    /// Reads one determinant.
    ///
    /// # Errors
    /// [`WireError`] where the bytes are cut short or name no known kind.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = reader.byte()?;
        let owner = reader.rank()?;
        let index = reader.varint()?;
        let observed = reader.varint()?;
        let what = match kind & !AFTER {
            DELIVERY => {
                Happened::Delivery { source: reader.rank()?, ssn: reader.varint()?, post: reader.varint()? }
            }
            OBSERVED_REQUESTS => {
                let call = reader.varint()?;
                let count = reader.varint()?;
                if count > MAX_REQUESTS {
                    return Err(WireError::Malformed("an answer with too many requests"));
                }
                let mut indices = Vec::new();
                for _ in 0..count {
                    indices.push(reader.rank()?);
                }
                Happened::Observation { call, answer: Answer::Requests(indices) }
            }
            OBSERVED_MESSAGE => Happened::Observation {
                call: reader.varint()?,
                answer: Answer::Message { source: reader.rank()?, ssn: reader.varint()? },
            },
            READ => Happened::Read { call: reader.varint()?, value: reader.bytes()?.to_vec() },
            POLLS => Happened::Polls,
            _ => return Err(WireError::Malformed("an unknown kind of determinant")),
        };
        let after = if kind & AFTER != 0 { Some(Box::new(IncarnationClock::decode(reader)?)) } else { None };
        Ok(Self { owner, index, observed, what, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            proptest::collection::vec(any::<u32>(), 0..6).prop_map(Answer::Requests),
            (any::<u32>(), any::<u64>()).prop_map(|(source, ssn)| Answer::Message { source, ssn }),
        ]
    }

    fn happened() -> impl Strategy<Value = Happened> {
        prop_oneof![
            (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(source, ssn, post)| Happened::Delivery {
                source,
                ssn,
                post
            }),
            (any::<u64>(), answer()).prop_map(|(call, answer)| Happened::Observation { call, answer }),
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(call, value)| Happened::Read { call, value }),
            Just(Happened::Polls),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            owner: u32, index: u64, observed: u64, what in happened(), ranks in proptest::option::of(0u32..4), rest in proptest::collection::vec(any::<u8>(), 0..4)
        ) {
            let after = ranks.map(|ranks| Box::new(IncarnationClock::new(ranks)));
            let determinant = Determinant { owner, index, observed, what, after };
            let mut bytes = Vec::new();
            determinant.encode(&mut bytes);
            let whole = bytes.len();
            bytes.extend(&rest);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Determinant::decode(&mut reader).unwrap(), determinant);
            prop_assert_eq!(reader.rest().len(), bytes.len() - whole);
            for cut in 0..whole {
                prop_assert!(Determinant::decode(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Determinant::decode(&mut Reader::new(&bytes));
        }
    }
}
