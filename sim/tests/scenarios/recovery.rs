//! Deaths during recovery: of who recovers, of who answers, of who asks; and what is on its way meanwhile.

use egida_core::trace::{Event, Line};

use crate::facts::Facts;
use crate::programs::hub;
use crate::story::{Scenario, Story};

pub const SCENARIOS: &[Scenario] =
    &[AGAIN_DURING_RECOVERY, LEADER, AFTER_AN_ANSWER, BEFORE_THE_NUMBER_IS_DURABLE];

fn answers(line: &Line, rank: u32, to: u32) -> bool {
    line.rank == Some(rank) && matches!(line.event, Event::Answer { asker } if asker == to)
}

/// The hub dies. While its determinants are collected a worker dies; or the hub itself dies again as it begins to replay, again in the
/// middle of it, and again between the end of the replay and what comes new.
const AGAIN_DURING_RECOVERY: Scenario = Scenario {
    number: 8,
    name: "dies-again-during-collection-replay-and-resume",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "a second death after the collection began; three more deaths of the hub before it is where it was",
    stories: |facts| {
        vec![
            Story::of(hub(3), "0@deliver:6,1@recovery:collect", |told| {
                let collect = told.first(|line| matches!(line.event, Event::Collect { .. }));
                told.in_order(&[told.crash(0, 1), collect, told.crash(1, 1), told.recovered(0, 2)])
            })
            .down_at_once(2)
            .sometimes_if(facts.detects),
            Story::of(
                hub(3),
                "0@deliver:7,0.2@point:replay.start,0.3@point:replay.middle,0.4@point:replay.end",
                |told| {
                    let deaths = [told.crash(0, 1), told.crash(0, 2), told.crash(0, 3), told.crash(0, 4)];
                    told.in_order(&deaths) && told.recovered(0, 5).is_some()
                },
            )
            .sometimes(),
        ]
    },
};

/// Of the failed ranks one asks for all. It is the lowest of them: when a lower one dies during the collection, that one asks, and all
/// anew. When fewer than f fail, and when the lowest rank lives, somebody asks all the same.
const LEADER: Scenario = Scenario {
    number: 9,
    name: "the-leader-of-recovery-changes",
    concerned: "those in which one rank collects for all",
    concerns: |facts| facts.recovers && facts.has_leader,
    asserted: "answers to rank 2, then, after rank 1 died too, to rank 1; answers to rank 3 alone where only that one died",
    stories: |_| {
        vec![
            Story::of(hub(3), "2@deliver:4,1@after:answer", |told| {
                let to_second = told.first(|line| (0..4).any(|holder| answers(line, holder, 2)));
                let to_first = told.first(|line| (0..4).any(|holder| answers(line, holder, 1)));
                told.in_order(&[to_second, told.crash(1, 1), to_first])
            })
            .down_at_once(2),
            Story::of(hub(3), "3@deliver:4", |told| {
                let asked = told.lines.iter().filter(|line| matches!(line.event, Event::Answer { .. }));
                let by_others = asked.clone().any(|line| !matches!(line.event, Event::Answer { asker: 3 }));
                asked.count() >= 4 && !by_others && told.recovered(3, 2).is_some()
            }),
        ]
    },
};

/// A survivor answers what is asked for the hub, and dies right after. What it held is in the answer; what it answered is not relied on
/// further than that: the collection begins anew.
const AFTER_AN_ANSWER: Scenario = Scenario {
    number: 10,
    name: "a-survivor-dies-after-its-answer",
    concerned: "those that ask others for determinants",
    concerns: |facts| facts.recovers && facts.collects,
    asserted: "the answer, the death after it, a second collection; or the run says that f is less than 2",
    stories: |_| {
        vec![
            Story::of(hub(3), "0@deliver:6,2@after:answer.2", |told| {
                let answer =
                    told.first(|line| line.rank == Some(2) && matches!(line.event, Event::Answer { .. }));
                let again = told
                    .crash(2, 1)
                    .and_then(|crash| told.after(crash, |line| matches!(line.event, Event::Collect { .. })));
                told.in_order(&[told.crash(0, 1), answer, told.crash(2, 1), again, told.recovered(0, 2)])
            })
            .down_at_once(2),
        ]
    },
};

/// The number of the hub's next incarnation is chosen and on its way to stable storage when another rank dies: the round begins anew.
/// No incarnation begins before its number is durable, none begins twice.
const BEFORE_THE_NUMBER_IS_DURABLE: Scenario = Scenario {
    number: 14,
    name: "dies-before-the-incarnation-number-is-durable",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "a death after the numbers went to the disk and before they were there; the hub begins in lives 1 and 2, once each",
    stories: |_| {
        vec![
            Story::of(hub(3), "0@deliver:5,1@recovery:persist", |told| {
                let persist = told.first(|line| matches!(line.event, Event::Persist { .. }));
                let quiesce = told.first(|line| matches!(line.event, Event::Quiesce { .. }));
                let begins =
                    told.lines.iter().filter(|line| line.rank == Some(0) && line.event == Event::Begin);
                let lives: Vec<_> = begins.map(|line| line.incarnation).collect();
                told.in_order(&[persist, told.crash(1, 1), quiesce]) && lives == [Some(1), Some(2)]
            })
            .down_at_once(2),
        ]
    },
};
