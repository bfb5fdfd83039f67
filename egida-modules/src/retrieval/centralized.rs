//! `centralized` retrieval: one of the failed ranks asks for all of them.

use std::collections::BTreeSet;

use egida_core::ids::Rank;
use egida_core::module::{CollectDeterminants, Step};

use super::open_questions::OpenQuestions;

/// The leader is the lowest failed rank: there is always one, it never is a live rank, and when the set of failed ranks
/// changes the choice is made again. The original's fixed leader hung when that process was alive or fewer than f failed.
#[derive(Debug, Default)]
pub struct Centralized {
    failed: BTreeSet<Rank>,
    ranks: u32,
    questions: OpenQuestions,
}

impl CollectDeterminants for Centralized {
    fn retrieve_determinants(&mut self, failed: &BTreeSet<Rank>, ranks: u32) -> Step {
        self.failed.clone_from(failed);
        self.ranks = ranks;
        self.questions = OpenQuestions::default();
        if let Some(&leader) = failed.first() {
            for holder in 0..ranks {
                self.questions.ask(leader, holder, failed);
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
    fn the_lowest_failed_rank_leads_and_is_elected_anew() {
        let mut retrieval = Centralized::default();
        let Step::Pending(questions) = retrieval.retrieve_determinants(&BTreeSet::from([2, 3]), 4) else {
            panic!("nothing was asked");
        };
        assert!(questions.iter().all(|question| question.asker == 2 && question.owners.len() == 2));
        let Step::Pending(questions) = retrieval.on_peer_death(1) else { panic!("nothing was asked") };
        assert!(questions.iter().all(|question| question.asker == 1 && question.owners.len() == 3));
        assert_eq!(retrieval.retrieve_determinants(&BTreeSet::new(), 4), Step::Done);
    }
}
