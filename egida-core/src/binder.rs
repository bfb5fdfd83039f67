//! The binder: from a protocol, as plain data, to a live stack of modules.

mod checkpoints;

use std::time::Duration;

use egida_spec::Diagnostic;
use egida_spec::class::{Classification, classify, keeps, relies_on_peers};
use egida_spec::complete_for;
use egida_spec::diagnostic::nearest;
use egida_spec::protocol::{
    Class, Event, EventInfo, FailureUnit, LogStmt, NonDetStmt, Origin, ParamValue, Params, Phrase, Protocol,
    RollbackStmt, Span, Tolerance,
};
use egida_spec::vocabulary::Vocabulary;
use thiserror::Error;

use crate::checkpoint::Lines;
use crate::gate::{MAX_STORES, StoreId};
use crate::ids::{Domain, Rank};
use crate::module::{CollectDeterminants, OrphanDetection};
use crate::recovery::Policy;
use crate::registry::{Build, Registry, Slot};
use crate::replication::Replicas;
use crate::setting::Setting;
use crate::stack::{LogPath, Scope, Slots, Stack};

/// After how many deaths in a row at the same event of a rank its program is held to be at fault.
const DEATHS_AT_ONE_EVENT: u32 = 3;

/// Why a protocol cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BindError {
    /// The checker refuses it.
    #[error("{}", .0.message)]
    Unsound(Diagnostic),
    /// It names a value that no module of this build implements.
    #[error("no module of this build implements the {slot} `{value}`{}", hint(.nearest.as_deref()))]
    NotImplemented {
        /// Which slot.
        slot: &'static str,
        /// The value.
        value: String,
        /// The nearest value that has an implementation.
        nearest: Option<String>,
        /// Where it stands.
        span: Option<Span>,
    },
    /// It takes checkpoints, and whoever runs the ranks takes no images.
    #[error(
        "`{value}` checkpoints need images of applications, which are not taken here; `egida sim` takes them"
    )]
    NoImages {
        /// The checkpointing protocol.
        value: String,
        /// Where it stands.
        span: Option<Span>,
    },
    /// It does not fit the job's shape (rule 13).
    #[error("{what}")]
    Shape {
        /// What does not fit, and what would mend it.
        what: String,
        /// The line that asks for it.
        span: Option<Span>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; the nearest it has is `{nearest}`")).unwrap_or_default()
}

impl BindError {
    /// The bytes of the specification that it is about.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Unsound(diagnostic) => diagnostic.labels.first().map(|label| label.span),
            Self::NotImplemented { span, .. } | Self::NoImages { span, .. } | Self::Shape { span, .. } => {
                *span
            }
        }
    }
}

/// A storage that the node fills from the journals of a bound stack: a stable one, for which it must have a backend, or the
/// memory of other failure domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUse {
    /// Its number in journal entries and gates.
    pub id: StoreId,
    /// Its phrase.
    pub phrase: String,
    /// Its parameters.
    pub params: Params,
    /// Whether someone waits for it.
    pub synchronous: bool,
    /// How long what nobody waits for may lie in the journal before it is written; `None` where it is written at once.
    pub every: Option<Duration>,
    /// Which other failure domains hold it in memory; nothing for a stable storage.
    pub replicas: Option<Replicas>,
}

impl StoreUse {
    fn is_of(&self, storage: &Phrase) -> bool {
        (&self.phrase, &self.params) == (&storage.text, &storage.params)
    }
}

/// The checkpoints that a bound stack takes: what whoever runs it must do for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointUse {
    /// How often the protocol is told that it is time.
    pub every: Duration,
    /// The storage's phrase.
    pub storage: String,
    /// The storage's parameters.
    pub params: Params,
    /// Which other failure domains hold each in memory; nothing for a storage that outlives nodes.
    pub replicas: Option<Replicas>,
}

/// One line of the table of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// The slot, named as in section 4.1.
    pub slot: &'static str,
    /// The value that chose the implementation; empty for slots that have one implementation only.
    pub value: String,
    /// The implementation.
    pub implementation: &'static str,
    /// Where the value comes from.
    pub origin: Option<Origin>,
}

