//! Groups of processes (MPI 5.0, section 7.3).

use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egida_core::ids::Rank;

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Group, Table};
use crate::status::null;
use crate::world;

/// An ordered set of processes: position is rank in the group, value is rank in the job.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Group {
    members: Vec<Rank>,
    /// Where each process of the job stands, [`ABSENT`] for those that do not.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Group {
    /// The group of these processes, each of which stands there once.
    pub fn new(members: Vec<Rank>) -> Self {
        let mut places = vec![ABSENT; members.iter().max().map_or(0, |&max| max as usize + 1)];
        for (place, &member) in members.iter().enumerate() {
            places[member as usize] = place as u32;
        }
        Self { members, places }
    }

    /// The processes, in order.
    pub fn members(&self) -> &[Rank] {
        &self.members
    }

    /// How many there are.
    pub fn size(&self) -> u32 {
        self.members.len() as u32
    }

    /// The place of a process.
    pub fn place(&self, process: Rank) -> Option<u32> {
        self.places.get(process as usize).copied().filter(|&place| place != ABSENT)
    }

    /// `MPI_IDENT`, `MPI_SIMILAR` or `MPI_UNEQUAL`.
    pub fn compare(&self, other: &Self) -> c_int {
        if self.members == other.members {
            MPI_IDENT
        } else if self.size() == other.size() && self.members.iter().all(|&one| other.place(one).is_some()) {
            MPI_SIMILAR
        } else {
            MPI_UNEQUAL
        }
    }

    fn filtered(&self, keep: impl Fn(Rank) -> bool) -> Self {
        Self::new(self.members.iter().copied().filter(|&member| keep(member)).collect())
    }

    /// The members at places that the caller names, each valid and named once.
    fn at_places(&self, places: impl IntoIterator<Item = c_int>) -> Outcome<Vec<Rank>> {
        let mut members = Vec::new();
        let mut taken = vec![false; self.members.len()];
        for place in places {
            let index = usize::try_from(place).ok().filter(|&index| index < self.members.len());
            let index = index.ok_or_else(|| {
                Failure::new(MPI_ERR_RANK, format!("rank {place} of a group of {}", self.size()))
            })?;
            if std::mem::replace(&mut taken[index], true) {
                return Err(Failure::new(MPI_ERR_RANK, format!("rank {place} is named twice")));
            }
            members.push(self.members[index]);
        }
        Ok(members)
    }
}

static GROUPS: Mutex<Table<MPI_Group, Arc<Group>>> = Mutex::new(Table::new());

fn lock() -> MutexGuard<'static, Table<MPI_Group, Arc<Group>>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The group of a handle.
pub fn get(handle: MPI_Group) -> Outcome<Arc<Group>> {
    if handle == MPI_GROUP_EMPTY {
        return Ok(Arc::default());
    }
    lock()
        .get(handle)
        .cloned()
        .ok_or_else(|| Failure::new(MPI_ERR_GROUP, "the group is not one, is null, or was freed"))
}

/// Gives a group a handle at `to`.
///
/// # Safety
/// `to` has room for a handle.
pub unsafe fn hand_out(group: Arc<Group>, to: *mut MPI_Group) -> Outcome {
    if to.is_null() {
        return Err(null("the new group"));
    }
    let handle = if group.size() == 0 { MPI_GROUP_EMPTY } else { lock().insert(group) };
    // SAFETY: as this function's contract has it.
    unsafe { to.write(handle) };
    Ok(())
}

/// Writes an integer where the caller gives room for one.
fn write(to: *mut c_int, value: c_int) -> Outcome {
    if to.is_null() {
        return Err(null("the result"));
    }
    // SAFETY: the caller gives room for an integer.
    unsafe { to.write(value) };
    Ok(())
}

/// The caller's array.
///
/// # Safety
/// `items` points to `count` items that live as long as the result is used, or `count` is not positive.
pub unsafe fn array<'a, T>(items: *const T, count: c_int) -> Outcome<&'a [T]> {
    match usize::try_from(count) {
        Err(_) => Err(Failure::new(MPI_ERR_ARG, format!("a count of {count}"))),
        Ok(0) => Ok(&[]),
        Ok(_) if items.is_null() => Err(null("an array")),
        // SAFETY: as this function's contract has it.
        Ok(count) => Ok(unsafe { std::slice::from_raw_parts(items, count) }),
    }
}

/// `MPI_Group_size`
pub unsafe fn size(group: MPI_Group, size: *mut c_int) -> Outcome {
    write(size, get(group)?.size() as c_int)
}

/// `MPI_Group_rank`
pub unsafe fn rank(group: MPI_Group, rank: *mut c_int) -> Outcome {
    let me = world::with(|world| world.rank());
    let place = get(group)?.place(me).map_or(MPI_UNDEFINED, |place| place as c_int);
    write(rank, place)
}

/// `MPI_Group_incl`
pub unsafe fn incl(group: MPI_Group, n: c_int, ranks: *const c_int, newgroup: *mut MPI_Group) -> Outcome {
    // SAFETY: the caller gives `n` ranks and room for a handle.
    unsafe {
        let members = get(group)?.at_places(array(ranks, n)?.iter().copied())?;
        hand_out(Arc::new(Group::new(members)), newgroup)
    }
}

/// `MPI_Group_excl`
pub unsafe fn excl(group: MPI_Group, n: c_int, ranks: *const c_int, newgroup: *mut MPI_Group) -> Outcome {
    let group = get(group)?;
    // SAFETY: the caller gives `n` ranks and room for a handle.
    unsafe {
        let out = group.at_places(array(ranks, n)?.iter().copied())?;
        hand_out(Arc::new(group.filtered(|member| !out.contains(&member))), newgroup)
    }
}

