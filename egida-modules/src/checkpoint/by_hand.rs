//! Drives a checkpointing protocol by hand, one event after another, as the engine would.

use egida_core::checkpoint::CheckpointHead;
use egida_core::ids::{CheckpointNumber, Domains, Rank, Ssn};
use egida_core::module::{Admission, Arriving, Checkpoint, CheckpointContext, Command};
use egida_core::registry::Build;
use egida_core::setting::Setting;
use egida_spec::protocol::FailureUnit;

/// A rank with its protocol.
pub(super) struct ByHand<C> {
    pub rank: Rank,
    pub protocol: C,
    sent: Vec<Ssn>,
    known: Vec<Ssn>,
    newest: CheckpointNumber,
}

/// A message on its way.
pub(super) struct Sent {
    from: Rank,
    ssn: Ssn,
    piggyback: Vec<u8>,
}

/// Makes the protocols of so many ranks.
pub(super) fn ranks<C: Checkpoint>(count: u32, make: impl Fn(&Build<'_>) -> C) -> Vec<ByHand<C>> {
    let setting = Setting { domains: Domains::blocks(count, 1), unit: FailureUnit::Node, images: true };
    let none = vec![0; count as usize];
    (0..count)
        .map(|rank| {
            let build = Build {
                phrase: None,
                rank,
                setting: &setting,
                store: 0,
                mirrored: false,
                lasting: false,
                copies: 2,
            };
            ByHand { rank, protocol: make(&build), sent: none.clone(), known: none.clone(), newest: 0 }
        })
        .collect()
}

impl<C: Checkpoint> ByHand<C> {
    /// What it asks for when something happens.
    pub fn when(&mut self, happens: impl FnOnce(&mut C, &mut CheckpointContext<'_>)) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut context = CheckpointContext::new(self.rank, &self.sent, &self.known, &mut commands);
        happens(&mut self.protocol, &mut context);
        commands
    }

    /// Its timer goes off.
    pub fn timer(&mut self) -> Vec<Command> {
        self.when(|protocol, context| protocol.on_timer(context))
    }

    /// It sends a message.
    pub fn send(&mut self, to: Rank) -> Sent {
        let ssn = self.sent[to as usize];
        let mut piggyback = Vec::new();
        self.protocol.piggyback(to, &mut piggyback);
        self.protocol.sent(to, ssn);
        self.sent[to as usize] += 1;
        Sent { from: self.rank, ssn, piggyback }
    }

    /// A message stands at the head of its channel: it is received if the protocol lets it.
    pub fn offer(&mut self, message: &Sent) -> Admission {
        let Sent { from: source, ssn, ref piggyback } = *message;
        let arriving = Arriving { source, ssn, piggyback };
        let admission = self.protocol.before_receive(arriving).unwrap();
        if admission == Admission::Admit {
            self.protocol.received(arriving).unwrap();
            self.known[source as usize] += 1;
        }
        admission
    }

    /// It takes its next checkpoint; returns the head, and what it asks for.
    pub fn checkpoint(&mut self) -> (CheckpointHead, Vec<Command>) {
        self.newest += 1;
        let ranks = self.sent.len() as u32;
        let mut head = CheckpointHead { number: self.newest, ..CheckpointHead::beginning(self.rank, ranks) };
        (head.sent, head.known) = (self.sent.clone(), self.known.clone());
        self.protocol.capture(&mut head);
        let commands = self.when(|protocol, context| protocol.captured(context, &head));
        (head, commands)
    }

    /// Its newest checkpoint is durable, or failed.
    pub fn settle(&mut self, durable: bool) -> Vec<Command> {
        let number = self.newest;
        self.when(|protocol, context| match durable {
            true => protocol.durable(context, number),
            false => protocol.failed(context, number),
        })
    }

    /// It hears what of this another told it.
    pub fn hear(&mut self, from: Rank, told: &[Command]) -> Vec<Command> {
        let rank = self.rank;
        let mut commands = Vec::new();
        for command in told {
            if let Command::Tell { to, message } = command
                && *to == rank
            {
                commands.extend(
                    self.when(|protocol, context| protocol.on_control(context, from, message).unwrap()),
                );
            }
        }
        commands
    }
}

/// To how many messages to other ranks that comes.
pub(super) fn tells(commands: &[Command]) -> usize {
    commands.iter().filter(|command| matches!(command, Command::Tell { .. })).count()
}
