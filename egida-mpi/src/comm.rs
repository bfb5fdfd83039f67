//! Communicators within one group (MPI 5.0, section 7.4).
//!
//! A communicator has two contexts, one for the application's messages and one for collectives. The members of the parent
//! agree on a new pair by a collective of the parent: the greatest pair that any of them has free. They ask in the same
//! order in every execution, so a re-executed rank gets the same.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egida_core::ids::Rank;

use crate::coll;
use crate::constants::*;
use crate::errors::{Failure, Handler, Outcome};
use crate::group::{self, Group};
use crate::handle::{MPI_Comm, MPI_Group, Table};
use crate::status::{write_flag, write_string};
use crate::world;

/// A communicator.
#[derive(Debug)]
pub struct Communicator {
    /// What the application calls it by.
    pub handle: MPI_Comm,
    /// Its processes.
    pub group: Arc<Group>,
    /// This process in the group.
    pub rank: u32,
    /// The context of the application's messages; the next one is that of collectives.
    context: u32,
    settings: Mutex<Settings>,
}

#[derive(Debug, Clone)]
struct Settings {
    name: String,
    handler: Handler,
}

impl Communicator {
    /// The context of messages that the application sends.
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The context of messages that collectives send.
    pub fn collective_context(&self) -> u32 {
        self.context + 1
    }

    /// How many processes it has.
    pub fn size(&self) -> u32 {
        self.group.size()
    }

    /// The process of the job that has that rank.
    pub fn process(&self, rank: c_int) -> Option<Rank> {
        usize::try_from(rank).ok().and_then(|rank| self.group.members().get(rank).copied())
    }

    /// The rank of a process of the job that is known to be a member.
    pub fn rank_of(&self, process: Rank) -> c_int {
        self.group.place(process).map_or(MPI_UNDEFINED, |place| place as c_int)
    }

    /// What to do with an error.
    pub fn handler(&self) -> Handler {
        self.settings().handler
    }

    /// Changes what to do with an error.
    pub fn set_handler(&self, handler: Handler) {
        self.settings().handler = handler;
    }

    /// How messages to a person call it.
    pub fn name(&self) -> String {
        match &self.settings().name {
            unnamed if unnamed.is_empty() => "a communicator".to_owned(),
            name => name.clone(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The communicators of this process.
#[derive(Debug)]
struct Communicators {
    world: Option<Arc<Communicator>>,
    own: Option<Arc<Communicator>>,
    others: Table<MPI_Comm, Arc<Communicator>>,
    /// The next pair of contexts that is free here.
    next_context: u32,
}

static COMMUNICATORS: Mutex<Communicators> =
    Mutex::new(Communicators { world: None, own: None, others: Table::new(), next_context: FIRST_FREE });

const FIRST_FREE: u32 = 4;

fn lock() -> MutexGuard<'static, Communicators> {
    COMMUNICATORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the predefined communicators.
pub fn init(rank: Rank, size: u32) {
    let make = |handle, group, rank, context, name: &str| {
        let settings = Mutex::new(Settings { name: name.to_owned(), handler: Handler::Fatal });
        Some(Arc::new(Communicator { handle, group: Arc::new(Group::new(group)), rank, context, settings }))
    };
    let mut all = lock();
    all.world = make(MPI_COMM_WORLD, (0..size).collect(), rank, 0, "MPI_COMM_WORLD");
    all.own = make(MPI_COMM_SELF, vec![rank], 0, 2, "MPI_COMM_SELF");
}

/// The communicator of a handle.
pub fn get(handle: MPI_Comm) -> Outcome<Arc<Communicator>> {
    let all = lock();
    let found = match handle {
        MPI_COMM_WORLD => all.world.as_ref(),
        MPI_COMM_SELF => all.own.as_ref(),
        dynamic => all.others.get(dynamic),
    };
    found.cloned().ok_or_else(|| {
        if all.world.is_none() {
            Failure::new(MPI_ERR_OTHER, "MPI_Init was not called")
        } else {
            Failure::new(MPI_ERR_COMM, "the communicator is not one, is null, or was freed")
        }
    })
}

/// Runs `body` with the communicator of a handle and raises its errors there.
pub fn on<T>(handle: MPI_Comm, body: impl FnOnce(&Arc<Communicator>) -> Outcome<T>) -> Outcome<T> {
    let comm = get(handle)?;
    body(&comm).map_err(|failure| failure.on(&comm))
}

/// Makes a communicator of `group`, to which this process belongs, with contexts that were agreed on.
fn register(parent: &Communicator, group: Group, context: u32) -> MPI_Comm {
    let settings = Settings { name: String::new(), handler: parent.handler() };
    let rank = group.place(parent.group.members()[parent.rank as usize]).unwrap_or(0);
    lock().others.insert_with(|handle| {
        let (group, settings) = (Arc::new(group), Mutex::new(settings));
        Arc::new(Communicator { handle, group, rank, context, settings })
    })
}

/// What each member of a parent brings to the making of new communicators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    next_context: u32,
    color: c_int,
    key: c_int,
}

impl Wish {
    const BYTES: usize = 12;

    fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.next_context.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.color.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.key.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            next_context: u32::from_le_bytes([a, b, c, d]),
            color: c_int::from_le_bytes([e, f, g, h]),
            key: c_int::from_le_bytes([i, j, k, l]),
        }
    }
}

/// Hears all members' wishes, and takes the contexts that they agree on.
fn agree(parent: &Communicator, color: c_int, key: c_int) -> Outcome<(Vec<Wish>, u32)> {
    let mine = Wish { next_context: lock().next_context, color, key };
    let wishes: Vec<Wish> = coll::exchange(parent, mine.encode())?.into_iter().map(Wish::decode).collect();
    let context = wishes.iter().map(|wish| wish.next_context).max().unwrap_or(FIRST_FREE);
    lock().next_context = context + 2;
    Ok((wishes, context))
}

/// `MPI_Comm_size`
pub unsafe fn size(comm: MPI_Comm, size: *mut c_int) -> Outcome {
    // SAFETY: the caller gives room for an integer; so below where one is written.
    unsafe { size.write(get(comm)?.size() as c_int) };
    Ok(())
}

/// `MPI_Comm_rank`
pub unsafe fn rank(comm: MPI_Comm, rank: *mut c_int) -> Outcome {
    // SAFETY: see `size`.
    unsafe { rank.write(get(comm)?.rank as c_int) };
    Ok(())
}

/// `MPI_Comm_dup`
pub unsafe fn dup(comm: MPI_Comm, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        let (_, context) = agree(parent, 0, 0)?;
        let handle = register(parent, Group::new(parent.group.members().to_vec()), context);
        // SAFETY: the caller gives room for a handle.
        unsafe { newcomm.write(handle) };
        Ok(())
    })
}

