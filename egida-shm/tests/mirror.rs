//! Memories of two hosts: what is written in one is read in the other, through connections that are cut anywhere.

mod support;

use egida_core::driver::{Driver, EntryKind, JournalEntry};
use egida_core::ids::Rank;
use egida_net::{Framer, framing};
use egida_shm::{JobMemory, Mirror, ShmDriver, Side};
use support::*;

/// One end: a memory, what mirrors it, and the stream to the other end.
struct End {
    job: JobMemory,
    mirror: Mirror,
    /// What was sent and has not arrived.
    stream: Vec<u8>,
    framer: Framer,
}

impl End {
    fn new(ranks: u32, limit_bytes: u64, side: Side) -> Self {
        let job = job(ranks, limit_bytes);
        let mirror = job.mirror(side);
        Self { job, mirror, stream: Vec::new(), framer: Framer::default() }
    }

    /// Sends all that is new.
    fn send(&mut self) {
        let Self { mirror, stream, .. } = self;
        while mirror.produce(|parts| framing::put(stream, parts).unwrap()).unwrap() {}
    }

    fn take(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
        while let Some(message) = self.framer.take().unwrap() {
            self.mirror.take(message).unwrap();
        }
    }

    fn connected(&mut self) {
        self.mirror.connected().unwrap();
        self.stream.clear();
        self.framer = Framer::default();
    }
}

struct Pair {
    a: End,
    b: End,
}

impl Pair {
    /// Rank 0 on one host, rank 1 on the other.
    fn new(limit_bytes: u64) -> Self {
        let hosts = |here, there| Side::Hosts { here, there };
        let (a, b) =
            (End::new(2, limit_bytes, hosts(0..1, 1..2)), End::new(2, limit_bytes, hosts(1..2, 0..1)));
        a.job.set_hosts(0..1, std::slice::from_ref(&(1..2)));
        b.job.set_hosts(1..2, std::slice::from_ref(&(0..1)));
        Self { a, b }
    }

    /// Lets at most so many bytes arrive in each direction.
    fn arrive(&mut self, most: usize) {
        arrive(&mut self.a, &mut self.b, most);
        arrive(&mut self.b, &mut self.a, most);
    }

    /// Lets everything arrive, and what that makes the other side say.
    fn settle(&mut self) {
        loop {
            self.arrive(usize::MAX);
            let is_quiet = |end: &mut End| {
                end.send();
                end.stream.is_empty()
            };
            if is_quiet(&mut self.a) & is_quiet(&mut self.b) {
                return;
            }
        }
    }

    fn cut(&mut self) {
        self.a.connected();
        self.b.connected();
    }

    /// Both hosts make a change, which one of them makes first.
    fn change(&mut self, view: u64, dead: Rank, change: impl Fn(&JobMemory)) {
        for end in [&mut self.b, &mut self.a] {
            end.mirror.changing().unwrap();
            change(&end.job);
            end.mirror.changed(view, dead).unwrap();
            // The other has not heard of it, and something of before is on its way.
            end.send();
        }
    }
}

fn arrive(from: &mut End, to: &mut End, most: usize) {
    from.send();
    let bytes: Vec<u8> = from.stream.drain(..most.min(from.stream.len())).collect();
    to.take(&bytes);
}

fn all(driver: &mut ShmDriver, source: Rank) -> Vec<u64> {
    receive_all_now(driver, source)
}

#[test]
fn a_cut_after_any_byte_loses_nothing_and_repeats_nothing() {
    let sizes = [0, 1, 100, 0, 300];
    let mut cut = 0;
    let mut is_over = false;
    while !is_over {
        let mut pair = Pair::new(64 * MIB);
        let mut writer = rank(&pair.a.job, 0);
        let mut reader = rank(&pair.b.job, 1);
        (0..).zip(sizes).for_each(|(ssn, len)| send(&mut writer, 1, ssn, len).unwrap());
        writer.notify_matched(1, 17).unwrap();
        pair.arrive(usize::MAX);
        pair.a.send();
        is_over = cut >= pair.a.stream.len();
        pair.arrive(cut);
        let mut read = all(&mut reader, 0);
        pair.cut();
        pair.settle();
        read.extend(all(&mut reader, 0));
        assert_eq!(read, [0, 1, 2, 3, 4], "cut after {cut}");
        let mut notices = Vec::new();
        reader.matched_notices(0, &mut notices);
        assert_eq!(notices, [17]);
        cut += 1;
    }
    assert!(cut > 500, "{cut}");
}

