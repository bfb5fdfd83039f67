//! The programs, one line each.

use crate::oracle::Oracle;
use crate::protocols::{FailureUnit, Protocol};

/// An MPI program of `tests/programs/` with the parameters with which it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its source is `programs/NAME.c`, or one in Fortran, Python or Rust of that name.
    pub name: &'static str,
    /// How many ranks it runs with.
    pub ranks: usize,
    /// Its arguments: sizes that make a run last a fraction of a second.
    pub args: &'static [&'static str],
    /// What rank 0 finds on standard input.
    pub stdin: &'static str,
    /// How many legal outputs it has, and who judges them.
    pub kind: Kind,
    /// Which ranks' next steps depend on something that could come out otherwise.
    pub choice: Choice,
    /// Whether its messages are so large that they travel in pieces and fill segments.
    pub large: bool,
    /// Whether it has files by MPI-IO, which optimistic protocols refuse.
    pub files: bool,
}

/// How many legal outputs a program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One: it must be equal, rank by rank and line by line.
    OneResult,
    /// Many: the oracles must find one history behind it. Its `result` lines
    /// must still be equal.
    OrderDependent(&'static [Oracle]),
}

/// Who meets a non-deterministic event that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Nobody: named sources only, nothing read from outside.
    Nobody,
    /// Only this rank.
    Rank(usize),
    /// Every rank.
    Everybody,
}

const ALL_BUT_POLLING: &[Oracle] = &[Oracle::Matches, Oracle::Messages, Oracle::Clocks];

/// Every program that is killed in all the ways of [`crate::schedules`].
pub const PROGRAMS: &[Program] = &[
    one_result("ring", 3, &["100"]),
    one_result("stencil", 4, &["60", "16"]),
    order_dependent("workers", 4, &["40"], Choice::Rank(0), &[Oracle::Matches]),
    order_dependent("polling", 4, &["48"], Choice::Everybody, &[Oracle::Choices, Oracle::Messages]),
    order_dependent("partitioned", 4, &["16"], Choice::Everybody, &[Oracle::Choices, Oracle::Messages]),
    one_result("cg", 4, &["200"]),
    one_result("printing", 3, &["40"]),
    order_dependent("seeded", 3, &["60"], Choice::Everybody, &[Oracle::Messages, Oracle::Clocks]),
    order_dependent("wildcard", 4, &["8", "5"], Choice::Everybody, &[Oracle::Matches, Oracle::Messages]),
    one_result("large", 3, &["2", "3000"]).with_large_messages(),
    one_result("collectives", 4, &["3"]),
    one_result("types", 4, &["2"]),
    one_result("nonblocking", 4, &["6"]),
    one_result("between", 4, &["6"]),
    one_result("neighbors", 4, &["6"]),
    order_dependent("matched", 4, &["8"], Choice::Everybody, &[Oracle::Matches, Oracle::Messages]),
    one_result("arrays", 3, &["12"]),
    one_result("sessions", 4, &["6"]),
    one_result("files", 4, &["8"]).with_files(),
    one_result("stdin_echo", 3, &[]).reading(
        "to be, or not to be\nthat is the question\n\nwhether 'tis nobler in the mind to suffer\n\
         the slings and arrows\nof outrageous fortune\nor to take arms\nagainst a sea of troubles\n\
         and by opposing\nend them\n",
    ),
    one_result("fortran_include", 4, &["20"]),
    order_dependent("fortran_mpi", 4, &["40"], Choice::Rank(0), &[Oracle::Matches]),
    order_dependent("fortran_f08", 3, &["60"], Choice::Everybody, &[Oracle::Messages, Oracle::Clocks]),
    order_dependent("python", 3, &["30"], Choice::Everybody, ALL_BUT_POLLING),
    order_dependent("rust", 4, &["40"], Choice::Everybody, ALL_BUT_POLLING),
];

impl Program {
    /// A program by its name, for tests that need a certain one.
    ///
    /// # Panics
    /// No such program is in the table.
    pub fn named(name: &str) -> Self {
        let found = PROGRAMS.iter().find(|program| program.name == name);
        *found.unwrap_or_else(|| panic!("no program `{name}` in the table"))
    }

    /// A program outside the table.
    pub const fn outside(name: &'static str, ranks: usize, args: &'static [&'static str]) -> Self {
        one_result(name, ranks, args)
    }

    /// The same with this on standard input.
    pub const fn reading(self, stdin: &'static str) -> Self {
        Self { stdin, ..self }
    }

    const fn with_files(self) -> Self {
        Self { files: true, ..self }
    }

    /// Whether it can be run under that protocol. Files cannot be taken back where survivors roll back, which they do where a
    /// node's loss takes with it what was not yet logged.
    pub fn runs_under(&self, protocol: &Protocol, unit: FailureUnit) -> bool {
        !(self.files && protocol.is_optimistic && unit == FailureUnit::Node)
    }

    const fn with_large_messages(self) -> Self {
        Self { large: true, ..self }
    }

    /// Whether that rank meets a non-deterministic event that matters.
    pub fn chooses(&self, rank: usize) -> bool {
        match self.choice {
            Choice::Nobody => false,
            Choice::Rank(only) => only == rank,
            Choice::Everybody => true,
        }
    }

    /// The oracles that judge its output beyond its `result` lines.
    pub fn oracles(&self) -> &'static [Oracle] {
        match self.kind {
            Kind::OneResult => &[],
            Kind::OrderDependent(oracles) => oracles,
        }
    }
}

const fn one_result(name: &'static str, ranks: usize, args: &'static [&'static str]) -> Program {
    let (kind, choice) = (Kind::OneResult, Choice::Nobody);
    Program { name, ranks, args, stdin: "", kind, choice, large: false, files: false }
}

const fn order_dependent(
    name: &'static str,
    ranks: usize,
    args: &'static [&'static str],
    choice: Choice,
    oracles: &'static [Oracle],
) -> Program {
    let kind = Kind::OrderDependent(oracles);
    Program { name, ranks, args, stdin: "", kind, choice, large: false, files: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installation::programs_dir;

    #[test]
    fn every_program_of_the_table_has_a_source() {
        for program in PROGRAMS {
            let source = programs_dir().join(program.name);
            let found = ["c", "f", "f90", "py", "rs"]
                .iter()
                .any(|extension| source.with_extension(extension).is_file());
            assert!(found, "{} is missing", source.display());
        }
    }

    #[test]
    fn a_program_with_a_choice_has_an_oracle_and_no_other_has() {
        for program in PROGRAMS {
            let chooses = program.choice != Choice::Nobody;
            assert_eq!(chooses, !program.oracles().is_empty(), "{}", program.name);
        }
    }
}
