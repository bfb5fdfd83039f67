//! Every collective, for 1 to 9 ranks, against what the standard says it does, computed naively.

mod movement;
mod reductions;
mod world;