/// A protocol bound for one rank.
pub struct Bound {
    /// The completed protocol.
    pub protocol: Protocol,
    /// The live stack.
    pub stack: Stack,
    /// The storages that the node fills.
    pub stores: Vec<StoreUse>,
    /// What recovery may do.
    pub policy: Policy,
    /// The retrieval of determinants from others; `None` where a rank's own stable log has everything.
    pub collector: Option<Box<dyn CollectDeterminants>>,
    /// What finds orphans at recovery; `None` where there cannot be any.
    pub detector: Option<Box<dyn OrphanDetection>>,
    /// The checkpoints that it takes, if any.
    pub checkpoint: Option<CheckpointUse>,
    /// What recovery knows of checkpoints, if any are taken.
    pub lines: Option<Lines>,
    /// The class, and what decided it.
    pub classification: Classification,
    /// The modules.
    pub table: Vec<TableRow>,
}

/// Binds a protocol for one rank.
///
/// # Errors
/// Everything that stands against it, collected.
pub fn bind(
    protocol: &Protocol,
    registry: &Registry,
    setting: &Setting,
    rank: Rank,
) -> Result<Bound, Vec<BindError>> {
    Judged::new(protocol, registry, setting).bind(rank)
}

/// A protocol that was completed and judged for a job: binding it for a rank is little work then, and can be done over and
/// over.
pub struct Judged<'a> {
    registry: &'a Registry,
    setting: &'a Setting,
    protocol: Protocol,
    classification: Classification,
    policy: Policy,
    objections: Vec<Diagnostic>,
}

impl<'a> Judged<'a> {
    /// Completes and judges a protocol.
    #[must_use]
    pub fn new(protocol: &Protocol, registry: &'a Registry, setting: &'a Setting) -> Self {
        let protocol = complete_for(protocol, setting.unit, &registry.vocabulary);
        let judgement = egida_spec::check_with(&protocol, setting.unit, &registry.vocabulary);
        let classification = classify(&protocol, setting.unit, &registry.vocabulary);
        let policy = Policy {
            unit: setting.unit,
            recovers: scope(&protocol, classification.class) != Scope::Nothing
                || protocol.checkpoint.is_some(),
            tolerates: tolerates(&protocol, registry, setting.unit),
            deaths_at_one_event: DEATHS_AT_ONE_EVENT,
        };
        let objections = judgement.diagnostics.into_iter().filter(Diagnostic::is_error).collect();
        Self { registry, setting, protocol, classification, policy, objections }
    }

    /// The completed protocol.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// What the checker says against it.
    #[must_use]
    pub fn objections(&self) -> &[Diagnostic] {
        &self.objections
    }

    /// The same whatever the checker says against it: for whoever wants to see what goes wrong.
    #[must_use]
    pub fn despite_objections(self) -> Self {
        Self { objections: Vec::new(), ..self }
    }

    /// What recovery may do.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Binds it for one rank.
    ///
    /// # Errors
    /// Everything that stands against it, collected.
    pub fn bind(&self, rank: Rank) -> Result<Bound, Vec<BindError>> {
        let Self { registry, setting, ref protocol, .. } = *self;
        let mut binder = Binder {
            registry,
            setting,
            rank,
            copies: copies(protocol, setting.unit),
            mirrored: protocol.dependency_generating.iter().flat_map(|stmt| &stmt.piggyback).any(|phrase| {
                let value = registry.vocabulary.piggyback.get(&phrase.text);
                value.is_some_and(|value| value.traits.determinants)
            }),
            lasting: determinants_last(protocol, setting.unit, &registry.vocabulary),
            stores: Vec::new(),
            table: Vec::new(),
            errors: self.objections.iter().cloned().map(BindError::Unsound).collect(),
        };
        let class = self.classification.class;
        binder.check_shape(protocol);
        binder.refuse_what_is_missing(protocol);
        let slots = binder.slots(protocol, class);
        // An optimistic protocol replays from the logs of each rank alone.
        let retrieve = protocol.recovery.retrieve.as_ref().filter(|_| class != Class::Optimistic);
        let collector = retrieve.and_then(|phrase| {
            binder.make(
                &registry.retrieval,
                "CollectDeterminants",
                "protocol to retrieve determinants",
                phrase,
            )
        });
        let detector = match slots.as_ref().and_then(|slots| slots.orphans.as_ref()) {
            Some(_) => binder.detector(protocol),
            None => None,
        };
        let scope = scope(protocol, class);
        let (checkpoint, lines) = binder.checkpoint_use(protocol, scope, class).unzip();
        let Some(slots) = slots.filter(|_| binder.errors.is_empty()) else { return Err(binder.errors) };
        let strict = protocol.non_deterministic.iter().any(NonDetStmt::before_delivery);
        Ok(Bound {
            stack: Stack::new(rank, scope, strict, slots),
            stores: binder.stores,
            policy: self.policy,
            collector,
            detector,
            checkpoint,
            lines,
            classification: self.classification.clone(),
            table: binder.table,
            protocol: protocol.clone(),
        })
    }
}

