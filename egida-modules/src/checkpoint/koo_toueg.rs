//! Minimal co-ordinated checkpoints (Koo and Toueg 1987).
//!
//! Whose timer goes off takes a *tentative* checkpoint and asks those from which it has received messages since its last one to
//! do the same: they must have, where they sent such a message since *their* last checkpoint, or its receipt would be an
//! orphan. They ask on. When all are durable and nobody refused, the initiator has all of them kept, otherwise all voided.
//! From its tentative checkpoint to the decision a rank does nothing: so it sends nothing that others would have to know of.
//!
//! Several ranks may initiate. A rank takes part in one instance at a time. The request of another it keeps until then, or
//! refuses, which voids that instance, by an order of precedence among instances; its initiator begins anew with its timer, and
//! keeps its place in that order until it has succeeded. The order is that of Lamport clocks at each initiator's first attempt.
//!
//! On recovery a rank returns to its last kept checkpoint, and makes return who has received what it undoes: the paper's
//! rollback algorithm, which is rollback propagation over the counts of messages.

use std::collections::{BTreeMap, BTreeSet};

use egida_core::checkpoint::CheckpointHead;
use egida_core::ids::{CheckpointNumber, Rank, Ssn};
use egida_core::module::checkpoint::{decode, encode};
use egida_core::module::{Checkpoint, CheckpointContext, PiggybackCheckpointing};
use egida_core::registry::Build;
use egida_core::wire::WireError;
use serde::{Deserialize, Serialize};

/// Which instance: its initiator, and how many that one began before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    initiator: Rank,
    number: u64,
    /// The initiator's clock when it began the first of those that came to nothing since one of its own was kept.
    since: u64,
}

impl Instance {
    /// Of two instances that meet, the one with precedence waits and the other is refused: so no two wait for each other.
    /// Clocks grow with every success and every message, so that only so many instances ever have precedence over a given one,
    /// however often its initiator begins it anew: nobody is refused for ever.
    fn has_precedence_over(&self, other: &Self) -> bool {
        (self.since, self.initiator) < (other.since, other.initiator)
    }
}

/// The protocol in one rank.
#[derive(Debug, Clone)]
pub struct KooToueg {
    /// What had been sent and received at the last checkpoint.
    last: Counts,
    /// How many instances this rank began.
    began: u64,
    /// The greatest time that this rank knows of.
    clock: u64,
    /// When it began what has come to nothing so far.
    since: Option<u64>,
    part: Option<Part>,
    /// Requests that wait for the part to be over: from whom, and of how many received messages they tell.
    kept: Vec<(Rank, Instance, Ssn)>,
    /// The newest instance of each initiator that is decided.
    decided: BTreeMap<Rank, u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Counts {
    sent: Vec<Ssn>,
    received: Vec<Ssn>,
}

/// This rank's part in an instance.
#[derive(Debug, Clone)]
struct Part {
    instance: Instance,
    /// Who asked; none for the initiator.
    asked_by: Option<Rank>,
    /// The tentative checkpoint, once it is captured, and what to return to if it is voided.
    tentative: Option<(CheckpointNumber, Counts)>,
    is_settled: bool,
    waiting_for: BTreeSet<Rank>,
    is_willing: bool,
    is_answered: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Message {
    /// The asker has received so many messages from the asked.
    Request {
        instance: Instance,
        received: Ssn,
    },
    Answer {
        instance: Instance,
        willing: bool,
    },
    Decision {
        instance: Instance,
        keep: bool,
    },
}

impl Message {
    fn instance(&self) -> &Instance {
        let (Self::Request { instance, .. }
        | Self::Answer { instance, .. }
        | Self::Decision { instance, .. }) = self;
        instance
    }
}

impl KooToueg {
    /// At the program's beginning.
    #[must_use]
    pub fn new(build: &Build<'_>) -> Self {
        let none = vec![0; build.setting.domains.ranks() as usize];
        let last = Counts { sent: none.clone(), received: none };
        Self { last, began: 0, clock: 0, since: None, part: None, kept: Vec::new(), decided: BTreeMap::new() }
    }

    fn take_part(&mut self, context: &mut CheckpointContext<'_>, instance: Instance, asked_by: Option<Rank>) {
        self.part = Some(Part {
            instance,
            asked_by,
            tentative: None,
            is_settled: false,
            waiting_for: BTreeSet::new(),
            is_willing: true,
            is_answered: false,
        });
        context.take_checkpoint();
    }

    fn asked(&mut self, context: &mut CheckpointContext<'_>, from: Rank, instance: Instance, received: Ssn) {
        let is_decided =
            self.decided.get(&instance.initiator).is_some_and(|&decided| decided >= instance.number);
        let willing = match &self.part {
            _ if is_decided => false,
            Some(part) if part.instance == instance => true,
            Some(part) if instance.has_precedence_over(&part.instance) => {
                return self.kept.push((from, instance, received));
            }
            Some(_) => false,
            // Nothing of what was received is later than the last checkpoint.
            None if self.last.sent.get(from as usize).is_some_and(|&sent| sent >= received) => true,
            None => return self.take_part(context, instance, Some(from)),
        };
        context.tell(from, &Message::Answer { instance, willing });
    }

