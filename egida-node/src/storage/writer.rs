//! The writer: one thread of the daemon that brings the ranks' journals to stable storage.
//!
//! It copies what all ranks appended since it last looked into one batch per store (group commit), writes and syncs the
//! batch, publishes how far each journal is stable and wakes who waits for that. With nothing to do it sleeps until a
//! rank rings the daemon's bell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use egida_core::gate::StoreId;
use egida_core::ids::{Domain, Position, Rank};
use egida_shm::{JobMemory, JournalReader};
use tokio::sync::oneshot;

use super::{Backend, Batch, Entry, StorageError};

/// A store of the specification with the backend that was opened for it.
pub struct Store {
    /// Its number in the stack.
    pub id: StoreId,
    /// What writes it.
    pub backend: Box<dyn Backend>,
    /// How long what nobody waits for may wait to be written; `None` for not at all.
    pub every: Option<Duration>,
}

/// How much is copied before it is written: what a burst of large messages may cost in memory.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_ENTRIES: usize = 1 << 16;
/// A bell that was lost costs no more than this.
const NAP: Duration = Duration::from_millis(100);

/// What the writer tells of itself.
pub trait Observer: Send + 'static {
    /// Some journal is stable further than before.
    fn advanced(&self);
    /// A store failed; the writer has ended.
    fn failed(&self, error: StorageError);
}

/// The handle of the writer's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Writer {
    memory: JobMemory,
    /// Whether somebody waits for what is not stable yet.
    awaited: Arc<AtomicBool>,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

