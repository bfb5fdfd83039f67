//! The edges of a job: what the world saw, the beginning, the end.

use egida_core::trace::{Event, Line};

use crate::facts::Facts;
use crate::programs::{hub, patient};
use crate::story::{Scenario, Story, at};

pub const SCENARIOS: &[Scenario] = &[OUTPUT, BEGINNING_AND_END];

/// The world has seen a line of rank 0, and rank 0 dies before anything else happens; or it has written one that the world has not seen. The
/// line is seen once, and what comes after it does not contradict it.
const OUTPUT: Scenario = Scenario {
    number: 25,
    name: "dies-after-its-output-is-seen",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "an output before the death; a line written and not seen before the death; what is seen in the end is what the last life wrote",
    stories: |_| {
        vec![
            Story::of(patient(), "late:3>0#0@25000000,0@after:output.0", |told| {
                let seen =
                    told.first(|line| line.rank == Some(0) && matches!(line.event, Event::Output { .. }));
                told.in_order(&[seen, told.crash(0, 1), told.recovered(0, 2)])
            }),
            Story::of(patient(), "late:3>0#0@5000,0@after:write.0", |told| {
                let written = told.first(|line| at(line, 0, 1) && matches!(line.event, Event::Write { .. }));
                told.in_order(&[written, told.crash(0, 1)])
            }),
        ]
    },
};

/// A rank dies as soon as it has begun, before it has sent or received anything; and another as it has come to its end, when the others may
/// still need what it sent.
const BEGINNING_AND_END: Scenario = Scenario {
    number: 35,
    name: "dies-at-its-beginning-and-at-its-end",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "a life of nothing but its beginning; a death after the end of the application, and a second life that comes to it again \
               (end to end: `in-init`, `entering-finalize`, `leaving-finalize`)",
    stories: |_| {
        vec![
            Story::of(hub(3), "1@after:begin.1", |told| {
                let did = |line: &&Line| {
                    let event = &line.event;
                    at(line, 1, 1)
                        && matches!(event, Event::Send { .. } | Event::Arrive { .. } | Event::Write { .. })
                };
                told.lines.iter().filter(did).count() == 0 && told.crash(1, 1).is_some()
            }),
            Story::of(hub(3), "2@after:finish.2", |told| {
                let finish = |life| told.first(|line| at(line, 2, life) && line.event == Event::Finish);
                told.in_order(&[finish(1), told.crash(2, 1), finish(2)])
            })
            .sometimes(),
        ]
    },
};
