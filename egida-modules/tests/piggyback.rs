//! What the variants of causal logging send, in scenarios of a few ranks with nothing around their stacks.

use std::collections::VecDeque;

use egida_core::binder::bind;
use egida_core::driver::{EntryKind, JournalEntry};
use egida_core::event::{Determinant, Happened};
use egida_core::fault::Fault;
use egida_core::gate::StoreId;
use egida_core::ids::{Domains, EventIndex, Position, Rank, Ssn};
use egida_core::module::Journal;
use egida_core::setting::Setting;
use egida_core::stack::{EventHandler, Stack};
use egida_core::wire::Reader;
use egida_spec::protocol::FailureUnit;

const ALONE: &str = "determinants";
const DEPENDENCY_MATRIX: &str = "determinants, dependency matrix";
const STABILITY_VECTOR: &str = "determinants, stability vector";
const STABILITY_MATRIX: &str = "determinants, stability matrix";
const GRAPH: &str = "antecedence graph";
const VARIANTS: [&str; 5] = [ALONE, DEPENDENCY_MATRIX, STABILITY_VECTOR, STABILITY_MATRIX, GRAPH];

/// The journal of one rank, with as much of it on stable storage as a test says.
#[derive(Default)]
struct Memory {
    entries: Vec<(EntryKind, Vec<u8>)>,
    stable: Position,
}

impl Journal for Memory {
    fn log(&mut self, entry: JournalEntry<'_>) -> Result<Position, Fault> {
        self.entries.push((entry.kind, entry.bytes.to_vec()));
        Ok(self.entries.len() as Position)
    }

    fn flush(&mut self, _: StoreId, _: Position) {}

    fn stable(&self, _: StoreId) -> Position {
        self.stable
    }
}

/// Ranks with channels between them.
struct Ranks {
    piggyback: &'static str,
    stacks: Vec<(Stack, Memory)>,
    channels: Vec<Vec<Channel>>,
    reads: u64,
}

#[derive(Default, Clone)]
struct Channel {
    sent: Ssn,
    taken: Ssn,
    records: VecDeque<Vec<u8>>,
}

/// Which event: of whom, and which of its own.
type Event = (Rank, EventIndex);

impl Ranks {
    /// Ranks with a failure domain each, that survive `f` of them.
    fn new(piggyback: &'static str, ranks: u32, f: &str) -> Self {
        let log = if f == "any" { "Log determinant asynchronously on NFS disk" } else { "" };
        let text = format!(
            "protocol p with (f = {f})\nreceive:\n determinant: {{source, sesn, dest, desn}}\n {log}\n\
             send:\n Piggyback {piggyback}\n Log message synchronously on volatile memory of self"
        );
        let protocol = egida_spec::load("p", &text).protocol.unwrap();
        let setting = Setting { domains: Domains::blocks(ranks, 1), unit: FailureUnit::Node, images: true };
        let registry = egida_modules::registry();
        let stack =
            |rank| bind(&protocol, &registry, &setting, rank).unwrap_or_else(|why| panic!("{why:?}")).stack;
        Self {
            piggyback,
            stacks: (0..ranks).map(|rank| (stack(rank), Memory::default())).collect(),
            channels: vec![vec![Channel::default(); ranks as usize]; ranks as usize],
            reads: 0,
        }
    }

    fn event(&mut self, rank: Rank) {
        let (stack, journal) = &mut self.stacks[rank as usize];
        let what = Happened::Read { call: self.reads, value: vec![7] };
        self.reads += 1;
        stack.non_deterministic(journal, what, None).unwrap();
    }

    /// Sends a message and says what it carries. The sender knows first what the receiver has taken in so far.
    fn send(&mut self, from: Rank, to: Rank) -> Vec<Event> {
        let channel = &mut self.channels[from as usize][to as usize];
        let (stack, journal) = &mut self.stacks[from as usize];
        stack.acknowledged(journal, to, channel.taken);
        let mut piggyback = Vec::new();
        stack.send(journal, to, channel.sent, 8, true, &mut piggyback).unwrap();
        channel.sent += 1;
        let carried = carried(self.piggyback, &piggyback);
        channel.records.push_back(piggyback);
        carried
    }

    /// The receiver takes in the next message.
    fn take(&mut self, from: Rank, to: Rank) {
        let channel = &mut self.channels[from as usize][to as usize];
        let piggyback = channel.records.pop_front().unwrap();
        channel.taken += 1;
        let (stack, journal) = &mut self.stacks[to as usize];
        if !piggyback.is_empty() {
            stack.arrival(journal, from, &piggyback).unwrap();
        }
    }

