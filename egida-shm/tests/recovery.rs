//! Deaths: what a writer leaves, what a reader finds again, what goes with a node.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use egida_core::driver::{Comparison, Driver, EntryKind, JournalEntry};
use egida_core::fault::Fault;
use egida_core::wire::Envelope;
use egida_shm::{Blocked, JobMemory, JournalReader, ShmDriver};
use support::*;

/// What the writer of these tests sends: sizes around pieces and segments.
fn sizes() -> Vec<usize> {
    let mut dice = Dice(99);
    let mut sizes = vec![0, 8, 300_000, 16_000, 65_536, 65_537, 1, 700_000];
    sizes.extend((0..60).map(|_| dice.size(150_000)));
    sizes
}

/// Executes the writer from its start: what stands is compared, the rest appended.
fn execute(driver: &mut ShmDriver, sizes: &[usize]) -> Result<(), Fault> {
    let extent = driver.extent(1);
    for (ssn, &len) in (0..).zip(sizes) {
        let (header, payload) = (header(ssn, len), payload(ssn, len));
        let begun = extent.begun_bytes.filter(|_| ssn == extent.whole);
        if (extent.reclaimed..extent.whole).contains(&ssn) || begun.is_some() {
            assert_eq!(driver.compare(1, &header, &payload)?, Comparison::Same);
        }
        if ssn >= extent.whole {
            driver.append(1, &header, &piggyback(ssn), &payload, begun.unwrap_or(0))?;
        }
    }
    Ok(())
}

#[test]
fn a_writer_that_dies_anywhere_is_continued_by_the_next() {
    let sizes = sizes();
    let mut deaths = 0;
    for point in ["channel.reserved", "channel.published", "channel.piece", "channel.segment"] {
        for step in [1, 2, 3, 5, 8, 13] {
            let job = job(2, 64 * MIB);
            let mut reader = rank(&job, 1);
            let mut read = Vec::new();
            let mut life = 1;
            // Every incarnation dies a little later than the one before.
            loop {
                let times = life * step;
                let mut writer = incarnation(&job, 0, life, &format!("point:{point}:{times}"));
                let outcome = execute(&mut writer, &sizes);
                drop(writer);
                if outcome.is_ok() {
                    break;
                }
                assert_eq!(outcome, Err(Fault::Crashed));
                job.reaped(0).unwrap();
                job.reset_reader(0, patient).unwrap();
                deaths += 1;
                life += 1;
                // What is whole is read already.
                let whole = incarnation(&job, 0, life, "").extent(1).whole;
                while (read.len() as u64) < whole {
                    let arrival = receive(&mut reader, 0).unwrap();
                    read_payload(&mut reader, 0, &arrival);
                    read.push(arrival.header.ssn);
                }
            }
            read.extend(receive_all_now(&mut reader, 0));
            assert!(read.iter().copied().eq(0..sizes.len() as u64), "{point} {step}: {read:?}");
        }
    }
    assert!(deaths > 50, "{deaths}");
}

#[test]
fn a_writer_that_dies_while_it_reuses_a_segment_loses_and_leaks_none() {
    for times in 1..60 {
        let job = job(2, 3 * MIB);
        let mut reader = rank(&job, 1);
        let mut writer = incarnation(&job, 0, 1, &format!("point:channel.segment:{times}"));
        let mut ssn = 0;
        let mut life = 1;
        while ssn < 400 {
            match send(&mut writer, 1, ssn, 20_000) {
                Ok(()) => {}
                Err(Fault::Crashed) => {
                    job.reaped(0).unwrap();
                    life += 1;
                    writer = incarnation(&job, 0, life, "");
                    let extent = writer.extent(1);
                    assert_eq!(extent.whole, ssn);
                    let begun = extent.begun_bytes.unwrap_or(0);
                    writer
                        .append(1, &header(ssn, 20_000), &piggyback(ssn), &payload(ssn, 20_000), begun)
                        .unwrap();
                }
                Err(fault) => panic!("{fault}"),
            }
            let arrival = receive(&mut reader, 0).unwrap();
            assert_eq!(arrival.header.ssn, ssn);
            read_payload(&mut reader, 0, &arrival);
            ssn += 1;
            reader.release(0, ssn);
        }
        assert_eq!(life, if times < 30 { 2 } else { life }, "the {times}th segment was never added");
        assert!(job.allocated_bytes() <= 3 * MIB / 2, "{} bytes", job.allocated_bytes());
        let believed = job.allocated_bytes();
        job.reaped(0).unwrap();
        assert_eq!(believed, job.allocated_bytes());
    }
}

