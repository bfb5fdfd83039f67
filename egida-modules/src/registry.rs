//! The bindings between the values of Figure 2 and the implementations in this crate.

use std::collections::BTreeMap;

use egida_core::registry::{Implementation, Registry, Slot};
use egida_spec::vocabulary::Vocabulary;

use crate::determinant::CallStructure;
use crate::logging::{Asynchronously, DeterminantLog, Direct, MessageLog, Synchronously};
use crate::output::Independent;
use crate::piggyback::Determinants;
use crate::retrieval::{Centralized, Distributed};
use crate::storage::{Disk, VolatileMemoryOfSelf};

/// Every value that this build implements.
#[must_use]
pub fn registry() -> Registry {
    let mut stable_storage = Slot::default();
    stable_storage.register("local disk", "storage::Disk", |build| Box::new(Disk::new(build)));
    stable_storage.register("nfs disk", "storage::Disk", |build| Box::new(Disk::new(build)));
    let mut volatile_storage = Slot::default();
    volatile_storage.register("volatile memory of self", "storage::VolatileMemoryOfSelf", |build| {
        Box::new(VolatileMemoryOfSelf::new(build))
    });
    let mut how_to_log = Slot::default();
    how_to_log.register("synchronously", "logging::Synchronously", |_| Box::new(Synchronously));
    how_to_log.register("asynchronously", "logging::Asynchronously", |_| Box::new(Asynchronously));
    let mut piggyback_logging = Slot::default();
    piggyback_logging
        .register("determinants", "piggyback::Determinants", |build| Box::new(Determinants::new(build)));
    let mut output_commit = Slot::default();
    output_commit.register("independent", "output::Independent", |_| Box::new(Independent));
    let mut retrieval = Slot::default();
    retrieval.register("centralized", "retrieval::Centralized", |_| Box::new(Centralized::default()));
    retrieval.register("distributed", "retrieval::Distributed", |_| Box::new(Distributed::default()));
    Registry {
        vocabulary: Vocabulary::default(),
        stable_storage,
        volatile_storage,
        how_to_log,
        piggyback_logging,
        output_commit,
        retrieval,
        determinant: Implementation {
            name: "determinant::CallStructure",
            make: Box::new(|_| Box::new(CallStructure)),
        },
        log_determinant: Implementation {
            name: "logging::DeterminantLog",
            make: Box::new(|_| Box::new(DeterminantLog::default())),
        },
        log_info: Implementation { name: "logging::MessageLog", make: Box::new(|_| Box::new(MessageLog)) },
        where_to_log: Implementation { name: "logging::Direct", make: Box::new(|_| Box::new(Direct)) },
        piggyback_growth: BTreeMap::from([(
            "determinants".to_owned(),
            "every determinant that the sender holds, until it knows it at f + 1 failure domains; over each channel once",
        )]),
    }
}
