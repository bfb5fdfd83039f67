//! Choices of the message-passing library: polls, completions of several, receives from anyone, buffers.

use egida_core::ids::{Incarnation, Rank};
use egida_core::trace::Event;
use egida_sim::program::Op;

use crate::facts::Facts;
use crate::programs::{ASK, GO, NEVER, TELL, from, from_any, post, script, send, wait};
use crate::story::{Scenario, Story, Told, at};

pub const SCENARIOS: &[Scenario] = &[POLLS, SOME_OF_SEVERAL, POSTED, REUSED_BUFFER];

/// What a life of a rank saw when it looked: the requests, or the message; nothing where both are empty.
type Seen = (Vec<u32>, Option<(Rank, u64)>);

fn observations(told: &Told<'_>, rank: Rank, life: Incarnation) -> Vec<Seen> {
    let seen = told.lines.iter().filter(|line| at(line, rank, life)).filter_map(|line| match &line.event {
        Event::Observe { requests, message, .. } => Some((requests.clone(), *message)),
        _ => None,
    });
    seen.collect()
}

fn nothing(seen: &Seen) -> bool {
    seen.0.is_empty() && seen.1.is_none()
}

/// Rank 0 polls ten times and more in vain before a message is there, and counts; it tells rank 1 how often. It dies between two polls; or
/// after it has told, with polls behind it of which nothing is logged.
const POLLS: Scenario = Scenario {
    number: 26,
    name: "ten-polls-in-vain-and-then-a-message",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "six vain polls at the first death; ten vain polls and a message at the second, then vain ones behind the last entry of the \
               log; what was told is seen again as it was",
    stories: |_| {
        let scripts = vec![
            script([
                vec![Op::Probe { tag: ASK, times: 60 }],
                from_any(ASK),
                send(1, TELL),
                vec![Op::Probe { tag: NEVER, times: 3 }],
                from(2, GO),
            ]),
            script([send(0, ASK), from(0, TELL)]),
            script([send(0, GO)]),
            script([]),
        ];
        let between = |told: &Told<'_>| {
            let vain = observations(told, 0, 1);
            vain.len() >= 6 && vain.iter().all(nothing)
        };
        let behind = |told: &Told<'_>| {
            let before = observations(told, 0, 1);
            let in_vain = before.iter().position(|seen| !nothing(seen)).unwrap_or(0);
            let trailing = before.iter().rev().take_while(|seen| nothing(seen)).count();
            let again = observations(told, 0, 2);
            let is_same = told.facts.detects || again.get(..=in_vain) == before.get(..=in_vain);
            in_vain >= 10 && trailing > 0 && is_same
        };
        vec![
            Story::of(scripts.clone(), "late:1>0#0@6000,0@after:observe.0:6", between),
            Story::of(scripts, "late:1>0#0@6000,late:2>0#0@12000,0@time:9500", behind),
        ]
    },
};

/// Five receives are posted, three are complete when rank 0 tests them all; it tells rank 1 which. When it runs again all five
/// messages may be there: the test must answer with the same three, in the same order.
const SOME_OF_SEVERAL: Scenario = Scenario {
    number: 27,
    name: "three-of-five-are-complete",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "a test answers with three requests, and after the death with the same three (`tests/programs/polling.c` has `MPI_Waitsome`, \
               and `MPI_Waitany` over requests of both kinds)",
    stories: |_| {
        let five: Vec<Op> = (0..5).flat_map(|_| post(None, ASK)).collect();
        let scripts = vec![
            script([
                post(Some(3), GO),
                five,
                wait(),
                vec![Op::TestSome(2)],
                send(1, TELL),
                vec![Op::WaitAll],
            ]),
            script([send(0, ASK), send(0, ASK), from(0, TELL)]),
            script([send(0, ASK), send(0, ASK)]),
            script([send(0, ASK), send(0, GO)]),
        ];
        let schedule = "late:1>0#1@5000,late:2>0#1@5000,late:3>0#1@800,0@after:arrive.1";
        vec![Story::of(scripts, schedule, |told| {
            let (before, again) = (observations(told, 0, 1), observations(told, 0, 2));
            let three = before.iter().any(|(requests, _)| requests.len() == 3);
            three && (told.facts.detects || before == again)
        })]
    },
};

/// A receive from anyone is posted and not matched when its rank dies: it is posted again, and takes whoever comes. Another is matched, and
/// the application has not seen that, when its rank dies: whatever it then takes is what everybody hears of.
const POSTED: Scenario = Scenario {
    number: 28,
    name: "a-receive-from-anyone-is-posted-or-matched-and-not-seen",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "no delivery before the first death; before the second one delivery, and nothing sent",
    stories: |_| {
        let unmatched = vec![
            script([post(None, ASK), send(2, TELL), wait(), send(1, TELL)]),
            script([send(0, ASK), from(0, TELL)]),
            script([from(0, TELL)]),
            script([]),
        ];
        let unseen = vec![
            script([post(Some(2), GO), post(None, ASK), wait(), wait(), send(1, TELL), from_any(ASK)]),
            script([send(0, ASK), from(0, TELL)]),
            script([send(0, GO)]),
            script([send(0, ASK)]),
        ];
        vec![
            Story::of(unmatched, "late:1>0#0@3000,0@after:send.0", |told| {
                let delivered =
                    told.first(|line| at(line, 0, 1) && matches!(line.event, Event::Deliver { .. }));
                told.crash(0, 1).is_some() && delivered.is_none()
            }),
            Story::of(unseen, "late:2>0#0@3000,0@after:deliver.0", |told| {
                let sent = told.first(|line| at(line, 0, 1) && matches!(line.event, Event::Send { .. }));
                let delivered =
                    told.first(|line| at(line, 0, 1) && matches!(line.event, Event::Deliver { .. }));
                told.in_order(&[delivered, told.crash(0, 1)]) && sent.is_none()
            }),
        ]
    },
};

/// Rank 1 sends three messages out of one state that changes with each, and dies before any has arrived. Whoever gets them, from what was kept
/// or from the next life, gets what was sent each time, not what stood there last.
const REUSED_BUFFER: Scenario = Scenario {
    number: 29,
    name: "a-buffer-is-used-again-before-its-message-arrives",
    concerned: "all that recover",
    concerns: Facts::recovers_by_replay,
    asserted: "three sends, a death, three arrivals; each content is the one of its send (end to end: `large` and `ring`, killed at `late`)",
    stories: |_| {
        let scripts = vec![
            script([from(1, TELL), from(1, TELL), from(1, TELL), send(1, GO)]),
            script([send(0, TELL), send(0, TELL), send(0, TELL), from(0, GO)]),
            script([]),
            script([]),
        ];
        vec![Story::of(scripts, "late:1>0#0@1500,1@after:send.1:3", |told| {
            let sent = told.crash(1, 1).map_or(0, |crash| {
                told.count_before(crash, |line| {
                    at(line, 1, 1) && matches!(line.event, Event::Send { dest: 0, .. })
                })
            });
            sent == 3 && told.in_order(&[told.crash(1, 1), told.arrival(0, 1, 0), told.arrival(0, 1, 2)])
        })]
    },
};
