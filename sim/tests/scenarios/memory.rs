//! Determinants in the memory of others: holders that have them or not yet, that die after they said so, that die too.

use egida_core::trace::Event;

use crate::facts::Facts;
use crate::programs::{circle, hub, patient};
use crate::story::{Scenario, Story, Told, at};

pub const SCENARIOS: &[Scenario] =
    &[SOME_ACKNOWLEDGEMENTS, HOLDERS_ONE_AFTER_ANOTHER, SENDER_AND_RECEIVER, WHOLE_CIRCLE, ONE_TOO_MANY];

/// How many domains have a copy of the first determinant of rank 0 at a place.
fn copies_before(told: &Told<'_>, to: usize) -> usize {
    told.count_before(to, |line| {
        line.rank == Some(0) && matches!(line.event, Event::Copied { position: 1, .. })
    })
}

/// Rank 0 has told f others of its choice, of whom k have it in their memory, and dies: with k < f nobody depends on it, and it may
/// be found or lost; with k = f somebody may, and it must be found.
const SOME_ACKNOWLEDGEMENTS: Scenario = Scenario {
    number: 4,
    name: "dies-after-some-acknowledgements",
    concerned: "those that copy determinants to others at once",
    concerns: |facts| facts.recovers && facts.copies.is_some(),
    asserted: "fewer than f copies at the death; then exactly f, and nothing sent",
    stories: |facts| {
        let copies = facts.copies.unwrap_or(0);
        let mut stories = vec![
            Story::of(patient(), &format!("late:2>0#0@3000,0@after:copied.0:{copies}"), |told| {
                told.crash(0, 1).is_some_and(|crash| {
                    let sent = told.count_before(crash, |line| {
                        at(line, 0, 1) && matches!(line.event, Event::Send { .. })
                    });
                    told.in_order(&[Some(crash), told.delivery(0, 2, 1)])
                        && Some(copies_before(told, crash)) == told.facts.copies.map(|copies| copies as usize)
                        && sent == 0
                })
            }),
            Story::of(patient(), "late:2>0#0@3000,0@after:log.0", |told| {
                told.crash(0, 1).is_some_and(|crash| copies_before(told, crash) == 0)
            }),
        ];
        if copies > 1 {
            let fewer = |told: &Told<'_>| {
                let copies = told.crash(0, 1).map_or(0, |crash| copies_before(told, crash));
                0 < copies && Some(copies) < told.facts.copies.map(|copies| copies as usize)
            };
            stories.push(Story::of(patient(), "late:2>0#0@3000,0@after:copied.0", fewer).sometimes());
        }
        stories
    },
};

/// A holder dies as soon as it has what it holds, and comes back; then the next; then the owner. Never more than one is down:
/// all that somebody depends on must be found, although no holder is as it was.
const HOLDERS_ONE_AFTER_ANOTHER: Scenario = Scenario {
    number: 5,
    name: "holders-die-one-after-another-and-then-the-owner",
    concerned: "those in which others hold a rank's determinants",
    concerns: Facts::is_held_by_others,
    asserted: "the three are recovered one after another, the owner last",
    stories: |facts| {
        let then = "2@after:recovered:1,0@after:recovered:2";
        let first = if facts.copies.is_some() { "1@after:copied.0:3" } else { "1@after:arrive.1:3" };
        vec![Story::of(hub(4), &format!("{first},{then}"), |told| {
            told.in_order(&[told.recovered(1, 2), told.recovered(2, 2), told.recovered(0, 2)])
        })]
    },
};

/// The hub and a worker that it has just told die at the same moment. The worker needs messages of the hub that are gone with it:
/// the hub makes them again as it replays, and the worker replays as they come.
const SENDER_AND_RECEIVER: Scenario = Scenario {
    number: 6,
    name: "sender-and-receiver-die-together",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "both are down at once, and both come back; or the run says that f is less than 2",
    stories: |_| {
        vec![
            Story::of(hub(3), "0+1@after:deliver.0:4", |told| {
                let (first, second) = (told.crash(0, 1), told.crash(1, 1));
                first.max(second) < told.recovered(0, 2).min(told.recovered(1, 2))
                    && first.min(second).is_some()
            })
            .down_at_once(2),
        ]
    },
};

/// Three ranks pass a message around; all three die at the same moment, and everyone's messages are gone with their senders. The
/// fourth, which is left, depends on them.
const WHOLE_CIRCLE: Scenario = Scenario {
    number: 7,
    name: "a-circle-of-three-dies",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "three are down at once, and all come back; or the run says that f is less than 3",
    stories: |_| {
        vec![
            Story::of(circle(5), "0+1+2@after:deliver.1:3", |told| {
                let down = (0..3).map(|rank| told.crash(rank, 1)).max().flatten();
                let back = (0..3).map(|rank| told.recovered(rank, 2)).min().flatten();
                told.in_order(&[down, back])
            })
            .down_at_once(3),
        ]
    },
};

/// One more node at once than the protocol tolerates: an end with its reason, not a wrong answer and not a hang.
const ONE_TOO_MANY: Scenario = Scenario {
    number: 34,
    name: "one-more-at-once-than-is-tolerated",
    concerned: "those with a bound on failures",
    concerns: |facts| facts.recovers && facts.tolerates.is_some_and(|tolerated| tolerated < 4),
    asserted: "every run ends with `unrecoverable`, the number that was down and the number that is tolerated",
    stories: |facts| {
        let down = facts.tolerates.map_or(0, |tolerated| tolerated + 1);
        let ranks: Vec<String> = (0..down).map(|rank| rank.to_string()).collect();
        let schedule = format!("{}@after:deliver.0:5", ranks.join("+"));
        // No run may come to its end, and so none may have seen this.
        vec![Story::of(hub(3), &schedule, |_| false).down_at_once(down)]
    },
};
