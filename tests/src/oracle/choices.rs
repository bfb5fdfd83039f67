//! What polling answered, and the state that it led to.

use std::collections::BTreeMap;

use super::{Contradiction, initial_state, mix};
use crate::transcript::Transcript;

/// The ways of polling, numbered as in `polling.c` and `partitioned.c`.
const KINDS: [&str; 9] =
    ["waitany", "waitsome", "test", "testany", "testsome", "testall", "iprobe", "mixed", "parrived"];

/// Accepts iff each rank's rounds are 0, 1, 2, ..., what it gave in a round is
/// the state in which it entered it, each completion order names every source
/// once, and each state follows from the state before, the answers of polling
/// and the values got. That both ends agree on the values is for
/// [`super::Oracle::Messages`] to judge.
pub(super) fn judge(transcript: &Transcript) -> Result<(), Contradiction> {
    let mut said = false;
    for rank in transcript.ranks() {
        let mut state = initial_state(rank);
        let mut round = 0_u64;
        let mut values: BTreeMap<usize, u64> = BTreeMap::new();
        for line in transcript.lines_of(rank) {
            let does_not_follow = || Contradiction::DoesNotFollow { rank, line: line.to_string() };
            match line.word {
                "gave" if line.hex("value")? != state => return Err(does_not_follow()),
                "got" => {
                    values.insert(line.number("from")?, line.hex("value")?);
                }
                "outcome" => {
                    said = true;
                    if line.number::<u64>("round")? != round {
                        return Err(Contradiction::Gap { rank, missing: format!("round {round}") });
                    }
                    let kind = line.text_of("kind")?;
                    let kind = KINDS.iter().position(|&known| known == kind);
                    let kind = kind.ok_or_else(does_not_follow)?;
                    state = mix(mix(state, kind as u64), line.number("fails")?);
                    for source in line.text_of("order")?.split(',') {
                        let source: usize = source.parse().map_err(|_| does_not_follow())?;
                        let value = values.remove(&source).ok_or_else(does_not_follow)?;
                        state = mix(mix(state, source as u64), value);
                    }
                    if !values.is_empty() || state != line.hex("state")? {
                        return Err(does_not_follow());
                    }
                    round += 1;
                }
                _ => {}
            }
        }
    }
    if said { Ok(()) } else { Err(Contradiction::NothingSaid("outcome")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One rank's rounds as `polling.c` prints them; `order` is (source, value).
    fn rounds(rank: usize, rounds: &[(u64, &[(usize, u64)])]) -> String {
        let mut state = initial_state(rank);
        let mut output = String::new();
        for (round, &(fails, order)) in rounds.iter().enumerate() {
            output += &format!("{rank}: gave to=9 seq={round} value={state:016x}\n");
            for (source, value) in order {
                output += &format!("{rank}: got from={source} seq={round} value={value:016x}\n");
            }
            state = mix(mix(state, round as u64), fails);
            for &(source, value) in order {
                state = mix(mix(state, source as u64), value);
            }
            let sources: Vec<_> = order.iter().map(|(source, _)| source.to_string()).collect();
            output += &format!(
                "{rank}: outcome round={round} kind={} fails={fails} order={} state={state:016x}\n",
                KINDS[round],
                sources.join(",")
            );
        }
        output
    }

    fn judged(output: &str) -> Result<(), Contradiction> {
        judge(&Transcript::parse(output).unwrap())
    }

    fn good() -> String {
        rounds(0, &[(0, &[(2, 7), (1, 8)]), (10, &[(1, 9), (2, 3)])])
    }

    #[test]
    fn states_that_follow_are_accepted() {
        assert_eq!(judged(&good()), Ok(()));
    }

    #[test]
    fn another_number_of_failed_polls_does_not_follow() {
        let output = good().replace("fails=10", "fails=11");
        assert!(matches!(judged(&output), Err(Contradiction::DoesNotFollow { rank: 0, .. })));
    }

    #[test]
    fn another_order_does_not_follow() {
        let output = good().replace("order=1,2", "order=2,1");
        assert!(matches!(judged(&output), Err(Contradiction::DoesNotFollow { rank: 0, .. })));
    }

    #[test]
    fn a_source_left_out_or_named_twice_does_not_follow() {
        for order in ["order=1", "order=1,1", "order=1,2,3"] {
            let output = good().replace("order=1,2", order);
            assert!(matches!(judged(&output), Err(Contradiction::DoesNotFollow { .. })), "{order}");
        }
    }

    #[test]
    fn sending_a_state_that_was_never_reached_does_not_follow() {
        let output = good().replacen("gave to=9 seq=1 value=", "gave to=9 seq=1 value=1", 1);
        assert!(judged(&output).is_err());
    }

    #[test]
    fn a_round_printed_twice_is_a_gap() {
        let good = good();
        let again = good.lines().find(|line| line.contains("outcome round=0")).unwrap();
        let output = good.replace(again, &format!("{again}\n{again}"));
        assert!(matches!(judged(&output), Err(Contradiction::Gap { rank: 0, .. })));
    }
}