#[test]
fn a_run_that_does_not_repeat_itself_is_told_how() {
    let job = job(2, 64 * MIB);
    let mut writer = rank(&job, 0);
    for ssn in 0..3 {
        send(&mut writer, 1, ssn, 200_000).unwrap();
    }
    let mut writer = incarnation(&job, 0, 2, "");
    let mut other = header(0, 200_000);
    other.envelope = Envelope { context: 1, tag: 77 };
    assert_eq!(
        writer.compare(1, &other, &payload(0, 200_000)).unwrap(),
        Comparison::Differs(
            "it sent message 0 with tag 0, context 1 and 200000 bytes to rank 1 before, \
             and now message 0 with tag 77, context 1 and 200000 bytes"
                .into()
        )
    );
    let mut changed = payload(1, 200_000);
    changed[150_001] ^= 1;
    assert_eq!(
        writer.compare(1, &header(1, 200_000), &changed).unwrap(),
        Comparison::Differs("the payload of message 1 to rank 1 is another from byte 150001 on".into())
    );
    assert_eq!(writer.compare(1, &header(2, 200_000), &payload(2, 200_000)).unwrap(), Comparison::Same);
    assert!(matches!(writer.compare(1, &header(3, 0), &[]), Err(Fault::Bug(_))));
}

#[test]
fn a_new_reader_finds_what_was_not_released() {
    let job = job(2, 64 * MIB);
    let (mut writer, mut reader) = (rank(&job, 0), rank(&job, 1));
    for ssn in 0..200 {
        send(&mut writer, 1, ssn, 9000).unwrap();
        receive(&mut reader, 0).unwrap();
    }
    reader.acknowledge(0, 200, 200);
    reader.release(0, 120);
    // More than the log's ring: makes the writer take segments off the front.
    for ssn in 200..800 {
        send(&mut writer, 1, ssn, 9000).unwrap();
    }
    drop(reader);
    job.reset_reader(1, patient).unwrap();
    let mut reader = incarnation(&job, 1, 2, "");
    reader.enter();
    let first = reader.rewind(0);
    reader.leave();
    assert!(first > 0 && first <= 120, "{first}");
    assert!(receive_all_now(&mut reader, 0).into_iter().eq(first..800));
    assert_eq!((job.acknowledged(1, 0), job.depends(1, 0)), (200, 200));
    reader.acknowledge(0, first + 1, 3);
    assert_eq!((job.acknowledged(1, 0), job.depends(1, 0)), (200, 200));
}

#[test]
fn with_a_node_go_its_channels_and_its_memory() {
    let job = job(3, 64 * MIB);
    let (mut dying, mut survivor) = (rank(&job, 0), rank(&job, 1));
    for ssn in 0..100 {
        send(&mut dying, 1, ssn, 10_000).unwrap();
        send(&mut survivor, 0, ssn, 100).unwrap();
        receive(&mut dying, 1).unwrap();
    }
    dying.acknowledge(1, 100, 5);
    dying.release(1, 100);
    dying.notify_matched(1, 7).unwrap();
    for _ in 0..10 {
        dying.log(JournalEntry { kind: EntryKind::Own, stores: 1, bytes: b"determinant" }).unwrap();
    }
    let mut journal = job.journal(0);
    while journal.next().unwrap().is_some() {}
    let mut notices = Vec::new();
    survivor.matched_notices(0, &mut notices);

    // The survivor has read half, and holds a location in what will be taken away.
    let held = (0..50).map(|_| receive(&mut survivor, 0).unwrap()).last().unwrap();
    survivor.acknowledge(0, 50, 9);
    let before = survivor.enter();
    survivor.leave();
    drop(dying);
    let resident = || rustix::fs::fstat(job.fd()).unwrap().st_blocks as u64 * 512;
    let used = resident();
    job.reaped(0).unwrap();
    job.discard(0, patient).unwrap();
    assert!(resident() + MIB / 2 < used, "{used} bytes before, {} after", resident());
    assert_eq!(job.allocated_bytes_of(0), 0);
    assert!(job.allocated_bytes_of(1) > 0);
    // The survivor depends on what it read, and has seen nothing of what will be written.
    assert_eq!((job.acknowledged(1, 0), job.depends(1, 0)), (0, 9));
    assert_eq!((job.acknowledged(0, 1), job.depends(0, 1)), (0, 0));
    assert_eq!((job.journal_base(0), job.journal_head(0), job.stable(0, 0)), (10, 10, 10));

    assert_ne!(survivor.enter(), before);
    assert_eq!(survivor.generation(0), 1);
    assert_eq!(survivor.arrival(0).unwrap(), None, "nothing is read before the rewind");
    assert_eq!(survivor.bytes(0, held.payload), None);
    assert_eq!(survivor.rewind(0), 0);
    assert_eq!(survivor.bytes(0, held.payload), None);
    survivor.leave();

    let mut reborn = incarnation(&job, 0, 2, "");
    assert_eq!(reborn.extent(1), egida_core::driver::Extent::default());
    for ssn in 0..80 {
        send(&mut reborn, 1, ssn, 10_000).unwrap();
    }
    assert!(receive_all_now(&mut survivor, 0).into_iter().eq(0..80));
    assert!(receive_all_now(&mut reborn, 1).into_iter().eq(0..100), "the survivor's log is untouched");
    reborn.notify_matched(1, 7).unwrap();
    notices.clear();
    survivor.matched_notices(0, &mut notices);
    assert_eq!(notices, [7]);
    assert_eq!(reborn.log(JournalEntry { kind: EntryKind::Held, stores: 0, bytes: b"x" }).unwrap(), 11);
    let item = journal.next().unwrap().unwrap();
    assert_eq!((item.position, item.kind, item.bytes), (10, EntryKind::Held, &b"x"[..]));
}