/// `MPI_Comm_split`
pub unsafe fn split(comm: MPI_Comm, color: c_int, key: c_int, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        if color < 0 && color != MPI_UNDEFINED {
            return Err(Failure::new(MPI_ERR_ARG, format!("color {color}")));
        }
        let (wishes, context) = agree(parent, color, key)?;
        let handle = if color == MPI_UNDEFINED {
            MPI_COMM_NULL
        } else {
            register(parent, part(&wishes, color, &parent.group), context)
        };
        // SAFETY: the caller gives room for a handle.
        unsafe { newcomm.write(handle) };
        Ok(())
    })
}

/// The members of one color by key, and by rank in the parent where keys are equal.
fn part(wishes: &[Wish], color: c_int, parent: &Group) -> Group {
    let mut members: Vec<(c_int, Rank)> = wishes
        .iter()
        .zip(parent.members())
        .filter(|(wish, _)| wish.color == color)
        .map(|(wish, &member)| (wish.key, member))
        .collect();
    members.sort_by_key(|&(key, _)| key);
    Group::new(members.into_iter().map(|(_, member)| member).collect())
}

/// `MPI_Comm_create`
pub unsafe fn create(comm: MPI_Comm, group: MPI_Group, newcomm: *mut MPI_Comm) -> Outcome {
    on(comm, |parent| {
        let group = group::get(group)?;
        if let Some(stranger) = group.members().iter().find(|&&member| parent.group.place(member).is_none()) {
            let what = format!("process {stranger} is not in the communicator");
            return Err(Failure::new(MPI_ERR_GROUP, what));
        }
        let (_, context) = agree(parent, 0, 0)?;
        let handle = match group.place(parent.group.members()[parent.rank as usize]) {
            Some(_) => register(parent, Group::new(group.members().to_vec()), context),
            None => MPI_COMM_NULL,
        };
        // SAFETY: the caller gives room for a handle.
        unsafe { newcomm.write(handle) };
        Ok(())
    })
}

/// `MPI_Comm_free`. Operations under way keep the communicator for themselves.
pub unsafe fn free(comm: *mut MPI_Comm) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *comm };
    let object = get(*handle)?;
    if lock().others.remove(*handle).is_none() {
        return Err(Failure::new(MPI_ERR_COMM, "a predefined communicator cannot be freed").on(&object));
    }
    *handle = MPI_COMM_NULL;
    Ok(())
}

