//! `distributed` retrieval: every recovering rank asks for its own determinants.

use super::questions::Retrieval;

/// Each failed rank asks for itself.
#[must_use]
pub fn distributed() -> Retrieval {
    Retrieval::new(|failed| failed.iter().map(|&asker| (asker, [asker].into())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use egida_core::module::{CollectDeterminants, Step};

    use super::*;

    #[test]
    fn every_failed_rank_asks_every_node_and_a_death_begins_anew() {
        let mut retrieval = distributed();
        let Step::Pending(questions) = retrieval.retrieve_determinants(&BTreeSet::from([1]), 3) else {
            panic!("nothing was asked");
        };
        assert_eq!(questions.len(), 3);
        retrieval.on_message(1, 0);
        let Step::Pending(questions) = retrieval.on_peer_death(2) else { panic!("nothing was asked") };
        assert_eq!(questions.len(), 6);
        for holder in 0..3 {
            retrieval.on_message(1, holder);
        }
        assert!(matches!(retrieval.on_timer(), Step::Pending(open) if open.len() == 3));
        assert!(matches!(retrieval.on_message(2, 0), Step::Pending(_)));
        retrieval.on_message(2, 1);
        assert_eq!(retrieval.on_message(2, 2), Step::Done);
    }
}