    fn send_and_take(&mut self, from: Rank, to: Rank) -> Vec<Event> {
        let carried = self.send(from, to);
        self.take(from, to);
        carried
    }

    /// All that a rank has logged is on stable storage.
    fn write_out(&mut self, rank: Rank) {
        let journal = &mut self.stacks[rank as usize].1;
        journal.stable = journal.entries.len() as Position;
    }
}

/// The determinants in a piggyback.
fn carried(piggyback: &str, bytes: &[u8]) -> Vec<Event> {
    let mut reader = Reader::new(bytes);
    let numbers = match piggyback {
        DEPENDENCY_MATRIX | STABILITY_MATRIX => 3,
        STABILITY_VECTOR | GRAPH => 2,
        _ => 0,
    };
    let skip = |reader: &mut Reader<'_>| {
        for _ in 0..reader.varint().unwrap() * numbers {
            reader.varint().unwrap();
        }
    };
    if !bytes.is_empty() && numbers > 0 {
        skip(&mut reader);
    }
    let mut events = Vec::new();
    while !reader.rest().is_empty() {
        let determinant = Determinant::decode(&mut reader).unwrap();
        if piggyback == GRAPH {
            skip(&mut reader);
        }
        events.push((determinant.owner, determinant.index));
    }
    events
}

#[test]
fn a_receiver_counts_as_a_holder_when_it_has_acknowledged_and_not_before() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 4, "1");
        ranks.event(0);
        assert_eq!(ranks.send(0, 1), [(0, 0)], "{piggyback}");
        assert_eq!(ranks.send(0, 2), [(0, 0)], "{piggyback}: the message to 1 may still be lost");
        assert_eq!(ranks.send(0, 2), [], "{piggyback}: what went over a channel does not go again");
        ranks.take(0, 1);
        ranks.send(0, 1);
        assert_eq!(ranks.send(0, 3), [], "{piggyback}: two domains hold it");
    }
}

#[test]
fn nobody_is_told_of_a_holder_that_has_not_acknowledged() {
    for acknowledged in [false, true] {
        let mut ranks = Ranks::new(DEPENDENCY_MATRIX, 5, "3");
        ranks.event(0);
        ranks.send_and_take(0, 1);
        assert_eq!(ranks.send(1, 2), [(0, 0)]);
        if acknowledged {
            ranks.take(1, 2);
            ranks.send(1, 2);
        }
        ranks.send_and_take(1, 0);
        let expected: &[Event] = if acknowledged { &[] } else { &[(0, 0)] };
        assert_eq!(ranks.send(0, 2), expected, "acknowledged: {acknowledged}");
    }
}

#[test]
fn what_a_lost_domain_held_is_offered_again() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 4, "2");
        ranks.event(0);
        assert_eq!(ranks.send_and_take(0, 1), [(0, 0)], "{piggyback}");
        assert_eq!(ranks.send_and_take(0, 1), [], "{piggyback}");
        ranks.stacks[0].0.failure(1);
        assert_eq!(ranks.send(0, 1), [(0, 0)], "{piggyback}");
        assert_eq!(ranks.send(0, 2), [(0, 0)], "{piggyback}");
    }
}

#[test]
fn a_holder_that_is_lost_does_not_count() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 5, "2");
        ranks.event(0);
        for receiver in [1, 2] {
            assert_eq!(ranks.send(0, receiver), [(0, 0)], "{piggyback}");
        }
        ranks.take(0, 1);
        ranks.send(0, 1);
        ranks.stacks[0].0.failure(1);
        ranks.take(0, 2);
        ranks.send(0, 2);
        assert_eq!(ranks.send(0, 3), [(0, 0)], "{piggyback}: of 0, 1, 2 one is lost");
    }
}

#[test]
fn who_is_told_that_a_determinant_is_safe_does_not_send_it() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 4, "2");
        ranks.event(0);
        ranks.send_and_take(0, 1);
        ranks.send_and_take(0, 2);
        // By these rank 0 learns that both hold it, and tells rank 1 what it knows.
        ranks.send_and_take(0, 2);
        ranks.send_and_take(0, 1);
        ranks.send_and_take(0, 1);
        let expected: &[Event] = if matches!(piggyback, ALONE | GRAPH) { &[(0, 0)] } else { &[] };
        assert_eq!(ranks.send(1, 3), expected, "{piggyback}");
    }
}

