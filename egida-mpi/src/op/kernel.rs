//! The predefined operations on packed arrays of the predefined datatypes.

use super::PredefinedOp::{self, Band, Bor, Bxor, Land, Lor, Lxor, Max, Maxloc, Min, Minloc, Prod, Sum};
use super::float::{F16, F80, F128};
use super::scalar::{Arithmetic, Bits, Complex, Element, Ordered, Pair};
use crate::datatype::{Class, Predefined, Scalar, Shape};

/// Combines two packed arrays element by element; both functions compute `left op right`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub into_left: fn(&mut [u8], &[u8]),
    pub into_right: fn(&[u8], &mut [u8]),
}

/// The kernel for an operation on a predefined datatype, if the standard defines it (MPI 5.0, section 6.9.2).
pub(super) fn of(op: PredefinedOp, basic: &Predefined) -> Option<Kernel> {
    use Class::{Byte, CInteger, Complex, Floating, FortranInteger, Logical, MultiLanguage};
    let class = basic.class;
    let integer = matches!(class, CInteger | FortranInteger | MultiLanguage);
    let defined = match op {
        Max | Min => integer || class == Floating,
        Sum | Prod => integer || matches!(class, Floating | Complex),
        // The standard leaves Fortran integers and addresses out; others take them.
        Land | Lor | Lxor => integer || class == Logical,
        Band | Bor | Bxor => integer || class == Byte,
        Maxloc | Minloc => class == Class::Pair,
        PredefinedOp::Replace | PredefinedOp::NoOp => false,
    };
    if !defined {
        return None;
    }
    match (basic.shape, basic.scalar) {
        (Shape::Single, scalar) => on_scalar(op, scalar),
        (Shape::Complex, scalar) => on_complex(op, scalar),
        (Shape::Pair(index), value) => on_pair(op, value, index),
    }
}

/// One operation on one representation.
trait Combine<T> {
    fn combine(left: T, right: T) -> T;
}

fn kernel<T: Element, C: Combine<T>>() -> Kernel {
    Kernel {
        into_left: |left, right| {
            for (left, right) in left.chunks_exact_mut(T::LEN).zip(right.chunks_exact(T::LEN)) {
                C::combine(T::load(left), T::load(right)).store(left);
            }
        },
        into_right: |left, right| {
            for (left, right) in left.chunks_exact(T::LEN).zip(right.chunks_exact_mut(T::LEN)) {
                C::combine(T::load(left), T::load(right)).store(right);
            }
        },
    }
}

fn on_scalar(op: PredefinedOp, scalar: Scalar) -> Option<Kernel> {
    match scalar {
        Scalar::I8 => on_integer::<i8>(op),
        Scalar::I16 => on_integer::<i16>(op),
        Scalar::I32 => on_integer::<i32>(op),
        Scalar::I64 => on_integer::<i64>(op),
        Scalar::I128 => on_integer::<i128>(op),
        Scalar::U8 => on_integer::<u8>(op),
        Scalar::U16 => on_integer::<u16>(op),
        Scalar::U32 => on_integer::<u32>(op),
        Scalar::U64 => on_integer::<u64>(op),
        Scalar::F16 => on_number::<F16>(op),
        Scalar::F32 => on_number::<f32>(op),
        Scalar::F64 => on_number::<f64>(op),
        Scalar::F80 => on_number::<F80>(op),
        Scalar::F128 => on_number::<F128>(op),
    }
}

fn on_integer<T: Element + Arithmetic + Ordered + Bits>(op: PredefinedOp) -> Option<Kernel> {
    match op {
        Band => Some(kernel::<T, And>()),
        Bor => Some(kernel::<T, Or>()),
        Bxor => Some(kernel::<T, Xor>()),
        Land => Some(kernel::<T, Both>()),
        Lor => Some(kernel::<T, Either>()),
        Lxor => Some(kernel::<T, OneOf>()),
        _ => on_number::<T>(op),
    }
}

fn on_number<T: Element + Arithmetic + Ordered>(op: PredefinedOp) -> Option<Kernel> {
    match op {
        Min => Some(kernel::<T, Least>()),
        Max => Some(kernel::<T, Greatest>()),
        _ => on_field::<T>(op),
    }
}

