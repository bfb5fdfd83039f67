//! Arguments from Fortran to C and back.

use std::ffi::{c_char, c_int};

use super::c;
use crate::constants::*;
use crate::handle::{Handle, MPI_Comm, fromint, toint};

/// Writes the error code where the caller wants it.
///
/// # Safety
/// `ierror` is null, or points to an integer.
pub unsafe fn answer(ierror: *mut c_int, error: c_int) {
    // SAFETY: as this function's contract has it.
    if let Some(ierror) = unsafe { ierror.as_mut() } {
        *ierror = error;
    }
}

/// The handle at an address.
///
/// # Safety
/// `from` points to an integer.
pub unsafe fn handle<H: Handle>(from: *const c_int) -> H {
    // SAFETY: as this function's contract has it.
    fromint(unsafe { *from })
}

/// Writes a handle.
///
/// # Safety
/// `to` points to an integer.
pub unsafe fn store<H: Handle>(to: *mut c_int, handle: H) {
    // SAFETY: as this function's contract has it.
    unsafe { to.write(toint(handle)) };
}

/// An array of handles as C has it.
#[derive(Debug)]
pub struct Handles<H>(Vec<H>);

impl<H: Handle> Handles<H> {
    /// The first `len` handles at an address.
    ///
    /// # Safety
    /// `from` points to `len` integers.
    pub unsafe fn new(from: *const c_int, len: impl Into<i64>) -> Self {
        let len = isize::try_from(len.into()).unwrap_or(0).max(0);
        // SAFETY: as this function's contract has it.
        Self((0..len).map(|at| unsafe { handle(from.offset(at)) }).collect())
    }

    /// Where they lie for C.
    pub fn as_mut_ptr(&mut self) -> *mut H {
        self.0.as_mut_ptr()
    }

    /// Writes them back.
    ///
    /// # Safety
    /// `to` points to as many integers.
    pub unsafe fn store(&self, to: *mut c_int) {
        for (at, handle) in self.0.iter().enumerate() {
            // SAFETY: as this function's contract has it.
            unsafe { store(to.add(at), *handle) };
        }
    }
}

/// Whether a call that completes requests has told of them.
pub fn completed(error: c_int) -> bool {
    error == MPI_SUCCESS || error == MPI_ERR_IN_STATUS
}

/// Makes indices count from 1, and leaves `MPI_UNDEFINED` as it is.
///
/// # Safety
/// `indices` points to `len` integers.
pub unsafe fn count_from_one(indices: *mut c_int, len: c_int) {
    for at in 0..usize::try_from(len).unwrap_or(0) {
        // SAFETY: as this function's contract has it.
        let index = unsafe { &mut *indices.add(at) };
        if *index >= 0 {
            *index += 1;
        }
    }
}

/// A text of Fortran's, without the blanks around it, as C has it.
#[derive(Debug)]
pub struct Text(Vec<u8>);

impl Text {
    /// Reads one. Some keywords are compared as they stand, and Fortran pads them: blanks around a text never count.
    ///
    /// # Safety
    /// `from` points to `len` letters.
    pub unsafe fn read(from: *const c_char, len: usize) -> Self {
        let letters: &[u8] = match len {
            0 => &[],
            // SAFETY: as this function's contract has it.
            len => unsafe { std::slice::from_raw_parts(from.cast(), len) },
        };
        let text = letters.trim_ascii().iter().copied().take_while(|letter| *letter != 0);
        Self(text.chain([0]).collect())
    }

    /// Where it lies for C.
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// Room for a text from C: for the longest that the standard has.
#[derive(Debug)]
pub struct Room([u8; MPI_MAX_LIBRARY_VERSION_STRING as usize + 1]);

impl Room {
    /// Empty room.
    pub fn new() -> Self {
        Self([0; MPI_MAX_LIBRARY_VERSION_STRING as usize + 1])
    }

