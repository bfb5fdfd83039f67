//! What a round of recovery does outside the main loop: taking memory away, waiting for survivors, collecting what the
//! dead are to replay. All of it may take a while, and none of it keeps the node from watching its processes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egida_core::driver::EntryKind;
use egida_core::fault::Fault;
use egida_core::ids::{Domain, Domains, Rank};
use egida_core::module::{CollectDeterminants, Step};
use egida_core::recovery::{Collected, Fate, LoggedMessage};
use egida_shm::{Blocked, JobMemory};
use thiserror::Error;

use crate::foreign::decode;
use crate::hosts::{Hosts, OrderError, change_memory};
use crate::storage::{Batch, Copier, StorageError, Writer};

/// Why a step of recovery failed: ours, not the application's.
#[derive(Debug, Error)]
pub enum StepError {
    /// Stable storage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Node memory.
    #[error(transparent)]
    Memory(#[from] Fault),
    /// Another host.
    #[error(transparent)]
    Hosts(#[from] OrderError),
    /// A thread of ours.
    #[error("a step of recovery did not end: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// What the steps share.
#[derive(Debug, Clone)]
pub struct Steps {
    /// The job's memory.
    pub memory: JobMemory,
    /// Which rank is on which node.
    pub domains: Domains,
    /// What writes stable storage, where the protocol has any.
    pub writer: Option<Arc<Writer>>,
    /// What copies into the memory of other nodes, where the protocol has that done.
    pub copier: Option<Arc<Copier>>,
    /// The hosts that have the ranks, where that is not this one.
    pub hosts: Option<Arc<Hosts>>,
    /// Which ranks have no process, for those who wait for them.
    pub reaped: Arc<[AtomicBool]>,
}

impl Steps {
    /// Seals the channels of ranks that are reaped.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn seal(self, ranks: Vec<(Rank, Fate)>) -> Result<(), StepError> {
        let lost: Vec<Rank> =
            ranks.iter().filter(|&&(_, fate)| fate == Fate::Lost).map(|&(rank, _)| rank).collect();
        let nodes: BTreeSet<Domain> = lost.iter().map(|&rank| self.domains.of(rank)).collect();
        let nodes: Vec<Domain> = nodes.into_iter().collect();
        if let Some(copier) = self.copier.as_ref().filter(|_| !lost.is_empty()) {
            copier.lose(lost.clone(), nodes.clone()).await?;
        }
        if let Some(writer) = &self.writer {
            if !lost.is_empty() {
                writer.lose(lost.clone(), nodes).await?;
            }
            if lost.len() < ranks.len() {
                writer.flush().await?;
            }
        }
        let (memory, reaped) = (self.memory.clone(), Arc::clone(&self.reaped));
        match self.hosts {
            Some(hosts) => {
                for (rank, fate) in ranks {
                    let reaped = Arc::clone(&reaped);
                    hosts.change(rank, fate, move |rank| blocked(&reaped, rank)).await?;
                }
            }
            None => {
                tokio::task::spawn_blocking(move || {
                    let change =
                        |&(rank, fate)| change_memory(&memory, rank, fate, |rank| blocked(&reaped, rank));
                    ranks.iter().try_for_each(change)
                })
                .await??;
            }
        }
        if let Some(copier) = self.copier.filter(|_| !lost.is_empty()) {
            copier.resume(lost.clone());
        }
        if let Some(writer) = self.writer.filter(|_| !lost.is_empty()) {
            writer.resume(lost);
        }
        Ok(())
    }

    /// Waits until no survivor reads what was taken away.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn quiesce(self) -> Result<(), StepError> {
        let Self { memory, reaped, hosts, .. } = self;
        tokio::task::spawn_blocking(move || memory.quiesce(|rank| blocked(&reaped, rank))).await?;
        if let Some(hosts) = hosts {
            hosts.quiesce().await?;
        }
        Ok(())
    }

    /// Collects from the logs of the dead ranks and of the witnesses on stable storage and, as the protocol's retrieval asks,
    /// from the memory of others. All that a node holds comes along: a rank whose memory was lost is to hold again what it
    /// held for others.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn collect(
        self,
        ranks: Vec<Rank>,
        witnesses: &[Rank],
        collector: Option<&mut Box<dyn CollectDeterminants>>,
    ) -> Result<Collected, StepError> {
        self.sync().await?;
        let dead: BTreeSet<Rank> = ranks.iter().copied().collect();
        let stable = match &self.writer {
            Some(writer) => writer.read(ranks.into_iter().chain(witnesses.iter().copied()).collect()).await?,
            None => Default::default(),
        };
        let copies = match &self.copier {
            Some(copier) => copier.held().await?,
            None => Vec::new(),
        };
        let mut holders = dead.clone();
        if let Some(collector) = collector {
            holders.extend(ask(&mut **collector, &dead, self.domains.ranks()));
        }
        let Self { memory, domains, .. } = self;
        let collected = tokio::task::spawn_blocking(move || {
            let mut collected = Collected::default();
            for (domain, determinant) in copies {
                collected.add_held(determinant, domain);
            }
            for entry in stable.iter() {
                match entry.kind {
                    EntryKind::Message => collected.add_message(entry.rank, message(entry.bytes)?),
                    EntryKind::Own | EntryKind::Held => collected.add_stable(decode(entry.bytes)?),
                    EntryKind::RolledBack => {}
                }
            }
            for &holder in &holders {
                let mut journal = memory.journal(holder);
                while let Some(item) = journal.next()? {
                    match item.kind {
                        EntryKind::Message if dead.contains(&holder) => {
                            collected.add_message(holder, message(item.bytes)?);
                        }
                        // Where ranks roll back, their logs are collected in the other way.
                        EntryKind::Message | EntryKind::RolledBack => {}
                        EntryKind::Own | EntryKind::Held => {
                            collected.add_held(decode(item.bytes)?, domains.of(holder));
                        }
                    }
                }
            }
            Ok::<_, StepError>(collected)
        });
        collected.await?
    }

