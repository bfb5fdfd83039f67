//! Who carries what goes between a rank of this host and one of another: the daemons' link, or a connection of the two ranks' own.
//!
//! ```text
//!   Link --claim(n)--> Claimed(n) --grant--> Held(n) --join--> Joined(n) --give_up, revoke--> Link
//!          the rank                 daemon           the rank               either
//! ```
//!
//! The daemon carries it until it has granted a claim, and again as soon as the word says so and the rank is in no stretch under an
//! older epoch: so a rank that computes, or is dead, keeps nothing from going on. There is a word at each of the two hosts.

use std::sync::atomic::{AtomicU64, Ordering};

const CLAIMED: u64 = 1;
const HELD: u64 = 2;
const JOINED: u64 = 3;
const LINK: u64 = 0;

/// The word; the number of a connection, and what is with it.
#[repr(transparent)]
#[derive(Debug)]
pub struct Carrier(AtomicU64);

impl Carrier {
    /// The rank wants its connection to carry. Returns whether that can be.
    pub fn claim(&self, number: u64) -> bool {
        self.change(LINK, number << 2 | CLAIMED)
    }

    /// The rank does not want it any more. Returns whether it was granted before.
    pub fn withdraw(&self, number: u64) -> bool {
        !self.change(number << 2 | CLAIMED, LINK)
    }

    /// The daemon grants what was claimed, and learns which connection that is; or it does not, because that one is over.
    pub fn grant(&self, over: u64) -> Option<u64> {
        let word = self.0.load(Ordering::Acquire);
        let connection = word >> 2;
        if word & 3 != CLAIMED {
            return None;
        }
        match connection > over {
            true => self.change(word, connection << 2 | HELD).then_some(connection),
            false => {
                // Where it was withdrawn meanwhile, that is the same.
                self.change(word, LINK);
                None
            }
        }
    }

    /// Whether something is claimed.
    pub fn is_claimed(&self) -> bool {
        self.0.load(Ordering::Acquire) & 3 == CLAIMED
    }

    /// Whether it is that connection.
    pub fn is_claimed_by(&self, number: u64) -> bool {
        self.0.load(Ordering::Acquire) == number << 2 | CLAIMED
    }

    /// Whether the daemons' link carries, and nobody wants to.
    pub fn is_link(&self) -> bool {
        self.0.load(Ordering::Acquire) == LINK
    }

    /// Whether this connection carries.
    pub fn is_held(&self, number: u64) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word >> 2 == number && matches!(word & 3, HELD | JOINED)
    }

    /// The rank knows that the other end of its connection carries as well.
    pub fn join(&self, number: u64) {
        self.change(number << 2 | HELD, number << 2 | JOINED);
    }

    /// Whether it does.
    pub fn is_joined(&self) -> bool {
        self.0.load(Ordering::Acquire) & 3 == JOINED
    }

    /// The rank gives its connection up.
    pub fn give_up(&self, number: u64) {
        if self.is_held(number) {
            // Where it is not any more, the daemon was quicker.
            let _ = self.change(number << 2 | HELD, LINK) || self.change(number << 2 | JOINED, LINK);
        }
    }

    /// The daemon takes it back, whatever it was.
    pub fn revoke(&self) {
        self.0.store(LINK, Ordering::SeqCst);
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_carries_from_the_grant_until_somebody_takes_it_back() {
        let carrier = Carrier(AtomicU64::new(0));
        assert!(carrier.grant(0).is_none() && carrier.claim(7) && !carrier.claim(8));
        assert!(carrier.is_claimed() && !carrier.is_held(7));
        assert_eq!(carrier.grant(6), Some(7));
        assert!(carrier.is_held(7) && !carrier.is_held(8) && !carrier.is_joined() && carrier.withdraw(7));
        carrier.join(7);
        carrier.give_up(8);
        assert!(carrier.is_joined() && carrier.is_held(7));
        carrier.give_up(7);
        assert!(!carrier.is_held(7) && carrier.claim(8) && !carrier.withdraw(8));
        assert!(carrier.claim(8) && carrier.grant(8).is_none() && carrier.is_link());
        assert!(carrier.grant(0).is_none() && carrier.claim(9) && carrier.grant(0) == Some(9));
        carrier.revoke();
        carrier.join(9);
        assert!(!carrier.is_held(9) && !carrier.is_joined());
    }
}
