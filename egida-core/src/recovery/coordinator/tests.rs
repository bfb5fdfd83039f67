use super::*;
use crate::checkpoint::tests::NewestLine;
use crate::checkpoint::{CheckpointHead, Returning};
use crate::clock::IncarnationClock;
use crate::event::{Determinant, Happened};
use crate::module::Standing;

fn coordinator(unit: FailureUnit, tolerates: Option<u32>, per_domain: u32) -> Coordinator {
    let policy = Policy { unit, recovers: true, tolerates, deaths_at_one_event: 3 };
    Coordinator::new(policy, Domains::blocks(4, per_domain))
}

fn died(rank: Rank, sends: u64) -> Input {
    Input::Died { rank, cause: Cause::Signal(9), at: Progress { sends, ..Progress::default() } }
}

fn collected(round: u64) -> Input {
    Input::Collected {
        round,
        collected: Collected::default(),
        depends: BTreeMap::new(),
        observed: BTreeMap::new(),
    }
}

/// Feeds completions back until a rank is started; returns the started ranks with their incarnations.
fn run_round(coordinator: &mut Coordinator, mut actions: Vec<Action>) -> Vec<(Rank, Incarnation)> {
    let mut started = Vec::new();
    while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
        let more = match action {
            Action::Fence { ranks } => ranks
                .into_iter()
                .flat_map(|rank| {
                    let at = Progress::default();
                    coordinator.handle(Input::Died { rank, cause: Cause::Fenced, at })
                })
                .collect(),
            Action::Persist { round, .. } => coordinator.handle(Input::Durable { round }),
            Action::Quiesce { round } => coordinator.handle(Input::Quiesced { round }),
            Action::Collect { round, .. } => coordinator.handle(collected(round)),
            Action::Start { rank, image } => {
                started.push((rank, image.incarnation));
                Vec::new()
            }
            Action::Seal { .. }
            | Action::Tell(_)
            | Action::Announce { .. }
            | Action::Recovered { .. }
            | Action::Commit(_) => Vec::new(),
            Action::End(end) => panic!("ended: {end:?}"),
        };
        actions.extend(more);
    }
    started
}

#[test]
fn one_death_is_one_round() {
    let mut coordinator = coordinator(FailureUnit::Process, None, 1);
    let actions = coordinator.handle(died(2, 5));
    assert_eq!(run_round(&mut coordinator, actions), [(2, 2)]);
    let told = coordinator.handle(Input::Live { rank: 2 });
    assert_eq!(told, [Action::Tell(Note::Recovered { rank: 2, incarnation: 2 })]);
}

#[test]
fn a_node_takes_its_neighbours_along() {
    let mut coordinator = coordinator(FailureUnit::Node, Some(1), 2);
    let actions = coordinator.handle(died(2, 5));
    assert!(actions.contains(&Action::Fence { ranks: vec![3] }));
    assert!(!actions.iter().any(|action| matches!(action, Action::Seal { .. })), "not before 3 is reaped");
    assert_eq!(run_round(&mut coordinator, actions), [(2, 2), (3, 2)]);
}

#[test]
fn the_log_of_one_that_lost_its_memory_is_read_at_later_failures() {
    let mut coordinator = coordinator(FailureUnit::Node, None, 1);
    let actions = coordinator.handle(died(2, 5));
    run_round(&mut coordinator, actions);
    coordinator.handle(Input::Live { rank: 2 });
    coordinator.handle(died(0, 7));
    let round = 2;
    coordinator.handle(Input::Durable { round });
    let collect = coordinator.handle(Input::Quiesced { round });
    assert_eq!(collect, [Action::Collect { round, ranks: vec![0], witnesses: vec![2] }]);
}

#[test]
fn a_neighbour_that_left_is_executed_again() {
    let mut coordinator = coordinator(FailureUnit::Node, Some(1), 2);
    coordinator.handle(Input::Exited { rank: 3, code: 0, finalized: true });
    let actions = coordinator.handle(died(2, 5));
    assert_eq!(run_round(&mut coordinator, actions), [(2, 2), (3, 2)]);
}