#[test]
fn the_graph_shows_what_a_process_has_from_what_it_did() {
    for piggyback in [ALONE, GRAPH] {
        let mut ranks = Ranks::new(piggyback, 6, "4");
        ranks.event(0);
        ranks.send_and_take(0, 1);
        ranks.event(1);
        ranks.send_and_take(1, 2);
        assert_eq!(ranks.send_and_take(2, 3), [(0, 0), (1, 0)], "{piggyback}");
        let expected: &[Event] = if piggyback == GRAPH { &[] } else { &[(0, 0)] };
        assert_eq!(ranks.send(3, 1), expected, "{piggyback}: event 0 of rank 1 came from it");
    }
}

#[test]
fn with_any_number_of_failures_only_stable_storage_is_enough() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 4, "any");
        ranks.event(0);
        for receiver in 1..3 {
            assert_eq!(ranks.send_and_take(0, receiver), [(0, 0)], "{piggyback}");
            ranks.send_and_take(0, receiver);
        }
        assert_eq!(ranks.send(1, 3), [(0, 0)], "{piggyback}: three hold it, and all may fail");
        ranks.write_out(2);
        assert_eq!(ranks.send(2, 3), [], "{piggyback}: what one holds for another and has written is safe");
        assert_eq!(ranks.send(0, 3), [(0, 0)], "{piggyback}: its owner does not know of that");
        ranks.write_out(0);
        ranks.event(0);
        assert_eq!(ranks.send(0, 2), [(0, 1)], "{piggyback}");
    }
}

#[test]
fn that_something_is_stable_is_told_to_those_who_have_not_written_it() {
    for piggyback in [STABILITY_VECTOR, STABILITY_MATRIX] {
        let mut ranks = Ranks::new(piggyback, 4, "any");
        ranks.event(0);
        ranks.send_and_take(0, 1);
        ranks.write_out(0);
        ranks.send_and_take(0, 1);
        assert_eq!(ranks.send(1, 2), [], "{piggyback}");
    }
}

#[test]
fn where_one_copy_is_enough_nothing_is_sent() {
    for piggyback in VARIANTS {
        let mut ranks = Ranks::new(piggyback, 3, "0");
        ranks.event(0);
        ranks.send(0, 1);
        assert_eq!(ranks.channels[0][1].records, [vec![]], "{piggyback}");
    }
}

#[test]
fn a_piggyback_cut_short_or_damaged_never_panics() {
    for piggyback in VARIANTS {
        let mut sender = Ranks::new(piggyback, 4, "2");
        for rank in [0, 1] {
            sender.event(rank);
        }
        sender.send_and_take(1, 0);
        sender.event(0);
        assert_eq!(sender.send(0, 2), [(0, 0), (1, 0), (0, 1)], "{piggyback}");
        let whole = sender.channels[0][2].records[0].clone();
        let take = |bytes: &[u8]| {
            let mut receiver = Ranks::new(piggyback, 4, "2");
            let (stack, journal) = &mut receiver.stacks[2];
            stack.arrival(journal, 0, bytes).is_ok()
        };
        assert!(take(&whole));
        let refused = (1..whole.len()).filter(|&cut| !take(&whole[..cut])).count();
        assert!(refused > whole.len() / 2, "{piggyback}: {refused} of {}", whole.len());
        for at in 0..whole.len() {
            for byte in [0, 9, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                take(&damaged);
            }
        }
    }
}

/// How many determinants, and how many bytes, all messages of a fixed scenario carry: every rank has an event and sends a
/// message to one that a fixed sequence of numbers chooses.
fn cost(piggyback: &'static str) -> (usize, usize) {
    const RANKS: u32 = 6;
    let mut ranks = Ranks::new(piggyback, RANKS, "2");
    let (mut determinants, mut bytes) = (0, 0);
    let mut number: u32 = 1;
    for _ in 0..200 {
        for from in 0..RANKS {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let to = (from + 1 + (number >> 16) % (RANKS - 1)) % RANKS;
            ranks.event(from);
            determinants += ranks.send(from, to).len();
            bytes += ranks.channels[from as usize][to as usize].records[0].len();
            ranks.take(from, to);
        }
    }
    (determinants, bytes)
}

#[test]
fn the_dependency_matrix_resends_least() {
    let [alone, matrix, vector, stability, graph] = VARIANTS.map(|piggyback| {
        let cost = cost(piggyback);
        println!("{piggyback}: {} determinants, {} bytes", cost.0, cost.1);
        cost.0
    });
    assert!(matrix < vector && matrix < stability && matrix < graph && matrix < alone);
    assert!(vector < alone && stability < alone && graph < alone);
}
