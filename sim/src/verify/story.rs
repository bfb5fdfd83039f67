//! A counter-example as people read it.

use egida_core::binder::{BindError, Judged};

use crate::job::Job;
use crate::scheduler::Unhurried;
use crate::simulation::{Manner, Simulation, Turn};

/// What happens in a run, turn by turn, each with the news that it makes.
pub(super) fn tell(
    job: &Job<'_>,
    judged: &Judged<'_>,
    manner: Manner,
    counts_deaths: bool,
    path: &[Turn],
) -> Result<Vec<String>, Vec<BindError>> {
    let mut simulation = Simulation::new(job, judged, Box::new(Unhurried))?;
    simulation.begin_explored(manner, counts_deaths)?;
    let mut story = Vec::new();
    for (number, turn) in (1..).zip(path) {
        story.push(format!("{number:>4}. {}", simulation.describe(turn)));
        let before = simulation.lines().len();
        simulation.take(turn);
        let news = simulation.lines()[before..].iter().map(|line| line.trim_start());
        let news = news.map(|line| line.split_once(' ').map_or(line, |(_, what)| what));
        story.extend(news.map(|line| format!("        {line}")));
    }
    Ok(story)
}
