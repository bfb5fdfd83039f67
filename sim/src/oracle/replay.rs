//! A new life repeats the old one call by call, as far as anybody depends on that: another rank's state, or what the world saw.
//!
//! The observer takes down what each application asked of the library and was answered, and of each state how many calls of each
//! rank it depends on, by the messages that were received. Nothing of the library's own counts is used.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use egida_core::ids::{CheckpointNumber, Rank, Ssn};

use super::Violation;
use super::epochs::{Epochs, Extent};
use crate::application::mix;
use crate::observer::Call;

/// How many calls of each rank a state depends on.
type Past = Rc<Vec<Extent>>;

/// What the observer knows.
#[derive(Debug, Clone)]
pub struct Replay {
    epochs: Epochs,
    lives: Vec<Life>,
    /// The versions of each message, by sender, receiver and number: a digest, and the sender's past.
    sent: HashMap<(Rank, Rank, Ssn), Vec<(u64, Past)>>,
    /// What the world depends on.
    seen: Past,
    /// Whether survivors may be orphans for a while.
    detects: bool,
}

#[derive(Debug, Clone, Default)]
struct Life {
    is_alive: bool,
    /// Digests of all calls up to each, in this life.
    calls: Vec<u64>,
    /// The same of the longest life so far that this one does not contradict.
    before: Vec<u64>,
    past: Past,
    /// How many calls were behind each checkpoint, and the past.
    checkpoints: BTreeMap<CheckpointNumber, (usize, Past)>,
    /// Output of this life: where it ends, and what it depends on.
    written: VecDeque<(u64, Past)>,
}

impl Replay {
    /// An observer of a job in which nothing has happened.
    #[must_use]
    pub fn new(ranks: u32, detects: bool) -> Self {
        let nothing: Past = Rc::new(vec![Extent::default(); ranks as usize]);
        let life = || Life { past: nothing.clone(), ..Life::default() };
        Self {
            epochs: Epochs::new(ranks),
            lives: (0..ranks).map(|_| life()).collect(),
            sent: HashMap::new(),
            seen: nothing.clone(),
            detects,
        }
    }

    /// A rank begins a life, from a checkpoint or, where its number is 0, from the program's beginning.
    pub fn begins(&mut self, rank: Rank, from: CheckpointNumber) {
        let ranks = self.lives.len();
        let life = &mut self.lives[rank as usize];
        let calls = std::mem::take(&mut life.calls);
        if calls.len() > life.before.len() {
            life.before = calls;
        }
        let _ = life.checkpoints.split_off(&(from + 1));
        let (behind, past) = life.checkpoints.get(&from).cloned().unwrap_or_default();
        life.calls = life.before[..behind.min(life.before.len())].to_vec();
        life.past = if from == 0 { Rc::new(vec![Extent::default(); ranks]) } else { past };
        life.written.clear();
        life.is_alive = true;
    }

    /// A life ends.
    pub fn ends(&mut self, rank: Rank) {
        self.lives[rank as usize].is_alive = false;
    }

