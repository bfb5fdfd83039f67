//! Copies of determinants in the memory of other failure domains: which domains are to hold an entry of a rank's journal,
//! and up to where all of them do.
//!
//! ```text
//!   journal of rank r   e0 e1 e2 e3 e4 e5
//!   domain a            x     x  x            <-- each entry in so many other domains: here 1
//!   domain b               x        x
//!                       complete = 5: what requires a position up to 5 may be seen
//! ```
//!
//! The driver copies and tells; this only keeps count. When a domain is lost, its copies are gone, and `complete` falls back
//! to the first entry that misses one, from where the driver goes over the journal again. What was let through before stays
//! so (watermarks only grow): fewer copies of it are left for a while, which is what a failure is counted for until the
//! domain is back. Nothing new is let through before everything below it has all its copies again.
//!
//! That a determinant is stable once f + 1 processes have it: Alvisi and Marzullo, "Message logging: pessimistic, optimistic,
//! causal, and optimal", IEEE Transactions on Software Engineering, 1998; Figure 4(b) of the Egida paper broadcasts it.

use crate::ids::{Domain, Domains, Position, Rank};

/// Which other domain is asked first to hold an entry. After it come the domains around the circle, from the rank's own on,
/// and whatever is down is passed over: so load spreads, and copies stay where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The next one around the circle.
    Neighbours,
    /// That of the sender, for the delivery of a message: it holds the message already.
    Sender,
}

/// In how many other domains an entry is held, and in which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// How many, besides the rank's own domain; at least 1.
    pub copies: Domain,
    /// Which.
    pub placement: Placement,
}

/// Stands for a domain that is still missing.
const NOBODY: Domain = Domain::MAX;

/// The copies of one rank's journal.
#[derive(Debug, Clone)]
pub struct Replication {
    domains: Domains,
    own: Domain,
    replicas: Replicas,
    base: Position,
    /// The holders of the entries from `base` on, `copies` for each.
    holders: Vec<Domain>,
    complete: Position,
}

impl Replication {
    /// Nothing of the journal of `rank` is copied.
    #[must_use]
    pub fn new(rank: Rank, domains: Domains, replicas: Replicas) -> Self {
        let replicas = Replicas { copies: replicas.copies.max(1), ..replicas };
        Self { own: domains.of(rank), domains, replicas, base: 0, holders: Vec::new(), complete: 0 }
    }

    /// Below this position every entry is held by all that are to hold it. The driver goes on with the entry here.
    #[must_use]
    pub fn complete(&self) -> Position {
        self.complete
    }

    /// The entry at [`Replication::complete`] is of no concern.
    pub fn pass(&mut self) {
        let own = self.own;
        for holder in self.holders_of_next() {
            *holder = own;
        }
        self.complete += 1;
    }

    /// Finds holders for the entry at [`Replication::complete`] among the domains that are up, and has them `copy` it.
    /// `source` is the sender of the message, where the entry is the determinant of a delivery. Returns whether there were
    /// enough of them; if not, the entry is to be placed again when another domain is up.
    pub fn place(
        &mut self,
        source: Option<Rank>,
        is_up: impl Fn(Domain) -> bool,
        mut copy: impl FnMut(Domain),
    ) -> bool {
        let (own, count) = (self.own, self.domains.count());
        let first = match self.replicas.placement {
            Placement::Neighbours => None,
            Placement::Sender => source.map(|source| self.domains.of(source)),
        };
        let circle = (1..count).map(|step| (own + step) % count);
        let holders = self.holders_of_next();
        for domain in first.into_iter().chain(circle) {
            if domain == own || !is_up(domain) || holders.contains(&domain) {
                continue;
            }
            let Some(missing) = holders.iter_mut().find(|holder| **holder == NOBODY) else { break };
            *missing = domain;
            copy(domain);
        }
        let is_complete = !holders.contains(&NOBODY);
        self.complete += Position::from(is_complete);
        is_complete
    }

    /// A domain is lost with the copies that it held. Returns whether some were of this journal.
    pub fn lost(&mut self, domain: Domain) -> bool {
        let mut first = None;
        for (at, holder) in self.holders.iter_mut().enumerate().filter(|(_, holder)| **holder == domain) {
            *holder = NOBODY;
            first.get_or_insert(at);
        }
        if let Some(first) = first {
            let copies = self.replicas.copies as usize;
            self.complete = self.complete.min(self.base + (first / copies) as Position);
        }
        first.is_some()
    }

