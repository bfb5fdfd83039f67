#![forbid(unsafe_code)]
//! A stable storage of one's own: `replicated file`, the same log in several files, of which one is enough.
//!
//! A stable storage has two halves under one phrase of the language. The *placement* runs in the rank: it says what goes
//! into the rank's journal and what is true once the storage has it. The *backend* runs in the node: it takes entries
//! out of journals and keeps them where a failure cannot reach them. This crate registers both, beside those that Egida
//! brings along; `docs/write-your-own-module.md` walks through it.
//!
//! What it does not do: it puts the copies into directories and trusts whoever mounts them that these fail
//! independently.

mod backend;
mod placement;

use egida_core::registry::Registry;
use egida_node::storage::Backends;
use egida_spec::vocabulary::{ParamKind, ParamSpec, Storage, Survives};

pub use backend::Replicas;
pub use placement::ReplicatedFile;

/// The value of the language.
pub const PHRASE: &str = "replicated file";

/// Registers the placement half, and tells the checker what it must know of the value.
pub fn register_placement(registry: &mut Registry) {
    let traits = Storage { survives: Survives::Node, on_peers: false };
    let params = vec![ParamSpec::new("copies", ParamKind::Count), ParamSpec::new("path", ParamKind::Text)];
    registry.register_stable_storage(PHRASE, traits, params, "own_module::ReplicatedFile", |build| {
        Box::new(ReplicatedFile::new(build))
    });
}

/// Registers the backend half under the same phrase.
pub fn register_backend(backends: &mut Backends) {
    backends.register(PHRASE, |place| Ok(Box::new(Replicas::create(place)?)));
}
