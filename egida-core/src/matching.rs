//! Point-to-point matching with MPI's non-overtaking rule, and its replay.
//!
//! Messages are taken in the order of their channels, receives in the order posted. A receive matches the first message
//! that fits, a message the first receive that it fits. Two more kinds of receive exist in a re-execution:
//!
//! - *forced*: a determinant says which message it matched; it takes that one and no other;
//! - *blocked*: a receive from any source whose determinant was not recovered. It may take nothing before all recovered
//!   determinants are replayed, and a message that it could take waits with it, since handing the message to a later
//!   receive would overtake.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::api::{Pattern, ReceiveId};
use crate::ids::{Rank, Ssn};
use crate::wire::Envelope;

/// A message that has arrived, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// The sender.
    pub source: Rank,
    /// Its number on the channel.
    pub ssn: Ssn,
    /// Context and tag.
    pub envelope: Envelope,
    /// Payload bytes.
    pub len: u64,
}

/// What a posted receive may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// Anything that fits its pattern.
    Any,
    /// Just this message.
    Forced(Rank, Ssn),
    /// Nothing yet.
    Blocked,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Posted {
    id: ReceiveId,
    pattern: Pattern,
    claim: Claim,
}

impl Posted {
    fn takes(&self, message: &Arrived) -> bool {
        match self.claim {
            Claim::Any | Claim::Blocked => self.pattern.fits(message.source, message.envelope),
            Claim::Forced(source, ssn) => (message.source, message.ssn) == (source, ssn),
        }
    }
}

/// Posted receives and arrived messages that have not met.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Matching {
    posted: VecDeque<Posted>,
    arrived: VecDeque<Arrived>,
    blocked: usize,
}

impl Matching {
    /// A message arrives. Returns the receive that it is matched with.
    pub fn arrive(&mut self, message: Arrived) -> Option<ReceiveId> {
        match self.posted.iter().position(|posted| posted.takes(&message)) {
            Some(at) if self.posted[at].claim != Claim::Blocked => {
                self.posted.remove(at).map(|posted| posted.id)
            }
            _ => {
                self.arrived.push_back(message);
                None
            }
        }
    }

    /// A receive is posted. Returns the message that it is matched with.
    pub fn post(&mut self, id: ReceiveId, pattern: Pattern, claim: Claim) -> Option<Arrived> {
        let posted = Posted { id, pattern, claim };
        if let Some(at) = self.first_for(&posted, self.posted.len()) {
            return self.arrived.remove(at);
        }
        self.blocked += usize::from(claim == Claim::Blocked);
        self.posted.push_back(posted);
        None
    }

    /// Whether no posted receive would take that message.
    #[must_use]
    #[inline(always)] // for every message, and nearly always nothing is posted
    pub fn leaves(&self, message: &Arrived) -> bool {
        self.posted.is_empty() || !self.posted.iter().any(|posted| posted.takes(message))
    }

    /// The first arrived message that a receive posted behind `ahead` others may take.
    fn first_for(&self, posted: &Posted, ahead: usize) -> Option<usize> {
        if posted.claim == Claim::Blocked {
            return None;
        }
        let at = self.arrived.iter().position(|message| posted.takes(message))?;
        let message = &self.arrived[at];
        // A message that an earlier blocked receive could take is not to be overtaken, unless a determinant says so.
        let held = self.blocked > 0
            && !matches!(posted.claim, Claim::Forced(..))
            && self
                .posted
                .iter()
                .take(ahead)
                .any(|other| other.claim == Claim::Blocked && other.takes(message));
        (!held).then_some(at)
    }

    /// Lets blocked receives take what fits: every recovered determinant is replayed. Returns the pairs made, in order.
    pub fn unblock(&mut self) -> Vec<(ReceiveId, Arrived)> {
        for posted in &mut self.posted {
            if posted.claim == Claim::Blocked {
                posted.claim = Claim::Any;
            }
        }
        self.blocked = 0;
        let mut pairs = Vec::new();
        let mut at = 0;
        while at < self.posted.len() {
            let posted = self.posted[at];
            match self.first_for(&posted, at).and_then(|message| self.arrived.remove(message)) {
                Some(message) => {
                    self.posted.remove(at);
                    pairs.push((posted.id, message));
                }
                None => at += 1,
            }
        }
        pairs
    }

    /// The receives that are posted and not matched, in the order posted, with their patterns.
    pub fn posted(&self) -> impl Iterator<Item = (ReceiveId, Pattern)> {
        self.posted.iter().map(|posted| (posted.id, posted.pattern))
    }

    /// Gives posted receives other claims: a process goes on from where they were posted, and is to repeat what followed.
    pub fn claim(&mut self, claim: impl Fn(ReceiveId, Pattern) -> Claim) {
        for posted in &mut self.posted {
            posted.claim = claim(posted.id, posted.pattern);
        }
        self.blocked = self.posted.iter().filter(|posted| posted.claim == Claim::Blocked).count();
    }