    /// Answers, or decides, once everything that this rank waits for has come.
    fn look(&mut self, context: &mut CheckpointContext<'_>) {
        let Some(part) = &mut self.part else { return };
        if !part.is_settled || !part.waiting_for.is_empty() || part.is_answered {
            return;
        }
        part.is_answered = true;
        let (instance, willing) = (part.instance, part.is_willing);
        match part.asked_by {
            Some(asker) => context.tell(asker, &Message::Answer { instance, willing }),
            None => {
                context.tell_others(&Message::Decision { instance, keep: willing });
                self.decided(context, instance, willing);
            }
        }
    }

    fn decided(&mut self, context: &mut CheckpointContext<'_>, instance: Instance, keep: bool) {
        let newest = self.decided.entry(instance.initiator).or_default();
        *newest = instance.number.max(*newest);
        if let Some(part) = self.part.take_if(|part| part.instance == instance) {
            self.conclude(context, part, keep);
        }
    }

    fn conclude(&mut self, context: &mut CheckpointContext<'_>, part: Part, keep: bool) {
        if keep && part.asked_by.is_none() {
            self.since = None;
        }
        if let Some((number, before)) = part.tentative {
            context.decide(number, keep);
            if !keep {
                self.last = before;
            }
        }
        context.let_go();
        for (from, instance, received) in std::mem::take(&mut self.kept) {
            self.asked(context, from, instance, received);
        }
    }

    fn settled(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber, durable: bool) {
        if let Some(part) = &mut self.part
            && part.tentative.as_ref().is_some_and(|&(tentative, _)| tentative == number)
        {
            part.is_settled = true;
            part.is_willing &= durable;
            self.look(context);
        }
    }
}

impl PiggybackCheckpointing for KooToueg {}

impl Checkpoint for KooToueg {
    fn on_timer(&mut self, context: &mut CheckpointContext<'_>) {
        if self.part.is_none() {
            self.began += 1;
            let since = *self.since.get_or_insert_with(|| {
                self.clock += 1;
                self.clock
            });
            self.take_part(context, Instance { initiator: context.rank(), number: self.began, since }, None);
        }
    }

    fn on_control(
        &mut self,
        context: &mut CheckpointContext<'_>,
        from: Rank,
        message: &[u8],
    ) -> Result<(), WireError> {
        let message: Message = decode(message)?;
        self.clock = self.clock.max(message.instance().since);
        match message {
            Message::Request { instance, received } => self.asked(context, from, instance, received),
            Message::Answer { instance, willing } => {
                if let Some(part) = self.part.as_mut().filter(|part| part.instance == instance) {
                    part.waiting_for.remove(&from);
                    part.is_willing &= willing;
                    self.look(context);
                }
            }
            Message::Decision { instance, keep } => self.decided(context, instance, keep),
        }
        Ok(())
    }

    fn capture(&mut self, head: &mut CheckpointHead) {
        head.index = head.number;
        let now = Counts { sent: head.sent.clone(), received: head.known.clone() };
        let before = std::mem::replace(&mut self.last, now);
        if let Some(part) = &mut self.part {
            part.tentative = Some((head.number, before));
        } else {
            // Decided against before it was taken: it is voided at once.
            self.last = before;
        }
    }

    fn captured(&mut self, context: &mut CheckpointContext<'_>, head: &CheckpointHead) {
        let Some(part) = &mut self.part else { return context.decide(head.number, false) };
        context.hold();
        let Some((_, before)) = &part.tentative else { return };
        for other in context.others() {
            let at = other as usize;
            let received = head.known.get(at).copied().unwrap_or(0);
            if received > before.received.get(at).copied().unwrap_or(0) {
                part.waiting_for.insert(other);
                context.tell(other, &Message::Request { instance: part.instance, received });
            }
        }
    }

    fn durable(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, true);
    }

    fn failed(&mut self, context: &mut CheckpointContext<'_>, number: CheckpointNumber) {
        self.settled(context, number, false);
    }

    fn recovered(&mut self, context: &mut CheckpointContext<'_>) {
        self.kept.clear();
        // A rank that returned counts its instances from its checkpoint on: what those before were called may be used again.
        self.decided.clear();
        if let Some(part) = self.part.take() {
            self.conclude(context, part, false);
        }
    }

    fn decides(&self) -> bool {
        true
    }

    fn save(&self) -> Vec<u8> {
        encode(&(&self.last, self.began, self.clock))
    }

