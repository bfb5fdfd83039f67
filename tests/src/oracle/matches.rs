//! Both ends of a match: the receiver prints `match`, the sender `told`.

use std::collections::btree_map::{BTreeMap, Entry};

use super::{Contradiction, initial_state, mix};
use crate::transcript::Transcript;

/// A message, named by its ends and its number on that channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    from: usize,
    to: usize,
    seq: u64,
}

/// What either end says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    n: u64,
    tag: i32,
    value: u64,
}

/// Accepts iff the ends agree on every message, every message is matched exactly
/// once, each receiver's match numbers are 0, 1, 2, ..., no message overtakes an
/// earlier one of its source, and every printed state follows from the matches
/// printed before it.
pub(super) fn judge(transcript: &Transcript) -> Result<(), Contradiction> {
    let matched = receivers_side(transcript)?;
    let told = senders_side(transcript)?;
    if matched.is_empty() {
        return Err(Contradiction::NothingSaid("match"));
    }
    agree(&matched, &told)?;
    numbers_have_no_gap(&matched)?;
    nothing_overtakes(&matched)
}

fn receivers_side(transcript: &Transcript) -> Result<BTreeMap<Message, Claim>, Contradiction> {
    let mut matched = BTreeMap::new();
    for to in transcript.ranks() {
        let mut state = initial_state(to);
        for line in transcript.lines_of(to).filter(|line| line.word == "match") {
            let message = Message { from: line.number("from")?, to, seq: line.number("seq")? };
            let claim = Claim { n: line.number("n")?, tag: line.number("tag")?, value: line.hex("value")? };
            let fields = [claim.n, message.from as u64, message.seq, claim.tag as u64, claim.value];
            state = fields.into_iter().fold(state, mix);
            if state != line.hex("state")? {
                return Err(Contradiction::DoesNotFollow { rank: to, line: line.to_string() });
            }
            insert_once(&mut matched, message, claim)?;
        }
    }
    Ok(matched)
}

fn senders_side(transcript: &Transcript) -> Result<BTreeMap<Message, Claim>, Contradiction> {
    let mut told = BTreeMap::new();
    for (from, line) in transcript.lines().filter(|(_, line)| line.word == "told") {
        let message = Message { from, to: line.number("to")?, seq: line.number("seq")? };
        let claim = Claim { n: line.number("n")?, tag: line.number("tag")?, value: line.hex("value")? };
        insert_once(&mut told, message, claim)?;
    }
    Ok(told)
}

fn insert_once(
    claims: &mut BTreeMap<Message, Claim>,
    message: Message,
    claim: Claim,
) -> Result<(), Contradiction> {
    match claims.entry(message) {
        Entry::Vacant(place) => {
            place.insert(claim);
            Ok(())
        }
        Entry::Occupied(_) => Err(Contradiction::Twice(format!("{message:?}"))),
    }
}

fn agree(matched: &BTreeMap<Message, Claim>, told: &BTreeMap<Message, Claim>) -> Result<(), Contradiction> {
    let one_sided = |message: &Message, claim: &Claim| Contradiction::OneSided {
        what: format!("{message:?}"),
        said: format!("{claim:?}"),
    };
    for (message, receivers) in matched {
        let senders = told.get(message).ok_or_else(|| one_sided(message, receivers))?;
        if senders != receivers {
            return Err(Contradiction::Disagreement {
                what: format!("{message:?}"),
                one: format!("{receivers:?}"),
                other: format!("{senders:?}"),
            });
        }
    }
    match told.iter().find(|(message, _)| !matched.contains_key(message)) {
        Some((message, claim)) => Err(one_sided(message, claim)),
        None => Ok(()),
    }
}

fn numbers_have_no_gap(matched: &BTreeMap<Message, Claim>) -> Result<(), Contradiction> {
    let mut numbers: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (message, claim) in matched {
        numbers.entry(message.to).or_default().push(claim.n);
    }
    for (rank, mut numbers) in numbers {
        numbers.sort_unstable();
        if let Some(missing) = (0..).zip(&numbers).find_map(|(i, &n)| (i != n).then_some(i)) {
            return Err(Contradiction::Gap { rank, missing: format!("match {missing}") });
        }
    }
    Ok(())
}

