//! The protocols, one line each, and the two failure units.

use std::fmt;

/// A specification under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Its specification is `specs/NAME.egd`.
    pub name: &'static str,
    /// How many ranks may be dead at the same time under the failure unit `node`
    /// before the launcher may call it unrecoverable.
    pub tolerates: usize,
    /// Whether every delivery has a determinant, or only what was chosen.
    pub of_every_delivery: bool,
    /// Whether the newest events are lost with a node, so that survivors roll back and little may be left to replay.
    pub is_optimistic: bool,
}

/// The protocol that does not recover.
pub const NONE: Protocol =
    Protocol { name: "none", tolerates: 0, of_every_delivery: false, is_optimistic: false };

/// The protocol for tests in which any that recovers will do.
pub const CAUSAL: Protocol =
    Protocol { name: "causal", tolerates: 1, of_every_delivery: false, is_optimistic: false };

/// Every protocol that must survive the schedules.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "pessimistic-receiver",
        tolerates: usize::MAX,
        of_every_delivery: true,
        is_optimistic: false,
    },
    Protocol {
        name: "pessimistic-sender",
        tolerates: usize::MAX,
        of_every_delivery: false,
        is_optimistic: false,
    },
    Protocol {
        name: "pessimistic-sender-receive",
        tolerates: usize::MAX,
        of_every_delivery: true,
        is_optimistic: false,
    },
    CAUSAL,
    Protocol { name: "causal-receive", tolerates: 1, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "optimistic", tolerates: usize::MAX, of_every_delivery: true, is_optimistic: true },
    Protocol {
        name: "optimistic-exchange",
        tolerates: usize::MAX,
        of_every_delivery: true,
        is_optimistic: true,
    },
    Protocol {
        name: "causal-dependency-matrix",
        tolerates: 2,
        of_every_delivery: false,
        is_optimistic: false,
    },
    Protocol { name: "causal-stability-vector", tolerates: 2, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "causal-stability-matrix", tolerates: 2, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "causal-stable", tolerates: usize::MAX, of_every_delivery: false, is_optimistic: false },
    Protocol { name: "manetho", tolerates: usize::MAX, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "hybrid", tolerates: 1, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "pessimistic-replicated", tolerates: 2, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "pessimistic-sbml", tolerates: 1, of_every_delivery: true, is_optimistic: false },
    Protocol { name: "replicated-hybrid", tolerates: 2, of_every_delivery: true, is_optimistic: false },
    // The paper's hybrid: causal, with an asynchronous log on disk and centralized retrieval.
    Protocol { name: "paper/fig3b", tolerates: 1, of_every_delivery: true, is_optimistic: false },
];

impl Protocol {
    /// Whether the launcher may refuse to recover when that many ranks of a job
    /// are dead at the same time.
    pub fn may_give_up(&self, dead_at_once: usize, unit: FailureUnit) -> bool {
        unit == FailureUnit::Node && dead_at_once > self.tolerates
    }
}

/// What is lost with a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureUnit {
    /// The process; memory of its node survives.
    Process,
    /// The rank's virtual node with all of its memory.
    Node,
}

impl FailureUnit {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Process, Self::Node];
}

impl fmt::Display for FailureUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Node => "node",
        })
    }
}
