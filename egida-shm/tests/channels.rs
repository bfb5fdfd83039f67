//! Channels between live ranks: streams, reuse of memory, waiting, limits.

mod support;

use std::time::{Duration, Instant};

use egida_core::driver::{Driver, Location};
use egida_core::fault::Fault;
use egida_shm::ShmDriver;
use support::*;

const RECORDS: u64 = 1200;

#[test]
fn a_stream_of_random_sizes_arrives_whole() {
    let job = job(2, 4 << 30);
    let (mut sender, mut receiver) = (rank(&job, 0), rank(&job, 1));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut dice = Dice(42);
            for ssn in 0..RECORDS {
                send(&mut sender, 1, ssn, dice.size(5 * MIB)).unwrap();
            }
        });
        let mut dice = Dice(42);
        for ssn in 0..RECORDS {
            let arrival = receive(&mut receiver, 0).expect("a record");
            assert_eq!((arrival.header.ssn, arrival.header.len as usize), (ssn, dice.size(5 * MIB)));
            read_payload(&mut receiver, 0, &arrival);
        }
    });
    assert!(job.allocated_bytes() > 64 * MIB, "nothing was released, so everything is still there");
}

#[test]
fn released_segments_are_used_again_but_none_that_is_still_read() {
    // Far less than the stream needs: it goes through only by reuse. The receiver keeps up to 40 payloads unread, and
    // releases what lies before the oldest of them.
    let job = job(2, 16 * MIB);
    let (mut sender, mut receiver) = (rank(&job, 0), rank(&job, 1));
    let total: usize = {
        let mut dice = Dice(7);
        (0..RECORDS).map(|_| dice.size(200_000)).sum()
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut dice = Dice(7);
            for ssn in 0..RECORDS {
                while ssn > sender.acknowledged(1) + 100 {
                    std::thread::yield_now();
                }
                send(&mut sender, 1, ssn, dice.size(200_000)).unwrap();
            }
        });
        let mut unread = std::collections::VecDeque::new();
        for _ in 0..RECORDS {
            let arrival = receive(&mut receiver, 0).expect("a record");
            receiver.acknowledge(0, arrival.header.ssn + 1, arrival.header.events);
            unread.push_back(arrival);
            if unread.len() > 40 {
                let oldest = unread.pop_front().unwrap();
                read_payload(&mut receiver, 0, &oldest);
                receiver.release(0, oldest.header.ssn + 1);
            }
        }
        for arrival in unread {
            read_payload(&mut receiver, 0, &arrival);
        }
    });
    assert!(total as u64 > 2 * 16 * MIB);
    assert!(job.allocated_bytes() <= 16 * MIB);
}

#[test]
fn what_is_released_at_once_goes_through_a_ring_of_4_mib_and_through_next_to_none_where_memory_is_short() {
    for (limit_bytes, ring_bytes) in [(64 * MIB, 4 * MIB), (24 * MIB, 3 * MIB / 2), (8 * MIB, 0)] {
        let job = job(2, limit_bytes);
        let (mut sender, mut receiver) = (rank(&job, 0), rank(&job, 1));
        for ssn in 0..1000 {
            send(&mut sender, 1, ssn, 30_000).unwrap();
            let arrival = receive(&mut receiver, 0).expect("a record");
            read_payload(&mut receiver, 0, &arrival);
            receiver.release(0, ssn + 1);
        }
        // The segments that are being written and read come on top.
        let in_use_bytes = job.allocated_bytes();
        assert!((ring_bytes..=ring_bytes + MIB).contains(&in_use_bytes), "{in_use_bytes} of {limit_bytes}");
    }
}