fn scope(protocol: &Protocol, class: Class) -> Scope {
    let has = |event| protocol.non_deterministic.iter().any(|stmt| stmt.event.value == event);
    match class {
        Class::None => Scope::Nothing,
        _ if has(Event::Receive) => Scope::Deliveries,
        _ => Scope::Choices,
    }
}

/// How many failure domains must hold a determinant that lies in volatile memory.
fn copies(protocol: &Protocol, unit: FailureUnit) -> Domain {
    match (unit, egida_spec::tolerance(protocol)) {
        (FailureUnit::Process, _) => 1,
        (FailureUnit::Node, Tolerance::AtMost(f)) => f.saturating_add(1),
        (FailureUnit::Node, Tolerance::Any) => Domain::MAX,
    }
}

/// How many failure domains may be down at once; `None` for any number.
#[must_use]
pub fn tolerates(protocol: &Protocol, registry: &Registry, unit: FailureUnit) -> Option<u32> {
    let classification = classify(protocol, unit, &registry.vocabulary);
    match egida_spec::tolerance(protocol) {
        _ if classification.class == Class::None && protocol.checkpoint.is_none() => Some(0),
        // The memory of a node outlives its processes: nothing is ever lost.
        _ if unit == FailureUnit::Process => None,
        // The tail of an asynchronous log is no safer than the memory it lies in.
        Tolerance::AtMost(f) if classification.class == Class::Causal => Some(f),
        Tolerance::AtMost(f) if relies_on_peers(protocol, unit, &registry.vocabulary).is_some() => Some(f),
        _ => None,
    }
}

/// Whether what determinants are logged on outlives the failures that are to be survived.
fn determinants_last(protocol: &Protocol, unit: FailureUnit, vocabulary: &Vocabulary) -> bool {
    let mut events = protocol.non_deterministic.iter().filter(|stmt| stmt.event.value != Event::Read);
    let log = events.find_map(|stmt| stmt.log_of(EventInfo::Determinant));
    log.is_some_and(|log| keeps(protocol, &log.storage, unit, vocabulary))
}

/// The phrases piggybacked, each refinement behind the determinants that it refines: `determinants, stability vector` is
/// one value, with one implementation.
pub(crate) fn refined(phrases: &[Phrase], vocabulary: &Vocabulary) -> Vec<Phrase> {
    let traits = |phrase: &Phrase| {
        vocabulary.piggyback.get(&phrase.text).map(|value| value.traits).unwrap_or_default()
    };
    let (refinements, mut values): (Vec<Phrase>, Vec<Phrase>) =
        phrases.iter().cloned().partition(|phrase| traits(phrase).refines_determinants);
    // The checker refuses a refinement of nothing.
    if let Some(determinants) = values.iter_mut().find(|phrase| traits(phrase).determinants) {
        for refinement in refinements {
            determinants.text = format!("{}, {}", determinants.text, refinement.text);
        }
    }
    values
}

struct Binder<'a> {
    registry: &'a Registry,
    setting: &'a Setting,
    rank: Rank,
    copies: Domain,
    mirrored: bool,
    lasting: bool,
    stores: Vec<StoreUse>,
    table: Vec<TableRow>,
    errors: Vec<BindError>,
}

impl<'a> Binder<'a> {
    /// Rule 13: what relies on the memory of others needs enough of them.
    fn check_shape(&mut self, protocol: &Protocol) {
        let unit = self.setting.unit;
        let Some(origin) = relies_on_peers(protocol, unit, &self.registry.vocabulary) else { return };
        let Tolerance::AtMost(f) = egida_spec::tolerance(protocol) else { return };
        let domains = self.setting.domains.count();
        if unit == FailureUnit::Node && domains <= f {
            let what = format!(
                "f = {f} needs at least {} nodes whose memory fails independently, and this job has {domains}; \
                 run more ranks, put fewer on each node, or lower f",
                f.saturating_add(1)
            );
            self.errors.push(BindError::Shape { what, span: origin.span() });
        }
    }

