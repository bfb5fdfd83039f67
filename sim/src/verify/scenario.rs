//! The small parallel program that is explored: everything that a protocol has to do with, in as few steps as may be.

use egida_core::ids::Rank;

use crate::program::{Op, Scripts};

const TO_FIRST: i32 = 1;
const FROM_FIRST: i32 = 2;

/// What the ranks of the scenario do besides sending, receiving and writing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Besides {
    /// Nothing.
    #[default]
    Nothing,
    /// Each reads a value from outside before it sends a message. Each life of a rank finds another value there.
    Reads,
    /// Rank 0 probes for a message before it receives one, and the others test a receive before they wait for it; each gives up
    /// after the second failure.
    Polls,
}

/// How often a poll may fail.
const POLLS: u32 = 2;

/// Rank 0 takes a message from each other rank, in whatever order they come, then tells each what it has seen, and so on, until
/// so many messages are sent; everybody writes what it has come to at its end.
///
/// Each message that rank 0 sends depends on the order in which it took the others, and each line depends on that.
#[must_use]
pub fn scenario(ranks: u32, messages: u32, besides: Besides) -> Scripts {
    let mut scripts = vec![Vec::new(); ranks as usize];
    let others = ranks.saturating_sub(1).max(1);
    for message in 0..messages.min(if ranks > 1 { u32::MAX } else { 0 }) {
        let other: Rank = 1 + message % others;
        let gathers = (message / others).is_multiple_of(2);
        let (from, to, source, tag) =
            if gathers { (other, 0, None, TO_FIRST) } else { (0, other, Some(0), FROM_FIRST) };
        let reads = (besides == Besides::Reads).then_some(Op::Read);
        scripts[from as usize].extend(reads);
        scripts[from as usize].push(Op::Send { to, tag, len: 8, synchronous: false });
        let polls = besides == Besides::Polls;
        let probe = (polls && gathers).then_some(Op::Probe { tag, times: POLLS });
        let test = (polls && !gathers).then_some(Op::TestSome(POLLS));
        let posted = [probe, Some(Op::Post { from: source, tag }), test, Some(Op::WaitFirst)];
        scripts[to as usize].extend(posted.into_iter().flatten());
    }
    for script in &mut scripts {
        script.push(Op::Output);
    }
    Scripts(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_is_sent_is_received() {
        let besides = [Besides::Nothing, Besides::Reads, Besides::Polls];
        for (ranks, besides) in (1..6).flat_map(|ranks| besides.map(|besides| (ranks, besides))) {
            for messages in 0..9 {
                let ops: Vec<Op> = scenario(ranks, messages, besides).0.into_iter().flatten().collect();
                let count = |what: fn(&Op) -> bool| ops.iter().filter(|op| what(op)).count();
                let sent = count(|op| matches!(op, Op::Send { .. }));
                assert_eq!(sent, count(|op| matches!(op, Op::Post { .. })));
                assert_eq!(sent, if ranks > 1 { messages as usize } else { 0 });
                assert_eq!(count(|op| matches!(op, Op::Output)), ranks as usize);
            }
        }
    }
}
