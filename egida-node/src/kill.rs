//! `--kill RANKS@WHEN`: deaths that a test or a curious user orders.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::time::Duration;

use egida_core::crash::Failpoint;
use egida_core::ids::Rank;
use thiserror::Error;

use crate::quantity::parse_duration;

/// One order: who dies, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillOrder {
    /// Who. The event that triggers is the first one's; the others die with it.
    pub victims: Vec<Victim>,
    /// When.
    pub when: When,
    text: String,
}

/// A rank in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Victim {
    /// The rank.
    pub rank: Rank,
    /// Which of its processes, from 1, counted as they are started.
    pub life: u32,
}

/// When a victim dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after the start of the job.
    After(Duration),
    /// At the n-th send of the first victim, from 1.
    Send(u64),
    /// At the n-th delivery to the first victim, from 1.
    Deliver(u64),
    /// When the first victim passes a failpoint for the n-th time, from 1.
    Point(Failpoint, u64),
}

/// What is wrong with the text of an order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not an order to kill: {why}")]
pub struct BadOrder {
    text: String,
    why: String,
}

/// The forms of an order, for messages of help.
pub const SYNTAX: &str = "RANK[.LIFE][+RANK...]@WHEN, where WHEN is a time (`1.5s`, `300ms`), `send:N`, `deliver:N`, \
     `point:NAME[:K]` or `random[:SEED]`, or `random[:SEED]` alone";

const KINDS: [&str; 4] = ["send", "deliver", "point", "random"];

impl KillOrder {
    /// Reads an order for a job of `ranks` ranks.
    ///
    /// # Errors
    /// [`BadOrder`], with what would be right.
    pub fn parse(text: &str, ranks: u32) -> Result<Self, BadOrder> {
        let bad = |why: String| BadOrder { text: text.to_owned(), why };
        let (who, when) = match text.split_once('@') {
            Some((who, when)) => (Some(who), when),
            None if text.split(':').next() == Some("random") => (None, text),
            None => return Err(bad(format!("the form is {SYNTAX}"))),
        };
        let mut dice = Dice::default();
        let mut note = String::new();
        let random = when.split(':').next() == Some("random");
        if random {
            let seed = match when.split_once(':') {
                None => RandomState::new().build_hasher().finish() % 1_000_000,
                Some((_, seed)) => number(seed).map_err(bad)?,
            };
            dice = Dice(seed);
            note = format!("random:{seed}");
        }
        let victims = match who {
            None => vec![Victim { rank: dice.below(u64::from(ranks.max(1))) as Rank, life: 1 }],
            Some(who) => who
                .split('+')
                .map(|victim| Victim::parse(victim, ranks))
                .collect::<Result<_, _>>()
                .map_err(bad)?,
        };
        let when = if random { dice.when() } else { when.parse().map_err(bad)? };
        let mut order = Self { victims, when, text: text.to_owned() };
        if random {
            order.text = format!("{note} = {}@{when}", order.who());
        }
        Ok(order)
    }

    /// What triggers the first victim inside its own process, in the form of the library's environment variable.
    #[must_use]
    pub fn trigger(&self) -> Option<String> {
        (!matches!(self.when, When::After(_))).then(|| self.when.to_string())
    }

    /// The first victim.
    #[must_use]
    pub fn first(&self) -> Victim {
        self.victims[0]
    }

    /// Whether it was drawn, and is worth telling.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.text.starts_with("random:")
    }

    fn who(&self) -> String {
        self.victims.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
    }
}

/// As it was given; a random one with its seed and what was drawn.
impl fmt::Display for KillOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Victim {
    fn parse(text: &str, ranks: u32) -> Result<Self, String> {
        let (rank, life) = text.split_once('.').unwrap_or((text, "1"));
        let rank = number(rank)?;
        if rank >= u64::from(ranks) {
            return Err(format!(
                "there is no rank {rank}: the job has ranks 0 to {}",
                ranks.saturating_sub(1)
            ));
        }
        match number(life)? {
            0 => Err("lives of a rank are counted from 1".to_owned()),
            life => Ok(Self { rank: rank as Rank, life: u32::try_from(life).unwrap_or(u32::MAX) }),
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.life {
            1 => write!(f, "{}", self.rank),
            life => write!(f, "{}.{life}", self.rank),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "send" => counted(kind, rest).map(Self::Send),
            "deliver" => counted(kind, rest).map(Self::Deliver),
            "point" => {
                let (name, nth) = rest.split_once(':').unwrap_or((rest, "1"));
                let point =
                    name.parse().map_err(|error| format!("{error}; `--list-failpoints` lists all"))?;
                counted(kind, nth).map(|nth| Self::Point(point, nth))
            }
            _ => duration(text).map(Self::After),
        }
    }
}

/// As the library's environment variable and the command line have it.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => write!(f, "{}ms", time.as_millis()),
            Self::Send(nth) => write!(f, "send:{nth}"),
            Self::Deliver(nth) => write!(f, "deliver:{nth}"),
            Self::Point(point, nth) => write!(f, "point:{}:{nth}", point.name()),
        }
    }
}

