//! Whether a run ended right.

use std::collections::BTreeSet;

use crate::job::Finished;
use crate::oracle::{Contradiction, Oracle};
use crate::plan::Run;
use crate::programs::{Kind, Program};
use crate::report::{Counts, Event};
use crate::transcript::{BrokenLine, Transcript};

/// Exit code of a job that cannot be recovered.
pub const UNRECOVERABLE: i32 = 86;
/// Exit code of a job in which a rank did not replay identically.
pub const DIVERGENCE: i32 = 87;

/// What an undisturbed run of a program printed and did.
#[derive(Debug, Clone)]
pub struct Undisturbed {
    /// What it printed.
    pub transcript: Transcript,
    /// How often each rank sent and delivered.
    pub counts: Vec<Counts>,
}

/// Why a run is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It did not end.
    #[error("the job hangs")]
    Hang,
    /// It ended with a code other than the program's own.
    #[error("the job ended with {found:?}, not with 0")]
    ExitCode {
        /// None if a signal ended the launcher.
        found: Option<i32>,
    },
    /// The output is torn.
    #[error(transparent)]
    Broken(#[from] BrokenLine),
    /// A rank's lines are not those of the undisturbed run.
    #[error("rank {rank} printed\n    {found}\n  and not, as undisturbed,\n    {wanted}")]
    Differs {
        /// Which rank.
        rank: usize,
        /// The first line that differs.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// Some lines are missing or came again.
    #[error("rank {rank} printed `{word}` {found} times, undisturbed {wanted} times")]
    Census {
        /// Which rank.
        rank: usize,
        /// The first word of the lines.
        word: String,
        /// How many such lines there are.
        found: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// The ranks tell no common history.
    #[error("{oracle:?}: {contradiction}")]
    Contradiction {
        /// Who found it.
        oracle: Oracle,
        /// What it found.
        contradiction: Contradiction,
    },
    /// The test did not test: nobody died of the kill.
    #[error("`--kill {kill}` did not land: no death of rank {rank}, incarnation {incarnation}, by it")]
    NotKilled {
        /// The kill.
        kill: String,
        /// Who should have died of it.
        rank: usize,
        /// In which life.
        incarnation: u64,
    },
    /// A rank died and no recovery was reported.
    #[error("rank {rank} was killed but never reported as recovered")]
    NotRecovered {
        /// Which rank.
        rank: usize,
    },
    /// A rank that had delivered messages replayed none.
    #[error("rank {rank} was killed after deliveries but replayed none")]
    NothingReplayed {
        /// Which rank.
        rank: usize,
    },
    /// The exit code says unrecoverable or divergence, the report does not.
    #[error("exit code {code}, but the report has no such event")]
    Unreported {
        /// The exit code.
        code: i32,
    },
    /// Somebody died in a run without kills.
    #[error("{0} ranks died in an undisturbed run")]
    Deaths(usize),
    /// The report lacks a rank's counts.
    #[error("the report has the counts of {found} ranks, not of {wanted}")]
    Uncounted {
        /// How many it has.
        found: usize,
        /// How many ranks there are.
        wanted: usize,
    },
}

/// A run without kills: right by itself, and the measure of others.
///
/// # Errors
/// Whatever is wrong with it.
pub fn undisturbed(program: &Program, run: &Finished) -> Result<Undisturbed, Failure> {
    let transcript = right_end(program, run)?;
    if run.report.deaths() > 0 {
        return Err(Failure::Deaths(run.report.deaths()));
    }
    let counts = run.report.counts();
    if counts.len() != program.ranks {
        return Err(Failure::Uncounted { found: counts.len(), wanted: program.ranks });
    }
    Ok(Undisturbed { transcript, counts })
}

/// The output of a disturbed run is as good as that of an undisturbed one.
///
/// # Errors
/// Whatever is wrong with it.
pub fn same_result(program: &Program, run: &Finished, undisturbed: &Undisturbed) -> Result<(), Failure> {
    let transcript = right_end(program, run)?;
    same_lines(program, &transcript, &undisturbed.transcript)
}

/// Every kill killed whom it should.
///
/// # Errors
/// The first that did not.
pub fn all_landed(run: &Finished, kills: &[String]) -> Result<(), Failure> {
    for kill in kills {
        for (at, (rank, incarnation)) in victims(kill).into_iter().enumerate() {
            let is_companion = at > 0;
            if is_companion && run.report.rolled_back(rank) {
                continue;
            }
            if !run.report.killed(rank, incarnation, kill) {
                return Err(Failure::NotKilled { kill: kill.clone(), rank, incarnation });
            }
        }
    }
    Ok(())
}

/// Every rank that was killed is reported as recovered. The rank whose progress a
/// kill goes by has, if it must have `delivered` messages before, replayed
/// deliveries, or sends where it only sends; those that die with it may not have
/// come to anything yet.
///
/// # Errors
/// The first rank that was not, or that replayed nothing.
pub fn all_recovered(
    run: &Finished,
    kills: &[String],
    delivered: bool,
    counts: &[Counts],
) -> Result<(), Failure> {
    let killed: BTreeSet<usize> = kills.iter().flat_map(|kill| victims(kill)).map(|(rank, _)| rank).collect();
    let of_whom: BTreeSet<usize> =
        kills.iter().filter_map(|kill| victims(kill).first().map(|&(rank, _)| rank)).collect();
    for rank in killed {
        let (deliveries, sends) = run.report.replayed(rank).ok_or(Failure::NotRecovered { rank })?;
        let replayed = if counts[rank].deliveries > 0 { deliveries } else { sends };
        if delivered && of_whom.contains(&rank) && replayed == 0 {
            return Err(Failure::NothingReplayed { rank });
        }
    }
    Ok(())
}

/// A run with kills ended right, and it was the run that it claims to be; or the launcher gave up where the protocol may.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn survived(
    run: &Run,
    ended: &Finished,
    kills: &[String],
    undisturbed: &Undisturbed,
) -> Result<(), Failure> {
    if run.protocol.may_give_up(run.schedule.dead_at_once, run.unit) && gave_up(ended) {
        return Ok(());
    }
    same_result(run.program, ended, undisturbed)?;
    all_landed(ended, kills)?;
    let replays = run.schedule.replays && !run.protocol.is_optimistic;
    all_recovered(ended, kills, replays, &undisturbed.counts)
}

/// The launcher gave up in its own words: exit code and report agree.
pub fn gave_up(run: &Finished) -> bool {
    run.code() == Some(UNRECOVERABLE) && run.report.unrecoverable().is_some()
}

/// The ranks and incarnations of a `--kill`.
pub fn victims(kill: &str) -> Vec<(usize, u64)> {
    let ranks = kill.split('@').next().unwrap_or_default();
    ranks
        .split('+')
        .filter_map(|who| match who.split_once('.') {
            Some((rank, incarnation)) => Some((rank.parse().ok()?, incarnation.parse().ok()?)),
            None => Some((who.parse().ok()?, 1)),
        })
        .collect()
}

fn right_end(program: &Program, run: &Finished) -> Result<Transcript, Failure> {
    if run.status.is_none() {
        return Err(Failure::Hang);
    }
    match run.code() {
        Some(0) => {}
        Some(code) if code == UNRECOVERABLE || code == DIVERGENCE => {
            let told = run
                .report
                .events
                .iter()
                .any(|event| matches!(event, Event::Unrecoverable { .. } | Event::Divergence { .. }));
            let unreported = Failure::Unreported { code };
            return Err(if told { Failure::ExitCode { found: Some(code) } } else { unreported });
        }
        found => return Err(Failure::ExitCode { found }),
    }
    let transcript = Transcript::parse(&run.stdout)?;
    for &oracle in program.oracles() {
        oracle
            .judge(&transcript)
            .map_err(|contradiction| Failure::Contradiction { oracle, contradiction })?;
    }
    Ok(transcript)
}

/// Equal lines where there is one legal result; equal numbers of lines elsewhere.
fn same_lines(program: &Program, found: &Transcript, wanted: &Transcript) -> Result<(), Failure> {
    let comparable = |word: &str| program.kind == Kind::OneResult || word == "result";
    for rank in 0..program.ranks {
        let lines = |transcript: &Transcript| -> Vec<String> {
            let lines = transcript.lines_of(rank).filter(|line| comparable(line.word));
            lines.map(|line| line.text.to_owned()).collect()
        };
        let (found, wanted) = (lines(found), lines(wanted));
        if let Some((found, wanted)) = found.iter().zip(&wanted).find(|(found, wanted)| found != wanted) {
            return Err(Failure::Differs { rank, found: found.clone(), wanted: wanted.clone() });
        }
    }
    let (found, wanted) = (found.census(), wanted.census());
    for &(rank, word) in found.keys().chain(wanted.keys()) {
        let times = |census: &std::collections::BTreeMap<(usize, &str), usize>| {
            census.get(&(rank, word)).copied().unwrap_or(0)
        };
        let (found, wanted) = (times(&found), times(&wanted));
        if found != wanted {
            return Err(Failure::Census { rank, word: word.to_owned(), found, wanted });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    const ONE: Program = Program::outside("ring", 2, &[]);

    fn finished(code: Option<i32>, stdout: &str, report: &str) -> Finished {
        Finished {
            status: code.map(|code| ExitStatus::from_raw(code << 8)),
            stdout: stdout.to_owned(),
            stderr: String::new(),
            report: Report::parse(report).unwrap(),
            took: Duration::ZERO,
            command_line: String::new(),
        }
    }

    fn reference() -> Undisturbed {
        let counts = [0, 1].map(|rank| Counts { rank, sends: 5, deliveries: 5 }).to_vec();
        Undisturbed {
            transcript: Transcript::parse("0: result a\n0: result b\n1: result c\n").unwrap(),
            counts,
        }
    }

    fn death(rank: usize, kill: &str) -> String {
        format!(
            r#"{{"event":"death","rank":{rank},"incarnation":1,"cause":"signal 9","kill":"{kill}","at_ms":1}}"#
        )
    }

    fn recovery(rank: usize, deliveries: u64) -> String {
        format!(
            r#"{{"event":"recovered","rank":{rank},"incarnation":2,"detect_ms":1,"replay_ms":1,"determinants":1,"replayed_deliveries":{deliveries},"replayed_sends":0}}"#
        )
    }

    #[test]
    fn the_ranks_may_print_in_any_order_but_each_in_its_own() {
        let mixed = finished(Some(0), "1: result c\n0: result a\n0: result b\n", "");
        assert!(same_result(&ONE, &mixed, &reference()).is_ok());
        let swapped = finished(Some(0), "0: result b\n0: result a\n1: result c\n", "");
        assert!(matches!(same_result(&ONE, &swapped, &reference()), Err(Failure::Differs { rank: 0, .. })));
    }

    #[test]
    fn a_line_lost_or_printed_again_is_found() {
        for output in
            ["0: result a\n1: result c\n", "0: result a\n0: result b\n0: result b\n1: result c\n", ""]
        {
            let run = finished(Some(0), output, "");
            assert!(matches!(same_result(&ONE, &run, &reference()), Err(Failure::Census { rank: 0, .. })));
        }
    }

    #[test]
    fn hangs_and_exit_codes_are_failures() {
        let hung = finished(None, "", "");
        assert!(matches!(same_result(&ONE, &hung, &reference()), Err(Failure::Hang)));
        let failed = finished(Some(3), "", "");
        assert!(matches!(
            same_result(&ONE, &failed, &reference()),
            Err(Failure::ExitCode { found: Some(3) })
        ));
        let mute = finished(Some(UNRECOVERABLE), "", "");
        assert!(matches!(same_result(&ONE, &mute, &reference()), Err(Failure::Unreported { .. })));
    }

    #[test]
    fn giving_up_needs_the_code_and_the_reason() {
        let why = r#"{"event":"unrecoverable","why":"two of one"}"#;
        assert!(gave_up(&finished(Some(UNRECOVERABLE), "", why)));
        assert!(!gave_up(&finished(Some(UNRECOVERABLE), "", "")));
        assert!(!gave_up(&finished(Some(1), "", why)));
    }

    #[test]
    fn each_victim_of_a_kill_must_have_died_of_it() {
        let kills = ["0+1@send:3".to_owned()];
        let both = [death(0, "0+1@send:3"), death(1, "0+1@send:3")].join("\n");
        assert!(all_landed(&finished(Some(0), "", &both), &kills).is_ok());
        let one = finished(Some(0), "", &death(0, "0+1@send:3"));
        assert!(matches!(all_landed(&one, &kills), Err(Failure::NotKilled { rank: 1, incarnation: 1, .. })));
        let another = [death(0, "0+1@send:3"), death(1, "1@send:4")].join("\n");
        assert!(all_landed(&finished(Some(0), "", &another), &kills).is_err());
    }

    #[test]
    fn replay_must_be_reported_where_there_was_something_to_replay() {
        let kills = ["1@send:3".to_owned()];
        let judged = |report: &str, delivered| {
            all_recovered(&finished(Some(0), "", report), &kills, delivered, &reference().counts)
        };
        assert!(judged(&recovery(1, 4), true).is_ok());
        assert!(judged(&recovery(1, 0), false).is_ok());
        assert!(matches!(judged(&recovery(1, 0), true), Err(Failure::NothingReplayed { rank: 1 })));
        assert!(matches!(judged(&recovery(0, 4), true), Err(Failure::NotRecovered { rank: 1 })));
    }

    #[test]
    fn victims_are_read_from_a_kill() {
        assert_eq!(victims("1.2+3@point:replay.middle"), [(1, 2), (3, 1)]);
    }
}
