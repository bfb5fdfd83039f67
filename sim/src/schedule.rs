//! What goes wrong in a run, and when: a schedule of faults that is text as well.
//!
//! ```text
//!   2@send:3              rank 2 dies at its third send
//!   2.2@deliver:1         the second life of rank 2 dies at its first delivery
//!   1@point:match:4       rank 1 dies when it passes the failpoint `match` for the fourth time
//!   0+1@time:900          ranks 0 and 1 die at time 900, whatever they do or wait for
//!   1@recovery:collect:2  rank 1 dies when determinants are collected for the second time
//!   0@after:copied.2:3    rank 0 dies right after the trace told of `copied` at rank 2 for the third time
//!   0@after:announce      rank 0 dies right after tokens are announced, of whatever rank
//!   cut:1+2@100..900      domains 1 and 2 are cut off from the others from time 100 to time 900
//!   suspect:1@300         domain 1 is declared dead at time 300, and lives on
//!   full:2@4096           the disk of rank 2 takes 4096 bytes of log
//!   late:1>2#3@5000       message 3 from rank 1 to rank 2 takes 5000 longer than others, and all behind it wait for it
//!   news:2@5000           what recovery has to tell takes 5000 longer to rank 2 than to others
//! ```
//!
//! A schedule is such items, separated by commas. The names behind `after` are the kinds of [`egida_core::trace::Event`].

use std::fmt;
use std::str::FromStr;

use egida_core::crash::{CrashPoint, Failpoint};
use egida_core::ids::{Domain, Domains, Incarnation, Rank, Ssn};
use egida_core::trace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::scheduler::Time;

/// Where a rank is to die: the n-th time that it comes to the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// The rank.
    pub rank: Rank,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The place.
    pub point: CrashPoint,
    /// Which time, from 1. Events are numbered themselves: 1 there.
    pub time: u32,
}

/// A step of a recovery, at which somebody may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Channels are sealed and memory is given up.
    Seal,
    /// Incarnation numbers are made durable.
    Persist,
    /// Survivors come to see that channels changed.
    Quiesce,
    /// Determinants are collected.
    Collect,
    /// A new incarnation is about to start.
    Start,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: &[Phase] = &[Self::Seal, Self::Persist, Self::Quiesce, Self::Collect, Self::Start];

    /// Its name in a schedule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Persist => "persist",
            Self::Quiesce => "quiesce",
            Self::Collect => "collect",
            Self::Start => "start",
        }
    }
}

/// When ranks are killed that are not asked where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// At this time.
    Time(Time),
    /// When a recovery comes to this phase for the n-th time in the job, from 1.
    Recovery(Phase, u32),
    /// Right after the n-th event of this kind (at this rank) in the trace, from 1, before anything else happens.
    After(&'static str, Option<Rank>, u32),
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// A rank dies at a point of its own execution.
    Crash(Crash),
    /// Ranks die together.
    Kill {
        /// Who.
        ranks: Vec<Rank>,
        /// When.
        at: Moment,
    },
    /// Domains are cut off from the others, and from whoever coordinates, for a while.
    Cut {
        /// Which.
        away: Vec<Domain>,
        /// From this time.
        from: Time,
        /// Until this time.
        until: Time,
    },
    /// A domain is declared dead while it lives.
    Suspect {
        /// Which.
        domain: Domain,
        /// When.
        at: Time,
    },
    /// The disk of a rank takes no more than this.
    Full {
        /// Whose.
        rank: Rank,
        /// Bytes of log.
        capacity_bytes: u64,
    },
    /// A message takes longer than others, each time that it is sent.
    Late {
        /// From whom.
        source: Rank,
        /// To whom.
        dest: Rank,
        /// Its number on the channel.
        ssn: Ssn,
        /// How much longer.
        by: Time,
    },
    /// What recovery has to tell takes longer to a rank than to others.
    LateNews {
        /// To whom.
        rank: Rank,
        /// How much longer.
        by: Time,
    },
}

