//! What the retrievals have in common: questions, answers, and beginning anew.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::ids::Rank;
use egida_core::module::{CollectDeterminants, Question, Step};

/// Says which of the failed ranks ask, each for which owners.
pub(super) type Askers = fn(&BTreeSet<Rank>) -> BTreeMap<Rank, BTreeSet<Rank>>;

/// A retrieval in which some failed ranks ask the node of every rank, other failed ones included: a node can have survived
/// its process, and may hold what two failed ranks exchanged.
#[derive(Debug, Clone)]
pub struct Retrieval {
    askers: Askers,
    failed: BTreeSet<Rank>,
    ranks: u32,
    /// What is not answered, by asker and holder.
    open: BTreeMap<(Rank, Rank), BTreeSet<Rank>>,
}

impl Retrieval {
    pub(super) fn new(askers: Askers) -> Self {
        Self { askers, failed: BTreeSet::new(), ranks: 0, open: BTreeMap::new() }
    }

    fn step(&self) -> Step {
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

impl CollectDeterminants for Retrieval {
    fn retrieve_determinants(&mut self, failed: &BTreeSet<Rank>, ranks: u32) -> Step {
        self.failed.clone_from(failed);
        self.ranks = ranks;
        self.open.clear();
        for (asker, owners) in (self.askers)(failed) {
            self.open.extend((0..ranks).map(|holder| ((asker, holder), owners.clone())));
        }
        self.step()
    }

    fn on_message(&mut self, asker: Rank, holder: Rank) -> Step {
        self.open.remove(&(asker, holder));
        if self.open.is_empty() { Step::Done } else { Step::Pending(Vec::new()) }
    }

    fn on_peer_death(&mut self, rank: Rank) -> Step {
        let mut failed = std::mem::take(&mut self.failed);
        failed.insert(rank);
        self.retrieve_determinants(&failed, self.ranks)
    }

    fn on_timer(&mut self) -> Step {
        self.step()
    }
}
