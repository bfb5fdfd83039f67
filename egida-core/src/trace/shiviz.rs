//! The format of ShiViz, which draws executions from logs with vector clocks (Beschastnikh et al., "Visualizing distributed
//! system executions", ACM Transactions on Software Engineering and Methodology, 2020).
//!
//! A file for its *Open a log file* button is [`HEAD`], which holds the [`PARSER`], and an [`entry`] for each line. Whoever
//! pastes entries into its text field enters the [`PARSER`] beside them.

use std::fmt::Write;

use super::{Clock, Line};
use crate::ids::Rank;

/// The regular expression that takes an entry apart.
pub const PARSER: &str = r"(?<host>\S+) (?<clock>\{.*\})\n(?<time>\d+) (?<event>.*)";

/// The head of a file: the parser, and an empty line where several executions would have their delimiter.
pub const HEAD: &str = "(?<host>\\S+) (?<clock>\\{.*\\})\\n(?<time>\\d+) (?<event>.*)\n\n";

/// The entry of a line: two lines of text.
#[must_use]
pub fn entry(line: &Line, clock: &Clock) -> String {
    let mut entry = host(line.rank);
    entry.push_str(" {");
    for (number, (place, count)) in clock.components().enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(entry, "{comma}\"{}\": {count}", host(place));
    }
    let sentence = line.to_string().replace(['\n', '\r'], " ");
    let _ = write!(entry, "}}\n{} {sentence}\n", line.time_ns);
    entry
}

/// The name of a place: a rank, or recovery.
fn host(rank: Option<Rank>) -> String {
    rank.map_or_else(|| "recovery".to_owned(), |rank| format!("rank{rank}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Clocks, Event};

    #[test]
    fn the_head_holds_the_parser() {
        assert_eq!(HEAD, format!("{PARSER}\n\n"));
    }

    #[test]
    fn an_entry_names_its_place_and_what_it_comes_after() {
        let mut clocks = Clocks::new(2);
        let line = |rank, event| Line { time_ns: 7, rank, incarnation: Some(1), event };
        let sent = line(
            Some(0),
            Event::Send { dest: 1, ssn: 0, len: 8, piggyback: 2, requires: 0, again: false, skipped: false },
        );
        let clock = clocks.stamp(&sent);
        assert_eq!(
            entry(&sent, &clock),
            "rank0 {\"rank0\": 1}\n7 rank 0 sends message 0 to rank 1: 8+2 bytes\n"
        );
        let arrived = line(Some(1), Event::Arrive { source: 0, ssn: 0, len: 8, piggyback: 2, again: false });
        let clock = clocks.stamp(&arrived);
        assert!(entry(&arrived, &clock).starts_with("rank1 {\"rank0\": 1, \"rank1\": 1}\n7 "));
        let note = line(None, Event::Note { text: "two\nlines".to_owned() });
        let clock = clocks.stamp(&note);
        assert_eq!(entry(&note, &clock), "recovery {\"recovery\": 1}\n7 two lines\n");
    }
}