    /// Withdraws a receive that was not matched. Returns whether it was there.
    pub fn withdraw(&mut self, id: ReceiveId) -> bool {
        let Some(at) = self.posted.iter().position(|posted| posted.id == id) else { return false };
        let posted = self.posted.remove(at);
        self.blocked -= usize::from(posted.is_some_and(|posted| posted.claim == Claim::Blocked));
        true
    }

    /// Forgets the arrived messages of a channel from number `from` on.
    pub fn forget(&mut self, source: Rank, from: Ssn) {
        self.arrived.retain(|message| message.source != source || message.ssn < from);
    }

    /// The message that a receive with this pattern would take if it were posted now.
    #[must_use]
    pub fn peek(&self, pattern: Pattern) -> Option<Arrived> {
        let posted = Posted { id: ReceiveId(u64::MAX), pattern, claim: Claim::Any };
        self.first_for(&posted, self.posted.len()).map(|at| self.arrived[at])
    }

    /// Whether that message has arrived and is not matched.
    #[must_use]
    pub fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Arrived> {
        self.arrived.iter().find(|message| (message.source, message.ssn) == (source, ssn)).copied()
    }

    /// Whether some receive is blocked.
    #[must_use]
    pub fn has_blocked(&self) -> bool {
        self.blocked > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: u32 = 7;

    fn message(source: Rank, ssn: Ssn, tag: i32) -> Arrived {
        Arrived { source, ssn, envelope: Envelope { context: CONTEXT, tag }, len: 0 }
    }

    fn pattern(source: Option<Rank>, tag: Option<i32>) -> Pattern {
        Pattern { source, context: CONTEXT, tag }
    }

    fn id(number: u64) -> ReceiveId {
        ReceiveId(number)
    }

    #[test]
    fn messages_of_one_channel_do_not_overtake() {
        let mut matching = Matching::default();
        assert_eq!(matching.arrive(message(1, 0, 5)), None);
        assert_eq!(matching.arrive(message(1, 1, 6)), None);
        assert_eq!(matching.arrive(message(1, 2, 5)), None);
        assert_eq!(matching.post(id(0), pattern(Some(1), Some(6)), Claim::Any).unwrap().ssn, 1);
        assert_eq!(matching.post(id(1), pattern(None, None), Claim::Any).unwrap().ssn, 0);
        assert_eq!(matching.post(id(2), pattern(Some(1), Some(5)), Claim::Any).unwrap().ssn, 2);
    }

    #[test]
    fn receives_match_in_the_order_posted() {
        let mut matching = Matching::default();
        matching.post(id(0), pattern(None, Some(5)), Claim::Any);
        matching.post(id(1), pattern(Some(1), Some(5)), Claim::Any);
        assert_eq!(matching.arrive(message(1, 0, 5)), Some(id(0)));
        assert_eq!(matching.arrive(message(1, 1, 5)), Some(id(1)));
    }

    #[test]
    fn another_context_never_matches() {
        let mut matching = Matching::default();
        matching.post(id(0), Pattern { source: None, context: 8, tag: None }, Claim::Any);
        assert_eq!(matching.arrive(message(1, 0, 5)), None);
    }

    /// Irecv(ANY), Irecv(3), same tag: the first took rank 5's message. A replay that only names rank 3 for the second
    /// would give 3's first message to the wrong one.
    #[test]
    fn a_forced_receive_leaves_other_messages_to_later_receives() {
        let mut matching = Matching::default();
        matching.post(id(0), pattern(None, Some(1)), Claim::Forced(5, 9));
        matching.post(id(1), pattern(Some(3), Some(1)), Claim::Any);
        assert_eq!(matching.arrive(message(3, 0, 1)), Some(id(1)));
        assert_eq!(matching.arrive(message(5, 8, 2)), None);
        assert_eq!(matching.arrive(message(5, 9, 1)), Some(id(0)));
    }

    #[test]
    fn a_blocked_receive_holds_what_it_could_take() {
        let mut matching = Matching::default();
        matching.post(id(0), pattern(None, Some(1)), Claim::Blocked);
        matching.post(id(1), pattern(Some(3), Some(1)), Claim::Any);
        assert_eq!(matching.arrive(message(3, 0, 1)), None);
        assert_eq!(matching.arrive(message(3, 1, 1)), None);
        assert_eq!(matching.peek(pattern(Some(3), None)), None, "a probe must not see it either");
        assert_eq!(matching.post(id(2), pattern(Some(3), Some(1)), Claim::Any), None);
        assert_eq!(matching.post(id(3), pattern(None, Some(1)), Claim::Forced(3, 1)).unwrap().ssn, 1);
        let pairs = matching.unblock();
        assert_eq!(pairs.iter().map(|(id, message)| (id.0, message.ssn)).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(matching.arrive(message(3, 2, 1)), Some(id(1)));
        assert!(!matching.has_blocked());
    }

    #[test]
    fn a_withdrawn_receive_is_gone() {
        let mut matching = Matching::default();
        matching.post(id(0), pattern(None, None), Claim::Blocked);
        assert!(matching.withdraw(id(0)));
        assert!(!matching.withdraw(id(0)));
        assert!(!matching.has_blocked());
        assert_eq!(matching.arrive(message(1, 0, 0)), None);
        assert!(matching.arrived(1, 0).is_some());
    }
}
