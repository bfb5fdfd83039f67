//! The bindings between the values of Figure 2 and the implementations in this crate.

use std::collections::BTreeMap;

use egida_core::module::{
    Checkpoint, CollectDeterminants, HowToCheckpoint, HowToLog, HowToOutputCommit, OrphanDetection,
    PiggybackLogging, StableStorage, VolatileStorage,
};
use egida_core::registry::{Implementation, Registry, Slot};
use egida_core::replication::Placement;
use egida_spec::vocabulary::Vocabulary;

use crate::checkpoint::{
    Bcs, ChandyLamport, FailSafePvm, Fdas, Full, Hmnr, Incremental, Index, KooToueg, LazyBcs,
    RollbackDependencyGraph, Timed,
};
use crate::determinant::CallStructure;
use crate::logging::{Asynchronously, DeterminantLog, Direct, MessageLog, Synchronously};
use crate::orphans::{broadcast_logical_clock, exchange_vector_clock};
use crate::output::{CoOrdinated, Independent};
use crate::piggyback::{
    AntecedenceGraph, DependencyMatrix, Determinants, Nothing, StabilityMatrix, StabilityVector, VectorClock,
};
use crate::retrieval::{centralized, distributed};
use crate::storage::{Disk, MemoryOfOthers, VolatileMemoryOfSelf};

