//! Cases that random tests found once, as they shrank: each is right now.

mod common;

use common::{Application, Case, Finish, Message, specification};
use egida_core::crash::CrashPoint;
use egida_sim::oracle::judge;
use egida_sim::schedule::Crash;
use egida_spec::protocol::FailureUnit;

use Finish::{Probe, Test, WaitAll, WaitAny};

/// A rank waits for the message that a receive took before, and is asked for a checkpoint: it must not take one yet, since the
/// checkpoint would say that the receive is behind it, and forget what it is to take.
#[test]
fn no_checkpoint_is_taken_while_a_receive_waits_for_what_it_took_before() {
    let case = Case {
        application: Application {
            ranks: 4,
            rounds: vec![
                (
                    vec![any(1, 2), any(0, 1), any(0, 3), any(0, 3), any(1, 0)],
                    vec![(Test, false, false), (WaitAll, false, true), PLAIN, (WaitAny, false, false)],
                ),
                (vec![any(1, 0), any(0, 0)], vec![PLAIN, (Probe, false, true), PLAIN, (Probe, false, false)]),
                (
                    vec![
                        any(3, 0),
                        Message { named: true, synchronous: true, ..any(2, 0) },
                        any(3, 2),
                        any(1, 3),
                        any(1, 2),
                    ],
                    vec![PLAIN; 4],
                ),
            ],
        },
        per_domain: 2,
        crashes: vec![
            Crash { rank: 1, incarnation: 2, point: CrashPoint::Send(3), time: 1 },
            Crash { rank: 0, incarnation: 1, point: CrashPoint::Deliver(2), time: 1 },
        ],
        control_delay: 5_000,
        checkpoint_every: 374,
        seed: 8_409_672_869_684_789_307,
    };
    is_right(&case, "paper/fig4b", FailureUnit::Node);
}

/// Eight ranks ask each other for checkpoints all the time, faster than they hear of each other: each gets its own in the end.
#[test]
fn nobody_is_refused_for_ever_by_koo_and_toueg() {
    let (quick, mut second) = (vec![PLAIN; 8], vec![PLAIN; 8]);
    second[2] = (WaitAny, false, false);
    let case = Case {
        application: Application {
            ranks: 8,
            rounds: vec![
                (vec![any(1, 7)], quick.clone()),
                (vec![any(7, 1)], second),
                (vec![any(7, 0), any(7, 3)], quick.clone()),
                (vec![any(7, 5), any(1, 2), any(5, 6), any(5, 7)], quick),
            ],
        },
        per_domain: 6,
        crashes: Vec::new(),
        control_delay: 5_000,
        checkpoint_every: 599,
        seed: 10_983_615_506_973_548_054,
    };
    is_right(&case, "checkpoint-koo-toueg", FailureUnit::Process);
}

/// A message is known and not read, an earlier checkpoint holds it, and its sender's node fails: a checkpoint that is taken before the
/// message has come again would not hold it, while its sender may let go of it.
#[test]
fn no_checkpoint_holds_less_than_the_one_before() {
    let case = Case {
        application: Application {
            ranks: 4,
            rounds: vec![
                (
                    vec![
                        any(3, 3),
                        any(1, 3),
                        any(1, 0),
                        any(1, 3),
                        Message { named: true, synchronous: true, ..any(0, 3) },
                        any(3, 1),
                        any(2, 0),
                    ],
                    vec![PLAIN, (Probe, false, true), (Test, false, true), (WaitAll, false, true)],
                ),
                (vec![any(3, 2), any(2, 3), any(0, 3), any(0, 2)], vec![PLAIN; 4]),
                (vec![any(0, 0)], vec![PLAIN; 4]),
            ],
        },
        per_domain: 2,
        crashes: vec![
            Crash { rank: 3, incarnation: 1, point: CrashPoint::Send(3), time: 1 },
            Crash { rank: 0, incarnation: 1, point: CrashPoint::Send(2), time: 1 },
        ],
        control_delay: 5_000,
        checkpoint_every: 1_045,
        seed: 8_260_224_361_152_529_582,
    };
    is_right(&case, "checkpoint-fdas", FailureUnit::Node);
}

const PLAIN: (Finish, bool, bool) = (WaitAll, false, false);

fn any(from: u32, to: u32) -> Message {
    Message { from, to, named: false, len: 8, synchronous: false }
}

fn is_right(case: &Case, name: &str, unit: FailureUnit) {
    let outcome = case.run(&specification(name), unit, &egida_modules::registry());
    assert_eq!(judge(&outcome), None, "{}", outcome.trace.join("\n"));
}
