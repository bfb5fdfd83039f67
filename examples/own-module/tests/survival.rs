//! The example at work: a rank logs to three files, dies, and comes back from the one that is left.

use std::fs;
use std::path::Path;

use egida_core::binder::{BindError, Bound, StoreUse, bind};
use egida_core::describe::{Condition, Shape, Source, Survivors, describe};
use egida_core::driver::{EntryKind, JournalEntry};
use egida_core::event::{Determinant, Happened};
use egida_core::fault::Fault;
use egida_core::gate::{Gate, StoreId};
use egida_core::ids::{Domains, Position};
use egida_core::module::{Delivered, Journal};
use egida_core::recovery::{Collected, RecoveryImage, Unrecoverable, assemble};
use egida_core::registry::Registry;
use egida_core::setting::Setting;
use egida_core::stack::{EventHandler, Verdict};
use egida_core::wire::{Envelope, SendMode};
use egida_node::storage::{Backend, Backends, Batch, Entry, Place, StorageError};
use egida_spec::protocol::{Class, FailureUnit, Params, Protocol};

const SPECIFICATION: &str = include_str!("../own.egd");

fn registry() -> Registry {
    let mut registry = egida_modules::registry();
    own_module::register_placement(&mut registry);
    registry
}

fn backends() -> Backends {
    let mut backends = Backends::default();
    own_module::register_backend(&mut backends);
    backends
}

