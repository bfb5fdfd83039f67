//! When ranks are killed, one line each.
//!
//! A line is written with letters for ranks and parts for numbers: `V` is the
//! victim, `N` the rank after it, `M` the rank after that; `V.2` is the victim's
//! second incarnation; `send:50%` is half of all the sends that the rank makes in
//! an undisturbed run. Each line becomes the `--kill` options of one run.

use crate::oracle::Oracle;
use crate::programs::Program;
use crate::protocols::{FailureUnit, Protocol};
use crate::report::Counts;

/// One way of killing ranks during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// What happens, in words joined by dashes.
    pub name: &'static str,
    /// The kills, separated by blanks.
    pub kills: &'static str,
    /// What a program must do for the kills to land.
    pub needs: Needs,
    /// Whether the victim has delivered messages before, so that the report must
    /// tell of replayed deliveries.
    pub replays: bool,
    /// How many ranks may be dead at the same time.
    pub dead_at_once: usize,
}

/// What a program must do to reach a schedule's moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Send and receive.
    Traffic,
    /// The victim meets non-deterministic events.
    Choice,
    /// The victim meets events of which the protocol makes determinants.
    Determinants,
    /// The victim asks by `MPI_Test*`, `MPI_Iprobe`, `MPI_Waitany`, ...
    Polling,
    /// Send messages of many pieces and more than a segment of them.
    LargeMessages,
}

use Needs::{Choice, Determinants, LargeMessages, Polling, Traffic};

/// All schedules. The names of failpoints are those of `egida run --list-failpoints`.
pub const SCHEDULES: &[Schedule] = &[
    at("early", "V@send:5%", Traffic),
    at("late", "V@send:95%", Traffic).replays(),
    at("halfway", "V@deliver:50%", Traffic).replays(),
    at("at-its-last-delivery", "V@deliver:100%", Traffic).replays(),
    at("at-an-odd-moment", "V@send:37%", Traffic),
    at("in-init", "V@point:init", Traffic),
    at("between-reserving-and-publishing", "V@point:channel.reserved:3", Traffic),
    at("between-publishing-and-the-wake", "V@point:channel.published:3", Traffic),
    at("inside-a-large-message", "V@point:channel.piece:3", LargeMessages),
    at("while-a-segment-is-added", "V@point:channel.segment", LargeMessages),
    at("while-it-reads-a-large-payload", "V@point:channel.payload:2", LargeMessages),
    at("while-reading", "V@point:channel.read:3", Traffic),
    at("at-a-match", "V@point:match:5", Traffic),
    at("before-its-determinant-is-logged", "V@point:determinant.created:5", Determinants),
    at("after-its-determinant-is-logged", "V@point:determinant.logged:5", Determinants),
    at("after-polling", "V@point:observe:5", Polling),
    at("as-its-replay-starts", "V@deliver:50% V.2@point:replay.start", Traffic).replays(),
    at("in-the-middle-of-its-replay", "V@deliver:60% V.2@point:replay.middle", Determinants).replays(),
    at("as-its-replay-ends", "V@deliver:70% V.2@point:replay.end", Determinants).replays(),
    at("twice", "V@deliver:30% V.2@deliver:60%", Traffic).replays(),
    at("three-times", "V@send:20% V.2@send:50% V.3@send:80%", Traffic).replays(),
    at("and-then-its-neighbours", "V@deliver:20% N@deliver:50% M@deliver:80%", Traffic)
        .replays()
        .dead_at_once(3),
    at("together-with-its-neighbour", "V+N@deliver:50%", Traffic).replays().dead_at_once(2),
    at("together-with-both-neighbours", "V+N+M@deliver:50%", Traffic).replays().dead_at_once(3),
    at("while-its-neighbour-recovers", "N@deliver:40% N.2+V@point:replay.start", Traffic)
        .replays()
        .dead_at_once(2),
    at("entering-finalize", "V@point:finalize.enter", Traffic).replays(),
    at("leaving-finalize", "V@point:finalize.exit", Traffic).replays(),
];

/// The schedules under which determinants must be missed when they are thrown away.
pub const CONTROLS: &[Schedule] = &[
    at("late", "V@send:95%", Choice),
    at("at-its-last-delivery", "V@deliver:100%", Choice),
    at("halfway", "V@send:50%", Choice),
    at("entering-finalize", "V@point:finalize.enter", Choice),
];

