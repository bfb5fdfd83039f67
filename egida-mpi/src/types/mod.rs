//! Datatypes: the entry points (MPI 5.0, chapter 5).

mod about;
mod arrays;
mod external;

use std::ffi::{c_int, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::attribute::Holder;
use crate::comm;
use crate::constants::*;
use crate::datatype::{Datatype, DatatypeError, DatatypeTable, Origin, Source, Target};
use crate::errors::{Failure, Outcome};
use crate::group::array;
use crate::handle::{Integer, MPI_Comm, MPI_Datatype};
use crate::status::null;

pub use about::{
    create_f90_complex, create_f90_integer, create_f90_real, delete_attr, get_attr, get_contents,
    get_contents_large, get_envelope, get_envelope_large, get_name, get_value_index, match_size, set_attr,
    set_name,
};
pub use arrays::{create_darray, create_subarray};
pub use external::{pack_external, pack_external_size, unpack_external};

static TYPES: LazyLock<Mutex<DatatypeTable>> = LazyLock::new(Mutex::default);

fn lock() -> MutexGuard<'static, DatatypeTable> {
    TYPES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The datatype of a handle.
pub fn get(handle: MPI_Datatype) -> Outcome<Datatype> {
    match Datatype::predefined(handle.0) {
        Some(predefined) => Ok(predefined),
        None => Ok(lock().get(handle.0)?),
    }
}

impl From<DatatypeError> for Failure {
    fn from(error: DatatypeError) -> Self {
        Self::new(error.class(), error.to_string())
    }
}

/// Gives a new type a handle at `to`.
unsafe fn hand_out(datatype: Datatype, to: *mut MPI_Datatype) -> Outcome {
    if to.is_null() {
        return Err(null("the new datatype"));
    }
    let handle = MPI_Datatype(lock().insert(datatype));
    // SAFETY: the caller gives room for a handle.
    unsafe { to.write(handle) };
    Ok(())
}

/// Gives a type that is kept elsewhere too a handle at `to`: its own where it is predefined.
///
/// # Safety
/// `to` has room for a handle.
pub unsafe fn hand_out_same(datatype: &Datatype, to: *mut MPI_Datatype) -> Outcome {
    if !datatype.has_constant_handle() {
        // SAFETY: as this function's contract has it; so below.
        return unsafe { hand_out(datatype.clone(), to) };
    }
    // SAFETY: see above.
    unsafe { to.write(MPI_Datatype(datatype.handle())) };
    Ok(())
}

/// The caller's counts, lengths or displacements, widened.
///
/// # Safety
/// As [`array`].
pub unsafe fn wide<N: Integer>(items: *const N, count: impl Integer) -> Outcome<Vec<i64>> {
    let count = c_int::narrow(count.wide()).ok_or(DatatypeError::TooLarge)?;
    // SAFETY: as this function's contract has it.
    Ok(unsafe { array(items, count)? }.iter().map(|item| item.wide()).collect())
}

/// Writes an integer, or `MPI_UNDEFINED` where it does not fit.
unsafe fn write<N: Integer>(to: *mut N, value: i64) -> Outcome {
    if to.is_null() {
        return Err(null("the result"));
    }
    if let Some(value) = N::narrow(value).or_else(|| N::narrow(i64::from(MPI_UNDEFINED))) {
        // SAFETY: the caller gives room for an integer.
        unsafe { to.write(value) };
    }
    Ok(())
}

/// `MPI_Type_commit`
pub unsafe fn commit(datatype: *mut MPI_Datatype) -> Outcome {
    // SAFETY: the caller points to a handle.
    get(unsafe { *datatype })?.commit();
    Ok(())
}

/// `MPI_Type_free`. Operations under way keep the type for themselves.
pub unsafe fn free(datatype: *mut MPI_Datatype) -> Outcome {
    // SAFETY: the caller points to a handle.
    let handle = unsafe { &mut *datatype };
    if Datatype::predefined(handle.0).is_none() {
        get(*handle)?.delete_attributes()?;
    }
    lock().free(handle.0)?;
    *handle = MPI_DATATYPE_NULL;
    Ok(())
}

/// `MPI_Type_dup`
pub unsafe fn dup(oldtype: MPI_Datatype, newtype: *mut MPI_Datatype) -> Outcome {
    let old = get(oldtype)?;
    let datatype = old.duplicate().made_by(Origin::new(MPI_COMBINER_DUP).of([&old]));
    let attributes = old.copied_attributes()?;
    datatype.with_attributes(|own| *own = attributes);
    // SAFETY: the caller gives room for a handle; so in the constructors below.
    unsafe { hand_out(datatype, newtype) }
}

/// `MPI_Type_contiguous`
pub unsafe fn contiguous<N: Integer>(count: N, oldtype: MPI_Datatype, newtype: *mut MPI_Datatype) -> Outcome {
    let old = get(oldtype)?;
    let origin = Origin::new(MPI_COMBINER_CONTIGUOUS).counts(N::LARGE, [count.wide()]).of([&old]);
    // SAFETY: see `dup`.
    unsafe { hand_out(Datatype::contiguous(count.wide(), &old)?.made_by(origin), newtype) }
}

/// `MPI_Type_vector`
pub unsafe fn vector<N: Integer>(
    count: N,
    blocklength: N,
    stride: N,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    let old = get(oldtype)?;
    let (count, blocklength, stride) = (count.wide(), blocklength.wide(), stride.wide());
    let origin = Origin::new(MPI_COMBINER_VECTOR).counts(N::LARGE, [count, blocklength, stride]).of([&old]);
    // SAFETY: see `dup`.
    unsafe { hand_out(Datatype::vector(count, blocklength, stride, &old)?.made_by(origin), newtype) }
}

/// `MPI_Type_create_hvector`
pub unsafe fn create_hvector<N: Integer>(
    count: N,
    blocklength: N,
    stride: impl Integer,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    let old = get(oldtype)?;
    let (count, blocklength, stride) = (count.wide(), blocklength.wide(), stride.wide());
    let origin = Origin::new(MPI_COMBINER_HVECTOR)
        .counts(N::LARGE, [count, blocklength])
        .addresses(N::LARGE, [stride])
        .of([&old]);
    // SAFETY: see `dup`.
    unsafe { hand_out(Datatype::hvector(count, blocklength, stride, &old)?.made_by(origin), newtype) }
}

/// `MPI_Type_indexed`
pub unsafe fn indexed<N: Integer>(
    count: N,
    lengths: *const N,
    displacements: *const N,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: the caller gives `count` of each, and room for a handle; so in the next four.
    unsafe {
        let (lengths, displacements) = (wide(lengths, count)?, wide(displacements, count)?);
        let old = get(oldtype)?;
        let datatype = Datatype::indexed(&lengths, &displacements, &old)?;
        let origin = Origin::new(MPI_COMBINER_INDEXED)
            .counts(N::LARGE, [vec![count.wide()], lengths, displacements].concat())
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_hindexed`
pub unsafe fn create_hindexed<N: Integer, D: Integer>(
    count: N,
    lengths: *const N,
    displacements: *const D,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: see `indexed`.
    unsafe {
        let (lengths, displacements) = (wide(lengths, count)?, wide(displacements, count)?);
        let old = get(oldtype)?;
        let datatype = Datatype::hindexed(&lengths, &displacements, &old)?;
        let origin = Origin::new(MPI_COMBINER_HINDEXED)
            .counts(N::LARGE, [vec![count.wide()], lengths].concat())
            .addresses(N::LARGE, displacements)
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_indexed_block`
pub unsafe fn create_indexed_block<N: Integer>(
    count: N,
    blocklength: N,
    displacements: *const N,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: see `indexed`.
    unsafe {
        let displacements = wide(displacements, count)?;
        let (old, blocklength) = (get(oldtype)?, blocklength.wide());
        let datatype = Datatype::indexed_block(blocklength, &displacements, &old)?;
        let origin = Origin::new(MPI_COMBINER_INDEXED_BLOCK)
            .counts(N::LARGE, [vec![count.wide(), blocklength], displacements].concat())
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_hindexed_block`
pub unsafe fn create_hindexed_block<N: Integer, D: Integer>(
    count: N,
    blocklength: N,
    displacements: *const D,
    oldtype: MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: see `indexed`.
    unsafe {
        let displacements = wide(displacements, count)?;
        let (old, blocklength) = (get(oldtype)?, blocklength.wide());
        let datatype = Datatype::hindexed_block(blocklength, &displacements, &old)?;
        let origin = Origin::new(MPI_COMBINER_HINDEXED_BLOCK)
            .counts(N::LARGE, [count.wide(), blocklength])
            .addresses(N::LARGE, displacements)
            .of([&old]);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_struct`
pub unsafe fn create_struct<N: Integer, D: Integer>(
    count: N,
    lengths: *const N,
    displacements: *const D,
    types: *const MPI_Datatype,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    // SAFETY: see `indexed`.
    unsafe {
        let (lengths, displacements) = (wide(lengths, count)?, wide(displacements, count)?);
        let types = array(types, lengths.len() as c_int)?.iter().map(|&one| get(one));
        let types = types.collect::<Outcome<Vec<_>>>()?;
        let datatype = Datatype::structure(&lengths, &displacements, &types)?;
        let origin = Origin::new(MPI_COMBINER_STRUCT)
            .counts(N::LARGE, [vec![count.wide()], lengths].concat())
            .addresses(N::LARGE, displacements)
            .of(&types);
        hand_out(datatype.made_by(origin), newtype)
    }
}

/// `MPI_Type_create_resized`
pub unsafe fn create_resized<D: Integer>(
    oldtype: MPI_Datatype,
    lower: D,
    extent: D,
    newtype: *mut MPI_Datatype,
) -> Outcome {
    let (old, lower, extent) = (get(oldtype)?, lower.wide(), extent.wide());
    let origin = Origin::new(MPI_COMBINER_RESIZED).addresses(D::LARGE, [lower, extent]).of([&old]);
    // SAFETY: see `dup`.
    unsafe { hand_out(Datatype::resized(&old, lower, extent)?.made_by(origin), newtype) }
}

/// `MPI_Type_size`
pub unsafe fn size<N: Integer>(datatype: MPI_Datatype, size: *mut N) -> Outcome {
    let bytes = get(datatype)?.size();
    // SAFETY: the caller gives room for an integer; so in the next two.
    unsafe { write(size, bytes as i64) }
}

/// `MPI_Type_get_extent`
pub unsafe fn get_extent<N: Integer>(datatype: MPI_Datatype, lower: *mut N, extent: *mut N) -> Outcome {
    let datatype = get(datatype)?;
    // SAFETY: see `size`.
    unsafe {
        write(lower, datatype.lower_bound())?;
        write(extent, datatype.extent())
    }
}

/// `MPI_Type_extent` (MPI-1)
pub unsafe fn extent<N: Integer>(datatype: MPI_Datatype, extent: *mut N) -> Outcome {
    // SAFETY: see `size`; so in the next two.
    unsafe { write(extent, get(datatype)?.extent()) }
}

/// `MPI_Type_lb` (MPI-1)
pub unsafe fn lower_bound<N: Integer>(datatype: MPI_Datatype, displacement: *mut N) -> Outcome {
    // SAFETY: see above.
    unsafe { write(displacement, get(datatype)?.lower_bound()) }
}

/// `MPI_Type_ub` (MPI-1)
pub unsafe fn upper_bound<N: Integer>(datatype: MPI_Datatype, displacement: *mut N) -> Outcome {
    // SAFETY: see above.
    unsafe { write(displacement, get(datatype)?.upper_bound()) }
}

/// `MPI_Type_get_true_extent`
pub unsafe fn get_true_extent<N: Integer>(datatype: MPI_Datatype, lower: *mut N, extent: *mut N) -> Outcome {
    let datatype = get(datatype)?;
    // SAFETY: see `size`.
    unsafe {
        write(lower, datatype.true_lower_bound())?;
        write(extent, datatype.true_extent())
    }
}

/// `MPI_Pack_size`
pub unsafe fn pack_size<N: Integer>(
    count: N,
    datatype: MPI_Datatype,
    comm: MPI_Comm,
    size: *mut N,
) -> Outcome {
    comm::on(comm, |_| {
        let bytes = get(datatype)?.packed_size(count.wide())?;
        // SAFETY: see `size`.
        unsafe { write(size, bytes as i64) }
    })
}

/// `MPI_Pack`
pub unsafe fn pack<N: Integer>(
    inbuf: *const c_void,
    count: N,
    datatype: MPI_Datatype,
    outbuf: *mut c_void,
    outsize: N,
    position: *mut N,
    comm: MPI_Comm,
) -> Outcome {
    comm::on(comm, |_| {
        let datatype = get(datatype)?;
        // SAFETY: the caller gives `count` elements, `outsize` bytes and a position.
        unsafe {
            let source = Source::new(inbuf.cast(), count.wide(), &datatype)?;
            let at = span(position, source.len(), outsize)?;
            let out = outbuf.cast::<u8>().add(at);
            if !source.is_empty() {
                source.pack_into(std::slice::from_raw_parts_mut(out, source.len()));
            }
            write(position, (at + source.len()) as i64)
        }
    })
}

/// `MPI_Unpack`
pub unsafe fn unpack<N: Integer>(
    inbuf: *const c_void,
    insize: N,
    position: *mut N,
    outbuf: *mut c_void,
    outcount: N,
    datatype: MPI_Datatype,
    comm: MPI_Comm,
) -> Outcome {
    comm::on(comm, |_| {
        let datatype = get(datatype)?;
        // SAFETY: the caller gives `insize` bytes, room for `outcount` elements and a position.
        unsafe {
            let mut target = Target::new(outbuf.cast(), outcount.wide(), &datatype)?;
            let len = target.len();
            let at = span(position, len, insize)?;
            if len > 0 {
                target.unpack(std::slice::from_raw_parts(inbuf.cast::<u8>().add(at), len))?;
            }
            write(position, (at + len) as i64)
        }
    })
}

/// Where `len` bytes begin in a pack buffer that has room for them.
unsafe fn span<N: Integer>(position: *const N, len: usize, room: N) -> Outcome<usize> {
    if position.is_null() {
        return Err(null("the position"));
    }
    // SAFETY: the caller points to an integer.
    let at = usize::try_from(unsafe { *position }.wide()).ok();
    let room = usize::try_from(room.wide()).ok();
    let end = at.and_then(|at| at.checked_add(len));
    match (at, end, room) {
        (Some(at), Some(end), Some(room)) if end <= room => Ok(at),
        _ => Err(Failure::new(MPI_ERR_TRUNCATE, "the pack buffer has too little room")),
    }
}

impl Holder for Datatype {
    const ON: crate::attribute::On = crate::attribute::On::Type;

    fn handle_value(&self) -> usize {
        self.handle()
    }

    fn with_attributes<R>(&self, body: impl FnOnce(&mut crate::attribute::Attributes) -> R) -> R {
        self.with_cached(body)
    }
}
