//! Both ends of a message from a named source: the sender prints `gave`, the
//! receiver `got`.

use std::collections::BTreeMap;

use super::Contradiction;
use crate::transcript::Transcript;

/// (from, to, seq)
type Message = (usize, usize, u64);

/// Accepts iff every value given is a value got, once.
pub(super) fn judge(transcript: &Transcript) -> Result<(), Contradiction> {
    let mut given: BTreeMap<Message, u64> = BTreeMap::new();
    let mut gotten: BTreeMap<Message, u64> = BTreeMap::new();
    for (rank, line) in transcript.lines() {
        let (claims, message) = match line.word {
            "gave" => (&mut given, (rank, line.number("to")?, line.number("seq")?)),
            "got" => (&mut gotten, (line.number("from")?, rank, line.number("seq")?)),
            _ => continue,
        };
        if claims.insert(message, line.hex("value")?).is_some() {
            return Err(Contradiction::Twice(format!("{rank}: {line}")));
        }
    }
    if given.is_empty() {
        return Err(Contradiction::NothingSaid("gave"));
    }
    for message in given.keys().chain(gotten.keys()) {
        match (given.get(message), gotten.get(message)) {
            (Some(gave), Some(got)) if gave == got => {}
            (Some(gave), Some(got)) => {
                return Err(Contradiction::Disagreement {
                    what: name(message),
                    one: format!("gave {gave:016x}"),
                    other: format!("got {got:016x}"),
                });
            }
            (gave, got) => {
                return Err(Contradiction::OneSided {
                    what: name(message),
                    said: format!("gave {gave:x?}, got {got:x?}"),
                });
            }
        }
    }
    Ok(())
}

fn name(&(from, to, seq): &Message) -> String {
    format!("message {seq} from {from} to {to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(output: &str) -> Result<(), Contradiction> {
        judge(&Transcript::parse(output).unwrap())
    }

    #[test]
    fn equal_values_at_both_ends_are_accepted() {
        let output = "0: gave to=1 seq=0 value=0a\n1: gave to=0 seq=0 value=0b\n\
                      1: got from=0 seq=0 value=0a\n0: got from=1 seq=0 value=0b\n";
        assert_eq!(judged(output), Ok(()));
    }

    #[test]
    fn another_value_is_a_disagreement() {
        let output = "0: gave to=1 seq=0 value=0a\n1: got from=0 seq=0 value=0c\n";
        assert!(matches!(judged(output), Err(Contradiction::Disagreement { .. })));
    }

    #[test]
    fn a_message_out_of_nowhere_or_into_nothing_is_one_sided() {
        for output in [
            "0: gave to=1 seq=0 value=0a\n",
            "0: gave to=1 seq=0 value=0a\n1: got from=0 seq=0 value=0a\n1: got from=0 seq=1 value=0a\n",
        ] {
            assert!(matches!(judged(output), Err(Contradiction::OneSided { .. })), "{output}");
        }
    }

    #[test]
    fn a_message_sent_again_with_another_value_is_refused() {
        let output = "0: gave to=1 seq=0 value=0a\n0: gave to=1 seq=0 value=0b\n";
        assert!(matches!(judged(output), Err(Contradiction::Twice(_))));
    }
}
