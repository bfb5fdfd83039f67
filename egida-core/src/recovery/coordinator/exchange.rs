//! What the coordinator is told, and what it answers.

use std::collections::BTreeMap;

use egida_spec::protocol::FailureUnit;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{CheckpointHead, Committed};
use crate::clock::Token;
use crate::driver::Progress;
use crate::ids::{CheckpointNumber, EventIndex, Incarnation, Rank};
use crate::recovery::image::{Collected, RecoveryImage, Unrecoverable};

/// What the coordinator may do about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What fails as one.
    pub unit: FailureUnit,
    /// Whether the protocol recovers at all.
    pub recovers: bool,
    /// How many domains may be down at once under this unit; `None` for any number.
    pub tolerates: Option<u32>,
    /// After how many deaths in a row at the same event of a rank to give up: the program itself is at fault.
    pub deaths_at_one_event: u32,
}

/// Why a process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A signal ended it.
    Signal(i32),
    /// It was fenced because its domain failed.
    Fenced,
    /// It found out that it is an orphan, and ended itself.
    RolledBack,
    /// Its node cannot be reached and is given up. It may live on: nothing that its incarnation still does has an effect.
    Suspected,
}

/// What becomes of the memory of a rank that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fate {
    /// It stays: what the rank logged is drained to its stores, its channels stay as they are.
    Stays,
    /// It stays, and what the rank logged is drained; but the rank returns to an earlier state, so that its outbound
    /// channels begin anew.
    RollsBack,
    /// It is lost, with all that is charged to the rank's domain.
    Lost,
}

/// What the driver tells the coordinator.
#[derive(Debug, Clone)]
pub enum Input {
    /// A rank died and is reaped: it cannot write any more.
    Died {
        /// The rank.
        rank: Rank,
        /// Of what.
        cause: Cause,
        /// How far it had come.
        at: Progress,
    },
    /// A rank left with this status. `finalized` tells whether it had ended its part of the job properly (or never
    /// began it: a program that does not use the library).
    Exited {
        /// The rank.
        rank: Rank,
        /// The exit status.
        code: i32,
        /// Whether that was the proper end.
        finalized: bool,
    },
    /// The new incarnation numbers of a round are on stable storage.
    Durable {
        /// The round.
        round: u64,
    },
    /// No survivor uses channels of the old state any more.
    Quiesced {
        /// The round.
        round: u64,
    },
    /// Determinants and messages of the round are here. `depends` gives, for each rank of the round, how many of its
    /// events each survivor has seen; `observed`, how many observations its released output may tell of.
    Collected {
        /// The round.
        round: u64,
        /// What was found.
        collected: Collected,
        /// Dependencies of survivors.
        depends: BTreeMap<Rank, Vec<(Rank, EventIndex)>>,
        /// Observations told of by released output.
        observed: BTreeMap<Rank, u64>,
    },
    /// A checkpoint is on stable storage.
    Saved {
        /// What is to be known of it.
        head: CheckpointHead,
    },
    /// A checkpoint was in the memory of nodes that are all lost.
    Lost {
        /// Whose checkpoint.
        rank: Rank,
        /// Its number.
        number: CheckpointNumber,
    },
    /// Stable storage has the first `events` events of a rank's log.
    Logged {
        /// Whose log.
        rank: Rank,
        /// How many.
        events: EventIndex,
    },
    /// The protocol has decided whether a tentative checkpoint is kept.
    Decided {
        /// Whose checkpoint.
        rank: Rank,
        /// Its number.
        number: CheckpointNumber,
        /// Whether it is kept.
        keep: bool,
    },
    /// A new incarnation has loaded what it was given: it holds again what it held for others.
    Live {
        /// The rank.
        rank: Rank,
    },
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Kill these ranks and report each as [`Input::Died`] with [`Cause::Fenced`] once it is reaped. Those that have
    /// left already are not among them.
    Fence {
        /// The ranks.
        ranks: Vec<Rank>,
    },
    /// Seal the channels of these ranks, and do with their memory as its fate says.
    Seal {
        /// The ranks, with the fate of their memory.
        ranks: Vec<(Rank, Fate)>,
    },
    /// Make these incarnation numbers durable, then report [`Input::Durable`].
    Persist {
        /// The round.
        round: u64,
        /// The numbers.
        incarnations: Vec<(Rank, Incarnation)>,
    },
    /// Let every survivor see that channels changed, then report [`Input::Quiesced`].
    Quiesce {
        /// The round.
        round: u64,
    },
    /// Run the protocol's retrieval for these ranks, then report [`Input::Collected`].
    Collect {
        /// The round.
        round: u64,
        /// The ranks.
        ranks: Vec<Rank>,
        /// Others whose logs on stable storage are to be read as well: which of them are orphans is to be found out, or what
        /// they held before their memory was lost is there and nowhere else.
        witnesses: Vec<Rank>,
    },
    /// Make these tokens durable, and put them into the inbox of every rank, before anything that is ordered after this.
    Announce {
        /// The tokens.
        tokens: Vec<Token>,
    },
    /// Put [`Control::Recovered`](crate::control::Control::Recovered) into the inbox of every rank, before anything that is
    /// ordered after this.
    Recovered {
        /// How many rounds of recovery there were.
        round: u64,
    },
    /// Recovery will never again need anything of a rank from before a checkpoint: collect it, tell the rank
    /// ([`Control::Committed`](crate::control::Control::Committed)) and the others
    /// ([`Control::Covered`](crate::control::Control::Covered)), and release output that waited for it.
    Commit(Committed),
    /// Start a new incarnation, from the checkpoint whose number the image gives; the driver reads it.
    Start {
        /// The rank.
        rank: Rank,
        /// What it starts from.
        image: RecoveryImage,
    },
    /// Tell the user.
    Tell(Note),
    /// Kill what is left and end the job.
    End(End),
}

/// News for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A rank died.
    Death {
        /// The rank.
        rank: Rank,
        /// Which life of it.
        incarnation: Incarnation,
        /// Of what.
        cause: Cause,
    },
    /// A rank is back.
    Recovered {
        /// The rank.
        rank: Rank,
        /// Which life of it.
        incarnation: Incarnation,
    },
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every rank left; the first status that is not 0, or 0.
    Done(i32),
    /// A rank left without its proper end, or aborted the job.
    Left {
        /// The rank.
        rank: Rank,
        /// Its status.
        code: i32,
    },
    /// A rank died and the protocol does not recover.
    Died {
        /// The rank.
        rank: Rank,
        /// Of what.
        cause: Cause,
    },
    /// Recovery is impossible.
    Unrecoverable(Unrecoverable),
    /// A rank dies again and again at the same event.
    Hopeless {
        /// The rank.
        rank: Rank,
        /// How often it died there.
        deaths: u32,
        /// Where.
        at: Progress,
    },
}
