//! Messages that come late, or in another order than they were sent, and ranks that are taken for dead.

use egida_core::trace::{Event, Line};

use crate::facts::Facts;
use crate::programs::{ASK, GO, OTHER, TELL, chain, from, from_any, hub, script, send};
use crate::story::{Scenario, Story, at};

pub const SCENARIOS: &[Scenario] = &[AFTER_THE_ANSWER, PAST_RECOVERY, HOLE, SUPPRESSED, SUSPECTED];

/// What rank 3 asked, rank 0 told rank 2, and rank 2 tells rank 1; that message is on its way when rank 0 dies and rank 1 answers
/// that it knows nothing of rank 0. Then it arrives, with newer determinants of rank 0 than the answer had.
const AFTER_THE_ANSWER: Scenario = Scenario {
    number: 11,
    name: "newer-determinants-arrive-after-the-answer",
    concerned: "those that ask others for determinants",
    concerns: |facts| facts.recovers && facts.collects,
    asserted: "rank 1 answers before the message arrives, and rank 0 goes on as before",
    stories: |_| {
        vec![Story::of(chain(), "late:2>1#0@1500,0@after:send.2", |told| {
            let answer =
                told.first(|line| line.rank == Some(1) && matches!(line.event, Event::Answer { .. }));
            told.in_order(&[told.crash(0, 1), answer, told.arrival(1, 2, 0)])
        })]
    },
};

/// A message is sent before a death and arrives after the recovery. Its sender did not depend on what is lost: it is valid, and
/// delivered once. (Its obsolete twin is the story of `an-obsolete-message-arrives-past-recovery`.)
const PAST_RECOVERY: Scenario = Scenario {
    number: 12,
    name: "a-message-arrives-past-recovery",
    concerned: "all that recover; those with orphans for the obsolete twin",
    concerns: Facts::recovers_by_replay,
    asserted: "sent before the death, taken in after the recovery; the obsolete twin is dropped by rank 1, which has heard the news, \
               before its sender, which has not, rolls back",
    stories: |facts| {
        let valid = vec![
            script([from_any(ASK), send(2, TELL)]),
            script([from(2, TELL)]),
            script([send(1, TELL), from(0, TELL)]),
            script([send(0, ASK)]),
        ];
        let mut stories = vec![Story::of(valid, "late:2>1#0@6000,0@after:send.0", |told| {
            told.in_order(&[told.crash(0, 1), told.recovered(0, 2), told.arrival(1, 2, 0)])
        })];
        // Where recovery itself ends the orphans, what they had sent ends with them.
        if facts.detects && !facts.asks_everyone {
            stories.push(
                Story::of(chain(), "late:2>1#0@4000,news:2@9000,0@after:send.2", |told| {
                    let dropped = told.first(|line| {
                        line.rank == Some(1) && matches!(line.event, Event::Drop { source: 2, ssn: 0, .. })
                    });
                    told.in_order(&[told.recovered(0, 2), dropped, told.rollback(2, 1)])
                })
                .with_disk_delay(100_000)
                .sometimes(),
            );
        }
        stories
    },
};

/// Of two messages of one sender, the second is received first, by its tag; then the receiver dies. A watermark of what was delivered
/// would take the first for delivered too: it is not, and must come.
const HOLE: Scenario = Scenario {
    number: 18,
    name: "a-hole-below-the-watermark",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "the life that ended delivered message 1 and not message 0, which had arrived; the next delivers both",
    stories: |_| {
        let scripts = vec![
            script([from(1, OTHER), from(2, GO), from(1, TELL), send(1, GO)]),
            script([send(0, TELL), send(0, OTHER), from(0, GO)]),
            script([send(0, GO)]),
            script([]),
        ];
        vec![Story::of(scripts, "late:2>0#0@2000,0@after:deliver.0", |told| {
            let delivered = |life, number| {
                told.first(|line| {
                    at(line, 0, life)
                        && matches!(line.event, Event::Deliver { ssn, source: 1, .. } if ssn == number)
                })
            };
            let last = told.outcome.deaths[0] + 1;
            told.in_order(&[told.arrival(0, 1, 0), delivered(1, 1), told.crash(0, 1), delivered(last, 0)])
                && delivered(1, 0).is_none()
                && delivered(last, 1).is_some()
        })]
    },
};

/// A message has arrived and is not delivered when its sender dies; the sender, as it repeats itself, need not send it again, since it is
/// there. Then the receiver dies, and with it the message that nobody sends any more.
const SUPPRESSED: Scenario = Scenario {
    number: 19,
    name: "a-message-that-its-sender-does-not-repeat-is-lost-with-its-receiver",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "arrival, death and recovery of the sender, death of the receiver before any delivery, delivery in its next life",
    stories: |_| {
        let scripts = vec![
            script([from_any(GO), from_any(ASK), send(1, TELL)]),
            script([send(0, ASK), from(0, TELL)]),
            script([send(0, GO)]),
            script([]),
        ];
        vec![Story::of(scripts, "late:2>0#0@7000,1@after:arrive.0,0@after:recovered", |told| {
            let sender = [told.arrival(0, 1, 0), told.crash(1, 1), told.recovered(1, 2)];
            let receiver = [told.crash(0, 1), told.delivery(0, 2, 1)];
            told.in_order(&[sender.as_slice(), receiver.as_slice()].concat())
                && told.delivery(0, 1, 1).is_none()
        })]
    },
};

/// The hub's node cannot be reached for a while and is declared dead; the hub lives on, and goes on to take and to send, until it learns of
/// it. Nothing that it does after it was given up has an effect.
const SUSPECTED: Scenario = Scenario {
    number: 30,
    name: "a-live-rank-is-declared-dead",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "the next life begins before the one that was given up learns of it, and nobody but the hub is taken for dead",
    stories: |_| {
        vec![Story::of(hub(8), "cut:0@300..1500,suspect:0@600", |told| {
            let is = |rank: Option<u32>, wanted: Event| {
                move |line: &Line| line.rank == rank && line.event == wanted
            };
            let suspected = told.first(is(None, Event::Suspect { domain: 0 }));
            let begins = told.first(|line| at(line, 0, 2) && line.event == Event::Begin);
            let learns = told.first(|line| at(line, 0, 1) && line.event == Event::Learn);
            told.in_order(&[suspected, begins, learns])
        })]
    },
};