/// `MPI_Comm_compare`
pub unsafe fn compare(comm1: MPI_Comm, comm2: MPI_Comm, result: *mut c_int) -> Outcome {
    let (first, second) = (get(comm1)?, get(comm2)?);
    let answer = match first.group.compare(&second.group) {
        MPI_IDENT if first.context == second.context => MPI_IDENT,
        MPI_IDENT => MPI_CONGRUENT,
        other => other,
    };
    // SAFETY: see `size`.
    unsafe { result.write(answer) };
    Ok(())
}

/// `MPI_Comm_group`
pub unsafe fn group(comm: MPI_Comm, group: *mut MPI_Group) -> Outcome {
    let of = get(comm)?.group.clone();
    // SAFETY: the caller gives room for a handle.
    unsafe { group::hand_out(of, group) };
    Ok(())
}

/// `MPI_Comm_test_inter`: there are no intercommunicators here.
pub unsafe fn test_inter(comm: MPI_Comm, flag: *mut c_int) -> Outcome {
    get(comm)?;
    // SAFETY: see `size`.
    unsafe { write_flag(flag, false) };
    Ok(())
}

/// `MPI_Comm_remote_size`: of an intercommunicator only.
pub unsafe fn remote_size(comm: MPI_Comm, _size: *mut c_int) -> Outcome {
    on(comm, |_| Err(Failure::new(MPI_ERR_COMM, "the communicator has no remote group")))
}

/// `MPI_Comm_set_name`
pub unsafe fn set_name(comm: MPI_Comm, comm_name: *const c_char) -> Outcome {
    on(comm, |comm| {
        if comm_name.is_null() {
            return Err(crate::status::null("the name"));
        }
        // SAFETY: the caller gives a string.
        let name = unsafe { CStr::from_ptr(comm_name) };
        comm.settings().name = name.to_string_lossy().into_owned();
        Ok(())
    })
}

/// `MPI_Comm_get_name`
pub unsafe fn get_name(comm: MPI_Comm, comm_name: *mut c_char, resultlen: *mut c_int) -> Outcome {
    let name = get(comm)?.settings().name.clone();
    // SAFETY: the caller gives room for MPI_MAX_OBJECT_NAME letters and for the length.
    unsafe { write_string(&name, MPI_MAX_OBJECT_NAME, comm_name, resultlen) };
    Ok(())
}

/// `MPI_Comm_get_attr`, for the keys of the standard: a pointer to the value.
pub unsafe fn get_attr(
    comm: MPI_Comm,
    comm_keyval: c_int,
    attribute_val: *mut c_void,
    flag: *mut c_int,
) -> Outcome {
    static TAG_UB: c_int = c_int::MAX;
    static NO: c_int = 0;
    static ANYWHERE: c_int = MPI_ANY_SOURCE;
    static LAST_CODE: c_int = MPI_ERR_LASTCODE;
    static UNIVERSE: std::sync::OnceLock<c_int> = std::sync::OnceLock::new();
    on(comm, |_| {
        let value: Option<&'static c_int> = match comm_keyval {
            MPI_TAG_UB => Some(&TAG_UB),
            MPI_WTIME_IS_GLOBAL => Some(&NO),
            MPI_IO => Some(&ANYWHERE),
            MPI_LASTUSEDCODE => Some(&LAST_CODE),
            MPI_UNIVERSE_SIZE => Some(UNIVERSE.get_or_init(|| world::with(|world| world.size() as c_int))),
            MPI_APPNUM => Some(&NO),
            MPI_HOST => None,
            other => return Err(Failure::new(MPI_ERR_KEYVAL, format!("attribute key {other}"))),
        };
        // SAFETY: the caller gives room for a pointer and for a flag.
        unsafe {
            if let Some(value) = value {
                attribute_val.cast::<*const c_int>().write(value);
            }
            write_flag(flag, value.is_some());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_ordered_by_key_and_then_by_rank() {
        let parent = Group::new(vec![10, 11, 12, 13]);
        let wish = |color, key| Wish { next_context: 4, color, key };
        let wishes = [wish(1, 5), wish(1, 0), wish(0, 0), wish(1, 5)];
        assert_eq!(part(&wishes, 1, &parent).members(), [11, 10, 13]);
        assert_eq!(part(&wishes, 0, &parent).members(), [12]);
        assert_eq!(Wish::decode(wish(-3, 7).encode()), wish(-3, 7));
    }
}