/// Everything that goes wrong in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule(pub Vec<Mishap>);

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{item}` is no fault of a schedule: {why}")]
pub struct BadSchedule {
    item: String,
    why: String,
}

impl From<Vec<Crash>> for Schedule {
    fn from(crashes: Vec<Crash>) -> Self {
        Self(crashes.into_iter().map(Mishap::Crash).collect())
    }
}

impl Schedule {
    /// The crashes meant for one incarnation of a rank.
    pub fn crashes(&self, rank: Rank, incarnation: Incarnation) -> impl Iterator<Item = Crash> + '_ {
        self.0.iter().filter_map(move |mishap| match mishap {
            Mishap::Crash(crash) => {
                Some(*crash).filter(|crash| (crash.rank, crash.incarnation) == (rank, incarnation))
            }
            _ => None,
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mishap) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            mishap.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(crash) => crash.fmt(f),
            Self::Kill { ranks, at: Moment::Time(at) } => write!(f, "{}@time:{at}", sum(ranks)),
            Self::Kill { ranks, at: Moment::Recovery(phase, nth) } => {
                write!(f, "{}@recovery:{}:{nth}", sum(ranks), phase.name())
            }
            Self::Kill { ranks, at: Moment::After(kind, rank, nth) } => {
                write!(f, "{}@after:{kind}", sum(ranks))?;
                rank.map_or(Ok(()), |rank| write!(f, ".{rank}"))?;
                if *nth == 1 { Ok(()) } else { write!(f, ":{nth}") }
            }
            Self::Cut { away, from, until } => write!(f, "cut:{}@{from}..{until}", sum(away)),
            Self::Suspect { domain, at } => write!(f, "suspect:{domain}@{at}"),
            Self::Full { rank, capacity_bytes } => write!(f, "full:{rank}@{capacity_bytes}"),
            Self::Late { source, dest, ssn, by } => write!(f, "late:{source}>{dest}#{ssn}@{by}"),
            Self::LateNews { rank, by } => write!(f, "news:{rank}@{by}"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rank)?;
        if self.incarnation != 1 {
            write!(f, ".{}", self.incarnation)?;
        }
        match self.point {
            CrashPoint::Send(number) => write!(f, "@send:{number}"),
            CrashPoint::Deliver(number) => write!(f, "@deliver:{number}"),
            CrashPoint::At(point) if self.time == 1 => write!(f, "@point:{}", point.name()),
            CrashPoint::At(point) => write!(f, "@point:{}:{}", point.name(), self.time),
        }
    }
}

fn sum(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        text.split(',').filter(|item| !item.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Mishap {
    type Err = BadSchedule;

    fn from_str(item: &str) -> Result<Self, BadSchedule> {
        parse(item).map_err(|why| BadSchedule { item: item.to_owned(), why })
    }
}

fn parse(item: &str) -> Result<Mishap, String> {
    let (who, when) = item.split_once('@').ok_or("it has no `@`")?;
    if let Some(away) = who.strip_prefix("cut:") {
        let (from, until) =
            when.split_once("..").ok_or("a cut lasts from one time to another, as in `100..900`")?;
        let (from, until) = (number(from)?, number(until)?);
        if from >= until {
            return Err("a cut ends after it begins".to_owned());
        }
        return Ok(Mishap::Cut { away: numbers(away)?, from, until });
    }
    if let Some(domain) = who.strip_prefix("suspect:") {
        return Ok(Mishap::Suspect { domain: number(domain)?, at: number(when)? });
    }
    if let Some(rank) = who.strip_prefix("full:") {
        return Ok(Mishap::Full { rank: number(rank)?, capacity_bytes: number(when)? });
    }
    if let Some(message) = who.strip_prefix("late:") {
        let (source, rest) = message.split_once('>').ok_or("a late message is `FROM>TO#NUMBER`")?;
        let (dest, ssn) = rest.split_once('#').ok_or("a late message is `FROM>TO#NUMBER`")?;
        let (source, dest, ssn) = (number(source)?, number(dest)?, number(ssn)?);
        return Ok(Mishap::Late { source, dest, ssn, by: number(when)? });
    }
    if let Some(rank) = who.strip_prefix("news:") {
        return Ok(Mishap::LateNews { rank: number(rank)?, by: number(when)? });
    }
    let (kind, rest) = when.split_once(':').ok_or("when it happens is `KIND:NUMBER`")?;
    match kind {
        "time" => Ok(Mishap::Kill { ranks: numbers(who)?, at: Moment::Time(number(rest)?) }),
        "recovery" => {
            let (name, nth) = rest.split_once(':').unwrap_or((rest, "1"));
            let phase = Phase::ALL.iter().find(|phase| phase.name() == name);
            let names: Vec<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
            let phase = phase.ok_or_else(|| format!("a recovery has {}", names.join(", ")))?;
            Ok(Mishap::Kill { ranks: numbers(who)?, at: Moment::Recovery(*phase, number(nth)?) })
        }
        "after" => {
            let (event, nth) = rest.split_once(':').unwrap_or((rest, "1"));
            let (name, rank) = match event.split_once('.') {
                Some((name, rank)) => (name, Some(number(rank)?)),
                None => (event, None),
            };
            let kind = trace::Event::KINDS.iter().find(|kind| **kind == name);
            let kind = kind.ok_or_else(|| format!("no event of a trace is named `{name}`"))?;
            Ok(Mishap::Kill { ranks: numbers(who)?, at: Moment::After(kind, rank, number(nth)?) })
        }
        "send" | "deliver" | "point" => {
            let (rank, life) = who.split_once('.').unwrap_or((who, "1"));
            let (rank, incarnation) = (number(rank)?, number(life)?);
            let (point, time) = match kind {
                "send" => (CrashPoint::Send(number(rest)?), 1),
                "deliver" => (CrashPoint::Deliver(number(rest)?), 1),
                _ => {
                    let (name, time) = rest.split_once(':').unwrap_or((rest, "1"));
                    (CrashPoint::At(name.parse::<Failpoint>()?), number(time)?)
                }
            };
            Ok(Mishap::Crash(Crash { rank, incarnation, point, time }))
        }
        _ => Err(format!("`{kind}` is none of send, deliver, point, time, recovery, after")),
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

fn numbers(text: &str) -> Result<Vec<u32>, String> {
    text.split('+').map(number).collect()
}

/// How bad the world is: what a run may meet beside its schedule, and what schedules are drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// What a message takes at most.
    pub network_delay: Time,
    /// What a disk takes at most, unless the specification lets it take longer.
    pub disk_delay: Time,
    /// What a message between nodes and whoever coordinates takes at most.
    pub control_delay: Time,
    /// Of so many control messages in a hundred a second copy arrives.
    pub duplicates_percent: u32,
    /// Of so many checkpoints in a hundred the write fails.
    pub failed_saves_percent: u32,
    /// Whether records that were not synced may be found on the disk of a node that died, the last one torn.
    pub torn_writes: bool,
    /// At most so many things go wrong in a schedule that is drawn.
    pub mishaps: u32,
    /// Within this time.
    pub within: Time,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            network_delay: 60,
            disk_delay: 200,
            control_delay: 200,
            duplicates_percent: 10,
            failed_saves_percent: 10,
            torn_writes: true,
            mishaps: 3,
            within: 6_000,
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network_delay,
            disk_delay,
            control_delay,
            duplicates_percent,
            failed_saves_percent,
            torn_writes,
            mishaps,
            within,
        } = self;
        write!(
            f,
            "network-delay={network_delay} disk-delay={disk_delay} control-delay={control_delay} \
             duplicates={duplicates_percent}% failed-saves={failed_saves_percent}% torn-writes={torn_writes} mishaps={mishaps} within={within}"
        )
    }
}