    /// Statements whose modules do not exist yet are refused by name; nothing of a specification is ignored.
    fn refuse_what_is_missing(&mut self, protocol: &Protocol) {
        if let Some(checkpoint) = &protocol.checkpoint {
            self.refuse_checkpoint(protocol, checkpoint);
        }
        match &protocol.recovery.rollback {
            Some(RollbackStmt::Checkpoint { storage, span }) => {
                self.missing_text("independent checkpoint on rollback on", &storage.text, Some(*span));
            }
            // What is logged on rollback is what the rank would have logged there a little later: its journal is drained.
            Some(RollbackStmt::Log(log)) => self.check_rollback_log(protocol, log),
            None => {}
        }
        for commit in &protocol.output_commit {
            for event in &commit.events {
                if event.value == Event::Send {
                    self.errors.push(BindError::NotImplemented {
                        slot: "output commit on",
                        value: "send".to_owned(),
                        nearest: Some("write".to_owned()),
                        span: event.origin.span(),
                    });
                }
            }
        }
        let determinant = |stmt: &NonDetStmt| stmt.log_of(EventInfo::Determinant).cloned();
        let main = protocol.non_deterministic.iter().find(|stmt| stmt.event.value != Event::Read);
        let main_storage = main.and_then(determinant).map(|log| log.storage.text);
        for log in protocol.non_deterministic.iter().filter_map(determinant) {
            if Some(&log.storage.text) != main_storage.as_ref() {
                self.missing_text(
                    "second storage for determinants",
                    &log.storage.text,
                    log.storage.origin.span(),
                );
            }
        }
        for log in protocol.dependency_generating.iter().filter_map(|stmt| stmt.log.as_ref()) {
            if log.logs(EventInfo::Determinant) {
                self.missing_text("log at `send`", "determinant", Some(log.span));
            }
            if self.registry.stable_storage.get(&log.storage.text).is_some() {
                self.missing("storage of sent messages", &log.storage);
            }
        }
    }

    /// On rollback the log of the receives is flushed: to where it goes anyway.
    fn check_rollback_log(&mut self, protocol: &Protocol, log: &LogStmt) {
        let receives = protocol.non_deterministic.iter().filter(|stmt| stmt.event.value != Event::Read);
        let is_theirs = receives.flat_map(|stmt| &stmt.logs).any(|other| {
            other.storage.text == log.storage.text && other.storage.params == log.storage.params
        });
        if !is_theirs {
            self.missing("storage on rollback, other than that of the receives,", &log.storage);
        }
    }

    fn missing(&mut self, slot: &'static str, phrase: &Phrase) {
        self.missing_text(slot, &phrase.text, phrase.origin.span());
    }

    fn missing_text(&mut self, slot: &'static str, value: &str, span: Option<Span>) {
        self.errors.push(BindError::NotImplemented { slot, value: value.to_owned(), nearest: None, span });
    }

    fn slots(&mut self, protocol: &Protocol, class: Class) -> Option<Slots> {
        let registry = self.registry;
        let unnamed = self.build(None, 0);
        let determinant = (registry.determinant.make)(&unnamed);
        let log_determinant = (registry.log_determinant.make)(&unnamed);
        self.row("Determinant", "", registry.determinant.name, None);
        self.row("LogEventDeterminant", "", registry.log_determinant.name, None);
        let logged = |info| {
            protocol
                .non_deterministic
                .iter()
                .filter(|stmt| stmt.event.value != Event::Read)
                .find_map(|stmt| stmt.log_of(info))
        };
        let determinant_path = match logged(EventInfo::Determinant) {
            Some(log) => self.path(log),
            None => self.default_path(),
        };
        let delivered_last = logged(EventInfo::Message)
            .is_some_and(|log| keeps(protocol, &log.storage, self.setting.unit, &registry.vocabulary));
        let log_delivered = logged(EventInfo::Message).and_then(|log| self.info(log, "delivered"));
        let sends = protocol.dependency_generating.iter().filter(|stmt| stmt.event.value == Event::Send);
        let mut log_sent = None;
        let mut piggyback = None;
        for stmt in sends {
            if let Some(log) = stmt.log.as_ref().filter(|log| log.logs(EventInfo::Message)) {
                log_sent = self.info(log, "sent");
            }
            for phrase in &refined(&stmt.piggyback, &registry.vocabulary) {
                // What the checkpointing protocol piggybacks it does itself.
                if self.is_of_checkpoints(phrase) {
                    continue;
                }
                let made = self.make(&registry.piggyback_logging, "PiggybackLogging", "piggyback", phrase);
                piggyback = piggyback.or(made);
            }
        }
        let commit =
            protocol.output_commit.iter().find(|stmt| stmt.events.iter().any(|e| e.value == Event::Write));
        let output_commit = commit.and_then(|stmt| {
            self.make(&registry.output_commit, "HowToOutputCommit", "output commit", &stmt.proto)
        });
        // A protocol whose survivors are never orphans has no use for it, as the checker says.
        let is_optimistic = class == Class::Optimistic;
        let orphans = protocol.recovery.orphans.as_ref().filter(|_| is_optimistic).and_then(|phrase| {
            self.make(&registry.orphan_detection, "OrphanDetection", "protocol to detect orphans", phrase)
        });
        let bits = |stores: &mut dyn Iterator<Item = &StoreUse>| {
            stores.fold(0, |bits, store| bits | (1 << store.id))
        };
        let stores = bits(&mut self.stores.iter());
        let awaited = bits(&mut self.stores.iter().filter(|store| store.synchronous));
        if is_optimistic
            && let Some(log) = logged(EventInfo::Determinant)
            && self.stores.iter().any(|store| store.phrase == log.storage.text && store.replicas.is_some())
        {
            self.missing("storage of an optimistic log", &log.storage);
        }
        let checkpoint = match &protocol.checkpoint {
            Some(statement) => Some(self.checkpoint(protocol, statement)?),
            None => None,
        };
        Some(Slots {
            orphans,
            checkpoint,
            stores,
            awaited,
            determinant,
            log_determinant,
            determinant_path: determinant_path?,
            log_delivered,
            delivered_last,
            log_sent,
            piggyback,
            output_commit,
        })
    }