/// `MPI_Group_range_incl`
pub unsafe fn range_incl(
    group: MPI_Group,
    n: c_int,
    ranges: *mut [c_int; 3],
    newgroup: *mut MPI_Group,
) -> Outcome {
    // SAFETY: the caller gives `n` triples and room for a handle.
    unsafe {
        let members = get(group)?.at_places(places(array(ranges, n)?)?)?;
        hand_out(Arc::new(Group::new(members)), newgroup)
    }
}

/// `MPI_Group_range_excl`
pub unsafe fn range_excl(
    group: MPI_Group,
    n: c_int,
    ranges: *mut [c_int; 3],
    newgroup: *mut MPI_Group,
) -> Outcome {
    let group = get(group)?;
    // SAFETY: the caller gives `n` triples and room for a handle.
    unsafe {
        let out = group.at_places(places(array(ranges, n)?)?)?;
        hand_out(Arc::new(group.filtered(|member| !out.contains(&member))), newgroup)
    }
}

/// The ranks of triples of first, last and stride.
fn places(ranges: &[[c_int; 3]]) -> Outcome<Vec<c_int>> {
    let mut places = Vec::new();
    for &[first, last, stride] in ranges {
        if stride == 0 {
            return Err(Failure::new(MPI_ERR_ARG, "a range with a stride of 0"));
        }
        let (first, last, stride) = (i64::from(first), i64::from(last), i64::from(stride));
        for step in 0..=((last - first) / stride).max(-1) {
            places.push((first + step * stride) as c_int);
        }
    }
    Ok(places)
}

/// `MPI_Group_translate_ranks`
pub unsafe fn translate_ranks(
    group1: MPI_Group,
    n: c_int,
    ranks1: *const c_int,
    group2: MPI_Group,
    ranks2: *mut c_int,
) -> Outcome {
    let (from, to) = (get(group1)?, get(group2)?);
    // SAFETY: the caller gives `n` ranks and room for as many.
    let ranks = unsafe { array(ranks1, n)? };
    if ranks2.is_null() && n > 0 {
        return Err(null("the array of ranks"));
    }
    for (at, &rank) in ranks.iter().enumerate() {
        let place = if rank == MPI_PROC_NULL {
            MPI_PROC_NULL
        } else {
            let member = from.at_places([rank])?;
            to.place(member[0]).map_or(MPI_UNDEFINED, |place| place as c_int)
        };
        // SAFETY: see above.
        unsafe { ranks2.add(at).write(place) };
    }
    Ok(())
}

/// `MPI_Group_compare`
pub unsafe fn compare(group1: MPI_Group, group2: MPI_Group, result: *mut c_int) -> Outcome {
    write(result, get(group1)?.compare(&*get(group2)?))
}

/// `MPI_Group_union`: the first group, then who is in the second only.
pub unsafe fn union(group1: MPI_Group, group2: MPI_Group, newgroup: *mut MPI_Group) -> Outcome {
    let (first, second) = (get(group1)?, get(group2)?);
    let more = second.members().iter().filter(|&&member| first.place(member).is_none());
    let members = first.members().iter().chain(more).copied().collect();
    // SAFETY: the caller gives room for a handle.
    unsafe { hand_out(Arc::new(Group::new(members)), newgroup) }
}

/// `MPI_Group_intersection`, in the order of the first group.
pub unsafe fn intersection(group1: MPI_Group, group2: MPI_Group, newgroup: *mut MPI_Group) -> Outcome {
    let (first, second) = (get(group1)?, get(group2)?);
    let both = first.filtered(|member| second.place(member).is_some());
    // SAFETY: the caller gives room for a handle.
    unsafe { hand_out(Arc::new(both), newgroup) }
}

/// `MPI_Group_difference`, in the order of the first group.
pub unsafe fn difference(group1: MPI_Group, group2: MPI_Group, newgroup: *mut MPI_Group) -> Outcome {
    let (first, second) = (get(group1)?, get(group2)?);
    let rest = first.filtered(|member| second.place(member).is_none());
    // SAFETY: the caller gives room for a handle.
    unsafe { hand_out(Arc::new(rest), newgroup) }
}

/// `MPI_Group_free`
pub unsafe fn free(group: *mut MPI_Group) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *group };
    get(*handle)?;
    lock().remove(*handle);
    *handle = MPI_GROUP_NULL;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_compare_by_members_and_order() {
        let (a, b) = (Group::new(vec![3, 1, 2]), Group::new(vec![1, 2, 3]));
        assert_eq!(a.compare(&a), MPI_IDENT);
        assert_eq!(a.compare(&b), MPI_SIMILAR);
        assert_eq!(a.compare(&Group::new(vec![1, 2])), MPI_UNEQUAL);
        assert_eq!((a.place(1), a.place(0), a.place(9)), (Some(1), None, None));
    }

    #[test]
    fn ranges_go_both_ways_and_may_be_empty() {
        assert_eq!(places(&[[0, 6, 3], [9, 5, -2], [4, 1, 1]]).unwrap(), [0, 3, 6, 9, 7, 5]);
        assert!(places(&[[0, 1, 0]]).is_err());
    }

    #[test]
    fn a_place_that_is_none_or_named_twice_is_refused() {
        let group = Group::new(vec![5, 6]);
        assert_eq!(group.at_places([1, 0]).unwrap(), [6, 5]);
        assert!(group.at_places([2]).is_err());
        assert!(group.at_places([-1]).is_err());
        assert!(group.at_places([0, 0]).is_err());
    }
}
