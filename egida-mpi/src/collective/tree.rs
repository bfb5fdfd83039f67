//! The order and the brackets in which reductions combine.
//!
//! Of n ranks, with p the largest power of two in n, the first n-p *pairs* of neighbours combine first. The p results, in the
//! order of the ranks, are the leaves of a complete binary tree. Every algorithm follows this tree, so all give the same bits.

use super::transfer::{receive, send};
use super::{Outcome, Peers};
use crate::op::Reduction;

/// A rank's place in the tree.
pub(super) struct Tree {
    rank: usize,
    /// How many pairs of ranks share a leaf.
    pairs: usize,
    /// How many leaves there are: a power of two.
    pub leaves: usize,
    /// The rank that stands for its leaf even if it is the second of a pair.
    favoured: usize,
}

impl Tree {
    /// The tree in which the first of each pair stands for its leaf, but `favoured` for its own.
    pub fn new<P: Peers>(peers: &P, favoured: usize) -> Self {
        let size = peers.size();
        let leaves = 1 << size.ilog2();
        Self { rank: peers.rank(), pairs: size - leaves, leaves, favoured }
    }

    pub fn leaf_of(&self, rank: usize) -> usize {
        if rank < 2 * self.pairs { rank / 2 } else { rank - self.pairs }
    }

    pub fn leaf(&self) -> usize {
        self.leaf_of(self.rank)
    }

    /// The ranks of a leaf.
    pub fn ranks(&self, leaf: usize) -> std::ops::Range<usize> {
        if leaf < self.pairs { 2 * leaf..2 * leaf + 2 } else { leaf + self.pairs..leaf + self.pairs + 1 }
    }

    /// The rank that stands for a leaf.
    pub fn stands_for(&self, leaf: usize) -> usize {
        let ranks = self.ranks(leaf);
        if ranks.contains(&self.favoured) { self.favoured } else { ranks.start }
    }

    /// The other rank of this one's pair, if it is in one.
    pub fn partner(&self) -> Option<usize> {
        (self.rank < 2 * self.pairs).then_some(self.rank ^ 1)
    }

    /// Whether this rank stands for its leaf.
    pub fn stands(&self) -> bool {
        self.stands_for(self.leaf()) == self.rank
    }

    /// Combines with the operand of another rank that has come.
    pub fn combine(&self, reduction: &mut Reduction, own: &mut [u8], other: &[u8], of: usize) {
        if self.rank < of { reduction.combine_left(own, other) } else { reduction.combine_right(other, own) }
    }

    /// Combines the pairs: afterwards `work` counts only at the ranks that stand for their leaves.
    pub fn join_pairs<P: Peers>(
        &self,
        peers: &mut P,
        reduction: &mut Reduction,
        work: &mut [u8],
        other: &mut [u8],
    ) -> Outcome<P> {
        match self.partner() {
            Some(partner) if self.stands() => {
                receive(peers, partner, other)?;
                self.combine(reduction, work, other, partner);
                Ok(())
            }
            Some(partner) => send(peers, partner, work),
            None => Ok(()),
        }
    }

    /// Recursive halving between the ranks that stand for their leaves: of the pieces between the `cuts` (one more than
    /// leaves) each is left with one whole result, the piece whose number is its leaf's with the bits reversed.
    ///
    /// The nearest combine first, over half of the data each, which keeps to the tree.
    pub fn halve<P: Peers>(
        &self,
        peers: &mut P,
        reduction: &mut Reduction,
        work: &mut [u8],
        cuts: &[usize],
    ) -> Outcome<P> {
        let mut other = Vec::new();
        for step in self.halvings() {
            let (kept, given) = (step.kept(cuts), step.given(cuts));
            let peer = self.stands_for(step.peer);
            send(peers, peer, &work[given])?;
            other.resize(kept.len(), 0);
            receive(peers, peer, &mut other)?;
            self.combine(reduction, &mut work[kept], &other, peer);
        }
        Ok(())
    }

    /// Undoes [`Self::halve`]'s division: every rank that stands for its leaf gets all results.
    pub fn unite<P: Peers>(&self, peers: &mut P, work: &mut [u8], cuts: &[usize]) -> Outcome<P> {
        for step in self.halvings().rev() {
            let peer = self.stands_for(step.peer);
            send(peers, peer, &work[step.kept(cuts)])?;
            receive(peers, peer, &mut work[step.given(cuts)])?;
        }
        Ok(())
    }

    /// The steps of recursive halving, as seen by this leaf.
    fn halvings(&self) -> impl DoubleEndedIterator<Item = Halving> + use<> {
        let (leaf, leaves) = (self.leaf(), self.leaves);
        (0..leaves.ilog2()).map(move |step| {
            let half = leaves >> (step + 1);
            let upper = |step: u32| leaf >> step & 1;
            let first = (0..step).map(|earlier| upper(earlier) * (leaves >> (earlier + 1))).sum();
            Halving { peer: leaf ^ (1 << step), first, half, keeps_upper: upper(step) == 1 }
        })
    }
}

/// A step of recursive halving: of the pieces `first..first + 2 * half`, this leaf keeps one half and its peer the other.
struct Halving {
    peer: usize,
    first: usize,
    half: usize,
    keeps_upper: bool,
}

impl Halving {
    fn kept(&self, cuts: &[usize]) -> std::ops::Range<usize> {
        self.bytes(cuts, self.keeps_upper)
    }

    fn given(&self, cuts: &[usize]) -> std::ops::Range<usize> {
        self.bytes(cuts, !self.keeps_upper)
    }

    fn bytes(&self, cuts: &[usize], upper: bool) -> std::ops::Range<usize> {
        let first = if upper { self.first + self.half } else { self.first };
        cuts[first]..cuts[first + self.half]
    }
}

/// The piece that recursive halving leaves a leaf with.
pub(super) fn piece_of(leaf: usize, leaves: usize) -> usize {
    match leaves.ilog2() {
        0 => 0,
        bits => leaf.reverse_bits() >> (usize::BITS - bits),
    }
}