enum Command {
    Flush(Reply<()>),
    Lose { ranks: Vec<Rank>, nodes: Vec<Domain>, reply: Reply<()> },
    Resume(Vec<Rank>),
    Read { ranks: Vec<Rank>, reply: Reply<Batch> },
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`std::io::Error`] where the system gives no thread.
    pub fn start(memory: JobMemory, stores: Vec<Store>, observer: impl Observer) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let awaited = Arc::<AtomicBool>::default();
        let mut thread = Thread {
            // A journal is stable only as far as every store is: the most impatient decides.
            every: stores.iter().map(|store| store.every).min().flatten(),
            committed: Instant::now(),
            awaited: Arc::clone(&awaited),
            journals: (0..memory.ranks())
                .map(|rank| Journal { rank, reader: memory.journal(rank), paused: false })
                .collect(),
            memory: memory.clone(),
            stores: stores.into_iter().map(|store| (store, Batch::default())).collect(),
        };
        let body = move || {
            if let Err(error) = thread.run(&received, &observer) {
                observer.failed(error);
            }
        };
        let thread = std::thread::Builder::new().name("egida-writer".to_owned()).spawn(body)?;
        Ok(Self { memory, awaited, commands: Some(commands), thread: Some(thread) })
    }

    /// Brings all that stands in journals now to the stores.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn flush(&self) -> Result<(), StorageError> {
        self.ask(Command::Flush).await
    }

    /// Gives up what these ranks have not yet on stable storage, with the disks of these nodes, and leaves their journals
    /// alone until [`Writer::resume`]: from then on their memory may be taken away.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn lose(&self, ranks: Vec<Rank>, nodes: Vec<Domain>) -> Result<(), StorageError> {
        self.ask(|reply| Command::Lose { ranks, nodes, reply }).await
    }

    /// Goes on with the journals of these ranks.
    pub fn resume(&self, ranks: Vec<Rank>) {
        self.send(Command::Resume(ranks));
    }

    /// What the stores hold of these ranks.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn read(&self, ranks: Vec<Rank>) -> Result<Batch, StorageError> {
        self.ask(|reply| Command::Read { ranks, reply }).await
    }

    /// Somebody waits for what is not stable yet: lets the writer look for work although no rank rang, and leave nothing for
    /// later.
    pub fn nudge(&self) {
        self.awaited.store(true, Ordering::Release);
        self.memory.interrupt();
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    fn send(&self, command: Command) {
        // Where the thread has ended, the reply's end is dropped with the command, which the asker sees.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
            self.memory.interrupt();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        self.memory.interrupt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Journal {
    rank: Rank,
    reader: JournalReader,
    paused: bool,
}

struct Thread {
    memory: JobMemory,
    every: Option<Duration>,
    committed: Instant,
    awaited: Arc<AtomicBool>,
    journals: Vec<Journal>,
    stores: Vec<(Store, Batch)>,
}

impl Thread {
    fn run(&mut self, commands: &Receiver<Command>, observer: &impl Observer) -> Result<(), StorageError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(StorageError::io("start a runtime for", "stable storage".as_ref()))?;
        loop {
            let command = match commands.try_recv() {
                Ok(command) => Some(command),
                Err(std::sync::mpsc::TryRecvError::Empty) => None,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
            };
            let wait = self.wait();
            let worked = runtime.block_on(async {
                let worked = command.is_some();
                if let Some(command) = command {
                    self.execute(command, observer).await?;
                }
                Ok(wait.is_zero() && self.commit(observer).await? || worked)
            })?;
            if !worked {
                let _ = self.memory.wait_for_work(if wait.is_zero() { NAP } else { wait.min(NAP) });
            }
        }
    }

    /// How long to leave what was logged where it is.
    fn wait(&self) -> Duration {
        let Some(every) = self.every else { return Duration::ZERO };
        let is_asked = |rank| {
            let is_behind = |id| self.memory.flush_requested(rank, id) > self.memory.stable(rank, id);
            self.stores.iter().any(|(store, _)| is_behind(store.id))
        };
        if self.awaited.swap(false, Ordering::AcqRel) || (0..self.memory.ranks()).any(is_asked) {
            return Duration::ZERO;
        }
        every.saturating_sub(self.committed.elapsed())
    }

    async fn execute(&mut self, command: Command, observer: &impl Observer) -> Result<(), StorageError> {
        match command {
            Command::Flush(reply) => {
                while self.commit(observer).await? {}
                let _ = reply.send(Ok(()));
            }
            Command::Lose { ranks, nodes, reply } => {
                for journal in self.journals.iter_mut().filter(|journal| ranks.contains(&journal.rank)) {
                    journal.paused = true;
                }
                let _ = reply.send(self.discard(&nodes).await);
            }
            Command::Resume(ranks) => {
                for journal in self.journals.iter_mut().filter(|journal| ranks.contains(&journal.rank)) {
                    journal.paused = false;
                }
            }
            Command::Read { ranks, reply } => {
                let _ = reply.send(self.read(&ranks).await);
            }
        }
        Ok(())
    }

    async fn discard(&mut self, nodes: &[Domain]) -> Result<(), StorageError> {
        for (store, _) in &mut self.stores {
            for &node in nodes {
                store.backend.discard(node).await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self, ranks: &[Rank]) -> Result<Batch, StorageError> {
        let mut found = Batch::default();
        for (store, _) in &mut self.stores {
            store.backend.read(ranks).await?.iter().for_each(|entry| found.push(entry));
        }
        Ok(found)
    }

    /// Commits one batch. Returns whether there was anything to do.
    async fn commit(&mut self, observer: &impl Observer) -> Result<bool, StorageError> {
        let advanced = self.gather()?;
        self.committed = Instant::now();
        for (store, batch) in self.stores.iter_mut().filter(|(_, batch)| !batch.is_empty()) {
            store.backend.append(batch).await?;
            store.backend.sync().await?;
            batch.clear();
        }
        for (store, _) in &self.stores {
            for &(rank, position) in &advanced {
                self.memory.set_stable(rank, store.id, position);
            }
        }
        if !advanced.is_empty() {
            observer.advanced();
        }
        Ok(!advanced.is_empty())
    }

    /// Copies new entries into the batches of the stores that must hold them; returns how far each journal was read.
    fn gather(&mut self) -> Result<Vec<(Rank, Position)>, StorageError> {
        let mut advanced = Vec::new();
        let (mut entries, mut bytes) = (0, 0);
        for journal in self.journals.iter_mut().filter(|journal| !journal.paused) {
            let mut end = None;
            while entries < BATCH_ENTRIES && bytes < BATCH_BYTES {
                let Some(item) = journal.reader.next().map_err(StorageError::Journal)? else { break };
                for (store, batch) in &mut self.stores {
                    if item.stores & (1 << store.id) != 0 {
                        let (rank, position) = (journal.rank, item.position);
                        batch.push(Entry { rank, position, kind: item.kind, bytes: item.bytes });
                    }
                }
                entries += 1;
                bytes += item.bytes.len();
                end = Some(item.position + 1);
            }
            advanced.extend(end.map(|end| (journal.rank, end)));
        }
        Ok(advanced)
    }
}

#[cfg(test)]
mod tests {
    use egida_core::driver::{Driver, EntryKind, JournalEntry};
    use egida_core::ids::Domains;
    use egida_shm::{JobConfig, KillSwitch, ShmDriver};
    use egida_spec::protocol::Params;

    use super::super::{Backends, Place};
    use super::*;

    struct Silent;

    impl Observer for Silent {
        fn advanced(&self) {}

        fn failed(&self, error: StorageError) {
            panic!("{error}");
        }
    }

    fn memory() -> JobMemory {
        let config = JobConfig {
            ranks: 2,
            ranks_per_domain: 1,
            failure_unit_is_node: true,
            limit_bytes: 1 << 24,
            specification: String::new(),
        };
        let memory = JobMemory::create_within(&config, 1 << 32).unwrap();
        (0..2).for_each(|rank| memory.begin_incarnation(rank, 1));
        memory
    }

    fn rank(memory: &JobMemory, rank: Rank) -> ShmDriver {
        let fd = memory.fd().try_clone_to_owned().unwrap();
        ShmDriver::attach(fd, rank, 1, KillSwitch::default()).unwrap().driver
    }

    fn writer(memory: &JobMemory, dir: &std::path::Path) -> Writer {
        patient_writer(memory, dir, None)
    }

    fn patient_writer(memory: &JobMemory, dir: &std::path::Path, every: Option<Duration>) -> Writer {
        let place = Place {
            state_dir: dir,
            job: "job",
            domains: &Domains::blocks(2, 1),
            is_kept: true,
            store: 1,
            phrase: "local disk",
            params: &Params::default(),
        };
        let store = Store { id: 1, backend: Backends::default().open(&place).unwrap(), every };
        Writer::start(memory.clone(), vec![store], Silent).unwrap()
    }

    fn log(rank: &mut ShmDriver, stores: u8, text: &str) -> Position {
        rank.log(JournalEntry { kind: EntryKind::Own, stores, bytes: text.as_bytes() }).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn texts(batch: &Batch) -> Vec<(Rank, Position, String)> {
        batch
            .iter()
            .map(|entry| (entry.rank, entry.position, String::from_utf8(entry.bytes.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn entries_for_the_store_become_stable_and_the_others_are_passed_over() {
        let (dir, memory) = (tempfile::tempdir().unwrap(), memory());
        let (mut zero, mut one) = (rank(&memory, 0), rank(&memory, 1));
        let writer = writer(&memory, dir.path());
        log(&mut zero, 0b10, "for the store");
        log(&mut zero, 0b00, "for memory");
        log(&mut zero, 0b01, "for another store");
        let end = log(&mut zero, 0b11, "for both");
        log(&mut one, 0b10, "of another rank");
        run(writer.flush()).unwrap();
        assert_eq!((memory.stable(0, 1), memory.stable(1, 1)), (end, 1));
        let found = run(writer.read(vec![0])).unwrap();
        assert_eq!(texts(&found), [(0, 0, "for the store".to_owned()), (0, 3, "for both".to_owned())]);
    }

    #[test]
    fn an_entry_becomes_stable_without_being_asked_for() {
        let (dir, memory) = (tempfile::tempdir().unwrap(), memory());
        let mut zero = rank(&memory, 0);
        let _writer = writer(&memory, dir.path());
        for count in 1..=50 {
            let end = log(&mut zero, 0b10, "entry");
            assert_eq!(end, count);
            let begun = std::time::Instant::now();
            while memory.stable(0, 1) < end {
                assert!(begun.elapsed() < Duration::from_secs(5), "entry {count} is not written");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_nobody_waits_for_is_left_until_somebody_does() {
        let (dir, memory) = (tempfile::tempdir().unwrap(), memory());
        let mut zero = rank(&memory, 0);
        let writer = patient_writer(&memory, dir.path(), Some(Duration::from_secs(3600)));
        let end = log(&mut zero, 0b10, "patient");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(memory.stable(0, 1), 0, "nobody asked, and the hour is not over");
        let begun = Instant::now();
        while memory.stable(0, 1) < end {
            writer.nudge();
            assert!(begun.elapsed() < Duration::from_secs(5), "it was asked for");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_lost_node_loses_its_disk_and_what_was_on_its_way_there() {
        let (dir, memory) = (tempfile::tempdir().unwrap(), memory());
        let (mut zero, mut one) = (rank(&memory, 0), rank(&memory, 1));
        let writer = writer(&memory, dir.path());
        log(&mut zero, 0b10, "on its disk");
        log(&mut one, 0b10, "elsewhere");
        run(writer.flush()).unwrap();
        run(writer.lose(vec![0], vec![0])).unwrap();
        log(&mut zero, 0b10, "on its way");
        run(writer.flush()).unwrap();
        assert_eq!(memory.stable(0, 1), 1);
        assert_eq!(texts(&run(writer.read(vec![0, 1])).unwrap()), [(1, 0, "elsewhere".to_owned())]);
        drop(zero);
        memory.discard(0, |_| egida_shm::Blocked::Wait).unwrap();
        writer.resume(vec![0]);
        run(writer.flush()).unwrap();
        assert_eq!(texts(&run(writer.read(vec![0])).unwrap()), []);
    }
}