fn counted(kind: &str, text: &str) -> Result<u64, String> {
    match number(text) {
        Ok(0) => Err(format!("`{kind}` counts from 1")),
        Ok(nth) => Ok(nth),
        Err(_) => Err(format!(
            "`{kind}` needs a number behind it, as in `{kind}:{}`",
            if kind == "point" { "match:3" } else { "100" }
        )),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

/// A time such as `1.5s` or `300ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let unknown = || {
        let word: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
        let nearest = KINDS
            .iter()
            .filter(|_| !word.is_empty())
            .map(|kind| (strsim::jaro_winkler(kind, &word), kind))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, kind)) => format!("`{text}` is no time and no event; did you mean `{kind}`?"),
            None => format!(
                "`{text}` is no time (`1.5s`, `300ms`) and no event (`send:N`, `deliver:N`, `point:NAME`)"
            ),
        }
    };
    parse_duration(text).map_err(|_| unknown())
}

/// SplitMix64: a small generator whose sequence is the same everywhere.
#[derive(Debug, Default)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound
    }

    fn when(&mut self) -> When {
        match self.below(4) {
            0 => When::After(Duration::from_millis(10 + self.below(990))),
            1 => When::Send(1 + self.below(200)),
            2 => When::Deliver(1 + self.below(200)),
            _ => {
                let reached: Vec<_> =
                    Failpoint::ALL.iter().filter(|point| !point.is_of_checkpoints()).collect();
                let point = self.below(reached.len() as u64) as usize;
                When::Point(*reached[point], 1 + self.below(10))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> KillOrder {
        KillOrder::parse(text, 4).unwrap()
    }

    fn why(text: &str) -> String {
        KillOrder::parse(text, 4).unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("2@1.5s").when, When::After(Duration::from_millis(1500)));
        assert_eq!(parse("2@300ms").when, When::After(Duration::from_millis(300)));
        assert_eq!(parse("0@send:1000").when, When::Send(1000));
        assert_eq!(parse("3.2@deliver:5").victims, [Victim { rank: 3, life: 2 }]);
        assert_eq!(parse("1@point:match").when, When::Point(Failpoint::Match, 1));
        assert_eq!(parse("1@point:channel.piece:3").when, When::Point(Failpoint::ChannelPiece, 3));
        let both = parse("1+2.3@send:100");
        assert_eq!(both.victims, [Victim { rank: 1, life: 1 }, Victim { rank: 2, life: 3 }]);
        assert_eq!(both.to_string(), "1+2.3@send:100");
        assert_eq!(both.trigger().as_deref(), Some("send:100"));
        assert_eq!(parse("1@2s").trigger(), None);
    }

    #[test]
    fn a_random_order_is_the_same_for_the_same_seed_and_tells_it() {
        let once = parse("random:7");
        assert_eq!(once, parse("random:7"));
        assert!(once.to_string().starts_with("random:7 = "), "{once}");
        assert_eq!(parse("2@random:7").first().rank, 2);
        let fresh = parse("random");
        let seed = fresh.to_string();
        let again = parse(seed.split(' ').next().unwrap());
        assert_eq!(fresh, again, "what is printed repeats it");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        assert!(why("2").contains("RANK[.LIFE]"));
        assert!(why("4@send:1").contains("ranks 0 to 3"));
        assert!(why("x@send:1").contains("`x` is not a number"));
        assert!(why("1.0@send:1").contains("from 1"));
        assert!(why("1@send").contains("`send:100`"));
        assert!(why("1@sned:4").contains("did you mean `send`"));
        assert!(why("1@point:mach").contains("nearest is `match`"));
        assert!(why("1@soon").contains("`1.5s`"));
        assert!(why("1@-2s").contains("no time"));
        assert!(why("1@infs").contains("no time"));
        assert!(why("1@deliver:0").contains("counts from 1"));
        assert!(why("1+@send:1").contains("`` is not a number"));
    }
}
