//! The copier: one thread of the daemon that brings what ranks log into the memory of other nodes.
//!
//! On one machine it is the network between them: it reads a journal as soon as its rank rings, copies each entry into the
//! foreign stores of the nodes that [`Replication`] names, and publishes how far all copies are there, which is what their
//! acknowledgements would tell. It waits for no disk. What a node holds is charged to it, and lost with it.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use egida_core::event::{Determinant, Happened};
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{Domain, Domains, Rank};
use egida_core::replication::{Placement, Replicas, Replication};
use egida_shm::{JobMemory, JournalReader};
use tokio::sync::oneshot;

use super::{Observer, StorageError};
use crate::foreign::{Held, decode};

/// A bell that was lost costs no more than this.
const NAP: Duration = Duration::from_millis(100);

/// The handle of the copier's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Copier {
    memory: JobMemory,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

type Reply<T> = oneshot::Sender<T>;

enum Command {
    Lose { ranks: Vec<Rank>, nodes: Vec<Domain>, reply: Reply<()> },
    Resume(Vec<Rank>),
    Up(Domain),
    Read(Reply<Result<Vec<(Domain, Determinant)>, Fault>>),
}

impl Copier {
    /// Starts the thread for the stores that are copies.
    ///
    /// # Errors
    /// [`std::io::Error`] where the system gives no thread.
    pub fn start(
        memory: JobMemory,
        domains: &Domains,
        stores: &[(StoreId, Replicas)],
        observer: impl Observer,
    ) -> std::io::Result<Self> {
        memory.set_copied(stores.iter().fold(0, |bits, (store, _)| bits | (1 << store)));
        let (commands, received) = channel();
        let journals = stores
            .iter()
            .flat_map(|&(store, replicas)| (0..domains.ranks()).map(move |rank| (store, replicas, rank)));
        let mut thread = Thread {
            journals: journals
                .map(|(store, replicas, rank)| Journal {
                    rank,
                    store,
                    placement: replicas.placement,
                    reader: memory.journal(rank),
                    replication: Replication::new(rank, domains.clone(), replicas),
                    state: State::Open,
                })
                .collect(),
            held: Held::default(),
            is_up: vec![true; domains.count() as usize],
            memory: memory.clone(),
        };
        let body = move || {
            if let Err(fault) = thread.run(&received, &observer) {
                observer.failed(StorageError::Journal(fault));
            }
        };
        let thread = std::thread::Builder::new().name("egida-copier".to_owned()).spawn(body)?;
        Ok(Self { memory, commands: Some(commands), thread: Some(thread) })
    }

    /// Gives up all that these nodes hold and asks them for nothing until [`Copier::up`], and leaves the journals of these
    /// ranks alone until [`Copier::resume`]: from then on their memory may be taken away.
    ///
    /// # Errors
    /// [`StorageError::Closed`] where the thread has ended.
    pub async fn lose(&self, ranks: Vec<Rank>, nodes: Vec<Domain>) -> Result<(), StorageError> {
        self.ask(|reply| Command::Lose { ranks, nodes, reply }).await
    }

    /// Goes on with the journals of these ranks, which begin anew.
    pub fn resume(&self, ranks: Vec<Rank>) {
        self.send(Command::Resume(ranks));
    }

    /// A node is there again, and may hold copies.
    pub fn up(&self, node: Domain) {
        self.send(Command::Up(node));
    }

