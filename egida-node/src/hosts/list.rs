//! Which hosts a job has, and which ranks are on which.

use std::ops::Range;

use egida_core::ids::Rank;
use thiserror::Error;

/// A host as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name or address, for whatever starts the daemon there.
    pub name: String,
    /// How many ranks it may have; nothing where that was not said.
    pub slots: Option<u32>,
}

/// What is wrong with a list of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListError {
    /// A word that names no host.
    #[error("`{0}` names no host; write NAME or NAME:RANKS")]
    Word(String),
    /// There is no host.
    #[error("the list of hosts is empty")]
    Empty,
    /// Some hosts say how many ranks they may have, some do not.
    #[error("either each host says how many ranks it may have, or none does")]
    Mixed,
    /// There are more ranks than room.
    #[error("the hosts have room for {slots} ranks, and the job has {ranks}")]
    Room {
        /// How many ranks the hosts may have.
        slots: u64,
        /// How many there are.
        ranks: u32,
    },
}

/// Reads `a,b:4`.
///
/// # Errors
/// [`ListError`].
pub fn parse_list(list: &str) -> Result<Vec<Host>, ListError> {
    not_empty(list.split(',').map(str::trim).map(host).collect::<Result<_, _>>()?)
}

/// Reads a file of hosts: one to a line, as `NAME`, `NAME:RANKS` or `NAME slots=RANKS`; from `#` on a line is a comment.
///
/// # Errors
/// [`ListError`].
pub fn parse_file(text: &str) -> Result<Vec<Host>, ListError> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let hosts = lines.filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        let mut found = host(words.next().unwrap_or_default())?;
        for word in words {
            let slots =
                word.strip_prefix("slots=").and_then(|slots| slots.parse().ok()).filter(|&slots| slots > 0);
            found.slots = Some(slots.ok_or_else(|| ListError::Word(line.to_owned()))?);
        }
        Ok(found)
    });
    not_empty(hosts.collect::<Result<_, _>>()?)
}

fn not_empty(hosts: Vec<Host>) -> Result<Vec<Host>, ListError> {
    if hosts.is_empty() { Err(ListError::Empty) } else { Ok(hosts) }
}

fn host(word: &str) -> Result<Host, ListError> {
    let wrong = || ListError::Word(word.to_owned());
    // An IPv6 address has colons of its own, and no number of ranks in this form.
    let (name, slots) = match word.split_once(':') {
        Some((name, slots)) if !slots.contains(':') => (name, Some(slots)),
        _ => (word, None),
    };
    // A name that begins like an option would be one to the command that starts the daemon.
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let slots =
        slots.map(|slots| slots.parse().ok().filter(|&slots| slots > 0).ok_or_else(wrong)).transpose()?;
    Ok(Host { name: name.to_owned(), slots })
}

/// Deals out the ranks, neighbours to the same host: as many to each as it has room for, or where none says, as equal a
/// number as can be. Hosts that get none are left out.
///
/// # Errors
/// [`ListError`] where there is no room for all.
pub fn deal(hosts: &[Host], ranks: u32) -> Result<Vec<(String, Range<Rank>)>, ListError> {
    let said = hosts.iter().filter(|host| host.slots.is_some()).count();
    if said != 0 && said != hosts.len() {
        return Err(ListError::Mixed);
    }
    let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
    let mut next = 0;
    let mut dealt = Vec::new();
    for (at, host) in (0..).zip(hosts) {
        let fair = ranks / count + u32::from(at < ranks % count);
        let end = next + host.slots.unwrap_or(fair).min(ranks - next);
        if end > next {
            dealt.push((host.name.clone(), next..end));
        }
        next = end;
    }
    if next < ranks {
        let slots = hosts.iter().filter_map(|host| host.slots).map(u64::from).sum();
        return Err(ListError::Room { slots, ranks });
    }
    Ok(dealt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(list: &str, ranks: u32) -> Result<Vec<(String, Range<Rank>)>, ListError> {
        deal(&parse_list(list)?, ranks)
    }

    fn to(name: &str, ranks: Range<Rank>) -> (String, Range<Rank>) {
        (name.to_owned(), ranks)
    }

    #[test]
    fn ranks_are_dealt_in_blocks() {
        assert_eq!(dealt("a,b", 5).unwrap(), [to("a", 0..3), to("b", 3..5)]);
        assert_eq!(dealt("a:1,b:9", 5).unwrap(), [to("a", 0..1), to("b", 1..5)]);
        assert_eq!(dealt("a,b,c", 2).unwrap(), [to("a", 0..1), to("b", 1..2)]);
        assert_eq!(dealt("a,a", 2).unwrap(), [to("a", 0..1), to("a", 1..2)]);
    }

    #[test]
    fn a_file_says_the_same() {
        let text = "# the cluster\n a slots=2 # old\n\nb:3\n fe80::1 slots=1";
        let host = |name: &str, slots| Host { name: name.to_owned(), slots: Some(slots) };
        assert_eq!(parse_file(text).unwrap(), [host("a", 2), host("b", 3), host("fe80::1", 1)]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(dealt("a:2,b:2", 5), Err(ListError::Room { slots: 4, ranks: 5 }));
        assert_eq!(dealt("a:2,b", 3), Err(ListError::Mixed));
        for list in ["", "a,,b", "a:x", "a:0", "-oProxyCommand=x", "a b"] {
            assert!(matches!(parse_list(list), Err(ListError::Word(_))), "{list}");
        }
        assert_eq!(parse_file("# nobody\n"), Err(ListError::Empty));
        assert!(parse_file("a slots=none").is_err());
        assert!(parse_file("a b").is_err());
    }
}
