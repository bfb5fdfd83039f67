//! Connections of the ranks' own between two hosts: they carry, they break, their ranks compute or die, and nothing is lost.

mod support;

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use egida_core::driver::Driver;
use egida_core::ids::{Rank, Ssn};
use egida_net::{Framer, framing};
use egida_shm::introduction::{self, Offer};
use egida_shm::{JobMemory, Mirror, ShmDriver, Side};
use support::*;

const SOON: Duration = Duration::from_secs(20);

/// What the daemons of two hosts have in common here: their link never breaks, and nothing is under way on it between two turns.
struct Daemons {
    mirrors: [Mirror; 2],
    view: u64,
    is_over: bool,
}

impl Daemons {
    fn turn(&mut self) {
        for from in 0..2 {
            let mut stream = Vec::new();
            while self.mirrors[from].produce(|parts| framing::put(&mut stream, parts).unwrap()).unwrap() {}
            let mut framer = Framer::default();
            framer.push(&stream);
            while let Some(message) = framer.take().unwrap() {
                self.mirrors[1 - from].take(message).unwrap();
            }
        }
    }
}

/// Rank 0 on one host, rank 1 on the other, with daemons that run by themselves.
struct Hosts {
    jobs: [JobMemory; 2],
    daemons: Arc<Mutex<Daemons>>,
    thread: Option<JoinHandle<()>>,
    /// Where each rank asks.
    asking: [OwnedFd; 2],
    number: u64,
}

