//! What every run must fulfil, judged from outside the code under test: one file each.
//!
//! [`judge`] looks at a run that is over; [`Exposure`] at a world while the run goes on.

mod exactly_once;
mod exposure;
mod output;

pub(crate) use exposure::name;
pub use exposure::{Exposed, Exposure};

use crate::job::{Ending, Outcome};

/// What is wrong with an outcome, if anything: the oracles of all protocol classes.
#[must_use]
pub fn judge(outcome: &Outcome) -> Option<String> {
    match &outcome.end {
        Ending::Done => exactly_once::judge(outcome).or_else(|| output::judge(outcome)),
        other => Some(format!("the job ended with {other:?}")),
    }
}