#[test]
fn nothing_is_taken_from_under_a_busy_rank() {
    let job = job(2, 64 * MIB);
    let (mut dying, mut survivor) = (rank(&job, 0), rank(&job, 1));
    for ssn in 0..10 {
        send(&mut dying, 1, ssn, 50_000).unwrap();
    }
    drop(dying);
    job.reaped(0).unwrap();
    survivor.enter();
    let arrival = survivor.arrival(0).unwrap().unwrap();
    let discarded = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut complaints = Vec::new();
            job.discard(0, |rank| {
                complaints.push(rank);
                Blocked::Wait
            })
            .unwrap();
            discarded.store(true, Ordering::SeqCst);
            assert!(complaints.len() > 3 && complaints.iter().all(|&rank| rank == 1), "{complaints:?}");
        });
        std::thread::sleep(Duration::from_millis(80));
        assert!(!discarded.load(Ordering::SeqCst));
        // The stretch began before the death: its memory is still whole.
        let (piece, _) = survivor.bytes(0, arrival.payload).unwrap();
        assert_eq!(piece, &payload(0, 50_000)[..piece.len()]);
        survivor.leave();
    });
    assert!(discarded.load(Ordering::SeqCst));

    // A rank that dies in a stretch holds nobody up for ever.
    survivor.enter();
    job.quiesce(|rank| if rank == 1 { Blocked::Reaped } else { Blocked::Wait });
}

#[test]
fn a_survivor_reads_on_while_node_after_node_is_lost() {
    const LIVES: u32 = 150;
    let job = job(2, 64 * MIB);
    let mut survivor = rank(&job, 1);
    let over = AtomicBool::new(false);
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut epoch, mut generation, mut next) = (0, 0, 0);
            while !over.load(Ordering::SeqCst) {
                let now = survivor.enter();
                if now != epoch {
                    epoch = now;
                    if survivor.generation(0) != generation {
                        generation = survivor.generation(0);
                        next = survivor.rewind(0);
                        assert_eq!(next, 0);
                    }
                }
                while let Some(arrival) = survivor.arrival(0).unwrap() {
                    assert_eq!(arrival.header.ssn, next);
                    assert_eq!(survivor.piggyback(0), piggyback(next));
                    let expected = payload(next, arrival.header.len as usize);
                    let (mut at, mut begin) = (arrival.payload, 0);
                    while begin < expected.len()
                        && let Some((piece, behind)) = survivor.bytes(0, at)
                    {
                        assert_eq!(piece, &expected[begin..begin + piece.len()]);
                        (at, begin) = (behind, begin + piece.len());
                    }
                    survivor.advance(0);
                    next += 1;
                    read.fetch_add(1, Ordering::SeqCst);
                }
                survivor.leave();
                survivor.park(ShmDriver::news);
            }
            generation
        });
        let mut dice = Dice(23);
        for life in 1..=LIVES {
            let kill = format!("point:channel.reserved:{}", 1 + dice.throw() % 60);
            let mut writer = incarnation(&job, 0, life, &kill);
            let read_before = read.load(Ordering::SeqCst);
            let died =
                (0..).find_map(|ssn| Some((ssn, send(&mut writer, 1, ssn, dice.size(200_000)).err()?)));
            let (sent, fault) = died.unwrap();
            assert_eq!(fault, Fault::Crashed);
            // Else the machine may let the reader run so seldom that there is nothing left to read whenever it does.
            let reads = || read.load(Ordering::SeqCst) != read_before || reader.is_finished();
            while life % 3 == 0 && sent > 0 && !reads() {
                std::thread::yield_now();
            }
            job.reaped(0).unwrap();
            job.discard(0, patient).unwrap();
            assert_eq!(job.allocated_bytes(), 0);
        }
        std::thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::SeqCst);
        assert_eq!(reader.join().unwrap(), LIVES);
    });
}