    /// Entries below this position are collected: nobody needs copies of them any more.
    pub fn collected(&mut self, below: Position) {
        let entries = usize::try_from(below.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let gone = entries.saturating_mul(self.replicas.copies as usize).min(self.holders.len());
        self.holders.drain(..gone);
        self.base = self.base.max(below);
        self.complete = self.complete.max(below);
    }

    /// The journal was lost with its rank's own domain, and goes on at this position.
    pub fn begin_anew(&mut self, base: Position) {
        self.holders.clear();
        self.base = base;
        self.complete = base;
    }

    fn holders_of_next(&mut self) -> &mut [Domain] {
        let copies = self.replicas.copies as usize;
        let from = (self.complete - self.base) as usize * copies;
        if self.holders.len() < from + copies {
            self.holders.resize(from + copies, NOBODY);
        }
        &mut self.holders[from..from + copies]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replication(copies: Domain, placement: Placement) -> Replication {
        Replication::new(1, Domains::blocks(5, 1), Replicas { copies, placement })
    }

    fn place(
        replication: &mut Replication,
        source: Option<Rank>,
        is_up: impl Fn(Domain) -> bool,
    ) -> (bool, Vec<Domain>) {
        let mut copied = Vec::new();
        let is_complete = replication.place(source, is_up, |domain| copied.push(domain));
        (is_complete, copied)
    }

    #[test]
    fn neighbours_around_the_circle_hold_copies() {
        let mut replication = replication(2, Placement::Neighbours);
        assert_eq!(place(&mut replication, Some(4), |_| true), (true, vec![2, 3]));
        assert_eq!(place(&mut replication, None, |domain| domain != 3), (true, vec![2, 4]));
        assert_eq!(replication.complete(), 2);
    }

    #[test]
    fn a_sender_holds_the_determinant_of_its_message() {
        let mut replication = replication(1, Placement::Sender);
        assert_eq!(place(&mut replication, Some(4), |_| true), (true, vec![4]));
        assert_eq!(place(&mut replication, Some(1), |_| true), (true, vec![2]), "its own message");
        assert_eq!(place(&mut replication, None, |_| true), (true, vec![2]), "no message at all");
        assert_eq!(place(&mut replication, Some(4), |domain| domain != 4), (true, vec![2]), "it is down");
    }

    #[test]
    fn nothing_is_complete_with_too_few_domains_up() {
        let mut replication = replication(2, Placement::Neighbours);
        assert_eq!(place(&mut replication, None, |domain| domain == 4), (false, vec![4]));
        assert_eq!(replication.complete(), 0);
        assert_eq!(place(&mut replication, None, |domain| domain == 4), (false, vec![]), "it has it");
        assert_eq!(place(&mut replication, None, |domain| domain != 2), (true, vec![3]));
        assert_eq!(replication.complete(), 1);
    }

    #[test]
    fn a_lost_domain_is_replaced_from_its_first_copy_on() {
        let mut replication = replication(1, Placement::Sender);
        for source in [4, 3, 4, 3] {
            assert!(place(&mut replication, Some(source), |_| true).0);
        }
        replication.pass();
        assert!(!replication.lost(2), "it held nothing");
        assert!(replication.lost(3));
        assert_eq!(replication.complete(), 1);
        let is_up = |domain| domain != 3;
        assert_eq!(place(&mut replication, Some(3), is_up), (true, vec![2]));
        assert_eq!(place(&mut replication, Some(4), is_up), (true, vec![]), "this one is where it was");
        assert_eq!(place(&mut replication, Some(3), is_up), (true, vec![2]));
        replication.pass();
        assert_eq!(replication.complete(), 5);
    }

    #[test]
    fn a_journal_that_was_lost_goes_on_with_no_copies() {
        let mut replication = replication(1, Placement::Neighbours);
        assert!(place(&mut replication, None, |_| true).0);
        replication.begin_anew(7);
        assert_eq!(replication.complete(), 7);
        assert_eq!(place(&mut replication, None, |_| true), (true, vec![2]));
        assert!(replication.lost(2));
        assert_eq!(replication.complete(), 7);
    }
}