#[test]
fn a_long_conversation_through_bad_connections_stays_within_its_memory() {
    let mut dice = Dice(7);
    let mut pair = Pair::new(12 * MIB);
    let (mut zero, mut one) = (rank(&pair.a.job, 0), rank(&pair.b.job, 1));
    let (mut sent, mut read) = ([0u64; 2], [0u64; 2]);
    for round in 0..600 {
        for _ in 0..dice.throw() % 4 {
            send(&mut zero, 1, sent[0], dice.size(500_000)).unwrap();
            sent[0] += 1;
        }
        send(&mut one, 0, sent[1], dice.size(20_000)).unwrap();
        sent[1] += 1;
        match dice.throw() % 3 {
            0 => pair.arrive((dice.throw() % 400_000) as usize),
            _ => pair.settle(),
        }
        if round % 5 == 0 {
            pair.cut();
        }
        if round % 3 == 0 {
            // A message that has come only in part would be waited for.
            pair.settle();
            for (driver, source) in [(&mut one, 0), (&mut zero, 1)] {
                let read = &mut read[source as usize];
                for ssn in all(driver, source) {
                    assert_eq!(ssn, *read);
                    *read += 1;
                }
                driver.finished(source, *read);
                driver.release(source, *read);
            }
        }
    }
    pair.settle();
    let rest = (all(&mut one, 0).len() as u64, all(&mut zero, 1).len() as u64);
    assert_eq!([read[0] + rest.0, read[1] + rest.1], sent);
    assert!(pair.a.job.allocated_bytes() < 12 * MIB);
}

#[test]
fn what_a_reader_is_through_with_is_kept_by_the_sender_alone_and_streamed_again_to_the_next() {
    let mut pair = Pair::new(256 * MIB);
    let mut writer = rank(&pair.a.job, 0);
    let mut reader = rank(&pair.b.job, 1);
    let sizes: Vec<usize> = (0..300).map(|i| 1000 * (i % 90)).collect();
    for (ssn, &len) in (0..).zip(&sizes) {
        send(&mut writer, 1, ssn, len).unwrap();
        pair.settle();
        assert_eq!(all(&mut reader, 0), [ssn]);
        reader.finished(0, ssn + 1);
    }
    // The first 40 it can regain alone.
    reader.release(0, 40);
    pair.settle();
    assert!(pair.a.job.allocated_bytes() > 8 * MIB, "the log is with the sender");
    assert!(pair.b.job.allocated_bytes() < 6 * MIB, "{}", pair.b.job.allocated_bytes());
    drop(reader);
    for dead in [&pair.a.job, &pair.b.job] {
        dead.reaped(1).unwrap();
    }
    send(&mut writer, 1, 300, 5).unwrap();
    pair.a.send();
    pair.change(1, 1, |job| job.reset_reader(1, patient).unwrap());
    let mut next = incarnation(&pair.b.job, 1, 2, "");
    assert_eq!(next.rewind(0), 40);
    pair.arrive(100_000);
    pair.cut();
    pair.settle();
    assert!(all(&mut next, 0).into_iter().eq(40..=300));
}

#[test]
fn a_channel_that_begins_anew_is_never_mixed_with_what_was_under_way() {
    let mut pair = Pair::new(64 * MIB);
    let mut writer = rank(&pair.a.job, 0);
    let mut reader = rank(&pair.b.job, 1);
    (0..50).for_each(|ssn| send(&mut writer, 1, ssn, 30_000).unwrap());
    pair.settle();
    assert_eq!(all(&mut reader, 0).len(), 50);
    reader.acknowledge(0, 50, 50);
    pair.settle();
    assert_eq!(writer.acknowledged(1), 50);
    (50..60).for_each(|ssn| send(&mut writer, 1, ssn, 30_000).unwrap());
    pair.a.send();
    drop(writer);
    pair.a.job.reaped(0).unwrap();
    pair.change(1, 0, |job| job.discard(0, patient).unwrap());
    let mut next = incarnation(&pair.a.job, 0, 2, "");
    assert_eq!((next.extent(1).whole, next.acknowledged(1)), (0, 0));
    (0..55).for_each(|ssn| send(&mut next, 1, ssn, 100).unwrap());
    pair.settle();
    reader.enter();
    assert_eq!(reader.rewind(0), 0);
    reader.leave();
    let mut read = Vec::new();
    while let Some(arrival) = {
        reader.enter();
        let arrival = reader.arrival(0).unwrap();
        reader.leave();
        arrival
    } {
        assert_eq!(arrival.header.len, 100, "a record of before");
        reader.advance(0);
        read.push(arrival.header.ssn);
    }
    assert!(read.into_iter().eq(0..55));
}