/// All entries of a journal: position, stores, length.
fn entries(reader: &mut JournalReader) -> Vec<(u64, u8, usize)> {
    let mut found = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        assert_eq!(item.bytes, payload(item.position, item.bytes.len()));
        found.push((item.position, item.stores, item.bytes.len()));
    }
    found
}

#[test]
fn a_journal_goes_on_where_its_writer_died() {
    let job = job(1, 512 * MIB);
    let mut reader = job.journal(0);
    let mut expected = Vec::new();
    let mut dice = Dice(17);
    for life in 1..10 {
        let mut driver = incarnation(&job, 0, life, "");
        for _ in 0..200 {
            let (position, stores, len) =
                (expected.len() as u64, (dice.throw() % 4) as u8, dice.size(300_000));
            let entry = JournalEntry { kind: EntryKind::Message, stores, bytes: &payload(position, len) };
            assert_eq!(driver.log(entry).unwrap(), position + 1);
            expected.push((position, stores, len));
        }
        job.reaped(0).unwrap();
        assert_eq!(job.journal_head(0), expected.len() as u64);
    }
    assert_eq!(entries(&mut reader), expected);
    assert_eq!(entries(&mut job.journal(0)), expected);
}

fn work_arrives(job: &JobMemory, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            work();
        });
        assert!(job.wait_for_work(Duration::from_secs(20)));
    });
}

#[test]
fn the_daemon_sleeps_until_there_is_work() {
    let job = job(2, 64 * MIB);
    let mut driver = rank(&job, 0);
    assert!(job.wait_for_work(Duration::ZERO), "the first look is never in vain");
    assert!(!job.wait_for_work(Duration::from_millis(5)));
    driver.log(JournalEntry { kind: EntryKind::Own, stores: 0, bytes: b"volatile" }).unwrap();
    assert!(!job.wait_for_work(Duration::from_millis(5)));
    // Work that came while the daemon was not asleep keeps it from sleeping.
    driver.log(JournalEntry { kind: EntryKind::Own, stores: 2, bytes: b"durable" }).unwrap();
    assert!(job.wait_for_work(Duration::from_secs(20)));
    work_arrives(&job, || driver.flush(1, 2));
    assert_eq!(job.flush_requested(0, 1), 2);
    work_arrives(&job, || job.clone().interrupt());
    assert!(!job.wait_for_work(Duration::from_millis(5)));
}

#[test]
fn who_makes_copies_is_woken_for_them() {
    let job = job(2, 64 * MIB);
    job.set_copied(0b10);
    let mut driver = rank(&job, 0);
    assert!(job.wait_to_copy(Duration::ZERO), "the first look is never in vain");
    assert!(!job.wait_to_copy(Duration::from_millis(5)));
    std::thread::scope(|scope| {
        let begun = Instant::now();
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            driver.log(JournalEntry { kind: EntryKind::Own, stores: 0b10, bytes: b"for others" }).unwrap();
        });
        assert!(job.wait_to_copy(Duration::from_secs(20)));
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
    job.set_stable(0, 1, 1);
    assert_eq!((job.stable(0, 0), job.stable(0, 1)), (0, 1), "each store has a watermark of its own");
}

#[test]
fn a_scan_shows_what_was_published_to_its_last_head() {
    let job = job(2, 64 * MIB);
    let mut writer = incarnation(&job, 0, 1, "point:channel.piece:3");
    let mut sent = 0;
    while send(&mut writer, 1, sent, 100_000).is_ok() {
        sent += 1;
    }
    job.reaped(0).unwrap();
    let mut seen = Vec::new();
    job.scan(0, 1, |record| {
        assert_eq!(record.piggyback, piggyback(record.header.ssn));
        seen.push(record.header.ssn);
        Ok(())
    })
    .unwrap();
    assert!(seen.into_iter().eq(0..=sent), "the head of the unfinished record is published too");
}

#[test]
fn only_the_expected_incarnation_attaches() {
    let job = job(2, 64 * MIB);
    job.set_recovery(0, b"what happened").unwrap();
    job.set_recovery(0, b"what really happened").unwrap();
    job.begin_incarnation(0, 3);
    let attach = |rank, incarnation| {
        ShmDriver::attach(job.fd().try_clone_to_owned().unwrap(), rank, incarnation, Default::default())
    };
    assert!(attach(0, 2).unwrap_err().to_string().contains("expects incarnation 3"));
    assert!(attach(2, 1).is_err());
    let attached = attach(0, 3).unwrap();
    assert_eq!((attached.rank, attached.size, attached.incarnation), (0, 2, 3));
    assert_eq!(attached.specification, "protocol test");
    assert_eq!(attached.recovery, b"what really happened");
    assert_eq!(attached.domains.count(), 2);
}