impl Faults {
    /// The schedule that belongs to a seed.
    #[must_use]
    pub fn draw(&self, seed: u64, domains: &Domains) -> Schedule {
        let mut dice = Dice { random: ChaCha8Rng::seed_from_u64(seed ^ DRAW), faults: self, domains };
        let count = dice.random.random_range(0..=self.mishaps);
        let mut cut = false;
        Schedule((0..count).flat_map(|_| dice.mishap(&mut cut)).collect())
    }
}

/// Keeps the draw of a schedule apart from the draws of the run with the same seed.
const DRAW: u64 = 0x5C4E_D01E;

struct Dice<'a> {
    random: ChaCha8Rng,
    faults: &'a Faults,
    domains: &'a Domains,
}

impl Dice<'_> {
    fn rank(&mut self) -> Rank {
        self.random.random_range(0..self.domains.ranks().max(1))
    }

    fn time(&mut self) -> Time {
        self.random.random_range(1..=self.faults.within.max(1))
    }

    /// At most one partition stands at a time: a schedule has one.
    fn mishap(&mut self, cut: &mut bool) -> Vec<Mishap> {
        let kind = self.random.random_range(0..10);
        let rank = self.rank();
        match kind {
            0..=4 => vec![Mishap::Crash(self.crash(rank))],
            5 => vec![Mishap::Kill { ranks: self.some(rank), at: Moment::Time(self.time()) }],
            6 => {
                let phase = Phase::ALL[self.random.random_range(0..Phase::ALL.len())];
                let at = Moment::Recovery(phase, self.random.random_range(1..3));
                vec![Mishap::Kill { ranks: self.some(rank), at }]
            }
            7 => vec![Mishap::Suspect { domain: self.domains.of(rank), at: self.time() }],
            _ if *cut || self.domains.count() < 2 => Vec::new(),
            _ => {
                *cut = true;
                let from = self.time();
                let until = from + self.time();
                let domain = self.domains.of(rank);
                let cut = Mishap::Cut { away: vec![domain], from, until };
                // Who cannot be reached for long is given up.
                let suspicion = Mishap::Suspect { domain, at: self.random.random_range(from..until) };
                if self.random.random_bool(0.5) { vec![cut, suspicion] } else { vec![cut] }
            }
        }
    }

    fn crash(&mut self, rank: Rank) -> Crash {
        let incarnation = if self.random.random_range(0..4) == 0 { 2 } else { 1 };
        let (point, time) = match self.random.random_range(0..3) {
            0 => (CrashPoint::Send(self.random.random_range(1..15)), 1),
            1 => (CrashPoint::Deliver(self.random.random_range(1..15)), 1),
            _ => {
                let point = Failpoint::ALL[self.random.random_range(0..Failpoint::ALL.len())];
                (CrashPoint::At(point), self.random.random_range(1..5))
            }
        };
        Crash { rank, incarnation, point, time }
    }

    /// That rank, and sometimes another.
    fn some(&mut self, rank: Rank) -> Vec<Rank> {
        let other = self.rank();
        if other != rank && self.random.random_range(0..4) == 0 { vec![rank, other] } else { vec![rank] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_what_its_text_says() {
        let text = "2@send:3,2.2@deliver:1,1@point:match:4,0@point:init,0+1@time:900,1@recovery:collect:2,\
                    2@after:announce,0+1@after:copied.2:3,cut:1+2@100..900,suspect:1@300,full:2@4096,\
                    late:1>2#3@5000,news:2@700";
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.to_string(), text);
        assert_eq!(schedule.0.len(), 13);
        assert_eq!("".parse::<Schedule>().unwrap(), Schedule::default());
        assert_eq!(schedule.crashes(2, 2).count(), 1);
    }

    #[test]
    fn whatever_is_drawn_can_be_written_and_read() {
        let faults = Faults { mishaps: 9, ..Faults::default() };
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let schedule = faults.draw(seed, &Domains::blocks(6, 2));
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            assert_eq!(faults.draw(seed, &Domains::blocks(6, 2)), schedule, "the same seed draws the same");
            kinds.extend(schedule.0.iter().map(std::mem::discriminant).map(|kind| format!("{kind:?}")));
        }
        assert_eq!(kinds.len(), 4, "crashes, kills, cuts and suspicions");
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        for (text, why) in [
            ("2", "no `@`"),
            ("2@lunch:3", "none of send"),
            ("x@time:3", "`x` is not a number"),
            ("1@recovery:tea:1", "a recovery has seal"),
            ("1@after:lunch", "no event of a trace"),
            ("late:1@5", "`FROM>TO#NUMBER`"),
            ("cut:1@9..3", "ends after it begins"),
            ("1@point:mach", "nearest is `match`"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
