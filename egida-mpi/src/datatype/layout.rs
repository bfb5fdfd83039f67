//! Where the bytes of a datatype lie: a compact list of strided runs, and the bounds around them.

use std::sync::Arc;

use super::DatatypeError;

/// More runs than this (2.5 GiB of them) are refused rather than allocated.
const MAX_RUNS: usize = 1 << 26;

/// `pieces` blocks of `len` bytes, `stride` bytes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub offset: i64,
    pub len: usize,
    pub stride: i64,
    pub pieces: usize,
}

impl Run {
    pub fn block(offset: i64, len: usize) -> Self {
        Self { offset, len, stride: 0, pieces: 1 }
    }

    fn shifted(self, by: i64) -> Self {
        Self { offset: self.offset + by, ..self }
    }

    /// `count` copies of this run `step` bytes apart, where that is one run again.
    fn repeated(self, count: usize, step: i64) -> Option<Self> {
        if count == 1 {
            Some(self)
        } else if self.pieces == 1 && step == self.len as i64 {
            Some(Self { len: self.len * count, ..self })
        } else if self.pieces == 1 {
            Some(Self { stride: step, pieces: count, ..self })
        } else if step == self.stride * self.pieces as i64 {
            Some(Self { pieces: self.pieces * count, ..self })
        } else {
            None
        }
    }

    /// Takes in a run that follows, where the two are one run.
    fn merge(&mut self, next: Self) -> bool {
        if self.pieces == 1 && next.pieces == 1 && self.offset + self.len as i64 == next.offset {
            self.len += next.len;
            return true;
        }
        let stride = if self.pieces == 1 { next.offset - self.offset } else { self.stride };
        let follows = next.offset == self.offset + stride * self.pieces as i64;
        if self.len == next.len && follows && (next.pieces == 1 || next.stride == stride) {
            self.stride = stride;
            self.pieces += next.pieces;
            return true;
        }
        false
    }
}

/// The data of one element, in the order of the type map: `repeats` copies of a list of runs, `step` bytes apart.
///
/// All arithmetic here is free of overflow because the bounds, which enclose every byte of data, were computed with checks
/// before.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    runs: Runs,
    pub repeats: usize,
    pub step: i64,
}

#[derive(Debug, Clone)]
enum Runs {
    One(Run),
    Many(Arc<[Run]>),
}

impl Layout {
    pub fn empty() -> Self {
        Self::of([])
    }

    pub fn block(len: usize) -> Self {
        Self { runs: Runs::One(Run::block(0, len)), repeats: 1, step: 0 }
    }

    pub fn of(runs: impl IntoIterator<Item = Run>) -> Self {
        let mut list = RunList::default();
        runs.into_iter().for_each(|run| list.push(run));
        list.finish()
    }

    pub fn runs(&self) -> &[Run] {
        match &self.runs {
            Runs::One(run) => std::slice::from_ref(run),
            Runs::Many(runs) => runs,
        }
    }

    /// Where the data lies, if it is one block.
    pub fn one_block(&self) -> Option<Run> {
        match self.runs {
            Runs::One(run) if run.pieces == 1 && self.repeats == 1 => Some(run),
            _ => None,
        }
    }

    /// `count` copies of this layout, `step` bytes apart.
    ///
    /// # Errors
    /// Too many runs.
    pub fn repeated(&self, count: usize, step: i64) -> Result<Self, DatatypeError> {
        if count == 0 || self.runs().is_empty() {
            return Ok(Self::empty());
        }
        if let Some(layout) = self.repeated_in_place(count, step) {
            return Ok(layout);
        }
        let mut expanded = RunList::default();
        expanded.append(self, 1, 0, 0)?;
        Ok(Self { repeats: count, step, ..expanded.finish() })
    }

    /// As [`Self::repeated`], where it needs no new list.
    pub fn repeated_in_place(&self, count: usize, step: i64) -> Option<Self> {
        if count == 1 {
            return Some(self.clone());
        }
        match self.runs {
            Runs::One(run) if self.repeats == 1 => {
                if let Some(run) = run.repeated(count, step) {
                    return Some(Self { runs: Runs::One(run), repeats: 1, step: 0 });
                }
            }
            _ => (),
        }
        if self.repeats == 1 {
            Some(Self { runs: self.runs.clone(), repeats: count, step })
        } else if step == self.step * self.repeats as i64 {
            Some(Self { runs: self.runs.clone(), repeats: self.repeats * count, step: self.step })
        } else {
            None
        }
    }
}

/// Collects runs, merging neighbours.
#[derive(Debug, Default)]
pub(super) struct RunList(Vec<Run>);

impl RunList {
    fn push(&mut self, run: Run) {
        if !self.0.last_mut().is_some_and(|last| last.merge(run)) {
            self.0.push(run);
        }
    }

