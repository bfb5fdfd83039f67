//! Info objects: ordered pairs of key and value, which hint at what the application wants (MPI 5.0, chapter 10).

use std::ffi::{CStr, c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::constants::*;
use crate::errors::{Failure, Outcome};
use crate::handle::{MPI_Info, Table};
use crate::status::{null, write_flag};
use crate::world;

/// The pairs, in the order in which the keys were set first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info(Vec<(String, String)>);

impl Info {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    /// Takes over all pairs of another one.
    pub fn update(&mut self, other: &Self) {
        other.0.iter().for_each(|(key, value)| self.set(key, value));
    }
}

static INFOS: Mutex<Table<MPI_Info, Info>> = Mutex::new(Table::new());

fn lock() -> MutexGuard<'static, Table<MPI_Info, Info>> {
    INFOS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pairs of a handle; none for `MPI_INFO_NULL`.
pub fn get(handle: MPI_Info) -> Outcome<Info> {
    if handle == MPI_INFO_NULL { Ok(Info::default()) } else { existing(handle) }
}

fn existing(handle: MPI_Info) -> Outcome<Info> {
    if handle == MPI_INFO_ENV {
        return Ok(environment());
    }
    lock().get(handle).cloned().ok_or_else(none)
}

fn none() -> Failure {
    Failure::new(MPI_ERR_INFO, "the info object is not one, is null, or was freed")
}

/// What is known of how the program was started. Nothing in it differs between executions.
fn environment() -> Info {
    let mut info = Info::default();
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let command = arguments.next().unwrap_or_default();
    info.set("command", &command);
    info.set("argv", &arguments.collect::<Vec<_>>().join(" "));
    let ranks = world::with(|world| world.size()).to_string();
    info.set("maxprocs", &ranks);
    info.set("soft", &ranks);
    info.set("arch", std::env::consts::ARCH);
    info.set("thread_level", crate::env::thread_level_name());
    info
}

/// Gives pairs a handle at `to`.
///
/// # Safety
/// `to` has room for a handle.
pub unsafe fn hand_out(info: Info, to: *mut MPI_Info) {
    // SAFETY: as this function's contract has it.
    unsafe { to.write(lock().insert(info)) };
}

/// A key or value as C has it, at most `limit` letters with the closing zero.
unsafe fn text(string: *const c_char, limit: c_int, class: c_int, what: &'static str) -> Outcome<String> {
    if string.is_null() {
        return Err(Failure::new(class, format!("{what} is a null pointer")));
    }
    // SAFETY: the caller gives a string.
    let text = unsafe { CStr::from_ptr(string) }.to_string_lossy();
    if text.len() >= limit as usize {
        return Err(Failure::new(class, format!("{what} has {} letters", text.len())));
    }
    Ok(text.into_owned())
}

unsafe fn key_of(key: *const c_char) -> Outcome<String> {
    // SAFETY: the caller gives a string.
    let key = unsafe { text(key, MPI_MAX_INFO_KEY, MPI_ERR_INFO_KEY, "the key")? };
    if key.is_empty() { Err(Failure::new(MPI_ERR_INFO_KEY, "the key is empty")) } else { Ok(key) }
}

/// `MPI_Info_create`
pub unsafe fn create(info: *mut MPI_Info) -> Outcome {
    // SAFETY: the caller gives room for a handle; so in the next two.
    unsafe { hand_out(Info::default(), info) };
    Ok(())
}

/// `MPI_Info_create_env`
pub unsafe fn create_env(_argc: c_int, _argv: *mut *mut c_char, info: *mut MPI_Info) -> Outcome {
    // SAFETY: see above.
    unsafe { hand_out(environment(), info) };
    Ok(())
}

/// `MPI_Info_dup`
pub unsafe fn dup(info: MPI_Info, newinfo: *mut MPI_Info) -> Outcome {
    // SAFETY: see above.
    unsafe { hand_out(existing(info)?, newinfo) };
    Ok(())
}

/// `MPI_Info_free`
pub unsafe fn free(info: *mut MPI_Info) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *info };
    lock().remove(*handle).ok_or_else(none)?;
    *handle = MPI_INFO_NULL;
    Ok(())
}

/// `MPI_Info_set`
pub unsafe fn set(info: MPI_Info, key: *const c_char, value: *const c_char) -> Outcome {
    // SAFETY: the caller gives strings.
    let (key, value) =
        unsafe { (key_of(key)?, text(value, MPI_MAX_INFO_VAL, MPI_ERR_INFO_VALUE, "the value")?) };
    lock().get_mut(info).ok_or_else(none)?.set(&key, &value);
    Ok(())
}