fn on_complex(op: PredefinedOp, part: Scalar) -> Option<Kernel> {
    match part {
        Scalar::F16 => on_field::<Complex<F16>>(op),
        Scalar::F32 => on_field::<Complex<f32>>(op),
        Scalar::F64 => on_field::<Complex<f64>>(op),
        Scalar::F80 => on_field::<Complex<F80>>(op),
        Scalar::F128 => on_field::<Complex<F128>>(op),
        _ => None,
    }
}

fn on_field<T: Element + Arithmetic>(op: PredefinedOp) -> Option<Kernel> {
    match op {
        Sum => Some(kernel::<T, Plus>()),
        Prod => Some(kernel::<T, Times>()),
        _ => None,
    }
}

fn on_pair(op: PredefinedOp, value: Scalar, index: Scalar) -> Option<Kernel> {
    match (value, index) {
        (Scalar::I16, Scalar::I32) => with_location::<i16, i32>(op),
        (Scalar::I32, Scalar::I32) => with_location::<i32, i32>(op),
        (Scalar::I64, Scalar::I32) => with_location::<i64, i32>(op),
        (Scalar::F32, Scalar::I32) => with_location::<f32, i32>(op),
        (Scalar::F64, Scalar::I32) => with_location::<f64, i32>(op),
        (Scalar::F80, Scalar::I32) => with_location::<F80, i32>(op),
        (Scalar::F32, Scalar::F32) => with_location::<f32, f32>(op),
        (Scalar::F64, Scalar::F64) => with_location::<f64, f64>(op),
        _ => None,
    }
}

fn with_location<V: Element + Ordered, I: Element + Ordered>(op: PredefinedOp) -> Option<Kernel> {
    match op {
        Minloc => Some(kernel::<Pair<V, I>, LeastAt>()),
        Maxloc => Some(kernel::<Pair<V, I>, GreatestAt>()),
        _ => None,
    }
}

/// Declares an operation.
macro_rules! combine {
    ($name:ident, $T:ident: $bound:path, |$left:ident, $right:ident| $body:expr) => {
        struct $name;
        impl<$T: $bound> Combine<$T> for $name {
            fn combine($left: $T, $right: $T) -> $T {
                $body
            }
        }
    };
}

combine!(Plus, T: Arithmetic, |left, right| left.plus(right));
combine!(Times, T: Arithmetic, |left, right| left.times(right));
combine!(Least, T: Ordered, |left, right| if right.less(left) { right } else { left });
combine!(Greatest, T: Ordered, |left, right| if left.less(right) { right } else { left });
combine!(And, T: Bits, |left, right| left.and(right));
combine!(Or, T: Bits, |left, right| left.or(right));
combine!(Xor, T: Bits, |left, right| left.xor(right));
combine!(Both, T: Bits, |left, right| T::of_truth(left.is_true() && right.is_true()));
combine!(Either, T: Bits, |left, right| T::of_truth(left.is_true() || right.is_true()));
combine!(OneOf, T: Bits, |left, right| T::of_truth(left.is_true() != right.is_true()));

struct LeastAt;
struct GreatestAt;

impl<V: Ordered, I: Ordered> Combine<Pair<V, I>> for LeastAt {
    fn combine(left: Pair<V, I>, right: Pair<V, I>) -> Pair<V, I> {
        located(left, right, right.value.less(left.value), left.value.less(right.value))
    }
}

impl<V: Ordered, I: Ordered> Combine<Pair<V, I>> for GreatestAt {
    fn combine(left: Pair<V, I>, right: Pair<V, I>) -> Pair<V, I> {
        located(left, right, left.value.less(right.value), right.value.less(left.value))
    }
}

/// The better of two pairs; of equal values, the one with the lower index (MPI 5.0, section 6.9.4).
fn located<V, I: Ordered>(
    left: Pair<V, I>,
    right: Pair<V, I>,
    right_wins: bool,
    left_wins: bool,
) -> Pair<V, I> {
    if right_wins || (!left_wins && right.index.less(left.index)) { right } else { left }
}
