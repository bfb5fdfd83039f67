//! Deaths around a log: before a determinant is in it, between determinant and content, before what depends on it, inside a write.

use egida_core::trace::{Event, Logged, Place};
use egida_spec::protocol::FailureUnit;

use crate::facts::Facts;
use crate::programs::{hub, patient};
use crate::story::{Scenario, Story, Told, at};

pub const SCENARIOS: &[Scenario] =
    &[BEFORE_THE_DETERMINANT, DETERMINANT_WITHOUT_CONTENT, STABLE_AND_NOT_SENT, TORN_RECORD];

/// The hub has taken three messages from whoever came first; it dies when the third is delivered and nothing is written of
/// that. Nobody can depend on the third yet: it may come out otherwise, and the two before it may not.
const BEFORE_THE_DETERMINANT: Scenario = Scenario {
    number: 1,
    name: "dies-after-delivery-before-the-determinant",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "three deliveries and two determinants in the life that ended",
    stories: |_| {
        vec![Story::of(hub(3), "0@point:determinant.created:3", |told| {
            told.crash(0, 1).is_some_and(|crash| {
                let delivered = told.count_before(crash, |line| {
                    at(line, 0, 1) && matches!(line.event, Event::Deliver { .. })
                });
                delivered >= 3 && told.logged_before(crash, 0, 1) == 2
            })
        })]
    },
};

/// A message is matched as soon as it comes, and its determinant goes to its log; the application looks at the message much
/// later, and only then its content is logged. Rank 0 dies in between. The content is at its sender; and where the sender
/// dies with it, the sender makes it again.
const DETERMINANT_WITHOUT_CONTENT: Scenario = Scenario {
    number: 2,
    name: "dies-after-the-determinant-is-durable-before-the-content",
    concerned: "those whose receivers log contents",
    concerns: |facts| facts.recovers && facts.logs_messages,
    asserted: "the determinant is stable and no content is logged; alone, and together with the sender",
    stories: |_| {
        let seen = |told: &Told<'_>| {
            told.crash(0, 1).is_some_and(|crash| {
                let contents = told.count_before(crash, |line| {
                    at(line, 0, 1) && matches!(line.event, Event::Log { entry: Logged::Message, .. })
                });
                told.logged_before(crash, 0, 1) == 1 && contents == 0
            })
        };
        vec![
            Story::of(patient(), "late:2>0#0@12000000,0@after:stable.0", seen),
            Story::of(patient(), "late:2>0#0@12000000,0+1@after:stable.0", seen).down_at_once(2),
        ]
    },
};

/// Rank 0's log of what it took is synced; it dies as it is about to send what depends on it. Nobody has seen it, and it
/// happens again all the same, since it is in the log.
const STABLE_AND_NOT_SENT: Scenario = Scenario {
    number: 3,
    name: "dies-after-the-determinant-is-synced-before-the-send",
    concerned: "those in which a send waits for a store",
    concerns: |facts| facts.recovers && (facts.waits_for_disk || facts.copies.is_some()),
    asserted: "the store has the determinant, nothing was sent; the next life delivers the same message to the same receive",
    stories: |_| {
        vec![Story::of(patient(), "late:2>0#0@3000,0@send:1", |told| {
            let stable = told.first(|line| {
                line.rank == Some(0)
                    && matches!(line.event, Event::Stable { place, .. } if place != Place::Memory)
            });
            let sent = told.first(|line| at(line, 0, 1) && matches!(line.event, Event::Send { .. }));
            told.in_order(&[stable, told.crash(0, 1), told.delivery(0, 2, 1)]) && sent.is_none()
        })]
    },
};

/// The power goes while the disk writes: some records are whole, the next one in part. It is recognized and cut off, and with it
/// all behind it; a determinant whose content was behind the cut gets it from the sender.
const TORN_RECORD: Scenario = Scenario {
    number: 31,
    name: "last-record-is-torn",
    concerned: "those with a disk, where the node fails",
    concerns: |facts| facts.recovers && facts.has_disk && facts.unit == FailureUnit::Node,
    asserted: "a record was on disk in part when its rank was recovered",
    stories: |_| {
        let seen = |told: &Told<'_>| {
            let torn = told.first(|line| {
                line.rank == Some(0)
                    && matches!(&line.event, Event::Note { text } if text.contains("in part"))
            });
            told.in_order(&[told.crash(0, 1), torn, told.recovered(0, 2)])
        };
        vec![
            Story::of(hub(3), "0@after:log.0:4", seen).with_disk_delay(3_000).sometimes(),
            Story::of(hub(3), "0@after:deliver.0:8", seen).with_disk_delay(3_000).sometimes(),
        ]
    },
};
