//! Binding the checkpoint statement.

use std::time::Duration;

use egida_spec::protocol::{CheckpointStmt, Class, Event, Origin, ParamValue, Params, Phrase, Protocol};
use egida_spec::vocabulary::{ParamKind, Survives};

use super::{BindError, Binder, CheckpointUse};
use crate::checkpoint::{Lines, Returning};
use crate::module::Checkpoint;
use crate::registry::Build;
use crate::replication::Replicas;
use crate::stack::{Checkpointing, Scope};

/// How long a rank goes without a checkpoint where the specification does not say.
const EVERY: Duration = Duration::from_secs(30);

/// The checkpoints that a rank takes without regard to others.
const INDEPENDENT: &str = "independent";

impl Binder<'_> {
    /// Refuses by name what of a checkpoint statement this build, or this runtime, cannot do.
    pub(super) fn refuse_checkpoint(&mut self, protocol: &Protocol, statement: &CheckpointStmt) {
        let vocabulary = &self.registry.vocabulary;
        let class = egida_spec::class::classify(protocol, self.setting.unit, vocabulary).class;
        if !self.setting.images {
            let (value, span) = (statement.proto.text.clone(), statement.proto.origin.span());
            self.errors.push(BindError::NoImages { value, span });
        }
        if class == Class::Optimistic && statement.proto.text != INDEPENDENT {
            self.missing(
                "checkpoint, other than an independent one, in an optimistic protocol",
                &statement.proto,
            );
        }
        let known = self.registry.vocabulary.storage.get(&statement.storage.text);
        let is_copied = known.is_some_and(|value| value.traits.survives == Survives::Copies);
        if is_copied && class == Class::Optimistic {
            self.missing("storage of checkpoints in an optimistic protocol", &statement.storage);
        } else if is_copied {
            if let Some(replicas) = self.checkpoint_replicas(&statement.storage) {
                self.check_copies(replicas, &statement.storage);
            }
        } else if self.registry.stable_storage.get(&statement.storage.text).is_none() {
            self.missing("storage of checkpoints", &statement.storage);
        }
    }

    /// In how many other failure domains a checkpoint is to be, where its storage is their memory.
    fn checkpoint_replicas(&self, storage: &Phrase) -> Option<Replicas> {
        let implementation = self.registry.volatile_storage.get(&storage.text)?;
        let build = Build { copies: self.copies_on(storage), ..self.build(Some(storage), 0) };
        (implementation.make)(&build).replicas()
    }

    /// The module of a checkpoint statement, and how it writes.
    pub(super) fn checkpoint(
        &mut self,
        protocol: &Protocol,
        statement: &CheckpointStmt,
    ) -> Option<Checkpointing> {
        let name = self.protocol_name(protocol, &statement.proto);
        let module = self.checkpoint_module(statement, &name)?;
        self.check_piggyback(protocol, statement, &name, &*module);
        let how = self.make(
            &self.registry.checkpoint_implementation,
            "HowToCheckpoint",
            "implementation of checkpoints",
            &statement.implementation,
        )?;
        let every = match every(&statement.params) {
            Some(_) => Origin::Written(statement.span),
            None => Origin::Default(format!(
                "a checkpoint is taken every {} s where `every` is not given",
                EVERY.as_secs()
            )),
        };
        let time = format!("every {:?}", every_of(statement));
        self.row("Timer", &time, "by whoever runs the rank", Some(every));
        let known = self.registry.vocabulary.how_to_checkpoint.get(&statement.how.text);
        let synchronous = known.is_some_and(|value| value.traits.synchronous);
        Some(Checkpointing { protocol: module, how, synchronous })
    }

    /// What whoever runs the ranks must do for checkpoints, and what recovery knows of them.
    pub(super) fn checkpoint_use(
        &self,
        protocol: &Protocol,
        scope: Scope,
        class: Class,
    ) -> Option<(CheckpointUse, Lines)> {
        let statement = protocol.checkpoint.as_ref()?;
        let name = self.protocol_name(protocol, &statement.proto);
        let implementation = self.registry.checkpoint.get(&name)?;
        let module = (implementation.make)(&self.build_checkpoint(statement));
        let used = CheckpointUse {
            every: every_of(statement),
            storage: statement.storage.text.clone(),
            params: statement.storage.params.clone(),
            replicas: self.checkpoint_replicas(&statement.storage),
        };
        let returning = match (scope, class) {
            (Scope::Nothing, _) => Returning::Together,
            (_, Class::Optimistic) => Returning::NotLost,
            _ => Returning::Newest,
        };
        Some((used, Lines::new(module, self.setting.domains.ranks(), returning)))
    }

    /// Whether a piggybacked value is the checkpointing protocol's.
    pub(super) fn is_of_checkpoints(&self, phrase: &Phrase) -> bool {
        let known = self.registry.vocabulary.piggyback.get(&phrase.text);
        known.is_some_and(|value| value.traits.checkpoint_counter)
    }

    /// The name of the protocol that a statement asks for: the value's parameter `protocol`, or the first of those that it
    /// takes, or else the value, together with what messages carry for it.
    fn protocol_name(&self, protocol: &Protocol, value: &Phrase) -> String {
        if let Some(ParamValue::Words(words)) = value.params.get("protocol").map(|param| &param.value) {
            return words.clone();
        }
        let known = self.registry.vocabulary.checkpoint.get(&value.text);
        let named = known.into_iter().flat_map(|known| &known.params).find(|spec| spec.name == "protocol");
        match named.map(|spec| &spec.kind) {
            Some(ParamKind::Words(names)) => names.first().unwrap_or(&value.text).clone(),
            _ => {
                let tracking = written(protocol)
                    .filter(|phrase| self.is_of_checkpoints(phrase))
                    .map(|phrase| format!("{}, {}", value.text, phrase.text))
                    .find(|name| self.registry.checkpoint.get(name).is_some());
                tracking.unwrap_or_else(|| value.text.clone())
            }
        }
    }

    fn checkpoint_module(&mut self, statement: &CheckpointStmt, name: &str) -> Option<Box<dyn Checkpoint>> {
        let registry = self.registry;
        let Some(implementation) = registry.checkpoint.get(name) else {
            self.missing_text("checkpoint protocol", name, statement.proto.origin.span());
            return None;
        };
        let value = &statement.proto.text;
        let shown = if name.starts_with(value) { value.clone() } else { format!("{value} ({name})") };
        self.row("Checkpoint", &shown, implementation.name, Some(statement.proto.origin.clone()));
        Some((implementation.make)(&self.build_checkpoint(statement)))
    }

    fn build_checkpoint<'b>(&'b self, statement: &'b CheckpointStmt) -> Build<'b> {
        self.build(Some(&statement.proto), 0)
    }

    /// What a checkpointing protocol piggybacks must be said under `send:`, and nothing else of the kind.
    fn check_piggyback(
        &mut self,
        protocol: &Protocol,
        statement: &CheckpointStmt,
        name: &str,
        module: &dyn Checkpoint,
    ) {
        let written: Vec<&Phrase> =
            written(protocol).filter(|phrase| self.is_of_checkpoints(phrase)).collect();
        let wanted = module.phrase();
        if let Some(other) = written.iter().find(|phrase| Some(phrase.text.as_str()) != wanted) {
            let what = match wanted {
                Some(wanted) => {
                    format!("`{name}` checkpoints piggyback `{wanted}`, not `{}`", other.text)
                }
                None => format!("`{name}` checkpoints piggyback nothing, and nobody reads `{}`", other.text),
            };
            self.errors.push(BindError::Shape { what, span: other.origin.span() });
        } else if let (Some(wanted), true) = (wanted, written.is_empty()) {
            let what = format!("`{name}` checkpoints need `Piggyback {wanted}` under `send:`");
            self.errors.push(BindError::Shape { what, span: statement.proto.origin.span() });
        }
        if let Some(wanted) = wanted.filter(|_| self.errors.is_empty()) {
            let origin = written.first().map(|phrase| phrase.origin.clone());
            self.row("PiggybackCheckpointing", wanted, "by the checkpointing protocol", origin);
        }
    }
}

/// What the specification has messages carry.
fn written(protocol: &Protocol) -> impl Iterator<Item = &Phrase> {
    let sends = protocol.dependency_generating.iter().filter(|stmt| stmt.event.value == Event::Send);
    sends.flat_map(|stmt| &stmt.piggyback)
}

fn every(params: &Params) -> Option<Duration> {
    match params.get("every").map(|param| &param.value) {
        Some(&ParamValue::DurationNs(nanoseconds)) => Some(Duration::from_nanos(nanoseconds)),
        _ => None,
    }
}

fn every_of(statement: &CheckpointStmt) -> Duration {
    every(&statement.params).unwrap_or(EVERY)
}