#[test]
fn a_death_during_collection_begins_the_round_anew() {
    let mut coordinator = coordinator(FailureUnit::Process, None, 1);
    coordinator.handle(died(1, 5));
    coordinator.handle(Input::Durable { round: 1 });
    let actions = coordinator.handle(died(3, 6));
    assert!(coordinator.handle(collected(1)).is_empty(), "an answer of the old round is ignored");
    assert_eq!(run_round(&mut coordinator, actions), [(1, 2), (3, 2)]);
}

#[test]
fn too_many_nodes_at_once_are_unrecoverable() {
    let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1);
    let actions = coordinator.handle(died(1, 5));
    assert_eq!(run_round(&mut coordinator, actions), [(1, 2)]);
    // Rank 1 is still replaying: its domain counts as down.
    let actions = coordinator.handle(died(3, 6));
    assert!(matches!(
        actions.last(),
        Some(Action::End(End::Unrecoverable(Unrecoverable::TooMany { down: 2, tolerated: 1, .. })))
    ));
    assert!(coordinator.handle(died(0, 1)).is_empty(), "an ended job is over");
}

#[test]
fn who_returns_to_a_line_is_not_down() {
    let lines = Lines::new(Box::new(NewestLine), 4, Returning::Together);
    let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1).checkpointing(Some(lines));
    let actions = coordinator.handle(died(1, 5));
    // All survivors know messages of rank 1 that it will not have sent.
    assert_eq!(run_round(&mut coordinator, actions), [(0, 2), (1, 2), (2, 2), (3, 2)]);
    coordinator.handle(Input::Live { rank: 1 });
    let actions = coordinator.handle(died(3, 6));
    assert!(!actions.iter().any(|action| matches!(action, Action::End(_))), "{actions:?}");
    let actions = coordinator.handle(died(0, 6));
    assert!(matches!(
        actions.last(),
        Some(Action::End(End::Unrecoverable(Unrecoverable::TooMany { down: 2, tolerated: 1, .. })))
    ));
}

#[test]
fn a_checkpoint_that_nobody_holds_any_more_ends_the_job_by_name() {
    let mut lines = Lines::new(Box::new(NewestLine), 4, Returning::Together);
    for rank in 0..4 {
        lines.saved(CheckpointHead { number: 1, ..CheckpointHead::beginning(rank, 4) });
    }
    let mut coordinator = coordinator(FailureUnit::Node, Some(1), 1).checkpointing(Some(lines));
    coordinator.handle(died(1, 5));
    coordinator.handle(Input::Lost { rank: 1, number: 1 });
    coordinator.handle(Input::Durable { round: 1 });
    coordinator.handle(Input::Quiesced { round: 1 });
    let lost = Unrecoverable::CheckpointLost { rank: 1, number: 1 };
    assert_eq!(coordinator.handle(collected(1)), [Action::End(End::Unrecoverable(lost))]);
}

#[test]
fn dying_at_the_same_event_again_and_again_is_hopeless() {
    let mut coordinator = coordinator(FailureUnit::Process, None, 1);
    for _ in 0..2 {
        let actions = coordinator.handle(died(1, 5));
        run_round(&mut coordinator, actions);
    }
    let actions = coordinator.handle(died(1, 5));
    assert!(matches!(actions.last(), Some(Action::End(End::Hopeless { rank: 1, deaths: 3, .. }))));
}

#[test]
fn without_fault_tolerance_a_death_ends_the_job() {
    let policy =
        Policy { unit: FailureUnit::Process, recovers: false, tolerates: Some(0), deaths_at_one_event: 3 };
    let mut coordinator = Coordinator::new(policy, Domains::blocks(2, 1));
    let actions = coordinator.handle(died(1, 0));
    assert!(matches!(actions.last(), Some(Action::End(End::Died { rank: 1, .. }))));
}

