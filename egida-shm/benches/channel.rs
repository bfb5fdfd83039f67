//! Latency and rate of a bare channel between two processes, one per processor:
//! `cargo bench -p egida-shm --bench channel [-- BYTES...]`.
//!
//! One line per size: half a round trip, and a stream with a window of 64 messages (8 of more than 64 KiB). The receiver
//! copies every payload out, as a library above would. `retained` keeps every record; `released` lets the writer reuse
//! memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use egida_core::driver::Driver;
use egida_core::wire::{Envelope, RecordHeader, SendMode};
use egida_shm::{Blocked, JobConfig, JobMemory, KillSwitch, ShmDriver};

const SIZES: [usize; 7] = [8, 1 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
const ROUNDS: usize = 5;

/// One end: a driver, how far each direction has come, and a buffer to receive into.
struct End {
    driver: ShmDriver,
    peer: u32,
    sent: u64,
    received: u64,
    releases: bool,
    buffer: Vec<u8>,
    sources: Vec<u32>,
}

impl End {
    fn send(&mut self, payload: &[u8]) {
        let header = RecordHeader {
            ssn: self.sent,
            requires: 0,
            events: 0,
            len: payload.len() as u64,
            envelope: Envelope { context: 0, tag: 0 },
            mode: SendMode::Standard,
            piggyback_len: 0,
        };
        self.driver.append(self.peer, &header, &[], payload, 0).expect("room");
        self.sent += 1;
    }

    fn receive(&mut self) {
        let (peer, driver) = (self.peer, &mut self.driver);
        loop {
            driver.enter();
            self.sources.clear();
            driver.ready(&mut self.sources);
            let arrival =
                if self.sources.is_empty() { None } else { driver.arrival(peer).expect("a sound record") };
            let Some(arrival) = arrival else {
                driver.leave();
                driver.park(ShmDriver::news);
                continue;
            };
            driver.advance(peer);
            let (mut read, mut at) = (0, arrival.payload);
            while read < arrival.header.len as usize {
                if let Some((piece, behind)) = driver.bytes(peer, at) {
                    self.buffer[read..read + piece.len()].copy_from_slice(piece);
                    read += piece.len();
                    at = behind;
                } else {
                    std::hint::spin_loop();
                }
            }
            self.received += 1;
            driver.acknowledge(peer, self.received, 0);
            if self.releases {
                driver.release(peer, self.received);
            }
            driver.leave();
            return;
        }
    }

    fn ping_pong(&mut self, len: usize, times: usize, first: bool) -> Duration {
        let payload = vec![1; len];
        let begun = Instant::now();
        for _ in 0..times {
            if first {
                self.send(&payload);
                self.receive();
            } else {
                self.receive();
                self.send(&payload);
            }
        }
        begun.elapsed()
    }

    fn stream(&mut self, len: usize, window: usize, times: usize, first: bool) -> Duration {
        let payload = vec![1; len];
        let begun = Instant::now();
        for _ in 0..times {
            for _ in 0..window {
                if first { self.send(&payload) } else { self.receive() }
            }
            if first { self.receive() } else { self.send(&[0; 4]) }
        }
        begun.elapsed()
    }

    /// Half a round trip in seconds, and messages per second.
    fn measure(&mut self, len: usize, first: bool) -> (f64, f64) {
        let budget = if self.releases { 256 << 20 } else { 64 << 20 };
        let times = (budget / (len + 512)).clamp(16, 40_000);
        let window = if len > 64 << 10 { 8 } else { 64 };
        let mut best = (f64::MAX, 0.0_f64);
        for _ in 0..ROUNDS {
            let elapsed = self.ping_pong(len, times / 2, first).as_secs_f64();
            best.0 = best.0.min(elapsed / (times / 2) as f64 / 2.0);
            let batches = times.div_ceil(window);
            let elapsed = self.stream(len, window, batches, first).as_secs_f64();
            best.1 = best.1.max((batches * window) as f64 / elapsed);
        }
        best
    }
}

fn attach(fd: BorrowedFd<'_>, rank: u32, releases: bool) -> End {
    let fd = fd.try_clone_to_owned().expect("a descriptor");
    let attached = ShmDriver::attach(fd, rank, 1, KillSwitch::default()).expect("the job's memory");
    let buffer = vec![0; SIZES[SIZES.len() - 1]];
    End {
        driver: attached.driver,
        peer: 1 - rank,
        sent: 0,
        received: 0,
        releases,
        buffer,
        sources: Vec::new(),
    }
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    if rustix::thread::sched_setaffinity(None, &set).is_err() {
        eprintln!("cannot run on processor {cpu} alone");
    }
}

/// The second process: this program again, with the memory's descriptor and the variant in its arguments.
fn second(fd: i32, releases: bool, len: usize) {
    pin(1);
    // SAFETY: the parent made this descriptor inheritable for us.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    attach(fd, 1, releases).measure(len, false);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mark, fd, releases, len] = &arguments[..]
        && mark == "second"
    {
        second(fd.parse().expect("a number"), releases == "true", len.parse().expect("a number"));
        return;
    }
    pin(0);
    println!("{:>10} {:>12} {:>12} {:>12} {:>10}", "bytes", "variant", "latency us", "M/s", "GB/s");
    let wanted: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    for releases in [true, false] {
        for len in SIZES.into_iter().filter(|len| wanted.is_empty() || wanted.contains(len)) {
            let config = JobConfig {
                ranks: 2,
                ranks_per_domain: 1,
                failure_unit_is_node: false,
                limit_bytes: 16 << 30,
                specification: String::new(),
            };
            let job = JobMemory::create(&config).expect("memory");
            (0..2).for_each(|rank| job.begin_incarnation(rank, 1));
            let inherited = rustix::io::dup(job.fd()).expect("a descriptor");
            rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())
                .expect("an inheritable descriptor");
            let mut child = std::process::Command::new(&arguments[0])
                .args(["second", &inherited.as_raw_fd().to_string(), &releases.to_string(), &len.to_string()])
                .spawn()
                .expect("a process");
            let (latency, rate) = attach(job.fd().as_fd(), 0, releases).measure(len, true);
            assert!(child.wait().expect("a child").success());
            job.quiesce(|_| Blocked::Reaped);
            let variant = if releases { "released" } else { "retained" };
            let bandwidth = rate * len as f64 / 1e9;
            println!(
                "{len:>10} {variant:>12} {:>12.2} {:>12.3} {bandwidth:>10.2}",
                latency * 1e6,
                rate / 1e6
            );
        }
    }
}