/// The map is ordered by (from, to, seq), so match numbers must grow along a channel.
fn nothing_overtakes(matched: &BTreeMap<Message, Claim>) -> Result<(), Contradiction> {
    let in_order: Vec<_> = matched.iter().collect();
    for pair in in_order.windows(2) {
        let [(earlier, first), (later, second)] = [pair[0], pair[1]];
        if (earlier.from, earlier.to) == (later.from, later.to) && first.n > second.n {
            return Err(Contradiction::Overtaking { rank: earlier.to, from: earlier.from, seq: earlier.seq });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rank 0's matches as the programs print them: (from, seq), numbered in order.
    fn receiver(matches: &[(usize, u64)]) -> String {
        let mut state = initial_state(0);
        let mut output = String::new();
        for (n, &(from, seq)) in (0u64..).zip(matches) {
            let value = value_of(from, seq);
            state = [n, from as u64, seq, 1, value].into_iter().fold(state, mix);
            output += &format!(
                "0: match n={n} from={from} seq={seq} tag=1 value={value:016x} state={state:016x}\n"
            );
        }
        output
    }

    fn value_of(from: usize, seq: u64) -> u64 {
        100 * from as u64 + seq
    }

    fn told(from: usize, seq: u64, n: u64) -> String {
        format!("{from}: told to=0 seq={seq} tag=1 value={:016x} n={n}\n", value_of(from, seq))
    }

    fn judged(output: &str) -> Result<(), Contradiction> {
        judge(&Transcript::parse(output).unwrap())
    }

    #[test]
    fn one_history_told_at_both_ends_is_accepted() {
        let output = receiver(&[(1, 0), (2, 0), (1, 1)]) + &told(1, 0, 0) + &told(1, 1, 2) + &told(2, 0, 1);
        assert_eq!(judged(&output), Ok(()));
    }

    #[test]
    fn a_sender_that_was_told_of_another_order_is_a_disagreement() {
        let output = receiver(&[(1, 0), (2, 0)]) + &told(1, 0, 1) + &told(2, 0, 0);
        assert!(matches!(judged(&output), Err(Contradiction::Disagreement { .. })));
    }

    #[test]
    fn a_value_that_the_sender_never_sent_is_a_disagreement() {
        let sent = told(1, 0, 0).replace("value=0", "value=f");
        let output = receiver(&[(1, 0)]) + &sent;
        assert!(matches!(judged(&output), Err(Contradiction::Disagreement { .. })));
    }

    #[test]
    fn a_match_that_no_sender_knows_is_one_sided() {
        let output = receiver(&[(1, 0), (2, 0)]) + &told(1, 0, 0);
        assert!(matches!(judged(&output), Err(Contradiction::OneSided { .. })));
    }

    #[test]
    fn a_message_that_was_never_matched_is_one_sided() {
        let output = receiver(&[(1, 0)]) + &told(1, 0, 0) + &told(1, 1, 1);
        assert!(matches!(judged(&output), Err(Contradiction::OneSided { .. })));
    }

    #[test]
    fn a_message_matched_twice_is_refused() {
        let output = receiver(&[(1, 0), (1, 0)]) + &told(1, 0, 0);
        assert!(matches!(judged(&output), Err(Contradiction::Twice(_))));
    }

    #[test]
    fn overtaking_is_refused() {
        let output = receiver(&[(1, 1), (1, 0)]) + &told(1, 0, 1) + &told(1, 1, 0);
        let overtaking = Contradiction::Overtaking { rank: 0, from: 1, seq: 0 };
        assert_eq!(judged(&output), Err(overtaking));
    }

    #[test]
    fn a_lost_line_of_the_receiver_does_not_follow() {
        let all = receiver(&[(1, 0), (2, 0), (1, 1)]);
        let without_second: String =
            all.lines().filter(|line| !line.contains("n=1 ")).map(|line| format!("{line}\n")).collect();
        let output = without_second + &told(1, 0, 0) + &told(1, 1, 2);
        assert!(matches!(judged(&output), Err(Contradiction::DoesNotFollow { rank: 0, .. })));
    }

    #[test]
    fn a_lost_last_match_of_both_ends_leaves_a_gap() {
        let shifted = receiver(&[(1, 0)]).replace("n=0 ", "n=1 ");
        let value = value_of(1, 0);
        let state = [1, 1, 0, 1, value].into_iter().fold(initial_state(0), mix);
        let line = shifted.split(" state=").next().unwrap();
        let output = format!("{line} state={state:016x}\n") + &told(1, 0, 1);
        assert!(matches!(judged(&output), Err(Contradiction::Gap { rank: 0, .. })));
    }
}