#[test]
fn a_reader_whose_node_is_lost_begins_with_what_it_had_not_released() {
    let mut pair = Pair::new(256 * MIB);
    let mut writer = rank(&pair.a.job, 0);
    let mut reader = rank(&pair.b.job, 1);
    for ssn in 0..60 {
        send(&mut writer, 1, ssn, 100_000).unwrap();
        pair.settle();
        assert_eq!(all(&mut reader, 0), [ssn]);
        reader.finished(0, ssn + 1);
        reader.release(0, ssn + 1);
    }
    // The first segments are used again.
    pair.settle();
    for (life, view) in [(2, 1), (3, 2)] {
        pair.b.job.reaped(1).unwrap();
        pair.change(view, 1, |job| job.discard(1, patient).unwrap());
        let mut next = incarnation(&pair.b.job, 1, life, "");
        assert_eq!(next.rewind(0), 60, "life {life}");
    }
    send(&mut writer, 1, 60, 5).unwrap();
    pair.settle();
    let mut next = incarnation(&pair.b.job, 1, 4, "");
    assert_eq!(all(&mut next, 0), [60]);
}

#[test]
fn what_is_written_anew_stays_until_it_has_come_again_though_its_reader_released_it_before() {
    let mut pair = Pair::new(256 * MIB);
    let mut writer = rank(&pair.a.job, 0);
    let mut reader = rank(&pair.b.job, 1);
    for ssn in 0..60 {
        send(&mut writer, 1, ssn, 100_000).unwrap();
        pair.settle();
        all(&mut reader, 0);
        reader.finished(0, ssn + 1);
        reader.release(0, ssn + 1);
    }
    pair.settle();
    drop(writer);
    pair.a.job.reaped(0).unwrap();
    pair.change(1, 0, |job| job.discard(0, patient).unwrap());
    let mut next = incarnation(&pair.a.job, 0, 2, "");
    pair.arrive(usize::MAX);
    for ssn in 0..80 {
        send(&mut next, 1, ssn, 100_000).unwrap();
        // Read by the sending end, but nothing of it arrives.
        pair.a.send();
    }
    pair.cut();
    pair.settle();
    reader.enter();
    assert_eq!(reader.rewind(0), 0);
    reader.leave();
    assert!(all(&mut reader, 0).into_iter().eq(0..80));
}

#[test]
fn the_launcher_has_the_journal_of_a_rank_before_it_hears_of_its_end() {
    let (mut host, mut launcher) = (
        End::new(2, 64 * MIB, Side::ToLauncher { here: 1..2 }),
        End::new(2, 64 * MIB, Side::ToHost { there: 1..2 }),
    );
    launcher.job.begin_incarnation(1, 1);
    let mut driver = rank(&host.job, 1);
    let log = |driver: &mut ShmDriver, from: u64, to: u64| {
        for number in from..to {
            let bytes = number.to_le_bytes();
            driver.log(JournalEntry { kind: EntryKind::Own, stores: 1, bytes: &bytes }).unwrap();
        }
    };
    let settle = |host: &mut End, launcher: &mut End| {
        for _ in 0..4 {
            host.send();
            launcher.take(&std::mem::take(&mut host.stream));
            launcher.send();
            host.take(&std::mem::take(&mut launcher.stream));
        }
    };
    log(&mut driver, 0, 5000);
    driver.flush(0, 4000);
    let reached = host.mirror.reached();
    assert!(!host.mirror.has_sent(&reached));
    settle(&mut host, &mut launcher);
    assert!(host.mirror.has_sent(&reached));
    assert_eq!((launcher.job.journal_head(1), launcher.job.flush_requested(1, 0)), (5000, 4000));
    let mut journal = launcher.job.journal(1);
    let mut found = 0u64;
    while let Some(item) = journal.next().unwrap() {
        assert_eq!((item.position, item.bytes), (found, &found.to_le_bytes()[..]));
        found += 1;
    }
    assert_eq!(found, 5000);
    launcher.job.set_stable(1, 0, 4500);
    settle(&mut host, &mut launcher);
    assert_eq!(driver.stable(1, 0), 4500);

    // The node is lost; its journal goes on where it ended.
    drop(driver);
    host.job.reaped(1).unwrap();
    for end in [&mut host, &mut launcher] {
        end.mirror.changing().unwrap();
        end.job.discard(1, patient).unwrap();
        end.mirror.changed(1, 1).unwrap();
    }
    let mut next = incarnation(&host.job, 1, 2, "");
    launcher.job.begin_incarnation(1, 2);
    log(&mut next, 5000, 5010);
    settle(&mut host, &mut launcher);
    while let Some(item) = journal.next().unwrap() {
        assert_eq!((item.position, item.bytes), (found, &found.to_le_bytes()[..]));
        found += 1;
    }
    assert_eq!(found, 5010);
}