    fn load(&mut self, state: &[u8]) -> Result<(), WireError> {
        (self.last, self.began, self.clock) = decode(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egida_core::module::Command;

    /// A rank of two that has sent one message to the other and received one.
    struct Rank2 {
        rank: Rank,
        protocol: KooToueg,
        counts: [Vec<Ssn>; 2],
    }

    impl Rank2 {
        fn new(rank: Rank) -> Self {
            let counts = || (0..2).map(|other| u64::from(other != rank)).collect();
            let last = Counts { sent: vec![0; 2], received: vec![0; 2] };
            let protocol = KooToueg {
                last,
                began: 0,
                clock: 0,
                since: None,
                part: None,
                kept: Vec::new(),
                decided: BTreeMap::new(),
            };
            Self { rank, protocol, counts: [counts(), counts()] }
        }

        /// What it asks for when something happens.
        fn when(&mut self, happens: impl FnOnce(&mut KooToueg, &mut CheckpointContext<'_>)) -> Vec<Command> {
            let mut commands = Vec::new();
            let [sent, known] = &self.counts;
            happens(&mut self.protocol, &mut CheckpointContext::new(self.rank, sent, known, &mut commands));
            commands
        }

        /// Takes the checkpoint that it asked for.
        fn checkpoint(&mut self, number: CheckpointNumber) -> Vec<Command> {
            let mut head = CheckpointHead { number, ..CheckpointHead::beginning(self.rank, 2) };
            [head.sent, head.known] = self.counts.clone();
            self.protocol.capture(&mut head);
            self.when(|protocol, context| protocol.captured(context, &head))
        }

        /// Hears what another told it.
        fn hear(&mut self, told: &[Command]) -> Vec<Command> {
            let from = 1 - self.rank;
            let mut commands = Vec::new();
            for message in told.iter().filter_map(|command| match command {
                Command::Tell { message, .. } => Some(message.clone()),
                _ => None,
            }) {
                commands.extend(
                    self.when(|protocol, context| protocol.on_control(context, from, &message).unwrap()),
                );
            }
            commands
        }
    }

    fn tells(commands: &[Command]) -> usize {
        commands.iter().filter(|command| matches!(command, Command::Tell { .. })).count()
    }

    #[test]
    fn of_two_that_begin_at_once_one_waits_and_the_other_takes_part_in_its_instance() {
        let (mut zero, mut one) = (Rank2::new(0), Rank2::new(1));
        for rank in [&mut zero, &mut one] {
            assert_eq!(rank.when(|protocol, context| protocol.on_timer(context)), [Command::TakeCheckpoint]);
        }
        let (asked_by_zero, asked_by_one) = (zero.checkpoint(1), one.checkpoint(1));
        let refusal = zero.hear(&asked_by_one);
        assert_eq!(tells(&refusal), 1, "rank 0 has precedence, and refuses");
        assert_eq!(tells(&one.hear(&asked_by_zero)), 0, "rank 1 keeps the request");
        one.hear(&refusal);
        let decided = one.when(|protocol, context| protocol.durable(context, 1));
        assert!(decided.contains(&Command::Decide { number: 1, keep: false }), "{decided:?}");
        assert!(
            decided.contains(&Command::TakeCheckpoint),
            "it takes part in the other instance: {decided:?}"
        );
        one.checkpoint(2);
        // It asks back, as it has received from rank 0, and is told that rank 0 takes part already.
        let part = one.protocol.part.as_ref().map(|part| part.instance.initiator);
        assert_eq!(part, Some(0));
    }

    #[test]
    fn who_was_refused_keeps_its_place_and_who_succeeded_goes_behind_it() {
        let (mut zero, mut one) = (Rank2::new(0), Rank2::new(1));
        for rank in [&mut zero, &mut one] {
            rank.when(|protocol, context| protocol.on_timer(context));
        }
        let (asked_by_zero, asked_by_one) = (zero.checkpoint(1), one.checkpoint(1));
        let refusal = zero.hear(&asked_by_one);
        one.when(|protocol, context| protocol.durable(context, 1));
        one.hear(&asked_by_zero);
        one.hear(&refusal);
        let asked_back = one.checkpoint(2);
        let taking_part = zero.hear(&asked_back);
        one.when(|protocol, context| protocol.durable(context, 2));
        let agreed = one.hear(&taking_part);
        zero.when(|protocol, context| protocol.durable(context, 1));
        let kept = zero.hear(&agreed);
        assert!(kept.contains(&Command::Decide { number: 1, keep: true }), "{kept:?}");
        one.hear(&kept);
        let began = |rank: &mut Rank2| {
            rank.when(|protocol, context| protocol.on_timer(context));
            rank.protocol.part.as_ref().map(|part| part.instance).unwrap()
        };
        let (again, next) = (began(&mut one), began(&mut zero));
        assert!(again.has_precedence_over(&next), "{again:?} {next:?}");
    }
}