    /// What all nodes hold for others.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn held(&self) -> Result<Vec<(Domain, Determinant)>, StorageError> {
        self.ask(Command::Read).await?.map_err(StorageError::Journal)
    }

    /// Lets the copier look for work although no rank rang.
    pub fn nudge(&self) {
        self.memory.interrupt_copies();
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        answer.await.map_err(|_| StorageError::Closed)
    }

    fn send(&self, command: Command) {
        // Where the thread has ended, the reply's end is dropped with the command, which the asker sees.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
            self.nudge();
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.commands = None;
        self.nudge();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One rank's journal, as far as one store is concerned.
struct Journal {
    rank: Rank,
    store: StoreId,
    placement: Placement,
    reader: JournalReader,
    replication: Replication,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is copied as it grows.
    Open,
    /// Too few nodes are up to hold the next entry.
    Blocked,
    /// It may be taken away at any moment.
    Paused,
}

struct Thread {
    memory: JobMemory,
    journals: Vec<Journal>,
    held: Held,
    is_up: Vec<bool>,
}

impl Thread {
    fn run(&mut self, commands: &Receiver<Command>, observer: &impl Observer) -> Result<(), Fault> {
        loop {
            let has_command = match commands.try_recv() {
                Ok(command) => {
                    self.execute(command)?;
                    true
                }
                Err(TryRecvError::Empty) => false,
                Err(TryRecvError::Disconnected) => return Ok(()),
            };
            let mut has_advanced = false;
            for journal in &mut self.journals {
                has_advanced |= journal.copy(&self.memory, &mut self.held, &self.is_up)?;
            }
            if has_advanced {
                observer.advanced();
            }
            if !has_command && !has_advanced {
                let _ = self.memory.wait_to_copy(NAP);
            }
        }
    }

    fn execute(&mut self, command: Command) -> Result<(), Fault> {
        match command {
            Command::Lose { ranks, nodes, reply } => {
                for journal in &mut self.journals {
                    if ranks.contains(&journal.rank) {
                        journal.state = State::Paused;
                    }
                }
                for node in nodes {
                    self.lose(node)?;
                }
                let _ = reply.send(());
            }
            Command::Resume(ranks) => {
                for journal in self.journals.iter_mut().filter(|journal| ranks.contains(&journal.rank)) {
                    journal.replication.begin_anew(self.memory.journal_base(journal.rank));
                    journal.read_again(&self.memory)?;
                }
            }
            Command::Up(node) => {
                if let Some(is_up) = self.is_up.get_mut(node as usize) {
                    *is_up = true;
                }
                for journal in self.journals.iter_mut().filter(|journal| journal.state == State::Blocked) {
                    journal.read_again(&self.memory)?;
                }
            }
            Command::Read(reply) => {
                let _ = reply.send(self.held.iter().collect());
            }
        }
        Ok(())
    }

    fn lose(&mut self, node: Domain) -> Result<(), Fault> {
        self.held.lost(node);
        if let Some(is_up) = self.is_up.get_mut(node as usize) {
            *is_up = false;
        }
        for journal in &mut self.journals {
            if journal.replication.lost(node) && journal.state != State::Paused {
                journal.read_again(&self.memory)?;
            }
        }
        Ok(())
    }
}

impl Journal {
    /// Copies what is new. Returns whether more than before is held by all that are to hold it.
    fn copy(&mut self, memory: &JobMemory, held: &mut Held, is_up: &[bool]) -> Result<bool, Fault> {
        if self.state != State::Open {
            return Ok(false);
        }
        let before = self.replication.complete();
        while let Some(item) = self.reader.next()? {
            if item.stores & (1 << self.store) == 0 {
                self.replication.pass();
                continue;
            }
            let source = match self.placement {
                Placement::Neighbours => None,
                Placement::Sender => source_of(&decode(item.bytes)?),
            };
            let is_up = |domain: Domain| is_up.get(domain as usize).copied().unwrap_or(false);
            if !self.replication.place(source, is_up, |domain| held.take(domain, item.bytes)) {
                self.state = State::Blocked;
                break;
            }
        }
        let complete = self.replication.complete();
        if complete > before {
            memory.set_stable(self.rank, self.store, complete);
        }
        Ok(complete > before)
    }

    /// Goes over the journal again from where copies are missing.
    fn read_again(&mut self, memory: &JobMemory) -> Result<(), Fault> {
        self.state = State::Open;
        self.reader = memory.journal(self.rank);
        while self.reader.position() < self.replication.complete() && self.reader.next()?.is_some() {}
        Ok(())
    }
}

/// The sender of the message that an event delivered.
fn source_of(determinant: &Determinant) -> Option<Rank> {
    match determinant.what {
        Happened::Delivery { source, .. } => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use egida_core::driver::{Driver, EntryKind, JournalEntry};
    use egida_core::ids::{EventIndex, Position};
    use egida_shm::{Blocked, JobConfig, KillSwitch, ShmDriver};

    use super::*;

    const STORE: StoreId = 1;

    struct Silent;

    impl Observer for Silent {
        fn advanced(&self) {}

        fn failed(&self, error: StorageError) {
            panic!("{error}");
        }
    }

    fn memory() -> JobMemory {
        let config = JobConfig {
            ranks: 4,
            ranks_per_domain: 1,
            failure_unit_is_node: true,
            limit_bytes: 1 << 24,
            specification: String::new(),
        };
        let memory = JobMemory::create_within(&config, 1 << 32).unwrap();
        (0..4).for_each(|rank| memory.begin_incarnation(rank, 1));
        memory
    }

    fn rank(memory: &JobMemory, rank: Rank, incarnation: u32) -> ShmDriver {
        let fd = memory.fd().try_clone_to_owned().unwrap();
        ShmDriver::attach(fd, rank, incarnation, KillSwitch::default()).unwrap().driver
    }

    fn copier(memory: &JobMemory, copies: Domain, placement: Placement) -> Copier {
        let replicas = Replicas { copies, placement };
        Copier::start(memory.clone(), &Domains::blocks(4, 1), &[(STORE, replicas)], Silent).unwrap()
    }

    fn log(rank: &mut ShmDriver, stores: u8, index: EventIndex, source: Rank) -> Position {
        let what = Happened::Delivery { source, ssn: index, post: index };
        let mut bytes = Vec::new();
        Determinant { owner: rank.rank(), index, observed: 0, what, after: None }.encode(&mut bytes);
        rank.log(JournalEntry { kind: EntryKind::Own, stores, bytes: &bytes }).unwrap()
    }

    fn await_stable(memory: &JobMemory, rank: Rank, position: Position) {
        let begun = Instant::now();
        while memory.stable(rank, STORE) < position {
            assert!(begun.elapsed() < Duration::from_secs(5), "position {position} is not copied");
            std::thread::yield_now();
        }
        assert_eq!(memory.stable(rank, STORE), position);
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn holders(copier: &Copier) -> Vec<(Domain, Rank, EventIndex)> {
        let mut held: Vec<_> = run(copier.held())
            .unwrap()
            .into_iter()
            .map(|(domain, held)| (domain, held.owner, held.index))
            .collect();
        held.sort_unstable();
        held
    }

    #[test]
    fn what_is_logged_is_copied_without_being_asked_for() {
        let memory = memory();
        let copier = copier(&memory, 2, Placement::Neighbours);
        let mut three = rank(&memory, 3, 1);
        log(&mut three, 0, 0, 0);
        let end = log(&mut three, 1 << STORE, 1, 0);
        await_stable(&memory, 3, end);
        assert_eq!(holders(&copier), [(0, 3, 1), (1, 3, 1)], "what has not the store's mark is not copied");
    }

    #[test]
    fn senders_hold_the_determinants_of_their_messages() {
        let memory = memory();
        let copier = copier(&memory, 1, Placement::Sender);
        let mut one = rank(&memory, 1, 1);
        log(&mut one, 1 << STORE, 0, 3);
        log(&mut one, 1 << STORE, 1, 0);
        let end = log(&mut one, 1 << STORE, 2, 1);
        await_stable(&memory, 1, end);
        assert_eq!(holders(&copier), [(0, 1, 1), (2, 1, 2), (3, 1, 0)]);
    }

    #[test]
    fn nothing_new_is_stable_until_the_copies_of_a_lost_node_are_made_again() {
        let memory = memory();
        let copier = copier(&memory, 2, Placement::Neighbours);
        let (mut one, three) = (rank(&memory, 1, 1), rank(&memory, 3, 1));
        let first = log(&mut one, 1 << STORE, 0, 0);
        await_stable(&memory, 1, first);
        // Of three others two are lost, one is not enough.
        run(copier.lose(vec![2, 3], vec![2, 3])).unwrap();
        let second = log(&mut one, 1 << STORE, 1, 0);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(memory.stable(1, STORE), first, "what was let through stays so");
        assert_eq!(holders(&copier), [(0, 1, 0)]);
        drop(three);
        for lost in [2, 3] {
            memory.discard(lost, |_| Blocked::Wait).unwrap();
        }
        copier.resume(vec![2, 3]);
        copier.up(3);
        await_stable(&memory, 1, second);
        assert_eq!(holders(&copier), [(0, 1, 0), (0, 1, 1), (3, 1, 0), (3, 1, 1)]);
    }

    #[test]
    fn a_journal_that_begins_anew_is_copied_from_its_base() {
        let memory = memory();
        let copier = copier(&memory, 1, Placement::Neighbours);
        let mut one = rank(&memory, 1, 1);
        let end = log(&mut one, 1 << STORE, 0, 0);
        await_stable(&memory, 1, end);
        run(copier.lose(vec![1], vec![1])).unwrap();
        drop(one);
        memory.discard(1, |_| Blocked::Wait).unwrap();
        copier.resume(vec![1]);
        assert_eq!(holders(&copier), [(2, 1, 0)], "others hold it still");
        memory.begin_incarnation(1, 2);
        let mut one = rank(&memory, 1, 2);
        let again = log(&mut one, 1 << STORE, 0, 0);
        assert_eq!(again, end + 1);
        await_stable(&memory, 1, again);
    }
}