    /// A second instance of the detector, for the recovery coordinator.
    fn detector(&self, protocol: &Protocol) -> Option<Box<dyn OrphanDetection>> {
        let phrase = protocol.recovery.orphans.as_ref()?;
        let implementation = self.registry.orphan_detection.get(&phrase.text)?;
        Some((implementation.make)(&self.build(Some(phrase), 0)))
    }

    /// The log of delivered or sent messages. Copies in the memory of others are made of determinants only.
    fn info(
        &mut self,
        log: &LogStmt,
        which: &str,
    ) -> Option<(Box<dyn crate::module::LogEventInfo>, LogPath)> {
        self.row("LogEventInfo", "", self.registry.log_info.name, None);
        let module = (self.registry.log_info.make)(&self.build(None, 0));
        let path = self.path(log)?;
        if path.volatile.as_ref().is_some_and(|volatile| volatile.replicas().is_some()) {
            let slot =
                if which == "sent" { "storage of sent messages" } else { "storage of delivered messages" };
            self.missing(slot, &log.storage);
        }
        Some((module, path))
    }

    /// A protocol that logs determinants nowhere keeps those that it piggybacks in its own memory.
    fn default_path(&mut self) -> Option<LogPath> {
        let why = "determinants that no `Log` statement places are kept in volatile memory of self";
        let phrase = |text: &str| Phrase {
            text: text.to_owned(),
            params: Params::default(),
            origin: Origin::Default(why.to_owned()),
        };
        self.path_of(&phrase("asynchronously"), &phrase("volatile memory of self"))
    }

    fn path(&mut self, log: &LogStmt) -> Option<LogPath> {
        match &log.how {
            Some(how) => self.path_of(how, &log.storage),
            None => None,
        }
    }

    fn path_of(&mut self, how: &Phrase, storage: &Phrase) -> Option<LogPath> {
        let registry = self.registry;
        let synchronous =
            registry.vocabulary.how_to_log.get(&how.text).is_some_and(|value| value.traits.synchronous);
        let every = match how.params.get("every").map(|param| &param.value) {
            Some(&ParamValue::DurationNs(nanoseconds)) => Some(Duration::from_nanos(nanoseconds)),
            _ => None,
        };
        let how = self.make(&registry.how_to_log, "HowToLog", "way to log", how);
        self.row("WhereToLog", "", registry.where_to_log.name, None);
        let place = (registry.where_to_log.make)(&self.build(None, 0));
        let (mut stable, mut volatile) = (None, None);
        let store = self.number_of(storage)?;
        let build = Build { copies: self.copies_on(storage), ..self.build(Some(storage), store) };
        let copies = build.copies;
        if let Some(implementation) = registry.stable_storage.get(&storage.text) {
            stable = Some((implementation.make)(&build));
            self.row("StableStorage", &storage.text, implementation.name, Some(storage.origin.clone()));
            self.enlist(store, storage, synchronous, every, None);
        } else {
            let module =
                self.make_from(&registry.volatile_storage, "VolatileStorage", "storage", storage, &build)?;
            if let Some(replicas) = module.replicas() {
                self.check_copies(replicas, storage);
                self.enlist(store, storage, synchronous, every, Some(replicas));
            }
            volatile = Some(module);
        }
        Some(LogPath { how: how?, place, stable, volatile, copies })
    }