    /// Where it lies for C.
    pub fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    /// Writes the text, padded with blanks or cut.
    ///
    /// # Safety
    /// `to` has room for `len` letters.
    pub unsafe fn store(&self, to: *mut c_char, len: usize) {
        let end = self.0.iter().position(|letter| *letter == 0).unwrap_or(self.0.len());
        let text = &self.0[..end.min(len)];
        let to = to.cast::<u8>();
        // SAFETY: as this function's contract has it.
        unsafe {
            to.copy_from_nonoverlapping(text.as_ptr(), text.len());
            to.add(text.len()).write_bytes(b' ', len - text.len());
        }
    }
}

/// How many processes an `Alltoallw` on that communicator has a type for.
///
/// # Safety
/// `comm` points to an integer.
pub unsafe fn peers(comm: *const c_int) -> i64 {
    // SAFETY: as this function's contract has it.
    let comm: MPI_Comm = unsafe { handle(comm) };
    let (mut is_inter, mut size) = (0, 0);
    // SAFETY: each call is given room for its answer.
    unsafe {
        c::PMPI_Comm_test_inter(comm, &raw mut is_inter);
        match is_inter {
            0 => c::PMPI_Comm_size(comm, &raw mut size),
            _ => c::PMPI_Comm_remote_size(comm, &raw mut size),
        };
    }
    i64::from(size)
}

/// A process's neighbors in a topology.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbors {
    /// How many it receives from.
    pub sources: i64,
    /// How many it sends to.
    pub destinations: i64,
}

/// The neighbors that a neighborhood collective on that communicator has types for.
///
/// # Safety
/// `comm` points to an integer.
pub unsafe fn neighbors(comm: *const c_int) -> Neighbors {
    // SAFETY: as this function's contract has it.
    let comm: MPI_Comm = unsafe { handle(comm) };
    let (mut topology, mut rank, mut weighted) = (MPI_UNDEFINED, 0, 0);
    let (mut sources, mut destinations) = (0, 0);
    // SAFETY: each call is given room for its answer.
    unsafe {
        c::PMPI_Topo_test(comm, &raw mut topology);
        match topology {
            MPI_CART => {
                c::PMPI_Cartdim_get(comm, &raw mut sources);
                sources *= 2;
                destinations = sources;
            }
            MPI_GRAPH => {
                c::PMPI_Comm_rank(comm, &raw mut rank);
                c::PMPI_Graph_neighbors_count(comm, rank, &raw mut sources);
                destinations = sources;
            }
            MPI_DIST_GRAPH => {
                c::PMPI_Dist_graph_neighbors_count(
                    comm,
                    &raw mut sources,
                    &raw mut destinations,
                    &raw mut weighted,
                );
            }
            _ => {}
        }
    }
    Neighbors { sources: i64::from(sources), destinations: i64::from(destinations) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_loses_its_blanks_and_gets_them_back() {
        let padded = b"  key  ";
        // SAFETY: the text has that length.
        let text = unsafe { Text::read(padded.as_ptr().cast(), padded.len()) };
        assert_eq!(text.0, b"key\0");

        let mut room = Room::new();
        room.0[..3].copy_from_slice(b"abc");
        let mut to = *b"-----.";
        // SAFETY: there is room for five letters, and for two.
        unsafe { room.store(to.as_mut_ptr().cast(), 5) };
        assert_eq!(&to, b"abc  .");
        let mut short = *b"--.";
        // SAFETY: see above.
        unsafe { room.store(short.as_mut_ptr().cast(), 2) };
        assert_eq!(&short, b"ab.");
    }

    #[test]
    fn indices_count_from_one_and_undefined_stays() {
        let mut indices = [0, MPI_UNDEFINED, 4, 7];
        // SAFETY: there are more than three.
        unsafe { count_from_one(indices.as_mut_ptr(), 3) };
        assert_eq!(indices, [1, MPI_UNDEFINED, 5, 7]);
        // SAFETY: nothing is touched.
        unsafe { count_from_one(indices.as_mut_ptr(), MPI_UNDEFINED) };
        assert_eq!(indices, [1, MPI_UNDEFINED, 5, 7]);
    }

    #[test]
    fn an_array_of_handles_goes_to_c_and_back() {
        let from = [MPI_COMM_WORLD.0 as c_int, 0x1013];
        // SAFETY: there are two integers in both arrays.
        let handles: Handles<MPI_Comm> = unsafe { Handles::new(from.as_ptr(), 2) };
        assert_eq!(handles.0, [MPI_COMM_WORLD, MPI_Comm(0x1013)]);
        let mut to = [0; 2];
        // SAFETY: see above.
        unsafe { handles.store(to.as_mut_ptr()) };
        assert_eq!(to, from);
        // SAFETY: nothing is read.
        assert!(unsafe { Handles::<MPI_Comm>::new(from.as_ptr(), -1) }.0.is_empty());
    }
}