impl Schedule {
    const fn replays(self) -> Self {
        Self { replays: true, ..self }
    }

    const fn dead_at_once(self, ranks: usize) -> Self {
        Self { dead_at_once: ranks, ..self }
    }

    /// Whether the kills can land when that rank of the program is the victim.
    pub fn fits(&self, program: &Program, protocol: &Protocol, unit: FailureUnit, victim: usize) -> bool {
        if !program.runs_under(protocol, unit) {
            return false;
        }
        match self.needs {
            Traffic => true,
            Choice => program.chooses(victim),
            Determinants => protocol.of_every_delivery || program.chooses(victim),
            Polling => program.oracles().contains(&Oracle::Choices),
            LargeMessages => program.large,
        }
    }

    /// The values of `--kill` for a run with that victim, given what each rank
    /// did in an undisturbed run.
    ///
    /// # Panics
    /// The schedule is not written as described above.
    pub fn kills(&self, victim: usize, counts: &[Counts]) -> Vec<String> {
        self.kills.split_whitespace().map(|kill| concrete(kill, victim, counts)).collect()
    }
}

fn concrete(kill: &str, victim: usize, counts: &[Counts]) -> String {
    let (who, when) = kill.split_once('@').unwrap_or_else(|| panic!("no `@` in `{kill}`"));
    let ranks: Vec<String> = who.split('+').map(|who| concrete_rank(who, victim, counts.len())).collect();
    let first = ranks[0].split('.').next().and_then(|rank| rank.parse::<usize>().ok());
    let first = first.unwrap_or_else(|| panic!("`{who}` names no rank"));
    format!("{}@{}", ranks.join("+"), concrete_moment(when, counts[first]))
}

fn concrete_rank(who: &str, victim: usize, ranks: usize) -> String {
    let (letter, incarnation) = who.split_at(1);
    let distance = match letter {
        "V" => 0,
        "N" => 1,
        "M" => 2,
        other => panic!("`{other}` is no letter for a rank"),
    };
    format!("{}{incarnation}", (victim + distance) % ranks)
}

/// A leaf of a broadcast tree never sends and its root never receives: then the
/// same part of the other is meant.
fn concrete_moment(when: &str, counts: Counts) -> String {
    let Some((event, part)) = when.split_once(':') else {
        return when.to_owned();
    };
    let Some(percent) = part.strip_suffix('%') else {
        return when.to_owned();
    };
    let percent: u64 = percent.parse().unwrap_or_else(|_| panic!("`{part}` is no part"));
    let (event, total) = match event {
        "send" if counts.sends > 0 => ("send", counts.sends),
        "deliver" if counts.deliveries > 0 => ("deliver", counts.deliveries),
        "send" => ("deliver", counts.deliveries),
        _ => ("send", counts.sends),
    };
    format!("{event}:{}", (total * percent).div_ceil(100).max(1))
}

const fn at(name: &'static str, kills: &'static str, needs: Needs) -> Schedule {
    Schedule { name, kills, needs, replays: false, dead_at_once: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [Counts; 3] = [
        Counts { rank: 0, sends: 10, deliveries: 20 },
        Counts { rank: 1, sends: 0, deliveries: 7 },
        Counts { rank: 2, sends: 100, deliveries: 0 },
    ];

    fn kills(line: &'static str, victim: usize) -> Vec<String> {
        at("", line, Traffic).kills(victim, &COUNTS)
    }

    #[test]
    fn letters_and_parts_become_ranks_and_numbers() {
        assert_eq!(
            kills("V@deliver:50% V.2@point:replay.start", 0),
            ["0@deliver:10", "0.2@point:replay.start"]
        );
        assert_eq!(kills("V+N@send:95%", 2), ["2+0@send:95"]);
        assert_eq!(kills("N.2+V@point:match:5", 2), ["0.2+2@point:match:5"]);
    }

    #[test]
    fn a_part_of_little_is_at_least_one_and_of_all_the_last() {
        assert_eq!(kills("V@send:5%", 0), ["0@send:1"]);
        assert_eq!(kills("V@send:100%", 0), ["0@send:10"]);
    }

    #[test]
    fn who_never_sends_is_killed_at_a_delivery_and_the_other_way_round() {
        assert_eq!(kills("V@send:100%", 1), ["1@deliver:7"]);
        assert_eq!(kills("V@deliver:50%", 2), ["2@send:50"]);
    }
}