/// `MPI_Info_delete`
pub unsafe fn delete(info: MPI_Info, key: *const c_char) -> Outcome {
    // SAFETY: the caller gives a string.
    let key = unsafe { key_of(key)? };
    let mut infos = lock();
    let pairs = &mut infos.get_mut(info).ok_or_else(none)?.0;
    let at = pairs.iter().position(|(known, _)| *known == key);
    let at = at.ok_or_else(|| Failure::new(MPI_ERR_INFO_NOKEY, format!("there is no key `{key}`")))?;
    pairs.remove(at);
    Ok(())
}

/// `MPI_Info_get`: at most `valuelen` letters, without the closing zero.
pub unsafe fn get_value(
    info: MPI_Info,
    key: *const c_char,
    valuelen: c_int,
    value: *mut c_char,
    flag: *mut c_int,
) -> Outcome {
    // SAFETY: the caller gives a string, room for so many letters and the zero, and for a flag; so in the next two.
    unsafe {
        let (info, key) = (existing(info)?, key_of(key)?);
        let room = usize::try_from(valuelen)
            .map_err(|_| Failure::new(MPI_ERR_ARG, format!("room for {valuelen} letters")))?;
        if value.is_null() {
            return Err(Failure::new(MPI_ERR_INFO_VALUE, "the value is a null pointer"));
        }
        let found = info.get(&key);
        if let Some(found) = found {
            write_letters(found, room + 1, value);
        }
        write_flag(flag, found.is_some());
    }
    Ok(())
}

/// `MPI_Info_get_string`: `buflen` counts the closing zero, and becomes what the value needs.
pub unsafe fn get_string(
    info: MPI_Info,
    key: *const c_char,
    buflen: *mut c_int,
    value: *mut c_char,
    flag: *mut c_int,
) -> Outcome {
    // SAFETY: see `get_value`.
    unsafe {
        let (info, key) = (existing(info)?, key_of(key)?);
        let room = usize::try_from(buflen.read())
            .map_err(|_| Failure::new(MPI_ERR_ARG, format!("room for {} letters", buflen.read())))?;
        let found = info.get(&key);
        if let Some(found) = found {
            if room > 0 {
                write_letters(found, room, value);
            }
            buflen.write(found.len() as c_int + 1);
        }
        write_flag(flag, found.is_some());
    }
    Ok(())
}

/// `MPI_Info_get_valuelen`
pub unsafe fn get_valuelen(
    info: MPI_Info,
    key: *const c_char,
    valuelen: *mut c_int,
    flag: *mut c_int,
) -> Outcome {
    // SAFETY: see `get_value`.
    unsafe {
        let (info, key) = (existing(info)?, key_of(key)?);
        let found = info.get(&key);
        if let Some(found) = found {
            valuelen.write(found.len() as c_int);
        }
        write_flag(flag, found.is_some());
    }
    Ok(())
}

/// Writes what fits into `room` letters with the closing zero.
unsafe fn write_letters(text: &str, room: usize, to: *mut c_char) {
    let letters = &text.as_bytes()[..text.len().min(room - 1)];
    // SAFETY: the caller gives room for so many letters.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(letters.as_ptr(), letters.len());
        to.add(letters.len()).write(0);
    }
}

/// `MPI_Info_get_nkeys`
pub unsafe fn get_nkeys(info: MPI_Info, nkeys: *mut c_int) -> Outcome {
    if nkeys.is_null() {
        return Err(null("the number of keys"));
    }
    // SAFETY: the caller gives room for an integer.
    unsafe { nkeys.write(existing(info)?.0.len() as c_int) };
    Ok(())
}

/// `MPI_Info_get_nthkey`
pub unsafe fn get_nthkey(info: MPI_Info, n: c_int, key: *mut c_char) -> Outcome {
    let info = existing(info)?;
    if key.is_null() {
        return Err(Failure::new(MPI_ERR_INFO_KEY, "the key is a null pointer"));
    }
    let pair = usize::try_from(n).ok().and_then(|n| info.0.get(n));
    let (name, _) =
        pair.ok_or_else(|| Failure::new(MPI_ERR_ARG, format!("key {n} of {} keys", info.0.len())))?;
    // SAFETY: the caller gives room for MPI_MAX_INFO_KEY letters.
    unsafe { write_letters(name, MPI_MAX_INFO_KEY as usize, key) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_the_order_of_their_keys() {
        let mut info = Info::default();
        info.set("b", "1");
        info.set("a", "2");
        info.set("b", "3");
        assert_eq!(info.0, [("b".to_owned(), "3".to_owned()), ("a".to_owned(), "2".to_owned())]);
        let mut other = Info::default();
        other.set("c", "4");
        other.update(&info);
        assert_eq!((other.get("b"), other.get("c"), other.get("d")), (Some("3"), Some("4"), None));
    }
}