impl Hosts {
    fn new() -> (Self, [ShmDriver; 2]) {
        let jobs = [job(2, 512 * MIB), job(2, 512 * MIB)];
        let side = |here: Rank| Side::Hosts { here: here..here + 1, there: 1 - here..2 - here };
        for (here, job) in (0..).zip(&jobs) {
            job.set_hosts(here..here + 1, std::slice::from_ref(&(1 - here..2 - here)));
        }
        let mirrors = [jobs[0].mirror(side(0)), jobs[1].mirror(side(1))];
        let daemons = Arc::new(Mutex::new(Daemons { mirrors, view: 0, is_over: false }));
        let running = Arc::clone(&daemons);
        let thread = thread::spawn(move || {
            loop {
                {
                    let mut daemons = running.lock().unwrap();
                    if daemons.is_over {
                        return;
                    }
                    daemons.turn();
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        let ((ours, of_0), (theirs, of_1)) = (introduction::pair().unwrap(), introduction::pair().unwrap());
        let mut drivers = [rank(&jobs[0], 0), rank(&jobs[1], 1)];
        drivers[0].ask_at(of_0);
        drivers[1].ask_at(of_1);
        (Self { jobs, daemons, thread: Some(thread), asking: [ours, theirs], number: 0 }, drivers)
    }

    /// Makes a connection and offers it to both ranks. Returns what cuts it.
    fn introduce(&mut self) -> TcpStream {
        self.number += 1;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let knife = caller.try_clone().unwrap();
        let ends = [caller, listener.accept().unwrap().0];
        for (rank, stream) in (0..).zip(ends) {
            let offer = Offer { peer: 1 - rank, number: self.number, stream };
            introduction::offer(&self.asking[rank as usize], &offer).unwrap();
        }
        knife
    }

    /// What the hosts do when a rank has died whose memory survives it.
    fn change(&self, dead: Rank) {
        let mut daemons = self.daemons.lock().unwrap();
        daemons.view += 1;
        let view = daemons.view;
        for (job, mirror) in self.jobs.iter().zip(&mut daemons.mirrors) {
            mirror.changing().unwrap();
            job.reset_reader(dead, patient).unwrap();
            mirror.changed(view, dead).unwrap();
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Ok(mut daemons) = self.daemons.lock() {
            daemons.is_over = true;
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "a daemon failed");
    }
}

/// Sends a message and has it received at once, or by and by.
fn exchange(drivers: &mut [ShmDriver; 2], from: Rank, ssn: Ssn, len: usize) {
    let to = 1 - from;
    send(&mut drivers[from as usize], to, ssn, len).unwrap();
    hears(&mut drivers[to as usize], from, ssn);
}

fn hears(driver: &mut ShmDriver, from: Rank, ssn: Ssn) {
    let arrival =
        receive(driver, from).unwrap_or_else(|| panic!("message {ssn} from rank {from} does not come"));
    assert_eq!(arrival.header.ssn, ssn);
    read_payload(driver, from, &arrival);
    driver.finished(from, ssn + 1);
    driver.release(from, ssn + 1);
    driver.acknowledge(from, ssn + 1, ssn + 1);
}

/// Both ranks do what they do in any call, until something is so.
fn until(drivers: &mut [ShmDriver; 2], mut is_so: impl FnMut(&[ShmDriver; 2]) -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so(drivers) {
        assert!(Instant::now() < deadline);
        for driver in drivers.iter_mut() {
            driver.enter();
            driver.ready(&mut Vec::new());
            driver.leave();
        }
    }
}

fn connected(drivers: &mut [ShmDriver; 2]) {
    until(drivers, |drivers| drivers.iter().all(|driver| driver.connections() == 1));
    // Each has heard what the other wants.
    for _ in 0..100 {
        until(drivers, |_| true);
        drivers.iter_mut().for_each(|driver| driver.ready(&mut Vec::new()));
    }
}

/// Two ranks that have said something to each other, and have a connection since.
fn introduced() -> (Hosts, [ShmDriver; 2], TcpStream) {
    let (mut hosts, mut drivers) = Hosts::new();
    exchange(&mut drivers, 0, 0, 100);
    exchange(&mut drivers, 1, 0, 100);
    assert_eq!(introduction::asked(&hosts.asking[0]).unwrap(), Some(1));
    assert_eq!(introduction::asked(&hosts.asking[1]).unwrap(), Some(0));
    let knife = hosts.introduce();
    connected(&mut drivers);
    (hosts, drivers, knife)
}

#[test]
fn ranks_that_have_met_need_no_daemon() {
    let (hosts, mut drivers, _knife) = introduced();
    let daemons = hosts.daemons.lock().unwrap();
    let mut dice = Dice(3);
    for ssn in 1..400 {
        let len = dice.size(3 * MIB);
        exchange(&mut drivers, 0, ssn, len);
        exchange(&mut drivers, 1, ssn, 64);
    }
    drivers[0].notify_matched(1, 17).unwrap();
    exchange(&mut drivers, 0, 400, 0);
    let mut notices = Vec::new();
    drivers[1].matched_notices(0, &mut notices);
    assert_eq!(notices, [17]);
    for job in &hosts.jobs {
        assert!(job.allocated_bytes() < 64 * MIB, "{}", job.allocated_bytes());
    }
    drop(daemons);
}

#[test]
fn a_connection_that_breaks_anywhere_loses_nothing() {
    breaks_anywhere(9, false);
}

/// Long messages are sent before they are copied: the log has all of them when somebody else reads it.
#[test]
fn a_connection_that_breaks_loses_nothing_where_logs_are_written_behind_it() {
    breaks_anywhere(11, true);
}

fn breaks_anywhere(seed: u64, ends_with_any: bool) {
    let mut dice = Dice(seed);
    let (mut hosts, mut drivers) = Hosts::new();
    if ends_with_any {
        drivers.iter_mut().for_each(ShmDriver::ends_with_any);
    }
    let mut knife: Option<TcpStream> = None;
    let mut carried = 0;
    for ssn in 0..1500 {
        if ssn % 7 == 0 && drivers.iter().all(|driver| driver.connections() == 0) {
            knife = Some(hosts.introduce());
        }
        let len = dice.size(MIB);
        let (from, to) = ((ssn % 2) as Rank, 1 - (ssn % 2) as Rank);
        send(&mut drivers[from as usize], to, ssn / 2, len).unwrap();
        if dice.throw().is_multiple_of(11)
            && let Some(knife) = knife.take()
        {
            let _ = knife.shutdown(Shutdown::Both);
        }
        carried += drivers[0].connections();
        hears(&mut drivers[to as usize], from, ssn / 2);
    }
    assert!(carried > 50, "{carried}");
}

#[test]
fn what_a_rank_that_computes_has_not_sent_goes_by_the_daemons() {
    for ends_with_any in [false, true] {
        computes(ends_with_any);
    }
}

fn computes(ends_with_any: bool) {
    let (hosts, mut drivers, _knife) = introduced();
    if ends_with_any {
        drivers.iter_mut().for_each(ShmDriver::ends_with_any);
    }
    // More than any connection holds.
    let mut ssn = 0;
    for _ in 0..24 {
        ssn += 1;
        send(&mut drivers[0], 1, ssn, MIB as usize).unwrap();
    }
    // Rank 0 does not call any more.
    for ssn in 1..=ssn {
        hears(&mut drivers[1], 0, ssn);
    }
    assert_eq!(drivers[1].connections(), 0);
    drop(hosts);
}

#[test]
fn a_connection_whose_other_end_nobody_takes_up_carries_nothing() {
    let (mut hosts, mut drivers) = Hosts::new();
    exchange(&mut drivers, 0, 0, 100);
    hosts.introduce();
    let deadline = Instant::now() + SOON;
    while drivers[1].connections() == 0 {
        assert!(Instant::now() < deadline);
        drivers[1].enter();
        drivers[1].leave();
    }
    // Rank 0 sends, by the link, and calls no more: it has not looked for offers yet.
    let mut last = 0;
    for ssn in 1..10 {
        send(&mut drivers[0], 1, ssn, 5000).unwrap();
        last = ssn;
    }
    for ssn in 1..=last {
        hears(&mut drivers[1], 0, ssn);
    }
}

#[test]
fn a_rank_that_dies_with_half_a_frame_gets_all_of_it_again() {
    let (mut hosts, mut drivers, knife) = introduced();
    let (mut ssn, mut incarnation_of_1) = (0, 1);
    for _ in 0..5 {
        for _ in 0..3 {
            ssn += 1;
            send(&mut drivers[0], 1, ssn, MIB as usize).unwrap();
        }
        // It reads some of it, in the middle of a frame, and is gone.
        drivers[1].enter();
        drivers[1].ready(&mut Vec::new());
        drivers[1].leave();
        let [first, dead] = drivers;
        drop(dead);
        hosts.jobs[1].reaped(1).unwrap();
        hosts.change(1);
        incarnation_of_1 += 1;
        let mut next = incarnation(&hosts.jobs[1], 1, incarnation_of_1, "");
        let (ours, theirs) = introduction::pair().unwrap();
        hosts.asking[1] = ours;
        next.ask_at(theirs);
        drivers = [first, next];
        let released = ssn - 3;
        for ssn in released + 1..=ssn {
            hears(&mut drivers[1], 0, ssn);
        }
        // What it sends has numbers of its own, and rank 0 has lost no place.
        exchange(&mut drivers, 1, incarnation_of_1 as Ssn - 1, 10);
        hosts.introduce();
        connected(&mut drivers);
    }
    drop(knife);
}

#[test]
fn garbage_is_an_error_and_not_believed() {
    let (_hosts, mut drivers, mut knife) = introduced();
    // It is rank 0's end that this writes into: rank 1 hears it.
    knife.set_nonblocking(false).unwrap();
    knife.write_all(&[0xFF; 64]).unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        drivers[1].enter();
        let arrival = drivers[1].arrival(0);
        drivers[1].leave();
        if arrival.is_err() {
            return;
        }
        assert!(Instant::now() < deadline);
    }
}
