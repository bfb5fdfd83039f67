//! Histories of versions and tokens (Damani and Garg 1996), and the two ways to find orphans with them.
//!
//! The *history* of a rank knows, for each version of each rank, how many of its events the rank's state depends on, and,
//! once a token has told, with how many events the version ended. A message is *obsolete* if it depends on events beyond
//! such an end; it cannot be judged yet if it depends on a version whose predecessor's end is not known; a state is an
//! *orphan* if a token ends a version before events that it depends on.

use std::collections::BTreeMap;

use egida_core::clock::{IncarnationClock, Token};
use egida_core::ids::{EventIndex, Rank, Version};
use egida_core::module::{OrphanDetection, Standing};

/// What a rank knows of the versions of all ranks.
#[derive(Debug, Clone, Default)]
pub struct History {
    asks_everyone: bool,
    /// With how many events a version ended.
    ended: BTreeMap<(Rank, Version), EventIndex>,
    /// On how many events of a version the state depends, at most.
    depends: BTreeMap<(Rank, Version), EventIndex>,
}

/// `broadcast logical clock`: when a rank has failed, everyone is told with how many events its version ended (a scalar), and
/// finds out alone, from the clocks of what it delivered, whether it is an orphan. At most one rollback for each failure.
#[must_use]
pub fn broadcast_logical_clock() -> History {
    History::default()
}

/// `exchange vector clock`: recovery reads from everyone's log the vector clocks of what was delivered, and so finds the
/// maximum recoverable state itself (Johnson and Zwaenepoel 1990): all orphans roll back in the round of the failure, and none
/// has to come to its next communication first.
#[must_use]
pub fn exchange_vector_clock() -> History {
    History { asks_everyone: true, ..History::default() }
}

impl OrphanDetection for History {
    fn judge(&self, clock: &IncarnationClock) -> Standing {
        let mut standing = Standing::Valid;
        for (rank, version, events) in clock.components() {
            if self.ended.get(&(rank, version)).is_some_and(|&left| events > left) {
                return Standing::Obsolete;
            }
            if (1..version).any(|before| !self.ended.contains_key(&(rank, before))) {
                standing = Standing::Undecided;
            }
        }
        standing
    }

    fn delivered(&mut self, clock: &IncarnationClock) {
        for (rank, version, events) in clock.components().filter(|&(_, _, events)| events > 0) {
            let most = self.depends.entry((rank, version)).or_default();
            *most = (*most).max(events);
        }
    }

    fn token(&mut self, token: Token) -> bool {
        let key = (token.rank, token.version);
        let left = self.ended.entry(key).or_insert(token.events);
        *left = token.events.min(*left);
        self.depends.get(&key).is_some_and(|&depends| depends > token.events)
    }

    fn asks_everyone(&self) -> bool {
        self.asks_everyone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(components: &[(Version, EventIndex)]) -> IncarnationClock {
        let mut clock = IncarnationClock::new(components.len() as u32);
        for (rank, &(version, events)) in (0..).zip(components) {
            clock.advance(rank, version, events);
        }
        clock
    }

    #[test]
    fn a_message_of_a_later_version_waits_for_the_token_of_the_one_before() {
        let mut history = broadcast_logical_clock();
        let later = clock(&[(2, 5), (1, 0)]);
        assert_eq!(history.judge(&later), Standing::Undecided);
        assert!(!history.token(Token { rank: 0, version: 1, events: 3 }));
        assert_eq!(history.judge(&later), Standing::Valid);
        assert_eq!(history.judge(&clock(&[(3, 5), (1, 0)])), Standing::Undecided);
    }

    #[test]
    fn what_depends_on_lost_events_is_obsolete_or_an_orphan() {
        let mut history = broadcast_logical_clock();
        history.delivered(&clock(&[(1, 4), (1, 2)]));
        assert!(!history.token(Token { rank: 1, version: 1, events: 2 }), "it depends on nothing beyond");
        assert!(history.token(Token { rank: 0, version: 1, events: 3 }));
        assert_eq!(history.judge(&clock(&[(1, 4), (1, 0)])), Standing::Obsolete);
        assert_eq!(history.judge(&clock(&[(1, 3), (1, 0)])), Standing::Valid);
    }

    #[test]
    fn an_obsolete_message_is_not_kept_waiting() {
        let mut history = broadcast_logical_clock();
        history.token(Token { rank: 0, version: 1, events: 3 });
        assert_eq!(history.judge(&clock(&[(1, 4), (2, 1)])), Standing::Obsolete);
    }
}
