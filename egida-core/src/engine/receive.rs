//! A posted receive on its way to the application.

use crate::gate::Gate;
use crate::ids::{Rank, Ssn};
use crate::matching::Arrived;

/// The state of one receive.
#[derive(Debug, Clone)]
pub(super) struct Receive {
    /// How many receives were posted before it.
    pub post: u64,
    /// What a recovered determinant says that it took.
    pub forced: Option<(Rank, Ssn)>,
    /// Whether its match is a non-deterministic event.
    pub makes_determinant: bool,
    /// What it was matched with.
    pub message: Option<Arrived>,
    /// Payload bytes given to the application's buffer.
    pub read: u64,
    /// The payload so far, where the receiver logs it.
    pub collected: Vec<u8>,
    /// Whether the payload is whole and logged as far as it is to be.
    pub logged: bool,
    /// What must be stable before the application sees it.
    pub gate: Gate,
}

impl Receive {
    pub fn new(post: u64, forced: Option<(Rank, Ssn)>, makes_determinant: bool) -> Self {
        Self {
            post,
            forced,
            makes_determinant,
            message: None,
            read: 0,
            collected: Vec::new(),
            logged: false,
            gate: Gate::open(),
        }
    }

    /// Whether it waits for the message that it took before.
    pub fn is_repeated(&self) -> bool {
        self.forced.is_some() && self.message.is_none()
    }
}
