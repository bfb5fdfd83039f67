//! What a job printed, taken apart: lines by rank, words and fields of each line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The standard output of a job whose programs print `RANK: word key=value ...`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// Each rank's lines in the order in which it printed them, without the rank.
    by_rank: BTreeMap<usize, Vec<String>>,
}

/// A line that no test program prints: two lines torn into each other, or a
/// foreign word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of the output is not `RANK: ...`: {text:?}")]
pub struct BrokenLine {
    /// Counted from 1.
    pub number: usize,
    /// The line as it came.
    pub text: String,
}

impl Transcript {
    /// Sorts the lines by rank.
    ///
    /// # Errors
    /// The first line that does not start with a rank.
    pub fn parse(output: &str) -> Result<Self, BrokenLine> {
        let mut by_rank: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (index, text) in output.lines().enumerate() {
            let broken = || BrokenLine { number: index + 1, text: text.to_owned() };
            let (rank, rest) = text.split_once(": ").ok_or_else(broken)?;
            let rank = rank.parse().map_err(|_| broken())?;
            by_rank.entry(rank).or_default().push(rest.to_owned());
        }
        Ok(Self { by_rank })
    }

    /// The ranks that printed anything.
    pub fn ranks(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_rank.keys().copied()
    }

    /// One rank's lines.
    pub fn lines_of(&self, rank: usize) -> impl Iterator<Item = Line<'_>> {
        self.by_rank.get(&rank).into_iter().flatten().map(|text| Line::new(text))
    }

    /// All lines with their ranks, rank by rank.
    pub fn lines(&self) -> impl Iterator<Item = (usize, Line<'_>)> {
        self.by_rank.iter().flat_map(|(&rank, lines)| lines.iter().map(move |text| (rank, Line::new(text))))
    }

    /// How often each rank printed each word.
    pub fn census(&self) -> BTreeMap<(usize, &str), usize> {
        let mut census = BTreeMap::new();
        for (rank, line) in self.lines() {
            *census.entry((rank, line.word)).or_insert(0) += 1;
        }
        census
    }
}

/// One line: a word that says of what kind it is, and `key=value` fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `result`, `match`, `told`, ...
    pub word: &'a str,
    /// The whole line, without its rank.
    pub text: &'a str,
}

/// A line lacks a field, or the field is not of the kind that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no proper `{key}=` in {line:?}")]
pub struct BadField {
    key: &'static str,
    line: String,
}

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Self {
        let word = text.split_whitespace().next().unwrap_or_default();
        Self { word, text }
    }

    /// The text of a field.
    ///
    /// # Errors
    /// The line has no such field.
    pub fn text_of(&self, key: &'static str) -> Result<&'a str, BadField> {
        self.text
            .split_whitespace()
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
            .ok_or_else(|| self.bad(key))
    }

    /// A field that is a decimal number.
    ///
    /// # Errors
    /// The line has no such field, or it is not a number.
    pub fn number<T: FromStr>(&self, key: &'static str) -> Result<T, BadField> {
        self.text_of(key)?.parse().map_err(|_| self.bad(key))
    }

    /// A field of hexadecimal digits.
    ///
    /// # Errors
    /// The line has no such field, or it is not hexadecimal.
    pub fn hex(&self, key: &'static str) -> Result<u64, BadField> {
        u64::from_str_radix(self.text_of(key)?, 16).map_err(|_| self.bad(key))
    }

    fn bad(&self, key: &'static str) -> BadField {
        BadField { key, line: self.text.to_owned() }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_by_rank_and_keep_their_order() {
        let transcript = Transcript::parse("1: result a\n0: result b\n1: told n=3\n").unwrap();
        let of_one: Vec<_> = transcript.lines_of(1).map(|line| line.text).collect();
        assert_eq!(of_one, ["result a", "told n=3"]);
        assert_eq!(transcript.ranks().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(transcript.census()[&(1, "told")], 1);
    }

    #[test]
    fn a_torn_line_is_named() {
        let broken = Transcript::parse("0: result a\nresu1: x\n").unwrap_err();
        assert_eq!(broken.number, 2);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let line = Line::new("match known=7 n=4 value=00ff");
        assert_eq!(line.number::<u64>("n"), Ok(4));
        assert_eq!(line.hex("value"), Ok(255));
        assert!(line.number::<u64>("seq").is_err());
        assert!(line.number::<u64>("value_").is_err());
    }
}
