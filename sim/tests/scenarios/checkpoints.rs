//! Checkpoints: what was sent before one, writes that fail, deaths before and after a decision.

use egida_core::recovery::{End, Unrecoverable};
use egida_core::trace::{Event, Line};
use egida_sim::job::Ending;

use crate::facts::Facts;
use crate::programs::hub;
use crate::story::{Scenario, Story, Told, at};

pub const SCENARIOS: &[Scenario] = &[
    BEFORE_THE_CHECKPOINT,
    FAILED_WRITE,
    BETWEEN_SAVING_AND_DECIDING,
    AT_THE_BARRIERS,
    ACROSS_THE_LINE,
    FORCED_AND_FAILED,
    PARTNERS_DIE,
];

fn takes(line: &Line, rank: u32) -> bool {
    at(line, rank, 1) && matches!(line.event, Event::Checkpoint { .. })
}

/// Where a checkpoint of a rank first came to stable storage, or did not.
fn saved(told: &Told<'_>, rank: u32, well: bool) -> Option<usize> {
    told.first(|line| {
        line.rank == Some(rank) && matches!(line.event, Event::Saved { durable, .. } if durable == well)
    })
}

/// Rank 1 has sent, has taken a checkpoint, and dies: it goes on from there and does not send that again. Then the hub dies, and needs
/// what rank 1 sent before.
const BEFORE_THE_CHECKPOINT: Scenario = Scenario {
    number: 20,
    name: "a-receiver-needs-what-its-sender-sent-before-a-checkpoint",
    concerned: "those that take checkpoints and replay",
    concerns: |facts| facts.takes_checkpoints && !facts.returns_to_line,
    asserted: "a send of rank 1, its durable checkpoint, its death, its recovery from there; the death of the hub, and the delivery of that send",
    stories: |_| {
        vec![
            Story::of(hub(10), "1@after:saved.1,0@after:recovered", |told| {
                let sent = told.first(|line| at(line, 1, 1) && matches!(line.event, Event::Send { .. }));
                let again = told.first(|line| {
                    at(line, 0, 2) && matches!(line.event, Event::Deliver { source: 1, ssn: 0, .. })
                });
                let sender = [sent, saved(told, 1, true), told.crash(1, 1), told.recovered(1, 2)];
                told.in_order(&[sender.as_slice(), &[told.crash(0, 1), again]].concat())
            })
            .with_checkpoints()
            .sometimes(),
        ]
    },
};

/// A checkpoint of the hub cannot be written, and then the hub dies. Nothing was collected on its account: what was before it is there.
const FAILED_WRITE: Scenario = Scenario {
    number: 21,
    name: "a-checkpoint-fails-and-its-rank-dies",
    concerned: "those that take checkpoints",
    concerns: |facts| facts.recovers && facts.takes_checkpoints,
    asserted: "the first write fails, nothing of the hub is committed, the hub dies and comes back",
    stories: |_| {
        vec![
            Story::of(hub(10), "0@after:saved.0", |told| {
                let failed = saved(told, 0, false);
                let committed = failed.map_or(0, |failed| {
                    told.count_before(failed, |line| {
                        line.rank == Some(0) && matches!(line.event, Event::Committed { .. })
                    })
                });
                committed == 0 && told.in_order(&[failed, told.crash(0, 1), told.recovered(0, 2)])
            })
            .with_checkpoints()
            .with_failed_saves(60)
            .sometimes(),
        ]
    },
};

/// The hub's part of a line is on stable storage, and the hub dies before anything is decided; or a worker dies right after the first of all
/// parts is decided. The line counts as a whole or not at all: the state before it is kept until then.
const BETWEEN_SAVING_AND_DECIDING: Scenario = Scenario {
    number: 22,
    name: "dies-between-saving-and-deciding",
    concerned: "those that return to a line of checkpoints",
    concerns: |facts| facts.recovers && facts.returns_to_line,
    asserted: "saved, not committed, dead; committed, and dead",
    stories: |_| {
        vec![
            Story::of(hub(10), "0@after:saved.0", |told| {
                let committed = told.first(|line| matches!(line.event, Event::Committed { .. }));
                told.in_order(&[saved(told, 0, true), told.crash(0, 1), told.recovered(0, 2)])
                    && committed.is_none_or(|committed| Some(committed) > told.crash(0, 1))
            })
            .sometimes(),
            Story::of(hub(20), "1@after:committed", |told| {
                let committed = told.first(|line| matches!(line.event, Event::Committed { .. }));
                told.in_order(&[committed, told.crash(1, 1), told.recovered(1, 2)])
            })
            .sometimes(),
        ]
    },
};

