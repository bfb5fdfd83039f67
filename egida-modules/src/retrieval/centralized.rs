//! `centralized` retrieval: one of the failed ranks asks for all of them.

use super::questions::Retrieval;

/// The leader is the lowest failed rank: there is always one, it never is a live rank, and when the set of failed ranks
/// changes the choice is made again. The original's fixed leader hung when that process was alive or fewer than f failed.
#[must_use]
pub fn centralized() -> Retrieval {
    Retrieval::new(|failed| failed.first().map(|&leader| (leader, failed.clone())).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use egida_core::module::{CollectDeterminants, Step};

    use super::*;

    #[test]
    fn the_lowest_failed_rank_leads_and_is_elected_anew() {
        let mut retrieval = centralized();
        let Step::Pending(questions) = retrieval.retrieve_determinants(&BTreeSet::from([2, 3]), 4) else {
            panic!("nothing was asked");
        };
        assert!(questions.iter().all(|question| question.asker == 2 && question.owners.len() == 2));
        let Step::Pending(questions) = retrieval.on_peer_death(1) else { panic!("nothing was asked") };
        assert!(questions.iter().all(|question| question.asker == 1 && question.owners.len() == 3));
        assert_eq!(retrieval.retrieve_determinants(&BTreeSet::new(), 4), Step::Done);
    }
}
