//! What the ranks of scenarios do.

use egida_core::ids::Rank;
use egida_sim::program::Op;

/// A message that asks, and may come from anyone.
pub const ASK: i32 = 1;
/// A message that tells, from somebody whom its receiver names.
pub const TELL: i32 = 2;
/// Another of either kind.
pub const OTHER: i32 = 3;
/// A message for which somebody waits so that something else can happen meanwhile.
pub const GO: i32 = 4;
/// A message that never comes.
pub const NEVER: i32 = 9;

/// A script, made of parts.
pub fn script<const N: usize>(parts: [Vec<Op>; N]) -> Vec<Op> {
    parts.into_iter().flatten().chain([Op::Output]).collect()
}

/// Sends a message.
pub fn send(to: Rank, tag: i32) -> Vec<Op> {
    vec![Op::Send { to, tag, len: 16, synchronous: false }]
}

/// Receives a message from anyone.
pub fn from_any(tag: i32) -> Vec<Op> {
    vec![Op::Post { from: None, tag }, Op::WaitFirst]
}

/// Receives a message from somebody.
pub fn from(source: Rank, tag: i32) -> Vec<Op> {
    vec![Op::Post { from: Some(source), tag }, Op::WaitFirst]
}

/// Posts a receive.
pub fn post(source: Option<Rank>, tag: i32) -> Vec<Op> {
    vec![Op::Post { from: source, tag }]
}

/// Waits for the receive that was posted first.
pub fn wait() -> Vec<Op> {
    vec![Op::WaitFirst]
}

/// Writes a line.
pub fn output() -> Vec<Op> {
    vec![Op::Output]
}

/// The same some times.
pub fn times(count: usize, part: &[Op]) -> Vec<Op> {
    (0..count).flat_map(|_| part.iter().cloned()).collect()
}

/// Rank 0 takes what the others ask, from anyone, one at a time, and tells all of them after each; so everybody's state
/// depends on the order in which it took them.
pub fn hub(rounds: usize) -> Vec<Vec<Op>> {
    let tell: Vec<Op> = (1..4).flat_map(|to| send(to, TELL)).collect();
    let turn: Vec<Op> = [from_any(ASK), tell].concat();
    let worker = [send(0, ASK), times(3, &from(0, TELL))].concat();
    let worker = script([times(rounds, &worker)]);
    vec![script([times(3 * rounds, &turn)]), worker.clone(), worker.clone(), worker]
}

/// Ranks 0, 1 and 2 pass a message around the circle, each receive from anyone; rank 0 tells rank 3 of each time around.
pub fn circle(rounds: usize) -> Vec<Vec<Op>> {
    let first = [send(1, ASK), from_any(ASK), send(3, TELL)].concat();
    let pass = |to| times(rounds, &[from_any(ASK), send(to, ASK)].concat());
    vec![
        script([times(rounds, &first)]),
        script([pass(2)]),
        script([pass(0)]),
        script([times(rounds, &from(0, TELL))]),
    ]
}

/// Rank 0 takes a message from anyone, but looks at it only after the word of rank 2; then it tells rank 1. The word takes
/// its time where the schedule says so.
pub fn patient() -> Vec<Vec<Op>> {
    vec![
        script([post(Some(2), GO), post(None, ASK), wait(), wait(), send(1, TELL), output(), from(3, GO)]),
        script([send(0, ASK), from(0, TELL)]),
        script([send(0, GO)]),
        script([send(0, GO)]),
    ]
}

/// What rank 0 takes from rank 3 it tells rank 2, which tells rank 1.
pub fn chain() -> Vec<Vec<Op>> {
    vec![
        script([from_any(ASK), send(2, TELL)]),
        script([from(2, TELL)]),
        script([from(0, TELL), send(1, TELL)]),
        script([send(0, ASK)]),
    ]
}