#[test]
fn the_first_bad_status_is_the_jobs() {
    let mut coordinator = coordinator(FailureUnit::Process, None, 2);
    for (rank, code) in [(0, 0), (1, 3), (2, 4)] {
        assert!(coordinator.handle(Input::Exited { rank, code, finalized: true }).is_empty());
    }
    let actions = coordinator.handle(Input::Exited { rank: 3, code: 0, finalized: true });
    assert_eq!(actions, [Action::End(End::Done(3))]);
}

/// A detector that takes every rank's word for it, as far as its clocks tell.
#[derive(Debug, Clone, Default)]
struct Tokens(Vec<Token>);

impl OrphanDetection for Tokens {
    fn judge(&self, clock: &IncarnationClock) -> Standing {
        match self.0.iter().any(|token| clock.is_orphaned_by(token)) {
            true => Standing::Obsolete,
            false => Standing::Valid,
        }
    }

    fn delivered(&mut self, _: &IncarnationClock) {}

    fn token(&mut self, token: Token) -> bool {
        self.0.push(token);
        false
    }

    fn asks_everyone(&self) -> bool {
        false
    }
}

/// An event of `owner` that came to depend on `events` events of `of`.
fn depends(owner: Rank, index: EventIndex, of: Rank, events: EventIndex) -> Determinant {
    let mut clock = IncarnationClock::new(4);
    clock.advance(of, 1, events);
    Determinant { owner, index, observed: 0, what: Happened::Polls, after: Some(Box::new(clock)) }
}

fn collected_of(round: u64, determinants: Vec<Determinant>) -> Input {
    let mut collected = Collected::default();
    determinants.into_iter().for_each(|determinant| collected.add_stable(determinant));
    Input::Collected { round, collected, depends: BTreeMap::new(), observed: BTreeMap::new() }
}

fn left(rank: Rank) -> Input {
    Input::Exited { rank, code: 0, finalized: true }
}

fn starts(actions: &[Action]) -> Vec<(Rank, usize)> {
    let start = |action: &Action| match action {
        Action::Start { rank, image } => Some((*rank, image.determinants.len())),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

#[test]
fn two_that_fail_at_once_keep_what_does_not_depend_on_the_others_loss() {
    let mut coordinator =
        coordinator(FailureUnit::Node, None, 1).detecting(Some(Box::new(Tokens::default())));
    coordinator.handle(died(1, 5));
    coordinator.handle(died(2, 5));
    coordinator.handle(Input::Durable { round: 2 });
    coordinator.handle(Input::Quiesced { round: 2 });
    // Rank 1 has lost its second event, on which the second of rank 2 depends, on which the first of... nobody does.
    let found = vec![depends(1, 0, 2, 1), depends(2, 0, 3, 1), depends(2, 1, 1, 2)];
    let actions = coordinator.handle(collected_of(2, found));
    let tokens = vec![Token { rank: 1, version: 1, events: 1 }, Token { rank: 2, version: 1, events: 1 }];
    assert!(actions.contains(&Action::Announce { tokens }), "{actions:?}");
    assert_eq!(starts(&actions), [(1, 1), (2, 1)]);
}

#[test]
fn one_that_leaves_while_logs_are_read_is_asked_as_well_and_rolls_back() {
    let mut coordinator =
        coordinator(FailureUnit::Node, None, 1).detecting(Some(Box::new(Tokens::default())));
    coordinator.handle(died(1, 5));
    coordinator.handle(Input::Durable { round: 1 });
    let actions = coordinator.handle(Input::Quiesced { round: 1 });
    assert_eq!(actions, [Action::Collect { round: 1, ranks: vec![1], witnesses: vec![] }]);
    coordinator.handle(left(0));
    let actions = coordinator.handle(collected_of(1, vec![]));
    assert_eq!(actions, [Action::Collect { round: 1, ranks: vec![1], witnesses: vec![0] }]);
    let actions = coordinator.handle(collected_of(1, vec![depends(0, 0, 1, 1)]));
    let sealed = vec![(0, Fate::RollsBack), (1, Fate::Lost)];
    assert!(actions.contains(&Action::Seal { ranks: sealed }), "{actions:?}");
}