/// All stand still between two barriers, and save their states there. One dies when some have saved theirs: all return to the line before.
/// One dies when all have, and the initiator alone, or the initiator and another, has been told to go on: all return to that line.
const AT_THE_BARRIERS: Scenario = Scenario {
    number: 22,
    name: "dies-between-both-barriers-or-behind-the-second",
    concerned: "those that stand still between two barriers",
    concerns: Facts::has_two_barriers,
    asserted: "between: all stand still, some have saved the second checkpoint and not all; behind: all have, and nobody, the initiator alone, or one other as well goes on; dead; the next lives of all go on from the line before, or from that line, as the numbers of their next checkpoints tell",
    stories: |_| {
        vec![
            Story::of(hub(20), "1@after:checkpoint.2:2", |told| {
                told.crash(1, 1).is_some_and(|crash| {
                    stood_still(told, crash, 2) == 4
                        && saved_by(told, crash, 2) < 4
                        && next_checkpoints(told) == [2; 4]
                })
            })
            .sometimes(),
            Story::of(hub(20), "2@after:saved:4", |told| {
                told.crash(2, 1).is_some_and(|crash| {
                    saved_by(told, crash, 1) == 4
                        && gone_on(told, crash).is_empty()
                        && next_checkpoints(told) == [2; 4]
                })
            })
            .sometimes(),
            Story::of(hub(20), "1@after:let_go.0", |told| {
                told.crash(1, 1).is_some_and(|crash| {
                    saved_by(told, crash, 1) == 4
                        && gone_on(told, crash) == [0]
                        && next_checkpoints(told) == [2; 4]
                })
            })
            .sometimes(),
            Story::of(hub(20), "0@after:let_go.2", |told| {
                told.crash(0, 1).is_some_and(|crash| {
                    saved_by(told, crash, 1) == 4
                        && gone_on(told, crash) == [0, 2]
                        && next_checkpoints(told) == [2; 4]
                })
            })
            .sometimes(),
        ]
    },
};

/// How many ranks stood still for the n-th time before a place, and had not gone on.
fn stood_still(told: &Told<'_>, to: usize, time: usize) -> usize {
    let times = |rank: u32, is_it: fn(&Event) -> bool| {
        told.count_before(to, |line| at(line, rank, 1) && is_it(&line.event))
    };
    let stands = |rank: &u32| {
        (times(*rank, |event| *event == Event::Held), times(*rank, |event| *event == Event::LetGo))
            == (time, time - 1)
    };
    (0..4).filter(stands).count()
}

/// How many ranks have the checkpoint of that number on stable storage before a place.
fn saved_by(told: &Told<'_>, to: usize, checkpoint: u64) -> usize {
    told.count_before(to, |line| {
        line.incarnation == Some(1)
            && matches!(line.event, Event::Saved { number, durable: true } if number == checkpoint)
    })
}

/// Who has gone on before a place.
fn gone_on(told: &Told<'_>, to: usize) -> Vec<u32> {
    let is_gone =
        |rank: &u32| told.count_before(to, |line| at(line, *rank, 1) && line.event == Event::LetGo) > 0;
    (0..4).filter(is_gone).collect()
}

/// The number of the first checkpoint that each rank takes in its second life.
fn next_checkpoints(told: &Told<'_>) -> Vec<u64> {
    let first = |rank: u32| {
        told.lines.iter().find_map(|line| match line.event {
            Event::Checkpoint { number, .. } if at(line, rank, 2) => Some(number),
            _ => None,
        })
    };
    (0..4).filter_map(first).collect()
}

/// A message is sent before its sender's checkpoint and arrives behind its receiver's: it crosses the line, and who returns to the line
/// finds it in the sender's log.
const ACROSS_THE_LINE: Scenario = Scenario {
    number: 24,
    name: "a-message-crosses-a-line",
    concerned: "those that go on while checkpoints are written",
    concerns: |facts| facts.goes_on_while_saving(),
    asserted: "the message is sent, both take checkpoints, the hub dies, and a later life of it takes the message in",
    stories: |_| {
        vec![
            Story::of(hub(3), "late:1>0#1@6000,0@time:4500", |told| {
                let sent = told.first(|line| {
                    at(line, 1, 1) && matches!(line.event, Event::Send { dest: 0, ssn: 1, .. })
                });
                let crash = told.crash(0, 1);
                let by_sender = sent.and_then(|sent| told.after(sent, |line| takes(line, 1)));
                let by_hub = sent.and_then(|sent| told.after(sent, |line| takes(line, 0)));
                told.in_order(&[sent, by_sender, crash, told.arrival(0, 1, 1)])
                    && told.in_order(&[by_hub, crash])
            })
            .with_checkpoints()
            .sometimes(),
        ]
    },
};

