//! Texts whose length C counts with the closing zero, and which stay as they are where there is nothing to tell.

use std::ffi::{c_char, c_int};

use super::convert::{Room, Text, answer, handle};
use super::{c, symbols};
use crate::constants::{MPI_MAX_INFO_VAL, MPI_SUCCESS};

symbols! {
    /// `MPI_INFO_GET(INFO, KEY, VALUELEN, VALUE, FLAG, IERROR)`
    mpi_info_get_ pmpi_info_get_(
        info: *const c_int,
        key: *const c_char,
        valuelen: *const c_int,
        value: *mut c_char,
        flag: *mut c_int,
        ierror: *mut c_int,
        key_len: usize,
        value_len: usize,
    ) {
        let key = Text::read(key, key_len);
        let mut room = Room::new();
        let len = (*valuelen).min(MPI_MAX_INFO_VAL - 1);
        let error = c::PMPI_Info_get(handle(info), key.as_ptr(), len, room.as_mut_ptr(), flag);
        if error == MPI_SUCCESS && *flag != 0 {
            room.store(value, value_len);
        }
        answer(ierror, error);
    }

    /// `MPI_INFO_GET_STRING(INFO, KEY, BUFLEN, VALUE, FLAG, IERROR)`: a length of 0 asks for the length alone.
    mpi_info_get_string_ pmpi_info_get_string_(
        info: *const c_int,
        key: *const c_char,
        buflen: *mut c_int,
        value: *mut c_char,
        flag: *mut c_int,
        ierror: *mut c_int,
        key_len: usize,
        value_len: usize,
    ) {
        let key = Text::read(key, key_len);
        let mut room = Room::new();
        let wanted = *buflen > 0;
        let mut len = if wanted { (*buflen).saturating_add(1).min(MPI_MAX_INFO_VAL) } else { 0 };
        let error =
            c::PMPI_Info_get_string(handle(info), key.as_ptr(), &raw mut len, room.as_mut_ptr(), flag);
        if error == MPI_SUCCESS && *flag != 0 {
            *buflen = (len - 1).max(0);
            if wanted {
                room.store(value, value_len);
            }
        }
        answer(ierror, error);
    }

    /// `MPI_SESSION_GET_NTH_PSET(SESSION, INFO, N, PSET_LEN, PSET_NAME, IERROR)`: the same.
    mpi_session_get_nth_pset_ pmpi_session_get_nth_pset_(
        session: *const c_int,
        info: *const c_int,
        n: *const c_int,
        pset_len: *mut c_int,
        pset_name: *mut c_char,
        ierror: *mut c_int,
        pset_name_len: usize,
    ) {
        let mut room = Room::new();
        let wanted = *pset_len > 0;
        let mut len = if wanted { (*pset_len).saturating_add(1).min(MPI_MAX_INFO_VAL) } else { 0 };
        let (session, info) = (handle(session), handle(info));
        let error = c::PMPI_Session_get_nth_pset(session, info, *n, &raw mut len, room.as_mut_ptr());
        if error == MPI_SUCCESS {
            *pset_len = (len - 1).max(0);
            if wanted {
                room.store(pset_name, pset_name_len);
            }
        }
        answer(ierror, error);
    }
}
