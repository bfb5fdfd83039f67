//! The constants that stand for an address: `MPI_BOTTOM`, `MPI_IN_PLACE`, `MPI_STATUS_IGNORE` and their like.
//!
//! In Fortran they are variables, and the library knows them by where they are: in one COMMON block, which `mpif.h` and both
//! modules declare alike. A COMMON block is a symbol that every object file may define; the linker puts it into the
//! program, and the program's definition hides the one that the library has here. The dynamic linker says which counts.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::constants::*;

/// Integers in the block.
pub const LEN: usize = 24;

/// The block as the library has it: for programs that bring none, in which no constant is ever met.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Block([AtomicI32; LEN]);

/// The symbol of `COMMON /egida_mpi_addresses/`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)] // the name is Fortran's
pub static egida_mpi_addresses_: Block = Block([const { AtomicI32::new(0) }; LEN]);

/// What a constant is in C, by its place in the block. A status takes eight places.
fn value(place: usize) -> usize {
    match place {
        0 => MPI_BOTTOM,
        1 => MPI_IN_PLACE,
        2 => MPI_BUFFER_AUTOMATIC,
        3 => MPI_UNWEIGHTED,
        4 => MPI_WEIGHTS_EMPTY,
        5 => MPI_ERRCODES_IGNORE,
        8..16 => MPI_STATUS_IGNORE,
        _ => MPI_STATUSES_IGNORE,
    }
}

/// Where the block is that the program means.
fn block() -> usize {
    static BLOCK: AtomicUsize = AtomicUsize::new(0);
    match BLOCK.load(Ordering::Relaxed) {
        0 => {
            let block = locate();
            BLOCK.store(block, Ordering::Relaxed);
            block
        }
        known => known,
    }
}

fn locate() -> usize {
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"egida_mpi_addresses_".as_ptr()) };
    // Where the library is not among what the whole process sees, its own block is the only one that it knows.
    if found.is_null() { (&raw const egida_mpi_addresses_).addr() } else { found.addr() }
}

fn place(address: usize) -> Option<usize> {
    let offset = address.wrapping_sub(block());
    (offset < LEN * size_of::<c_int>()).then_some(offset / size_of::<c_int>())
}

/// The address that C is to see, to read from.
pub fn in_c<T>(address: *const T) -> *const T {
    in_c_mut(address.cast_mut())
}

/// The address that C is to see, to write to.
pub fn in_c_mut<T>(address: *mut T) -> *mut T {
    match place(address.addr()) {
        Some(place) => std::ptr::without_provenance_mut(value(place)),
        None => address,
    }
}

/// Whether it is `MPI_IN_PLACE`.
pub fn is_in_place(buffer: *const c_void) -> bool {
    place(buffer.addr()).is_some_and(|place| value(place) == MPI_IN_PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: usize) -> *const c_int {
        std::ptr::without_provenance(block() + place * size_of::<c_int>())
    }

    #[test]
    fn an_address_in_the_block_is_a_constant_and_every_other_one_stays() {
        assert_eq!(in_c(at(0)).addr(), MPI_BOTTOM);
        assert_eq!(in_c(at(1)).addr(), MPI_IN_PLACE);
        assert_eq!(in_c(at(3)).addr(), MPI_UNWEIGHTED);
        assert_eq!(in_c(at(4)).addr(), MPI_WEIGHTS_EMPTY);
        assert!(in_c(at(8)).is_null() && in_c(at(16)).is_null());
        assert!(is_in_place(at(1).cast()) && !is_in_place(at(0).cast()));
        let own = 5;
        assert_eq!(in_c(&raw const own), &raw const own);
        assert_eq!(in_c(at(LEN)), at(LEN));
    }
}