#[test]
fn a_limit_is_an_error_by_name() {
    let job = job(4, MIB);
    let mut sender = rank(&job, 0);
    let error = (0..).find_map(|ssn| send(&mut sender, 3, ssn, 50_000).err()).unwrap();
    assert_eq!(
        error.to_string(),
        "the log of the channel from rank 0 to rank 3 needs more than its limit of 1048576 bytes; raise it with `--limit` or `--spill`"
    );
    assert!(job.allocated_bytes_of(0) > MIB / 2 && job.allocated_bytes_of(1) == 0);
    job.quiesce(|_| panic!("a rank that failed must not look busy"));
}

#[test]
fn what_is_beyond_the_limit_goes_to_a_file_and_is_read_from_there() {
    let job = spilling_job(2, 2 * MIB, 24 * MIB);
    let (mut sender, mut receiver) = (rank(&job, 0), rank(&job, 1));
    let mut ssn = 0;
    let error = loop {
        match send(&mut sender, 1, ssn, 50_000) {
            Ok(()) => ssn += 1,
            Err(error) => break error,
        }
    };
    assert!(
        error.to_string().ends_with("more than its limit of 27262976 bytes; raise it with `--spill-limit`")
    );
    assert!(job.allocated_bytes() <= 2 * MIB);
    assert!(job.spilled_bytes() <= 24 * MIB && job.spilled_bytes() == job.ever_spilled_bytes());
    assert!(ssn * 50_000 > 20 * MIB, "{ssn} messages");
    for _ in 0..ssn {
        let arrival = receive(&mut receiver, 0).expect("a record");
        read_payload(&mut receiver, 0, &arrival);
    }
    // A dead rank's logs are counted where they are, and given back where they are.
    let before = (job.allocated_bytes(), job.spilled_bytes());
    drop(sender);
    job.reaped(0).unwrap();
    assert_eq!((job.allocated_bytes(), job.spilled_bytes()), before);
    job.discard(0, patient).unwrap();
    assert_eq!((job.allocated_bytes(), job.spilled_bytes()), (0, 0));
    let blocks = rustix::fs::fstat(job.file().unwrap().0).unwrap().st_blocks;
    assert!((blocks as u64) * 512 < MIB, "{blocks} blocks are still on the disk");
}

#[test]
fn many_sources_are_found() {
    let job = job(70, 64 * MIB);
    let mut reader = rank(&job, 69);
    for source in [0, 1, 63, 64, 68] {
        send(&mut rank(&job, source), 69, 0, 10).unwrap();
    }
    let mut sources = Vec::new();
    reader.enter();
    reader.ready(&mut sources);
    assert_eq!(sources, [0, 1, 63, 64, 68]);
    for &source in &sources {
        assert!(reader.arrival(source).unwrap().is_some());
        reader.advance(source);
    }
    sources.clear();
    reader.ready(&mut sources);
    assert!(sources.is_empty());
    reader.leave();
}

#[test]
fn notices_come_once_per_incarnation() {
    let job = job(2, 64 * MIB);
    let (mut sender, mut matcher) = (rank(&job, 0), rank(&job, 1));
    let mut notices = Vec::new();
    for ssn in 0..5000 {
        matcher.notify_matched(0, ssn).unwrap();
        if ssn % 700 == 0 {
            sender.matched_notices(1, &mut notices);
        }
    }
    sender.matched_notices(1, &mut notices);
    assert!(notices.iter().copied().eq(0..5000));
    drop(matcher);
    job.reaped(1).unwrap();
    let mut matcher = incarnation(&job, 1, 2, "");
    matcher.notify_matched(0, 5000).unwrap();
    notices.clear();
    sender.matched_notices(1, &mut notices);
    assert_eq!(notices, [5000]);
}

