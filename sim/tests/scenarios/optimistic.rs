//! Orphans: news that comes late, comes twice, comes to somebody who dies; and what a rollback takes with it.

use egida_core::trace::{Ended, Event};
use egida_spec::protocol::FailureUnit;

use crate::programs::{ASK, OTHER, TELL, chain, from, from_any, hub, script, send};
use crate::story::{Scenario, Story, Told, at};

pub const SCENARIOS: &[Scenario] = &[
    MESSAGE_BEFORE_THE_NEWS,
    DIES_WITH_THE_NEWS,
    NEWS_CROSSES,
    INNOCENT_SUFFIX,
    BEFORE_THE_PEER_ROLLED_BACK,
    SAVED_ORPHAN,
];

/// How long a disk takes at most: long enough that what is to be lost is not written yet.
const LONG: u64 = 100_000;

/// Rank 0 loses what it took from rank 3, says so, and goes on; rank 1 has heard it, rank 2 has not. Rank 1 tells rank 2 what it was told in
/// rank 0's second life: rank 2 cannot judge the message before it knows where the first life ended, and keeps it until then.
const MESSAGE_BEFORE_THE_NEWS: Scenario = Scenario {
    number: 13,
    name: "a-message-of-the-second-life-comes-before-the-news-of-the-first",
    concerned: "those with orphans",
    concerns: |facts| facts.detects,
    asserted: "rank 2 keeps the message back, hears the news, and then takes the message in",
    stories: |_| {
        let scripts = vec![
            script([from_any(ASK), send(1, TELL)]),
            script([from(0, TELL), send(2, TELL)]),
            script([from(1, TELL)]),
            script([send(0, ASK)]),
        ];
        vec![
            Story::of(scripts, "news:2@9000,0@after:deliver.0", |told| {
                let kept = told.first(|line| {
                    line.rank == Some(2) && matches!(line.event, Event::Postpone { source: 1, ssn: 0 })
                });
                let told_of =
                    told.first(|line| line.rank == Some(2) && matches!(line.event, Event::Token { .. }));
                told.in_order(&[kept, told_of, told.arrival(2, 1, 0)])
            })
            .with_disk_delay(LONG),
        ]
    },
};

/// Rank 1 hears that rank 0 lost events, and dies before it has noted that anywhere. Rank 2, an orphan that has not heard it yet, sends it a
/// message: rank 1's next life must know, and drop it.
const DIES_WITH_THE_NEWS: Scenario = Scenario {
    number: 15,
    name: "dies-after-it-heard-the-news",
    concerned: "those with orphans that find out by themselves",
    concerns: |facts| facts.detects && !facts.asks_everyone,
    asserted: "rank 1 hears it, dies, and its next life drops the orphan's message",
    stories: |_| {
        vec![
            Story::of(chain(), "late:2>1#0@6000,news:2@12000,0@after:send.2,1@after:token.1", |told| {
                let heard = told.first(|line| at(line, 1, 1) && matches!(line.event, Event::Token { .. }));
                let dropped =
                    told.first(|line| at(line, 1, 2) && matches!(line.event, Event::Drop { source: 2, .. }));
                told.in_order(&[heard, told.crash(1, 1), dropped, told.rollback(2, 1)])
            })
            .with_disk_delay(LONG)
            .sometimes(),
        ]
    },
};

/// Two fail one after the other, and the second before it has heard of the first: the news of both are under way at once. And an orphan
/// that rolls back dies while it does.
const NEWS_CROSSES: Scenario = Scenario {
    number: 16,
    name: "news-crosses-and-an-orphan-dies-while-it-rolls-back",
    concerned: "those with orphans",
    concerns: |facts| facts.detects,
    asserted: "a second announcement before the second rank heard the first; a rollback, and a death in the life that it began",
    stories: |_| {
        let crossing = |told: &Told<'_>| {
            let first = told.first(|line| matches!(line.event, Event::Announce { .. }));
            let second =
                first.and_then(|at| told.after(at, |line| matches!(line.event, Event::Announce { .. })));
            let heard = told.first(|line| at(line, 2, 1) && matches!(line.event, Event::Token { .. }));
            told.in_order(&[first, told.crash(2, 1), second]) && heard.is_none()
        };
        let dying =
            |told: &Told<'_>| told.in_order(&[told.rollback(1, 1), told.crash(1, 2), told.recovered(1, 3)]);
        vec![
            Story::of(hub(3), "news:2@1000,0@deliver:9,2@after:announce", crossing)
                .down_at_once(2)
                .with_disk_delay(LONG)
                .sometimes(),
            Story::of(hub(3), "0@deliver:8,1.2@point:replay.start", dying).with_disk_delay(LONG).sometimes(),
        ]
    },
};

