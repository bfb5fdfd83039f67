//! The predefined datatypes: one table with the handles of the standard ABI (MPI 5.0, chapter 20 and appendix A.1).
//!
//! C types are those of x86-64 Linux; the Fortran types have the sizes that gfortran gives them by default.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use super::layout::{Bounds, Layout, Run};
use super::signature::Signature;
use super::{Datatype, Definition};

/// A predefined datatype.
#[derive(Debug, PartialEq, Eq)]
pub struct Predefined {
    /// The ABI's handle.
    pub handle: usize,
    /// The name in C (`MPI_Type_get_name`).
    pub name: &'static str,
    /// The group that says which operations are defined on it.
    pub class: Class,
    /// The representation of its (first) component.
    pub scalar: Scalar,
    /// What it is made of.
    pub shape: Shape,
}

/// The groups of MPI 5.0, section 6.9.2, and those on which no reduction is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// C integers.
    CInteger,
    /// Fortran integers.
    FortranInteger,
    /// Floating point of both languages.
    Floating,
    /// Logical and boolean types.
    Logical,
    /// Complex types.
    Complex,
    /// `MPI_BYTE`
    Byte,
    /// Addresses, offsets and counts.
    MultiLanguage,
    /// A value and an index, for `MPI_MINLOC` and `MPI_MAXLOC`.
    Pair,
    /// Characters: no reduction.
    Character,
    /// `MPI_PACKED`: no reduction.
    Packed,
}

/// How a component is represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scalar {
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    /// IEEE 754 binary16.
    F16,
    F32,
    F64,
    /// The x87 80-bit format in 16 bytes: C's `long double`.
    F80,
    /// IEEE 754 binary128.
    F128,
}

impl Scalar {
    /// Its size in bytes, which is also its alignment.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
            Self::I128 | Self::F80 | Self::F128 => 16,
        }
    }
}

/// What a predefined datatype is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One scalar.
    Single,
    /// Real and imaginary part.
    Complex,
    /// A value, and an index of that representation: a C struct of the two.
    Pair(Scalar),
}

impl Predefined {
    /// Bytes of data, without the padding of a pair.
    #[must_use]
    pub const fn size(&self) -> usize {
        match self.shape {
            Shape::Single => self.scalar.size(),
            Shape::Complex => 2 * self.scalar.size(),
            Shape::Pair(index) => self.scalar.size() + index.size(),
        }
    }

    /// The strictest alignment of its components.
    #[must_use]
    pub fn align(&self) -> usize {
        match self.shape {
            Shape::Single | Shape::Complex => self.scalar.size(),
            Shape::Pair(index) => self.scalar.size().max(index.size()),
        }
    }

    fn is_dense(&self) -> bool {
        matches!(self.shape, Shape::Single | Shape::Complex)
    }

    fn datatype(&'static self) -> Datatype {
        let value = Run::block(0, self.scalar.size());
        let (layout, end) = match self.shape {
            Shape::Single | Shape::Complex => (Layout::block(self.size()), self.size()),
            Shape::Pair(index) => {
                let offset = self.scalar.size().next_multiple_of(index.size());
                let runs = [value, Run::block(offset as i64, index.size())];
                (Layout::of(runs), offset + index.size())
            }
        };
        Datatype {
            handle: self.handle,
            definition: Arc::new(Definition {
                predefined: Some(self),
                layout,
                bounds: Bounds::of_data(0, end as i64, self.align()),
                signature: Signature::basic(self),
                size: self.size(),
                committed: AtomicBool::new(true),
                origin: OnceLock::new(),
                about: Mutex::default(),
            }),
        }
    }
}

/// Handles of datatypes are `FIRST_HANDLE` and the 255 values that follow.
const FIRST_HANDLE: usize = 0x200;

static BY_HANDLE: LazyLock<Vec<Option<Datatype>>> = LazyLock::new(|| {
    let mut by_handle = vec![None; 0x100];
    for predefined in TABLE {
        by_handle[predefined.handle - FIRST_HANDLE] = Some(predefined.datatype());
    }
    by_handle
});

pub(super) fn lookup(handle: usize) -> Option<Datatype> {
    BY_HANDLE.get(handle.checked_sub(FIRST_HANDLE)?)?.clone()
}

static DENSE_BYTES: LazyLock<[u8; 0x100]> = LazyLock::new(|| {
    let mut dense = [0; 0x100];
    for predefined in TABLE.iter().filter(|predefined| predefined.is_dense()) {
        dense[predefined.handle - FIRST_HANDLE] = predefined.size() as u8;
    }
    dense
});

/// The size of an element of a predefined type of which any number lies in memory as it is sent.
#[inline]
pub(super) fn dense_bytes(handle: usize) -> Option<usize> {
    match DENSE_BYTES.get(handle.checked_sub(FIRST_HANDLE)?)? {
        0 => None,
        &bytes => Some(bytes.into()),
    }
}

const fn single(handle: usize, name: &'static str, class: Class, scalar: Scalar) -> Predefined {
    Predefined { handle, name, class, scalar, shape: Shape::Single }
}

const fn complex(handle: usize, name: &'static str, scalar: Scalar) -> Predefined {
    Predefined { handle, name, class: Class::Complex, scalar, shape: Shape::Complex }
}

const fn pair(handle: usize, name: &'static str, value: Scalar, index: Scalar) -> Predefined {
    Predefined { handle, name, class: Class::Pair, scalar: value, shape: Shape::Pair(index) }
}

