//! The same across real processes, which really die.

mod support;

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use egida_core::crash::CrashPoint;
use egida_core::driver::Driver;
use egida_shm::{JobMemory, RankState, ShmDriver};
use support::*;

const RECORDS: u64 = 300;
const LEN: usize = 150_000;

fn spawn(job: &JobMemory, life: u32, kill: Option<&str>) -> Child {
    job.begin_incarnation(0, life);
    let inherited = rustix::io::dup(job.fd()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["a_rank_sends", "--exact", "--nocapture"])
        .envs(JobMemory::environment(inherited.as_raw_fd(), 0, life, kill))
        .spawn()
        .unwrap()
}

/// Runs in the processes that the other tests spawn; by itself it finds no job and does nothing.
#[test]
fn a_rank_sends() {
    let Some(attached) = ShmDriver::attach_from_env() else { return };
    assert!(ShmDriver::attach_from_env().is_none(), "a child of ours would be taken for the rank");
    let mut driver = attached.unwrap().driver;
    driver.set_state(RankState::Initialized);
    let extent = driver.extent(1);
    for ssn in extent.whole..RECORDS {
        driver.crash_point(CrashPoint::Send(ssn + 1)).unwrap();
        let begun = extent.begun_bytes.filter(|_| ssn == extent.whole).unwrap_or(0);
        driver.append(1, &header(ssn, LEN), &piggyback(ssn), &payload(ssn, LEN), begun).unwrap();
    }
    driver.set_state(RankState::Finalized);
}

#[test]
fn records_of_killed_processes_arrive_once() {
    let job = job(2, 256 * MIB);
    let mut reader = rank(&job, 1);
    let mut received = 0;
    let deaths =
        ["send:40", "point:channel.piece:31", "point:channel.segment:40", "point:channel.reserved:77"];
    for (life, kill) in (1..).zip(deaths.map(Some).into_iter().chain([None])) {
        let mut child = spawn(&job, life, kill);
        let status = std::thread::scope(|scope| {
            let waiter = scope.spawn(move || child.wait().unwrap());
            // Reads while the other lives and when it is dead, to the end of what it left whole.
            while !waiter.is_finished() || has_more(&job, received) {
                reader.enter();
                let arrival = reader.arrival(0).unwrap();
                if arrival.is_some() {
                    reader.advance(0);
                }
                reader.leave();
                match arrival {
                    // The unfinished record of a dead writer is finished by its next incarnation.
                    Some(arrival) if is_whole(&mut reader, &arrival, || waiter.is_finished()) => {
                        assert_eq!(arrival.header.ssn, received);
                        read_payload(&mut reader, 0, &arrival);
                        received += 1;
                        reader.release(0, received);
                    }
                    Some(_) => break,
                    None => drop(reader.park(ShmDriver::news)),
                }
            }
            waiter.join().unwrap()
        });
        assert_eq!(status.signal(), kill.map(|_| 9), "life {life}: {status}");
        job.reaped(0).unwrap();
        if kill.is_some() {
            assert_eq!(job.state(0), RankState::Initialized);
            // The reader dies too, so that it reads the unfinished record again from its head.
            job.reset_reader(1, patient).unwrap();
            reader = incarnation(&job, 1, life + 1, "");
            reader.enter();
            let first = reader.rewind(0);
            for _ in first..received {
                assert!(reader.arrival(0).unwrap().is_some());
                reader.advance(0);
            }
            reader.leave();
        }
    }
    assert_eq!(job.state(0), RankState::Finalized);
    assert_eq!(received, RECORDS);
    assert!(job.allocated_bytes() < RECORDS * LEN as u64);
}

fn has_more(job: &JobMemory, received: u64) -> bool {
    let mut more = false;
    job.scan(0, 1, |record| {
        more |= record.header.ssn >= received;
        Ok(())
    })
    .unwrap();
    more
}

/// Waits until a record's payload is whole, or its writer is dead and it is not.
fn is_whole(
    reader: &mut ShmDriver,
    arrival: &egida_core::driver::Arrival,
    writer_is_dead: impl Fn() -> bool,
) -> bool {
    let (mut at, mut read) = (arrival.payload, 0);
    loop {
        let dead = writer_is_dead();
        while let Some((piece, behind)) = reader.bytes(0, at) {
            (read, at) = (read + piece.len(), behind);
            if read == LEN {
                return true;
            }
        }
        if dead {
            return false;
        }
        reader.park(ShmDriver::news);
    }
}
