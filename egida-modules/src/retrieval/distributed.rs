//! `distributed` retrieval: every recovering rank asks for its own determinants.

use std::collections::BTreeSet;

use egida_core::ids::Rank;
use egida_core::module::{CollectDeterminants, Step};

use super::open_questions::OpenQuestions;

/// Each failed rank asks the node of every rank, other failed ones included: a node can have survived its process, and
/// may hold what two failed ranks exchanged.
#[derive(Debug, Default)]
pub struct Distributed {
    failed: BTreeSet<Rank>,
    ranks: u32,
    questions: OpenQuestions,
}

impl CollectDeterminants for Distributed {
    fn retrieve_determinants(&mut self, failed: &BTreeSet<Rank>, ranks: u32) -> Step {
        self.failed.clone_from(failed);
        self.ranks = ranks;
        self.questions = OpenQuestions::default();
        for &asker in failed {
            for holder in 0..ranks {
                self.questions.ask(asker, holder, &BTreeSet::from([asker]));
            }
        }
        self.questions.step()
    }

    fn on_message(&mut self, asker: Rank, holder: Rank) -> Step {
        self.questions.answered(asker, holder)
    }

    fn on_peer_death(&mut self, rank: Rank) -> Step {
        let mut failed = std::mem::take(&mut self.failed);
        failed.insert(rank);
        self.retrieve_determinants(&failed, self.ranks)
    }

    fn on_timer(&mut self) -> Step {
        self.questions.step()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failed_rank_asks_every_node_and_a_death_begins_anew() {
        let mut retrieval = Distributed::default();
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