    /// Appends `count` copies of a layout, `step` bytes apart, the first at `offset`.
    ///
    /// # Errors
    /// Too many runs.
    pub fn append(
        &mut self,
        layout: &Layout,
        count: usize,
        step: i64,
        offset: i64,
    ) -> Result<(), DatatypeError> {
        if let Runs::One(run) = layout.runs
            && let Some(run) = run.repeated(layout.repeats, layout.step)
            && let Some(run) = run.repeated(count, step)
        {
            self.push(run.shifted(offset));
            return Ok(());
        }
        for copy in 0..count as i64 {
            for repeat in 0..layout.repeats as i64 {
                let base = offset + copy * step + repeat * layout.step;
                layout.runs().iter().for_each(|run| self.push(run.shifted(base)));
            }
            if self.0.len() > MAX_RUNS {
                return Err(DatatypeError::TooLarge);
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Layout {
        let runs = match self.0[..] {
            [run] => Runs::One(run),
            _ => Runs::Many(self.0.into()),
        };
        Layout { runs, repeats: 1, step: 0 }
    }
}

/// What encloses the data (MPI 5.0, sections 5.1 and 5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// First byte and end of the data, if there is any.
    data: Option<(i64, i64)>,
    /// The same with the padding of structures among the elements.
    padded: Option<(i64, i64)>,
    /// The bounds set by a resize, which hide the others from all types made of this one.
    markers: Option<(i64, i64)>,
    /// The strictest alignment of a basic element: what the extent of a structure is rounded up to.
    pub align: usize,
}

impl Bounds {
    pub fn of_data(first: i64, end: i64, align: usize) -> Self {
        Self { data: Some((first, end)), padded: Some((first, end)), markers: None, align }.of_structure()
    }

    pub fn empty() -> Self {
        Self { data: None, padded: None, markers: None, align: 1 }
    }

    /// With what a compiler leaves free behind a structure, so that elements in a row are aligned. Every other type is as long as its
    /// elements are, as all implementations have it: an extent that a stride makes odd stays odd.
    pub fn of_structure(self) -> Self {
        let padded =
            self.padded.map(|(lower, end)| (lower, lower + round_up(end - lower, self.align as i64)));
        Self { padded, ..self }
    }

    pub fn lower(&self) -> i64 {
        self.markers.or(self.padded).map_or(0, |(lower, _)| lower)
    }

    pub fn upper(&self) -> i64 {
        self.markers.or(self.padded).map_or(0, |(_, upper)| upper)
    }

    pub fn extent(&self) -> i64 {
        self.upper() - self.lower()
    }

    pub fn true_lower(&self) -> i64 {
        self.data.map_or(0, |(first, _)| first)
    }

    pub fn true_extent(&self) -> i64 {
        self.data.map_or(0, |(first, end)| end - first)
    }

    /// The bounds of `count` elements, the first at `offset`.
    ///
    /// # Errors
    /// Addresses that do not fit.
    pub fn placed(&self, count: usize, step: i64, offset: i64) -> Result<Self, DatatypeError> {
        if count == 0 {
            return Ok(Self::empty());
        }
        let last = i64::try_from(count - 1).ok().and_then(|last| last.checked_mul(step));
        let last = last.and_then(|last| last.checked_add(offset)).ok_or(DatatypeError::TooLarge)?;
        let (low, high) = (offset.min(last), offset.max(last));
        let place = |span: Option<(i64, i64)>| match span {
            None => Ok(None),
            Some((lower, upper)) => match (lower.checked_add(low), upper.checked_add(high)) {
                (Some(lower), Some(upper)) => Ok(Some((lower, upper))),
                _ => Err(DatatypeError::TooLarge),
            },
        };
        Self {
            data: place(self.data)?,
            padded: place(self.padded)?,
            markers: place(self.markers)?,
            align: self.align,
        }
        .checked()
    }

    /// The bounds of both.
    ///
    /// # Errors
    /// Addresses that do not fit.
    pub fn union(&self, other: &Self) -> Result<Self, DatatypeError> {
        let union = |a: Option<(i64, i64)>, b: Option<(i64, i64)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (one, other) => one.or(other),
        };
        Self {
            data: union(self.data, other.data),
            padded: union(self.padded, other.padded),
            markers: union(self.markers, other.markers),
            align: self.align.max(other.align),
        }
        .checked()
    }

    /// The same data in bounds that are set.
    ///
    /// # Errors
    /// Addresses that do not fit.
    pub fn resized(&self, lower: i64, extent: i64) -> Result<Self, DatatypeError> {
        let upper = lower.checked_add(extent).ok_or(DatatypeError::TooLarge)?;
        Self { markers: Some((lower, upper)), ..*self }.checked()
    }

    /// Refuses bounds between which a difference or the rounding could overflow.
    fn checked(self) -> Result<Self, DatatypeError> {
        const LIMIT: u64 = i64::MAX as u64 / 8;
        let fits = |span: Option<(i64, i64)>| {
            span.is_none_or(|(lower, upper)| lower.unsigned_abs() <= LIMIT && upper.unsigned_abs() <= LIMIT)
        };
        if fits(self.data) && fits(self.padded) && fits(self.markers) {
            Ok(self)
        } else {
            Err(DatatypeError::TooLarge)
        }
    }
}

fn round_up(value: i64, to: i64) -> i64 {
    value.div_euclid(to) * to + if value.rem_euclid(to) == 0 { 0 } else { to }
}