/// Every value that this build implements.
#[must_use]
pub fn registry() -> Registry {
    let mut stable_storage = Slot::<dyn StableStorage>::default();
    stable_storage.register("local disk", "storage::Disk", |build| Box::new(Disk::new(build)));
    stable_storage.register("nfs disk", "storage::Disk", |build| Box::new(Disk::new(build)));
    let mut volatile_storage = Slot::<dyn VolatileStorage>::default();
    volatile_storage.register("volatile memory of self", "storage::VolatileMemoryOfSelf", |build| {
        Box::new(VolatileMemoryOfSelf::new(build))
    });
    for (phrase, placement) in [
        ("volatile memory of processes", Placement::Neighbours),
        ("volatile memory of sender", Placement::Sender),
    ] {
        volatile_storage.register(phrase, "storage::MemoryOfOthers", move |build| {
            Box::new(MemoryOfOthers::new(build, placement))
        });
    }
    let mut how_to_log = Slot::<dyn HowToLog>::default();
    how_to_log.register("synchronously", "logging::Synchronously", |_| Box::new(Synchronously));
    how_to_log.register("asynchronously", "logging::Asynchronously", |_| Box::new(Asynchronously));
    let mut piggyback_logging = Slot::<dyn PiggybackLogging>::default();
    piggyback_logging.register("determinants", "piggyback::Determinants", |build| {
        Box::new(Determinants::<Nothing>::new(build))
    });
    piggyback_logging.register(
        "determinants, dependency matrix",
        "piggyback::Determinants<DependencyMatrix>",
        |build| Box::new(Determinants::<DependencyMatrix>::new(build)),
    );
    piggyback_logging.register(
        "determinants, stability vector",
        "piggyback::Determinants<StabilityVector>",
        |build| Box::new(Determinants::<StabilityVector>::new(build)),
    );
    piggyback_logging.register(
        "determinants, stability matrix",
        "piggyback::Determinants<StabilityMatrix>",
        |build| Box::new(Determinants::<StabilityMatrix>::new(build)),
    );
    piggyback_logging.register("antecedence graph", "piggyback::Determinants<AntecedenceGraph>", |build| {
        Box::new(Determinants::<AntecedenceGraph>::new(build))
    });
    piggyback_logging
        .register("vector clock", "piggyback::VectorClock", |build| Box::new(VectorClock::new(build)));
    let mut output_commit = Slot::<dyn HowToOutputCommit>::default();
    output_commit.register("independent", "output::Independent", |_| Box::new(Independent));
    output_commit.register("co-ordinated", "output::CoOrdinated", |_| Box::new(CoOrdinated));
    let mut orphan_detection = Slot::<dyn OrphanDetection>::default();
    orphan_detection.register("broadcast logical clock", "orphans::broadcast_logical_clock", |_| {
        Box::new(broadcast_logical_clock())
    });
    orphan_detection.register("exchange vector clock", "orphans::exchange_vector_clock", |_| {
        Box::new(exchange_vector_clock())
    });
    let mut retrieval = Slot::<dyn CollectDeterminants>::default();
    retrieval.register("centralized", "retrieval::centralized", |_| Box::new(centralized()));
    retrieval.register("distributed", "retrieval::distributed", |_| Box::new(distributed()));
    let mut checkpoint = Slot::<dyn Checkpoint>::default();
    checkpoint.register("independent", "checkpoint::Timed", |_| Box::new(Timed));
    checkpoint.register("independent, checkpoint counter", "checkpoint::RollbackDependencyGraph", |build| {
        Box::new(RollbackDependencyGraph::new(build))
    });
    checkpoint.register(
        "chandy-lamport",
        "checkpoint::ChandyLamport",
        |_| Box::new(ChandyLamport::default()),
    );
    checkpoint.register("koo-toueg", "checkpoint::KooToueg", |build| Box::new(KooToueg::new(build)));
    checkpoint.register("fail-safe-pvm", "checkpoint::FailSafePvm", |_| Box::new(FailSafePvm::default()));
    checkpoint.register("index", "checkpoint::Index", |_| Box::new(Index::default()));
    checkpoint.register("bcs", "checkpoint::Bcs", |_| Box::new(Bcs::start()));
    checkpoint.register("lazy-bcs", "checkpoint::LazyBcs", |_| Box::new(LazyBcs::start()));
    checkpoint.register("fdas", "checkpoint::Fdas", |build| Box::new(Fdas::start(build)));
    checkpoint.register("hmnr", "checkpoint::Hmnr", |build| Box::new(Hmnr::start(build)));
    let mut checkpoint_implementation = Slot::<dyn HowToCheckpoint>::default();
    checkpoint_implementation.register("full", "checkpoint::Full", |_| Box::new(Full));
    checkpoint_implementation
        .register("incremental", "checkpoint::Incremental", |_| Box::new(Incremental::default()));
    Registry {
        checkpoint,
        checkpoint_implementation,
        vocabulary: vocabulary(),
        stable_storage,
        volatile_storage,
        how_to_log,
        piggyback_logging,
        output_commit,
        retrieval,
        orphan_detection,
        determinant: Implementation {
            name: "determinant::CallStructure",
            make: Box::new(|_| Box::new(CallStructure)),
        },
        log_determinant: Implementation {
            name: "logging::DeterminantLog",
            make: Box::new(|build| Box::new(DeterminantLog::new(build))),
        },
        log_info: Implementation { name: "logging::MessageLog", make: Box::new(|_| Box::new(MessageLog)) },
        where_to_log: Implementation { name: "logging::Direct", make: Box::new(|_| Box::new(Direct)) },
        piggyback_growth: BTreeMap::from([
            (
                "determinants".to_owned(),
                "every determinant that the sender holds, until it knows it at f + 1 failure domains or on stable \
                 storage; over each channel once",
            ),
            (
                "determinants, dependency matrix".to_owned(),
                "the cells of a matrix of all ranks that changed, three numbers each; and determinants as without it, \
                 but for those that the receiver is known to have",
            ),
            (
                "determinants, stability vector".to_owned(),
                "the entries of a vector of all ranks that changed, two numbers each; and determinants as without it, \
                 but for those that anybody has told to be safe",
            ),
            (
                "determinants, stability matrix".to_owned(),
                "the cells of a matrix of all ranks that changed, three numbers each, until everyone knows; and \
                 determinants as with a stability vector",
            ),
            (
                "antecedence graph".to_owned(),
                "two numbers for each tip of the sender's graph, and every node with its edges that the receiver does \
                 not have, until it is known at f + 1 failure domains or on stable storage",
            ),
            ("vector clock".to_owned(), "two numbers for each rank"),
            ("checkpoint counter".to_owned(), "one number"),
            (
                "checkpoint vectors".to_owned(),
                "a number for each rank, and in `hmnr` two bits and the clock besides",
            ),
        ]),
    }
}

/// The language without the parameters that no module of this build heeds: a specification that sets one is refused,
/// not run as if it had not.
fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::default();
    vocabulary.how_to_log.restrict_params("asynchronously", &["every"]);
    vocabulary.storage.restrict_params("volatile memory of self", &[]);
    vocabulary.storage.restrict_params("volatile memory of processes", &["copies"]);
    vocabulary.storage.restrict_params("volatile memory of sender", &[]);
    vocabulary.storage.restrict_params("local disk", &["path", "returns"]);
    vocabulary.storage.restrict_params("nfs disk", &["path"]);
    vocabulary.statements.dependency_generating.clear();
    vocabulary
}