#[test]
fn no_wake_is_lost_between_two_that_sleep_for_each_other() {
    // Each waits for the other with random pauses, so that all phases of parking meet all phases of sending. After a lost wake
    // the clock ends a sleep though there is something to do.
    let job = job(2, 1 << 30);
    let (mut a, mut b) = (rank(&job, 0), rank(&job, 1));
    const ROUNDS: u64 = 4000;
    let pause = |dice: &mut Dice| {
        let until = Instant::now() + Duration::from_nanos(dice.throw() % 150_000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    };
    let wait = |driver: &mut ShmDriver, source| {
        let mut overslept = 0;
        assert!(receive_and_count(driver, source, &mut overslept).is_some());
        overslept
    };
    let overslept = std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            let mut dice = Dice(3);
            (0..ROUNDS)
                .map(|ssn| {
                    let overslept = wait(&mut b, 0);
                    pause(&mut dice);
                    send(&mut b, 0, ssn, 8).unwrap();
                    overslept
                })
                .sum::<u64>()
        });
        let mut dice = Dice(5);
        let mut overslept = 0;
        for ssn in 0..ROUNDS {
            pause(&mut dice);
            send(&mut a, 1, ssn, 8).unwrap();
            overslept += wait(&mut a, 1);
        }
        overslept + other.join().unwrap()
    });
    // A message that comes while the clock ends a sleep counts too, which takes two that are far apart for once; lost wakes
    // would show in hundreds.
    assert!(overslept < 40, "{overslept} of {ROUNDS} rounds overslept");
}

#[test]
fn news_are_told_once_and_a_blocked_record_lets_its_reader_sleep() {
    let job = job(2, 64 * MIB);
    let (mut sender, mut reader) = (rank(&job, 0), rank(&job, 1));
    reader.enter();
    reader.leave();
    assert!(!reader.news());
    send(&mut sender, 1, 0, 8).unwrap();
    assert!(reader.news());
    // The engine looks, and leaves the record where it is, as behind a closed gate.
    let mut sources = Vec::new();
    reader.enter();
    reader.ready(&mut sources);
    assert!(reader.arrival(0).unwrap().is_some());
    assert_eq!(reader.stable(0, 0), 0);
    reader.leave();
    assert!(!reader.news());
    let begun = Instant::now();
    assert!(!reader.park(ShmDriver::news));
    assert!(begun.elapsed() >= Duration::from_millis(15));
    job.set_stable(0, 0, 1);
    assert!(reader.park(ShmDriver::news));
    assert!(!reader.news());
}

#[test]
fn scribbled_memory_is_an_error_not_a_crash() {
    let mut dice = Dice(11);
    for round in 0..200 {
        let job = job(2, 64 * MIB);
        let (mut sender, mut reader) = (rank(&job, 0), rank(&job, 1));
        for ssn in 0..20 {
            send(&mut sender, 1, ssn, dice.size(30_000)).unwrap();
        }
        // Garbage somewhere in the allocated part, which begins behind the tables: 24 pages of tokens and one each of four.
        let mut garbage = [0; 512];
        garbage.fill_with(|| dice.throw() as u8);
        let size = rustix::fs::fstat(job.fd()).unwrap().st_blocks as u64 * 512;
        rustix::io::pwrite(job.fd(), &garbage, 4096 * 28 + (dice.throw() % size)).unwrap();
        let mut failed = None;
        reader.enter();
        for _ in 0..50 {
            match reader.arrival(0) {
                Ok(Some(arrival)) => {
                    let mut at = arrival.payload;
                    for _ in 0..100 {
                        let Some((_, behind)) = reader.bytes(0, at) else { break };
                        at = behind;
                    }
                    reader.advance(0);
                }
                Ok(None) => break,
                Err(fault) => failed = Some(fault),
            }
        }
        let _ = reader.bytes(0, Location(dice.throw()));
        reader.leave();
        if let Some(fault) = failed {
            assert!(matches!(fault, Fault::CorruptRecord { source_rank: 0, .. }), "round {round}: {fault}");
        }
        let _ = job.scan(0, 1, |_| Ok(()));
        drop(sender);
        let _ = incarnation(&job, 0, 2, "").extent(1);
        job.discard(0, patient).unwrap();
    }
}