    /// A rank's application made these calls.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn calls(&mut self, rank: Rank, calls: &[Call]) -> Result<(), Violation> {
        calls.iter().try_for_each(|call| self.call(rank, call))
    }

    fn call(&mut self, rank: Rank, call: &Call) -> Result<(), Violation> {
        let life = &mut self.lives[rank as usize];
        let number = life.calls.len();
        if let Call::Checkpoint(checkpoint) = *call {
            life.checkpoints.insert(checkpoint, (number, life.past.clone()));
            return Ok(());
        }
        let digest = mix(life.calls.last().copied().unwrap_or(1), call.digest());
        let differs = life.before.get(number).is_some_and(|&before| before != digest);
        life.calls.push(digest);
        if differs {
            life.before.truncate(number);
            self.epochs.end(rank, number as u64);
        }
        self.depends(rank, rank, self.epochs.extent(rank, number as u64 + 1));
        match *call {
            Call::Sent(dest, ssn, content) => {
                let past = self.lives[rank as usize].past.clone();
                let versions = self.sent.entry((rank, dest, ssn)).or_default();
                versions.retain(|&(other, _)| other != content);
                versions.push((content, past));
            }
            Call::Received(source, ssn, content) => {
                let versions = self.sent.get(&(source, rank, ssn));
                let version =
                    versions.and_then(|versions| versions.iter().find(|version| version.0 == content));
                if let Some((_, past)) = version.cloned() {
                    for (of, &extent) in (0..).zip(&*past) {
                        self.depends(rank, of, extent);
                    }
                }
            }
            Call::Answered(_) | Call::Checkpoint(_) => {}
        }
        match (differs, call) {
            (true, _) => self.is_right_about(rank),
            (false, Call::Received(..)) if !self.detects => self.is_right(rank),
            _ => Ok(()),
        }
    }

    fn depends(&mut self, rank: Rank, on: Rank, extent: Extent) {
        let past = &mut self.lives[rank as usize].past;
        let joined = self.epochs.join(on, past[on as usize], extent);
        if joined != past[on as usize] {
            Rc::make_mut(past)[on as usize] = joined;
        }
    }

    /// Whether nobody depends on what a rank did in another way before.
    fn is_right_about(&self, rank: Rank) -> Result<(), Violation> {
        if self.epochs.is_void(rank, self.seen[rank as usize]) {
            return Err(Violation::OutputOrphaned { owner: rank });
        }
        if self.detects {
            return Ok(());
        }
        (0..).zip(&self.lives).try_for_each(|(survivor, life)| {
            match survivor != rank && life.is_alive && self.epochs.is_void(rank, life.past[rank as usize]) {
                true => Err(Violation::Orphan { survivor, owner: rank }),
                false => Ok(()),
            }
        })
    }

    /// Whether a rank depends on nothing that never happened.
    fn is_right(&self, survivor: Rank) -> Result<(), Violation> {
        let past = &self.lives[survivor as usize].past;
        match (0..).zip(&**past).find(|&(owner, &extent)| self.epochs.is_void(owner, extent)) {
            Some((owner, _)) => Err(Violation::Orphan { survivor, owner }),
            None => Ok(()),
        }
    }

    /// A rank has written output, so many bytes since its beginning.
    pub fn wrote(&mut self, rank: Rank, end: u64) {
        let life = &mut self.lives[rank as usize];
        life.written.push_back((end, life.past.clone()));
    }

    /// The world has seen so many bytes of a rank's output.
    ///
    /// # Errors
    /// It depends on what never happened.
    pub fn released(&mut self, rank: Rank, end: u64) -> Result<(), Violation> {
        while let Some((_, past)) = self.lives[rank as usize].written.pop_front_if(|(at, _)| *at <= end) {
            for (owner, &extent) in (0..).zip(&*past) {
                if self.epochs.is_void(owner, extent) {
                    return Err(Violation::OutputOrphaned { owner });
                }
                let known = self.seen[owner as usize];
                Rc::make_mut(&mut self.seen)[owner as usize] = self.epochs.join(owner, known, extent);
            }
        }
        Ok(())
    }

    /// The job is done: nobody is an orphan, and everybody came as far as others depend on.
    ///
    /// # Errors
    /// Who is one.
    pub fn done(&self) -> Result<(), Violation> {
        let is_gone = |owner: Rank, extent: Extent| {
            let calls = self.lives[owner as usize].calls.len() as u64;
            self.epochs.is_void(owner, extent) || extent.count > calls
        };
        if let Some((owner, _)) = (0..).zip(&*self.seen).find(|&(owner, &extent)| is_gone(owner, extent)) {
            return Err(Violation::OutputOrphaned { owner });
        }
        for (survivor, life) in (0..).zip(&self.lives) {
            if let Some((owner, _)) = (0..).zip(&*life.past).find(|&(owner, &extent)| is_gone(owner, extent))
            {
                return Err(Violation::Orphan { survivor, owner });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Call = Call::Sent(1, 0, 7);
    const RECEIVED: Call = Call::Received(0, 0, 7);

    /// Rank 0 polls and sends, rank 1 receives; rank 0 dies and begins again.
    fn restarted(detects: bool) -> Replay {
        let mut replay = Replay::new(2, detects);
        replay.begins(0, 0);
        replay.begins(1, 0);
        replay.calls(0, &[Call::Answered(5), SENT, Call::Answered(6)]).unwrap();
        replay.calls(1, &[RECEIVED]).unwrap();
        replay.ends(0);
        replay.begins(0, 0);
        replay
    }

    #[test]
    fn a_life_may_go_another_way_where_nobody_depends_on_it() {
        let mut replay = restarted(false);
        assert_eq!(replay.calls(0, &[Call::Answered(5), SENT, Call::Answered(8)]), Ok(()));
        assert_eq!(replay.done(), Ok(()));
    }

    #[test]
    fn a_life_that_forgets_what_another_depends_on_is_found_out() {
        let orphan = Violation::Orphan { survivor: 1, owner: 0 };
        assert_eq!(restarted(false).calls(0, &[Call::Answered(4)]), Err(orphan.clone()));
        let mut replay = restarted(true);
        assert_eq!(replay.calls(0, &[Call::Answered(4), SENT]), Ok(()), "it may still roll back");
        assert_eq!(replay.done(), Err(orphan.clone()));
        assert_eq!(restarted(false).done(), Err(orphan), "it did not come as far");
        replay.ends(1);
        replay.begins(1, 0);
        assert_eq!(replay.calls(1, &[RECEIVED]), Ok(()));
        assert_eq!(replay.done(), Ok(()));
    }

    #[test]
    fn what_the_world_has_seen_stands() {
        let mut replay = restarted(true);
        replay.wrote(1, 10);
        assert_eq!(replay.released(1, 10), Ok(()));
        let orphaned = Violation::OutputOrphaned { owner: 0 };
        assert_eq!(replay.calls(0, &[Call::Answered(4)]), Err(orphaned.clone()));
        replay.wrote(1, 20);
        assert_eq!(replay.released(1, 20), Err(orphaned));
    }

    #[test]
    fn a_life_from_a_checkpoint_has_what_is_before_it_behind_it() {
        let mut replay = Replay::new(2, false);
        replay.begins(0, 0);
        replay.begins(1, 0);
        replay.calls(0, &[Call::Answered(5), Call::Checkpoint(1), SENT]).unwrap();
        replay.calls(1, &[RECEIVED]).unwrap();
        replay.ends(0);
        replay.begins(0, 1);
        assert_eq!(replay.calls(0, &[SENT]), Ok(()));
        assert_eq!(replay.done(), Ok(()));
        replay.ends(0);
        replay.begins(0, 0);
        let orphan = Violation::Orphan { survivor: 1, owner: 0 };
        assert_eq!(replay.calls(0, &[Call::Answered(4)]), Err(orphan));
    }
}