use Class::{Byte, CInteger, Character, Floating, FortranInteger, Logical, MultiLanguage, Packed};
use Scalar::{F16, F32, F64, F80, F128, I8, I16, I32, I64, I128, U8, U16, U32, U64};

/// Every predefined datatype of the ABI. Its aliases share the handle.
pub(super) static TABLE: &[Predefined] = &[
    single(0x201, "MPI_AINT", MultiLanguage, I64),
    single(0x202, "MPI_COUNT", MultiLanguage, I64),
    single(0x203, "MPI_OFFSET", MultiLanguage, I64),
    single(0x207, "MPI_PACKED", Packed, U8),
    single(0x208, "MPI_SHORT", CInteger, I16),
    single(0x209, "MPI_INT", CInteger, I32),
    single(0x20a, "MPI_LONG", CInteger, I64),
    single(0x20b, "MPI_LONG_LONG_INT", CInteger, I64),
    single(0x20c, "MPI_UNSIGNED_SHORT", CInteger, U16),
    single(0x20d, "MPI_UNSIGNED", CInteger, U32),
    single(0x20e, "MPI_UNSIGNED_LONG", CInteger, U64),
    single(0x20f, "MPI_UNSIGNED_LONG_LONG", CInteger, U64),
    single(0x210, "MPI_FLOAT", Floating, F32),
    complex(0x212, "MPI_C_COMPLEX", F32),
    complex(0x213, "MPI_CXX_FLOAT_COMPLEX", F32),
    single(0x214, "MPI_DOUBLE", Floating, F64),
    complex(0x216, "MPI_C_DOUBLE_COMPLEX", F64),
    complex(0x217, "MPI_CXX_DOUBLE_COMPLEX", F64),
    single(0x218, "MPI_LOGICAL", Logical, I32),
    single(0x219, "MPI_INTEGER", FortranInteger, I32),
    single(0x21a, "MPI_REAL", Floating, F32),
    complex(0x21b, "MPI_COMPLEX", F32),
    single(0x21c, "MPI_DOUBLE_PRECISION", Floating, F64),
    complex(0x21d, "MPI_DOUBLE_COMPLEX", F64),
    single(0x21e, "MPI_CHARACTER", Character, I8),
    single(0x220, "MPI_LONG_DOUBLE", Floating, F80),
    complex(0x224, "MPI_C_LONG_DOUBLE_COMPLEX", F80),
    complex(0x225, "MPI_CXX_LONG_DOUBLE_COMPLEX", F80),
    pair(0x228, "MPI_FLOAT_INT", F32, I32),
    pair(0x229, "MPI_DOUBLE_INT", F64, I32),
    pair(0x22a, "MPI_LONG_INT", I64, I32),
    pair(0x22b, "MPI_2INT", I32, I32),
    pair(0x22c, "MPI_SHORT_INT", I16, I32),
    pair(0x22d, "MPI_LONG_DOUBLE_INT", F80, I32),
    pair(0x230, "MPI_2REAL", F32, F32),
    pair(0x231, "MPI_2DOUBLE_PRECISION", F64, F64),
    pair(0x232, "MPI_2INTEGER", I32, I32),
    single(0x238, "MPI_C_BOOL", Logical, U8),
    single(0x239, "MPI_CXX_BOOL", Logical, U8),
    single(0x23c, "MPI_WCHAR", Character, I32),
    single(0x240, "MPI_INT8_T", CInteger, I8),
    single(0x241, "MPI_UINT8_T", CInteger, U8),
    single(0x243, "MPI_CHAR", Character, I8),
    single(0x244, "MPI_SIGNED_CHAR", CInteger, I8),
    single(0x245, "MPI_UNSIGNED_CHAR", CInteger, U8),
    single(0x247, "MPI_BYTE", Byte, U8),
    single(0x248, "MPI_INT16_T", CInteger, I16),
    single(0x249, "MPI_UINT16_T", CInteger, U16),
    single(0x250, "MPI_INT32_T", CInteger, I32),
    single(0x251, "MPI_UINT32_T", CInteger, U32),
    single(0x258, "MPI_INT64_T", CInteger, I64),
    single(0x259, "MPI_UINT64_T", CInteger, U64),
    single(0x2c0, "MPI_LOGICAL1", Logical, I8),
    single(0x2c1, "MPI_INTEGER1", FortranInteger, I8),
    single(0x2c8, "MPI_LOGICAL2", Logical, I16),
    single(0x2c9, "MPI_INTEGER2", FortranInteger, I16),
    single(0x2ca, "MPI_REAL2", Floating, F16),
    single(0x2d0, "MPI_LOGICAL4", Logical, I32),
    single(0x2d1, "MPI_INTEGER4", FortranInteger, I32),
    single(0x2d2, "MPI_REAL4", Floating, F32),
    complex(0x2d3, "MPI_COMPLEX4", F16),
    single(0x2d8, "MPI_LOGICAL8", Logical, I64),
    single(0x2d9, "MPI_INTEGER8", FortranInteger, I64),
    single(0x2da, "MPI_REAL8", Floating, F64),
    complex(0x2db, "MPI_COMPLEX8", F32),
    single(0x2e0, "MPI_LOGICAL16", Logical, I128),
    single(0x2e1, "MPI_INTEGER16", FortranInteger, I128),
    single(0x2e2, "MPI_REAL16", Floating, F128),
    complex(0x2e3, "MPI_COMPLEX16", F64),
    complex(0x2eb, "MPI_COMPLEX32", F128),
];
