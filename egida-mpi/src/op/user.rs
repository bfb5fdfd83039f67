//! Operations of the application.

use std::ffi::{c_int, c_void};

use crate::datatype::{Datatype, Target};

/// `MPI_User_function`: `inout[i] = in[i] op inout[i]` for `*len` elements of `*datatype`.
pub type UserFunction =
    unsafe extern "C" fn(input: *mut c_void, inout: *mut c_void, len: *mut c_int, datatype: *mut usize);

/// `MPI_User_function_c`: the same with a large count.
pub type UserFunctionLarge =
    unsafe extern "C" fn(input: *mut c_void, inout: *mut c_void, len: *mut i64, datatype: *mut usize);

/// An operation of the application.
#[derive(Debug, Clone, Copy)]
pub struct UserOp {
    function: Function,
    commutes: bool,
}

#[derive(Debug, Clone, Copy)]
enum Function {
    Classic(UserFunction),
    Large(UserFunctionLarge),
}

impl UserOp {
    /// An operation made by `MPI_Op_create`.
    ///
    /// # Safety
    /// The function must do what the standard asks of it: read `len` elements at both addresses and write only the
    /// second.
    #[must_use]
    pub unsafe fn new(function: UserFunction, commutes: bool) -> Self {
        Self { function: Function::Classic(function), commutes }
    }

    /// An operation made by `MPI_Op_create_c`.
    ///
    /// # Safety
    /// As [`Self::new`].
    #[must_use]
    pub unsafe fn new_large(function: UserFunctionLarge, commutes: bool) -> Self {
        Self { function: Function::Large(function), commutes }
    }

    pub(super) fn commutes(&self) -> bool {
        self.commutes
    }

    /// Calls the function, as often as its count's type asks for.
    ///
    /// # Safety
    /// Both addresses must hold `count` elements of the datatype, the second writable.
    unsafe fn call(&self, input: *const u8, inout: *mut u8, count: usize, datatype: &Datatype) {
        let limit = match self.function {
            Function::Classic(_) => c_int::MAX as usize,
            Function::Large(_) => i64::MAX as usize,
        };
        let mut handle = datatype.handle();
        let mut done = 0;
        while done < count {
            let len = (count - done).min(limit);
            let offset = (done as i64 * datatype.extent()) as isize;
            let input = input.wrapping_offset(offset).cast_mut().cast::<c_void>();
            let inout = inout.wrapping_offset(offset).cast::<c_void>();
            // SAFETY: the elements are there, and whoever made the operation vouched for the function.
            unsafe {
                match self.function {
                    Function::Classic(function) => function(input, inout, &mut (len as c_int), &mut handle),
                    Function::Large(function) => function(input, inout, &mut (len as i64), &mut handle),
                }
            }
            done += len;
        }
    }
}

/// A user operation bound to a datatype: combines packed operands.
#[derive(Debug)]
pub(super) struct UserReduction {
    op: UserOp,
    datatype: Datatype,
    input: Scratch,
    inout: Scratch,
}

impl UserReduction {
    pub fn new(op: UserOp, datatype: &Datatype) -> Self {
        Self { op, datatype: datatype.clone(), input: Scratch::default(), inout: Scratch::default() }
    }

    pub fn element_len(&self) -> usize {
        self.datatype.size()
    }

    /// `right = left op right`
    pub fn combine_right(&mut self, left: &[u8], right: &mut [u8]) {
        let Some(count) = self.count(right) else { return };
        if self.fits(left) && self.fits(right) {
            // SAFETY: packed bytes of a contiguous type are its elements, and they are aligned.
            unsafe { self.op.call(left.as_ptr(), right.as_mut_ptr(), count, &self.datatype) };
            return;
        }
        let input = self.input.lay_out(left, count, &self.datatype);
        let inout = self.inout.lay_out(right, count, &self.datatype);
        // SAFETY: the scratch memory holds that many elements.
        unsafe { self.op.call(input, inout, count, &self.datatype) };
        self.inout.collect(inout, right, count, &self.datatype);
    }

    /// `left = left op right`
    pub fn combine_left(&mut self, left: &mut [u8], right: &[u8]) {
        let Some(count) = self.count(left) else { return };
        let input = self.input.lay_out(left, count, &self.datatype);
        let inout = self.inout.lay_out(right, count, &self.datatype);
        // SAFETY: the scratch memory holds that many elements.
        unsafe { self.op.call(input, inout, count, &self.datatype) };
        self.inout.collect(inout, left, count, &self.datatype);
    }

    fn count(&self, packed: &[u8]) -> Option<usize> {
        packed.len().checked_div(self.datatype.size()).filter(|count| *count > 0)
    }

    /// Whether the function can work on packed bytes where they are.
    fn fits(&self, packed: &[u8]) -> bool {
        self.datatype.is_contiguous() && packed.as_ptr().addr().is_multiple_of(self.datatype.align())
    }
}

/// The strictest alignment of any basic datatype.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
struct Aligned([u8; ALIGN]);

const ALIGN: usize = 16;

/// Memory in which elements lie as the application's functions expect them.
#[derive(Debug, Default)]
struct Scratch(Vec<Aligned>);

impl Scratch {
    /// Lays packed elements out; returns where the first one's origin is.
    fn lay_out(&mut self, packed: &[u8], count: usize, datatype: &Datatype) -> *mut u8 {
        // Functions may copy whole structs: memory must reach over the bounds as well as over the data.
        let low = datatype.lower_bound().min(datatype.true_lower_bound());
        let high = datatype.upper_bound().max(datatype.true_lower_bound() + datatype.true_extent());
        let last = (count as i64 - 1) * datatype.extent();
        // The origin stays as aligned as the application's would be.
        let before = -(low + last.min(0)).div_euclid(ALIGN as i64) * ALIGN as i64;
        let len = (before + high + last.max(0)) as usize;
        self.0.clear();
        self.0.resize(len.div_ceil(ALIGN) + 1, Aligned([0; ALIGN]));
        let origin = self.0.as_mut_ptr().cast::<u8>().wrapping_offset(before as isize);
        // SAFETY: all data of the elements lies between `low` of the one and `high` of the other end.
        let mut target = unsafe { Target::trusted(origin, count, datatype) };
        debug_assert_eq!(target.len(), packed.len());
        let _ = target.unpack(packed);
        origin
    }

    /// Packs the elements that were laid out at that origin.
    fn collect(&self, origin: *mut u8, packed: &mut [u8], count: usize, datatype: &Datatype) {
        // SAFETY: as in `lay_out`, which returned this origin.
        unsafe { Target::trusted(origin, count, datatype) }.as_source().pack_into(packed);
    }
}