    /// Has what is in journals elsewhere brought here.
    async fn sync(&self) -> Result<(), StepError> {
        match &self.hosts {
            Some(hosts) => Ok(hosts.sync().await?),
            None => Ok(()),
        }
    }

    /// Collects the logs of these ranks alone, entry by entry in the order written: from stable storage what came before
    /// the journals that are in memory, and those. This is what tells who is an orphan, and to where one rolls back.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn collect_logs(self, ranks: Vec<Rank>) -> Result<Collected, StepError> {
        self.sync().await?;
        let stable = match &self.writer {
            Some(writer) => writer.read(ranks.clone()).await?,
            None => Batch::default(),
        };
        let Self { memory, domains, .. } = self;
        let collected = tokio::task::spawn_blocking(move || {
            let mut collected = Collected::default();
            let garbage = |error| Fault::Driver(format!("an entry of a log cannot be read: {error}"));
            for rank in ranks {
                let base = memory.journal_base(rank);
                let before = stable.iter().filter(|entry| entry.rank == rank && entry.position < base);
                for entry in before {
                    collected.add_entry(rank, entry.kind, entry.bytes, None).map_err(garbage)?;
                }
                let mut journal = memory.journal(rank);
                while let Some(item) = journal.next()? {
                    let holder = Some(domains.of(rank));
                    collected.add_entry(rank, item.kind, item.bytes, holder).map_err(garbage)?;
                }
            }
            Ok::<_, StepError>(collected)
        });
        collected.await?
    }
}

/// The nodes that the protocol's retrieval asks. What they hold is in the launcher's memory, so that every answer is here at
/// once.
fn ask(collector: &mut dyn CollectDeterminants, dead: &BTreeSet<Rank>, ranks: u32) -> BTreeSet<Rank> {
    let mut holders = BTreeSet::new();
    let mut step = collector.retrieve_determinants(dead, ranks);
    while let Step::Pending(questions) = step {
        step = match questions.is_empty() {
            true => collector.on_timer(),
            false => Step::Done,
        };
        for question in questions {
            holders.insert(question.holder);
            step = collector.on_message(question.asker, question.holder);
        }
    }
    holders
}

fn message(bytes: &[u8]) -> Result<LoggedMessage, Fault> {
    LoggedMessage::decode(bytes)
        .map_err(|error| Fault::Driver(format!("a message in a log cannot be read: {error}")))
}

fn blocked(reaped: &[AtomicBool], rank: Rank) -> Blocked {
    match reaped[rank as usize].load(Ordering::Acquire) {
        true => Blocked::Reaped,
        false => Blocked::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retrieval_of_the_protocol_says_whom_to_ask() {
        let registry = egida_modules::registry();
        for phrase in ["distributed", "centralized"] {
            let build = egida_core::registry::Build {
                phrase: None,
                rank: 0,
                setting: &egida_core::setting::Setting {
                    domains: Domains::blocks(4, 1),
                    unit: egida_spec::protocol::FailureUnit::Node,
                    images: false,
                },
                store: 0,
                mirrored: false,
                lasting: false,
                copies: 2,
            };
            let mut collector = (registry.retrieval.get(phrase).unwrap().make)(&build);
            let holders = ask(&mut *collector, &BTreeSet::from([1, 2]), 4);
            assert_eq!(holders, BTreeSet::from([0, 1, 2, 3]), "{phrase}");
        }
    }
}