/// Rank 2 takes a message that depends on what rank 0 then loses, and after it one of rank 1 that depends on nothing. It rolls back before
/// both: the second is not lost with the first, and comes again.
const INNOCENT_SUFFIX: Scenario = Scenario {
    number: 17,
    name: "a-rollback-discards-messages-that-are-no-orphans",
    concerned: "those with orphans",
    concerns: |facts| facts.detects,
    asserted: "rank 2 delivers both, rolls back, and delivers rank 1's message again in its next life",
    stories: |_| {
        let scripts = vec![
            script([from_any(ASK), send(2, TELL)]),
            script([send(2, OTHER)]),
            script([from(0, TELL), from(1, OTHER)]),
            script([send(0, ASK)]),
        ];
        vec![
            Story::of(scripts, "news:2@2000,0@after:deliver.2:2", |told| {
                let (orphan, innocent) = (told.delivery(2, 1, 0), told.delivery(2, 1, 1));
                let again = told.delivery(2, 2, 1);
                told.in_order(&[orphan, innocent, told.rollback(2, 1), again])
            })
            .with_disk_delay(LONG)
            .sometimes(),
        ]
    },
};

/// The hub is back and tells the workers new things while one of them, an orphan of its first life, has not rolled back yet.
const BEFORE_THE_PEER_ROLLED_BACK: Scenario = Scenario {
    number: 23,
    name: "a-restarted-rank-sends-before-a-peer-has-rolled-back",
    concerned: "those with orphans that find out by themselves",
    concerns: |facts| facts.detects && !facts.asks_everyone,
    asserted: "the hub's second life sends to rank 1 before rank 1 rolls back",
    stories: |_| {
        vec![
            Story::of(hub(3), "0@deliver:6,news:1@4000", |told| {
                let sends = told.first(|line| {
                    at(line, 0, 2) && matches!(line.event, Event::Send { dest: 1, skipped: false, .. })
                });
                let rolls_back = told.first(|line| {
                    at(line, 1, 1) && matches!(line.event, Event::Crash { cause: Ended::RolledBack })
                });
                told.in_order(&[sends, rolls_back])
            })
            .with_disk_delay(LONG)
            .sometimes(),
        ]
    },
};

/// Rank 1 takes checkpoints, and the last that comes to stable storage depends on what the hub then loses. It is an orphan like its rank, which
/// goes back to an earlier one: that must still be there, and the log from it on.
const SAVED_ORPHAN: Scenario = Scenario {
    number: 36,
    name: "an-orphan-has-saved-its-state",
    concerned: "those with orphans that take checkpoints",
    concerns: |facts| facts.detects && facts.takes_checkpoints && facts.unit == FailureUnit::Node,
    asserted: "rank 1's checkpoint is saved, rank 1 rolls back, and its next life begins from an earlier one: it gives that number to another",
    stories: |_| {
        vec![
            Story::of(hub(10), "0@after:saved.1:3", |told| {
                let Some(rollback) = told.rollback(1, 1) else { return false };
                let saved = told.lines[..rollback].iter().rev().find_map(|line| match line.event {
                    Event::Saved { number, durable: true } if line.rank == Some(1) => Some(number),
                    _ => None,
                });
                let next = told.lines[rollback..].iter().find_map(|line| match line.event {
                    Event::Checkpoint { number, .. } if at(line, 1, 2) => Some(number),
                    _ => None,
                });
                saved.zip(next).is_some_and(|(saved, next)| 1 < next && next <= saved)
            })
            .with_checkpoints()
            .sometimes(),
        ]
    },
};