/// A message forces a checkpoint before it may be delivered, and the checkpoint cannot be written; then its rank dies. What came of the message
/// is on no line.
const FORCED_AND_FAILED: Scenario = Scenario {
    number: 32,
    name: "a-forced-checkpoint-fails",
    concerned: "those in which messages force checkpoints",
    concerns: Facts::forces_checkpoints,
    asserted: "a forced checkpoint of the hub whose write fails; the message that forced it, which the hub takes in only behind a later checkpoint that is durable, or never; the hub's death",
    stories: |_| {
        vec![
            Story::of(hub(10), "0@after:saved.0:2", |told| {
                told.in_order(&[forced_and_failed(told), told.crash(0, 1), told.recovered(0, 2)])
            })
            .in_every_run(|told| forced_and_failed(told).is_none_or(|failed| stays_undelivered(told, failed)))
            .with_failed_saves(60)
            .sometimes(),
        ]
    },
};

/// Those who hold the hub's checkpoint die and come back without it, and before others have it in their place the hub dies, which has the
/// last copy. Or else it dies when others have it, and goes on from there.
const PARTNERS_DIE: Scenario = Scenario {
    number: 33,
    name: "both-partners-of-a-checkpoint-die",
    concerned: "those that keep checkpoints in the memory of others",
    concerns: |facts| facts.mirrors.is_some(),
    asserted: "the committed checkpoint of the hub, its holders' deaths and recovery, its own death, and the end with the hub and that checkpoint by name; with a copy made between, no such end, but recovery",
    stories: |facts| {
        let partners: Vec<String> =
            (1..=facts.mirrors.unwrap_or(0)).map(|partner| partner.to_string()).collect();
        let partners = partners.join("+");
        vec![
            Story::of(hub(40), &format!("{partners}@after:committed.0,0@after:recovered:4"), |told| {
                let Ending::Ended(End::Unrecoverable(Unrecoverable::CheckpointLost { rank: 0, number })) =
                    told.outcome.end
                else {
                    return false;
                };
                let committed = told.first(|line| is_committed(line, 0, number));
                let hub = told.crash(0, 2);
                let mirrored =
                    told.crash(1, 1).and_then(|from| told.after(from, |line| is_mirrored(line, 0, number)));
                told.in_order(&[committed, told.crash(1, 1), told.recovered(1, 2), hub])
                    && (mirrored.is_none() || mirrored > hub)
            })
            .where_checkpoints_may_be_lost()
            .with_disk_delay(20_000)
            .sometimes(),
            Story::of(hub(40), &format!("{partners}@after:committed.0,0@time:12000"), |told| {
                let number = told.lines.iter().find_map(|line| match line.event {
                    Event::Committed { number } if line.rank == Some(0) => Some(number),
                    _ => None,
                });
                let mirrored = told
                    .crash(1, 1)
                    .and_then(|from| told.after(from, |line| is_mirrored(line, 0, number.unwrap_or(0))));
                told.in_order(&[told.crash(1, 1), mirrored, told.crash(0, 2), told.recovered(0, 3)])
            })
            .sometimes(),
        ]
    },
};

/// Where the first life of the hub learns that a checkpoint that a message forced was not written.
fn forced_and_failed(told: &Told<'_>) -> Option<usize> {
    let forced = told.lines.iter().filter(|line| at(line, 0, 1)).find_map(|line| match line.event {
        Event::Checkpoint { number, forced: true, .. } => Some(number),
        _ => None,
    })?;
    told.first(|line| {
        at(line, 0, 1) && matches!(line.event, Event::Saved { number, durable: false } if number == forced)
    })
}

/// Whether what the hub keeps back when a checkpoint fails it takes in only when another is durable, if at all; and whether there is
/// something that it keeps back.
fn stays_undelivered(told: &Told<'_>, failed: usize) -> bool {
    let kept_back: Vec<(u32, u64)> = told.lines[..failed]
        .iter()
        .filter_map(|line| match line.event {
            Event::Postpone { source, ssn } if at(line, 0, 1) => Some((source, ssn)),
            _ => None,
        })
        .filter(|&(from, number)| told.arrival(0, from, number).is_none_or(|arrival| arrival > failed))
        .collect();
    let durable =
        told.after(failed, |line| at(line, 0, 1) && matches!(line.event, Event::Saved { durable: true, .. }));
    let crash = told.crash(0, 1);
    let waits = |&(from, number): &(u32, u64)| {
        let arrival = told.arrival(0, from, number);
        let arrival = arrival.filter(|&arrival| crash.is_none_or(|crash| arrival < crash));
        arrival.is_none_or(|arrival| durable.is_some_and(|durable| durable < arrival))
    };
    !kept_back.is_empty() && kept_back.iter().all(waits)
}

fn is_committed(line: &Line, rank: u32, checkpoint: u64) -> bool {
    line.rank == Some(rank) && matches!(line.event, Event::Committed { number } if number == checkpoint)
}

fn is_mirrored(line: &Line, rank: u32, checkpoint: u64) -> bool {
    line.rank == Some(rank) && matches!(line.event, Event::Mirrored { number, .. } if number == checkpoint)
}
