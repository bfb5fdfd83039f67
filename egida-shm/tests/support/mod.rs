//! What the tests share: jobs in little address space, messages that prove their own contents.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::LazyLock;

use egida_core::driver::{Arrival, Driver};
use egida_core::fault::Fault;
use egida_core::ids::{Incarnation, Rank, Ssn};
use egida_core::wire::{Envelope, RecordHeader, SendMode};
use egida_shm::{Blocked, Death, JobConfig, JobMemory, KillSwitch, ShmDriver};

pub const MIB: u64 = 1 << 20;

/// A job in 16 GiB of address space.
pub fn job(ranks: u32, limit_bytes: u64) -> JobMemory {
    JobMemory::create_within(&config(ranks, limit_bytes), 16 << 30).unwrap()
}

/// A job with a file for so much beyond its limit.
pub fn spilling_job(ranks: u32, limit_bytes: u64, spill_limit_bytes: u64) -> JobMemory {
    let file = tempfile::tempfile().unwrap();
    JobMemory::create_spilling(&config(ranks, limit_bytes), file.into(), spill_limit_bytes).unwrap()
}

fn config(ranks: u32, limit_bytes: u64) -> JobConfig {
    JobConfig {
        ranks,
        ranks_per_domain: 1,
        failure_unit_is_node: true,
        limit_bytes,
        specification: "protocol test".into(),
    }
}

/// A driver in a mapping of its own, which dies where `kill` says by returning `Fault::Crashed`.
pub fn incarnation(job: &JobMemory, rank: Rank, incarnation: Incarnation, kill: &str) -> ShmDriver {
    job.begin_incarnation(rank, incarnation);
    let kill = KillSwitch::parse(kill, Death::Return).unwrap();
    let fd = job.fd().try_clone_to_owned().unwrap();
    let file = job.file().map(|(file, _)| file.try_clone_to_owned().unwrap());
    ShmDriver::attach_with(fd, file, rank, incarnation, kill).unwrap().driver
}

pub fn rank(job: &JobMemory, rank: Rank) -> ShmDriver {
    incarnation(job, rank, 1, "")
}

/// Everybody is alive and in no hurry.
pub fn patient(_: Rank) -> Blocked {
    Blocked::Wait
}

/// A small generator (Marsaglia's xorshift64), so that every run is the same.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A size: mostly small, at times up to `most`.
    pub fn size(&mut self, most: u64) -> usize {
        let bits = self.throw() % 24;
        (self.throw() % (1 << bits)).min(most) as usize
    }
}

/// The payload of a message: no other message's, and no two places in it look alike.
pub fn payload(ssn: Ssn, len: usize) -> Vec<u8> {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut dice = Dice(1);
        (0..6 << 17).flat_map(|_| dice.throw().to_le_bytes()).collect()
    });
    let from = (ssn % 4096) as usize * 9;
    NOISE[from..from + len].to_vec()
}

pub fn piggyback(ssn: Ssn) -> Vec<u8> {
    vec![ssn as u8; (ssn % 37) as usize]
}

pub fn header(ssn: Ssn, len: usize) -> RecordHeader {
    RecordHeader {
        ssn,
        requires: 0,
        events: ssn + 1,
        len: len as u64,
        envelope: Envelope { context: 1, tag: (ssn % 1000) as i32 },
        mode: SendMode::Standard,
        piggyback_len: piggyback(ssn).len() as u32,
    }
}

pub fn send(driver: &mut ShmDriver, dest: Rank, ssn: Ssn, len: usize) -> Result<(), Fault> {
    driver.append(dest, &header(ssn, len), &piggyback(ssn), &payload(ssn, len), 0)
}

/// Waits for the next record and takes it off the channel, checked; `None` where none comes.
pub fn receive(driver: &mut ShmDriver, source: Rank) -> Option<Arrival> {
    receive_and_count(driver, source, &mut 0)
}

/// The same; counts the sleeps that ended by the clock although there was something to do.
pub fn receive_and_count(driver: &mut ShmDriver, source: Rank, overslept: &mut u64) -> Option<Arrival> {
    for _ in 0..500 {
        driver.enter();
        let arrival = driver.arrival(source).unwrap();
        if let Some(arrival) = arrival {
            let ssn = arrival.header.ssn;
            assert_eq!(driver.piggyback(source), piggyback(ssn));
            assert_eq!(arrival.header, header(ssn, arrival.header.len as usize));
            driver.advance(source);
            driver.leave();
            return Some(arrival);
        }
        driver.leave();
        let was_woken = driver.park(ShmDriver::news);
        *overslept += u64::from(!was_woken && driver.news());
    }
    None
}

/// Waits for a record's whole payload and checks it.
pub fn read_payload(driver: &mut ShmDriver, source: Rank, arrival: &Arrival) {
    let expected = payload(arrival.header.ssn, arrival.header.len as usize);
    let mut read = 0;
    let mut at = arrival.payload;
    let mut patience = 500;
    while read < expected.len() {
        driver.enter();
        if let Some((piece, behind)) = driver.bytes(source, at) {
            assert_eq!(piece, &expected[read..read + piece.len()], "message {}", arrival.header.ssn);
            assert!(!piece.is_empty());
            read += piece.len();
            at = behind;
            driver.leave();
            continue;
        }
        driver.leave();
        patience -= 1;
        assert!(patience > 0, "message {} has no more than {read} bytes", arrival.header.ssn);
        driver.park(ShmDriver::news);
    }
}

/// What is published on a channel right now, read by a cursor of its own to its end.
pub fn receive_all_now(driver: &mut ShmDriver, source: Rank) -> Vec<Ssn> {
    let mut found = Vec::new();
    loop {
        driver.enter();
        let Some(arrival) = driver.arrival(source).unwrap() else { break };
        driver.advance(source);
        driver.leave();
        read_payload(driver, source, &arrival);
        found.push(arrival.header.ssn);
    }
    driver.leave();
    found
}
