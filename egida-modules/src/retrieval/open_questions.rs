//! The questions of a collection that are not answered.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::ids::Rank;
use egida_core::module::{Question, Step};

/// Questions by asker and holder.
#[derive(Debug, Default)]
pub(super) struct OpenQuestions {
    open: BTreeMap<(Rank, Rank), BTreeSet<Rank>>,
}

impl OpenQuestions {
    pub fn ask(&mut self, asker: Rank, holder: Rank, owners: &BTreeSet<Rank>) {
        self.open.insert((asker, holder), owners.clone());
    }

    pub fn answered(&mut self, asker: Rank, holder: Rank) -> Step {
        self.open.remove(&(asker, holder));
        if self.open.is_empty() { Step::Done } else { Step::Pending(Vec::new()) }
    }

    pub fn step(&self) -> Step {
        if self.open.is_empty() {
            return Step::Done;
        }
        let question = |(&(asker, holder), owners): (&(Rank, Rank), &BTreeSet<Rank>)| Question {
            asker,
            holder,
            owners: owners.clone(),
        };
        Step::Pending(self.open.iter().map(question).collect())
    }
}