#[cfg(test)]
mod tests {
    use egida_core::binder::{BindError, Bound, bind};
    use egida_core::ids::Domains;
    use egida_core::replication::{Placement, Replicas};
    use egida_core::setting::Setting;
    use egida_spec::protocol::FailureUnit;

    use super::registry;

    fn bind_text(name: &str, text: &str, unit: FailureUnit) -> Result<Bound, Vec<BindError>> {
        let loaded = egida_spec::load(name, text);
        let protocol = loaded.protocol.unwrap_or_else(|| panic!("{name}: {:?}", loaded.diagnostics));
        bind(&protocol, &registry(), &Setting { domains: Domains::blocks(4, 1), unit, images: true }, 0)
    }

    fn specifications(directory: &str) -> Vec<(String, String)> {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
        let mut found: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "egd"))
            .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn every_specification_of_this_build_binds_under_both_units() {
        let specifications = specifications("specs");
        assert!(specifications.len() >= 6);
        for (name, text) in specifications {
            for unit in FailureUnit::ALL {
                let bound = bind_text(&name, &text, unit);
                assert!(bound.is_ok(), "{name} under {unit}: {:?}", bound.err());
            }
        }
    }

    #[test]
    fn the_papers_figures_bind() {
        for (name, text) in specifications("specs/paper") {
            assert_eq!(bind_text(&name, &text, FailureUnit::Node).err(), None, "{name}");
        }
    }

    #[test]
    fn a_parameter_that_nothing_heeds_is_refused_by_name() {
        let text = |parameter: &str, storage: &str| {
            format!(
                "choice:\n determinant: {{source, sesn, dest, desn, outcome, event}}\n\
                 Log determinant synchronously on {storage} with ({parameter})\n\
                 send:\n Log message synchronously on volatile memory of self"
            )
        };
        let errors = bind_text("p", &text("limit = 4 MiB", "NFS disk"), FailureUnit::Node).err().unwrap();
        assert!(errors[0].to_string().contains("limit"), "{errors:?}");
        assert!(bind_text("p", &text("path = \"/logs\"", "NFS disk"), FailureUnit::Node).is_ok());
        assert!(bind_text("p", &text("returns = node", "local disk"), FailureUnit::Node).is_ok());
        assert!(bind_text("p", &text("path = \"/logs\"", "local disk"), FailureUnit::Node).is_err());
    }

    fn replicated(header: &str, log: &str) -> String {
        format!(
            "protocol p with ({header})\nreceive:\n determinant: {{source, sesn, dest, desn}}\n {log}\n\
             send:\n Log message synchronously on volatile memory of self"
        )
    }

    #[test]
    fn memory_of_others_is_a_store_where_memory_is_lost_with_its_node() {
        let text = replicated("f = 2", "Log determinant synchronously on volatile memory of processes");
        let bound = bind_text("p", &text, FailureUnit::Node).unwrap();
        let replicas = Replicas { copies: 2, placement: Placement::Neighbours };
        assert_eq!(bound.stores.len(), 1);
        assert_eq!((bound.stores[0].replicas, bound.stores[0].synchronous), (Some(replicas), true));
        assert_eq!(bound.policy.tolerates, Some(2));
        assert!(bound.collector.is_some());
        let bound = bind_text("p", &text, FailureUnit::Process).unwrap();
        assert_eq!((bound.stores.len(), bound.policy.tolerates), (0, None));
        let three = text.replace("processes", "processes with (copies = 3)");
        let bound = bind_text("p", &three, FailureUnit::Node).unwrap();
        assert_eq!(bound.stores[0].replicas.map(|replicas| replicas.copies), Some(3));
        assert_eq!(bound.policy.tolerates, Some(2));
        let four = text.replace("processes", "processes with (copies = 4)");
        let errors = bind_text("p", &four, FailureUnit::Node).err().unwrap();
        assert!(matches!(&errors[..], [BindError::Shape { .. }]), "{errors:?}");
    }

    #[test]
    fn checkpoints_are_in_the_memory_of_f_others_where_memory_is_lost_with_its_node() {
        let text = |header: &str, storage: &str| {
            format!(
                "protocol p with ({header})\nCo-ordinated output commit on write\n\
                 Co-ordinated checkpoint asynchronously on {storage}"
            )
        };
        let replicas = |header: &str, storage: &str, unit| {
            let bound = bind_text("p", &text(header, storage), unit).unwrap();
            (bound.checkpoint.unwrap().replicas.map(|replicas| replicas.copies), bound.policy.tolerates)
        };
        let processes = "volatile memory of processes";
        assert_eq!(replicas("f = 2", processes, FailureUnit::Node), (Some(2), Some(2)));
        let three = format!("{processes} with (copies = 3)");
        assert_eq!(replicas("f = 2", &three, FailureUnit::Node), (Some(3), Some(2)));
        assert_eq!(replicas("f = 2", processes, FailureUnit::Process), (None, None));
        assert_eq!(replicas("f = 2", "NFS disk", FailureUnit::Node), (None, None));
        let four = text("f = 2", &format!("{processes} with (copies = 4)"));
        let errors = bind_text("p", &four, FailureUnit::Node).err().unwrap();
        assert!(matches!(&errors[..], [BindError::Shape { .. }]), "{errors:?}");
        let sender = text("f = 1", "volatile memory of sender");
        let errors = bind_text("p", &sender, FailureUnit::Node).err().unwrap();
        assert!(
            errors[0].to_string().contains("storage of checkpoints `volatile memory of sender`"),
            "{errors:?}"
        );
    }

    #[test]
    fn only_the_synchronous_store_of_two_is_waited_for() {
        let logs = "Log determinant synchronously on volatile memory of processes\n\
                    Log message asynchronously on NFS disk";
        let bound = bind_text("p", &replicated("f = 2", logs), FailureUnit::Node).unwrap();
        let stores: Vec<_> = bound
            .stores
            .iter()
            .map(|store| (store.id, store.synchronous, store.replicas.is_some()))
            .collect();
        assert_eq!(stores, [(0, true, true), (1, false, false)]);
        assert_eq!((bound.stack.stores(), bound.stack.awaited()), (0b11, 0b01));
    }

    #[test]
    fn only_determinants_are_copied_into_the_memory_of_others() {
        let on = "synchronously on volatile memory of processes";
        let errors = |text: &str| {
            let errors = bind_text("p", text, FailureUnit::Node).err().unwrap();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let delivered = errors(&replicated("f = 1", &format!("Log determinant, message {on}")));
        assert!(
            delivered.contains("storage of delivered messages `volatile memory of processes`"),
            "{delivered}"
        );
        let sent = replicated("f = 1", &format!("Log determinant {on}")).replace("of self", "of sender");
        assert!(errors(&sent).contains("storage of sent messages `volatile memory of sender`"));
        let optimistic = "receive:\n determinant: {source, sesn, dest, desn}\n\
             Log determinant asynchronously on volatile memory of processes\n\
             send:\n Piggyback vector clock\n Log message synchronously on volatile memory of self\n\
             Protocol to detect orphans: broadcast logical clock";
        assert!(errors(optimistic).contains("storage of an optimistic log"));
    }

    #[test]
    fn output_commit_on_send_is_refused_by_name() {
        let text = "choice:\n determinant: {source, sesn, dest, desn, outcome, event}\n\
                    Log determinant asynchronously on NFS disk\n\
                    send:\n Log message synchronously on volatile memory of self\n\
                    Independent output commit on write, send";
        let errors = bind_text("p", text, FailureUnit::Node).err().unwrap();
        let span = errors[0].span().unwrap();
        assert_eq!(&text[span.start..span.end], "send");
        let said =
            "no module of this build implements the output commit on `send`; the nearest it has is `write`";
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
    }

    #[test]
    fn too_few_nodes_are_refused() {
        let text = "protocol p with (f = 4)\nchoice:\n determinant: {source, sesn, dest, desn, outcome, event}\n\
                    send:\n Piggyback determinants\n Log message synchronously on volatile memory of self";
        let errors = bind_text("p", text, FailureUnit::Node).err().unwrap();
        assert!(matches!(&errors[..], [BindError::Shape { .. }]), "{errors:?}");
        assert!(bind_text("p", text, FailureUnit::Process).is_ok());
    }
}
