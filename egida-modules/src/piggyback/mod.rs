//! Implementations of `PiggybackLogging`.
//!
//! ```text
//!   Determinants<K> ──┬── Window    the determinants held, who else holds them, which are safe
//!                     └── K         what a refinement knows beyond that, and tells
//!                           Nothing            `determinants`
//!                           DependencyMatrix   `determinants, dependency matrix`
//!                           StabilityVector    `determinants, stability vector`
//!                           StabilityMatrix    `determinants, stability matrix`
//!                           AntecedenceGraph   `antecedence graph`
//! ```

mod antecedence_graph;
mod dependency_matrix;
mod determinants;
mod knowledge;
mod stability_matrix;
mod stability_vector;
mod table;
mod vector_clock;
mod window;

pub use antecedence_graph::AntecedenceGraph;
pub use dependency_matrix::DependencyMatrix;
pub use determinants::Determinants;
pub use knowledge::{Knowledge, Nothing};
pub use stability_matrix::StabilityMatrix;
pub use stability_vector::StabilityVector;
pub use vector_clock::VectorClock;