    /// The number of a storage that the node fills: one for each phrase with its parameters.
    fn number_of(&mut self, storage: &Phrase) -> Option<StoreId> {
        if let Some(known) = self.stores.iter().find(|store| store.is_of(storage)) {
            return Some(known.id);
        }
        let id = StoreId::try_from(self.stores.len()).ok().filter(|&id| usize::from(id) < MAX_STORES);
        if id.is_none() {
            let what = format!(
                "a specification may name at most {MAX_STORES} different storages that are to be filled"
            );
            self.errors.push(BindError::Shape { what, span: storage.origin.span() });
        }
        id
    }

    fn enlist(
        &mut self,
        id: StoreId,
        storage: &Phrase,
        synchronous: bool,
        every: Option<Duration>,
        replicas: Option<Replicas>,
    ) {
        match self.stores.iter_mut().find(|store| store.is_of(storage)) {
            Some(known) => {
                known.synchronous |= synchronous;
                known.every = known.every.min(every);
            }
            None => {
                let (phrase, params) = (storage.text.clone(), storage.params.clone());
                self.stores.push(StoreUse { id, phrase, params, synchronous, every, replicas });
            }
        }
    }

    /// How many failure domains hold what is logged on a storage in the memory of others, the rank's own included.
    fn copies_on(&self, storage: &Phrase) -> Domain {
        match (self.setting.unit, storage.params.get("copies").map(|param| &param.value)) {
            (FailureUnit::Node, Some(&ParamValue::Count(copies))) => {
                Domain::try_from(copies).unwrap_or(Domain::MAX).saturating_add(1).max(self.copies)
            }
            _ => self.copies,
        }
    }

    /// Rule 13 for a storage that asks for more copies than f.
    fn check_copies(&mut self, replicas: Replicas, storage: &Phrase) {
        let (copies, domains) = (replicas.copies, self.setting.domains.count());
        if copies >= self.copies && copies >= domains {
            let what = format!(
                "{copies} copies need at least {} nodes whose memory fails independently, and this job has {domains}; run \
                 more ranks, put fewer on each node, or ask for fewer copies",
                copies.saturating_add(1)
            );
            self.errors.push(BindError::Shape { what, span: storage.origin.span() });
        }
    }

    fn build<'b>(&self, phrase: Option<&'b Phrase>, store: StoreId) -> Build<'b>
    where
        'a: 'b,
    {
        Build {
            phrase,
            rank: self.rank,
            setting: self.setting,
            store,
            mirrored: self.mirrored,
            lasting: self.lasting,
            copies: self.copies,
        }
    }

    fn make<T: ?Sized>(
        &mut self,
        slot: &Slot<T>,
        module: &'static str,
        what: &'static str,
        phrase: &Phrase,
    ) -> Option<Box<T>> {
        let build = Build {
            phrase: Some(phrase),
            rank: self.rank,
            setting: self.setting,
            store: 0,
            mirrored: self.mirrored,
            lasting: self.lasting,
            copies: self.copies,
        };
        self.make_from(slot, module, what, phrase, &build)
    }

    fn make_from<T: ?Sized>(
        &mut self,
        slot: &Slot<T>,
        module: &'static str,
        what: &'static str,
        phrase: &Phrase,
        build: &Build<'_>,
    ) -> Option<Box<T>> {
        let Some(implementation) = slot.get(&phrase.text) else {
            self.errors.push(BindError::NotImplemented {
                slot: what,
                value: phrase.text.clone(),
                nearest: nearest(&phrase.text, slot.phrases()).map(str::to_owned),
                span: phrase.origin.span(),
            });
            return None;
        };
        self.row(module, &phrase.text, implementation.name, Some(phrase.origin.clone()));
        Some((implementation.make)(build))
    }

    fn row(&mut self, slot: &'static str, value: &str, implementation: &'static str, origin: Option<Origin>) {
        self.table.push(TableRow { slot, value: value.to_owned(), implementation, origin });
    }
}