fn protocol(text: &str) -> Protocol {
    let loaded = egida_spec::load_with("own.egd", text, &registry().vocabulary);
    loaded.protocol.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn bound(registry: &Registry) -> Result<Bound, Vec<BindError>> {
    let setting = Setting { domains: Domains::blocks(2, 1), unit: FailureUnit::Node, images: false };
    bind(&protocol(SPECIFICATION), registry, &setting, 0)
}

/// The journal of rank 0, as a driver keeps it.
#[derive(Default)]
struct Memory {
    entries: Vec<(EntryKind, u8, Vec<u8>)>,
    drained: usize,
}

impl Journal for Memory {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        self.entries.push((entry.kind, entry.stores, entry.bytes.to_vec()));
        Ok(self.entries.len() as Position)
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn stable(&self, _: StoreId) -> Position {
        self.drained as Position
    }
}

impl Memory {
    /// What the node's writer does: brings new entries to the store that they are marked for.
    async fn drain(&mut self, store: StoreId, backend: &mut dyn Backend) -> Result<Position, StorageError> {
        let mut batch = Batch::default();
        for (position, (kind, stores, bytes)) in self.entries.iter().enumerate().skip(self.drained) {
            if stores & (1 << store) != 0 {
                batch.push(Entry { rank: 0, position: position as Position, kind: *kind, bytes });
            }
        }
        backend.append(&batch).await?;
        backend.sync().await?;
        self.drained = self.entries.len();
        Ok(self.drained as Position)
    }
}

fn open(directory: &Path, store: &StoreUse) -> Result<Box<dyn Backend>, StorageError> {
    backends().open(&Place {
        state_dir: directory,
        job: "job",
        domains: &Domains::blocks(2, 1),
        is_kept: false,
        store: store.id,
        phrase: &store.phrase,
        params: &store.params,
    })
}

fn delivery(index: u64) -> Determinant {
    let what = Happened::Delivery { source: 1, ssn: index, post: index };
    Determinant { owner: 0, index, observed: 0, what, after: None }
}

/// Delivers messages from rank 1 with these payloads, then sends one; returns what the send waits for.
fn live(stack: &mut impl EventHandler, journal: &mut Memory, payloads: &[&[u8]]) -> Gate {
    for (ssn, payload) in (0..).zip(payloads) {
        let verdict = stack.non_deterministic(journal, delivery(ssn).what, None).unwrap();
        assert_eq!(verdict, Verdict::Accept, "the application sees the message at once");
        let envelope = Envelope { context: 0, tag: 7 };
        let mode = SendMode::Standard;
        stack.delivered(journal, Delivered { source: 1, ssn, envelope, mode, clock: None, payload }).unwrap();
    }
    stack.send(journal, 1, 0, 8, true, &mut Vec::new()).unwrap()
}

/// What a recovery round finds on the store, and makes of it.
async fn recover(backend: &mut dyn Backend, events: u64) -> Result<RecoveryImage, Unrecoverable> {
    let mut collected = Collected::default();
    for entry in backend.read(&[0]).await.unwrap().iter() {
        collected.add_entry(0, entry.kind, entry.bytes, None).unwrap();
    }
    assemble(0, 2, true, 0, &collected, &[(1, events)])
}

#[tokio::test]
async fn a_rank_comes_back_from_the_one_copy_that_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut bound = bound(&registry()).unwrap();
    let store = bound.stores[0].clone();
    let mut backend = open(directory.path(), &store).unwrap();
    let mut journal = Memory::default();

    let gate = live(&mut bound.stack, &mut journal, &[b"first", b"second"]);
    assert_eq!(gate.position(store.id), 4, "the send waits for two determinants and two messages");
    let stable = journal.drain(store.id, &mut *backend).await.unwrap();
    assert!(stable >= gate.position(store.id), "now it may be read");

    // The node dies with its memory, one copy is gone, and another is damaged.
    drop((bound, journal));
    let copy = |number: u32| directory.path().join(format!("copy-{number}/job-{}.log", store.id));
    fs::remove_file(copy(0)).unwrap();
    let mut bytes = fs::read(copy(1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(copy(1), bytes).unwrap();

    let image = recover(&mut *backend, 2).await.unwrap();
    let determinants: Vec<_> = image.determinants.iter().map(|held| held.determinant.clone()).collect();
    assert_eq!(determinants, [delivery(0), delivery(1)]);
    let payloads: Vec<_> = image.messages.iter().map(|message| &message.payload[..]).collect();
    assert_eq!(payloads, [b"first".as_slice(), b"second"]);

    let mut stack = self::bound(&registry()).unwrap().stack;
    for held in &image.determinants {
        stack.restore(&mut Memory::default(), held, image.memory_lost).unwrap();
    }
    assert_eq!(stack.events(), 2, "the next event is the third");
}

#[tokio::test]
async fn what_was_not_synced_was_no_promise_and_what_was_is_never_lost_silently() {
    let directory = tempfile::tempdir().unwrap();
    let mut bound = bound(&registry()).unwrap();
    let store = bound.stores[0].clone();
    let mut backend = open(directory.path(), &store).unwrap();
    let mut journal = Memory::default();
    live(&mut bound.stack, &mut journal, &[b"first"]);
    assert!(backend.read(&[0]).await.unwrap().is_empty());
    journal.drain(store.id, &mut *backend).await.unwrap();
    assert_eq!(backend.read(&[0]).await.unwrap().len(), 2);
    assert!(backend.read(&[1]).await.unwrap().is_empty());

    for copy in 0..3 {
        let path = directory.path().join(format!("copy-{copy}/job-{}.log", store.id));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    }
    assert!(matches!(backend.read(&[0]).await, Err(StorageError::Corrupt { .. })));
}

#[test]
fn the_language_needs_no_change_but_the_build_must_know_the_value() {
    let judgement =
        egida_spec::check_with(&protocol(SPECIFICATION), FailureUnit::Node, &registry().vocabulary);
    assert!(judgement.accepted(), "{:?}", judgement.diagnostics);
    assert_eq!(judgement.class, Class::Pessimistic);

    let errors = bound(&egida_modules::registry()).err().unwrap();
    assert!(errors.iter().any(|error| error.to_string().contains("replicated file")), "{errors:?}");
}

#[test]
fn a_parameter_that_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = bound(&registry()).unwrap().stores.remove(0);
    assert!(open(directory.path(), &store).is_ok());
    let none = SPECIFICATION.replace("copies = 3", "copies = 0");
    let setting = Setting { domains: Domains::blocks(2, 1), unit: FailureUnit::Node, images: false };
    store.params = bind(&protocol(&none), &registry(), &setting, 0).unwrap().stores.remove(0).params;
    let error = open(directory.path(), &store).err().unwrap().to_string();
    assert!(error.contains("`copies`"), "{error}");
    store.params = Params::default();
    assert!(open(&directory.path().join("another"), &store).is_ok(), "two copies by default");
}

#[test]
fn the_stack_describes_itself_with_it() {
    let shape = Shape { ranks: 2, ranks_per_node: 1, unit: FailureUnit::Node };
    let source = Source { name: "own.egd", text: SPECIFICATION };
    let description = describe(&protocol(SPECIFICATION), source, &registry(), shape).unwrap();
    let row = description.modules.iter().find(|module| module.slot == "StableStorage").unwrap();
    assert_eq!((&*row.value, &*row.implementation), ("replicated file", "own_module::ReplicatedFile"));
    let condition = Condition::On("replicated file".to_owned());
    assert!(description.summary.waits.iter().any(|wait| wait.until == [condition.clone()]));
    assert!(matches!(description.summary.survivors, Survivors::GoOn { on_stable_storage: 4, .. }));
}
