//! The predefined operations on every predefined datatype.

use std::ffi::c_void;

use super::float::{F16, F80, F128};
use super::scalar::{Arithmetic, Ordered};
use super::*;
use crate::datatype::Datatype;

const SUM: usize = 0x21;
const MIN: usize = 0x22;
const MAX: usize = 0x23;
const PROD: usize = 0x24;
const BAND: usize = 0x28;
const BOR: usize = 0x29;
const BXOR: usize = 0x2a;
const LAND: usize = 0x30;
const LOR: usize = 0x31;
const LXOR: usize = 0x32;
const MINLOC: usize = 0x38;
const MAXLOC: usize = 0x39;

/// Applies an operation both ways, which must agree.
fn apply(op: usize, datatype: usize, left: &[u8], right: &[u8]) -> Vec<u8> {
    let datatype = Datatype::predefined(datatype).unwrap();
    let mut reduction = Reduction::new(&Op::predefined(op).unwrap(), &datatype).unwrap();
    let (mut into_left, mut into_right) = (left.to_vec(), right.to_vec());
    reduction.combine_left(&mut into_left, right);
    reduction.combine_right(left, &mut into_right);
    assert_eq!(into_left, into_right);
    into_left
}

/// The table of MPI 5.0, section 6.9.2, by the datatypes' names.
#[test]
fn operations_are_defined_where_the_standard_says() {
    let c_integer = "MPI_INT MPI_LONG MPI_SHORT MPI_UNSIGNED_SHORT MPI_UNSIGNED MPI_UNSIGNED_LONG MPI_LONG_LONG_INT \
        MPI_UNSIGNED_LONG_LONG MPI_SIGNED_CHAR MPI_UNSIGNED_CHAR MPI_INT8_T MPI_INT16_T MPI_INT32_T MPI_INT64_T \
        MPI_UINT8_T MPI_UINT16_T MPI_UINT32_T MPI_UINT64_T";
    let fortran_integer = "MPI_INTEGER MPI_INTEGER1 MPI_INTEGER2 MPI_INTEGER4 MPI_INTEGER8 MPI_INTEGER16";
    let floating = "MPI_FLOAT MPI_DOUBLE MPI_REAL MPI_DOUBLE_PRECISION MPI_LONG_DOUBLE MPI_REAL2 MPI_REAL4 MPI_REAL8 \
        MPI_REAL16";
    let logical = "MPI_LOGICAL MPI_C_BOOL MPI_CXX_BOOL MPI_LOGICAL1 MPI_LOGICAL2 MPI_LOGICAL4 MPI_LOGICAL8 \
        MPI_LOGICAL16";
    let complex = "MPI_COMPLEX MPI_C_COMPLEX MPI_C_DOUBLE_COMPLEX MPI_C_LONG_DOUBLE_COMPLEX \
        MPI_CXX_FLOAT_COMPLEX MPI_CXX_DOUBLE_COMPLEX MPI_CXX_LONG_DOUBLE_COMPLEX MPI_DOUBLE_COMPLEX MPI_COMPLEX4 \
        MPI_COMPLEX8 MPI_COMPLEX16 MPI_COMPLEX32";
    let multi_language = "MPI_AINT MPI_OFFSET MPI_COUNT";
    let pairs = "MPI_FLOAT_INT MPI_DOUBLE_INT MPI_LONG_INT MPI_2INT MPI_SHORT_INT MPI_LONG_DOUBLE_INT MPI_2REAL \
        MPI_2DOUBLE_PRECISION MPI_2INTEGER";
    let integers = [c_integer, fortran_integer, multi_language];
    let defined: [(&[usize], Vec<&str>); 5] = [
        (&[MAX, MIN], [&integers[..], &[floating]].concat()),
        (&[SUM, PROD], [&integers[..], &[floating, complex]].concat()),
        (&[LAND, LOR, LXOR], [&integers[..], &[logical]].concat()),
        (&[BAND, BOR, BXOR], [&integers[..], &["MPI_BYTE"]].concat()),
        (&[MINLOC, MAXLOC], vec![pairs]),
    ];
    for (ops, groups) in defined {
        let names: Vec<&str> = groups.iter().flat_map(|group| group.split_whitespace()).collect();
        for datatype in (0..0x1000).filter_map(Datatype::predefined) {
            let name = datatype.as_predefined().unwrap().name;
            for op in ops {
                let op = Op::predefined(*op).unwrap();
                let bound = Reduction::new(&op, &datatype);
                assert_eq!(bound.is_ok(), names.contains(&name), "{op:?} on {name}");
                if let Err(error) = bound {
                    assert!(matches!(error, OpError::NotDefined { datatype, .. } if datatype == name));
                }
            }
        }
    }
}

#[test]
fn integers_of_each_width() {
    macro_rules! check {
        ($($datatype:literal $type:ty),*) => { $(
            for (a, b) in [(5, 3), (3, 5), (7, 7), (0, 9), (<$type>::MAX, 2), (<$type>::MIN, 1)] {
                let (a, b): ($type, $type) = (a, b);
                let run = |op| {
                    let both = |value: $type| [value.to_ne_bytes(), (1 as $type).to_ne_bytes()].concat();
                    let result = apply(op, $datatype, &both(a), &both(b));
                    <$type>::from_ne_bytes(result[..size_of::<$type>()].try_into().unwrap())
                };
                assert_eq!(run(SUM), a.wrapping_add(b));
                assert_eq!(run(PROD), a.wrapping_mul(b));
                assert_eq!(run(MIN), a.min(b));
                assert_eq!(run(MAX), a.max(b));
                assert_eq!([run(BAND), run(BOR), run(BXOR)], [a & b, a | b, a ^ b]);
            }
        )* };
    }
    check!(0x240 i8, 0x248 i16, 0x250 i32, 0x258 i64, 0x2e1 i128);
    check!(0x241 u8, 0x249 u16, 0x251 u32, 0x259 u64);
    check!(0x201 i64, 0x20e u64, 0x2d9 i64);
}

#[test]
fn truth_is_anything_but_zero_and_comes_out_as_one() {
    for (a, b) in [(0u8, 0u8), (0, 2), (4, 0), (4, 2)] {
        let (left, right) = (a != 0, b != 0);
        // C_BOOL, SIGNED_CHAR and LOGICAL1.
        for datatype in [0x238, 0x244, 0x2c0] {
            assert_eq!(apply(LAND, datatype, &[a], &[b]), [u8::from(left && right)]);
            assert_eq!(apply(LOR, datatype, &[a], &[b]), [u8::from(left || right)]);
            assert_eq!(apply(LXOR, datatype, &[a], &[b]), [u8::from(left != right)]);
        }
    }
}

#[test]
fn floats_and_complex_numbers() {
    let doubles = |values: &[f64]| values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>();
    assert_eq!(apply(SUM, 0x214, &doubles(&[0.1, -1.0]), &doubles(&[0.2, 4.0])), doubles(&[0.1 + 0.2, 3.0]));
    assert_eq!(apply(MIN, 0x214, &doubles(&[0.1, 5.0]), &doubles(&[0.2, 4.0])), doubles(&[0.1, 4.0]));
    assert_eq!(apply(MAX, 0x214, &doubles(&[0.1, 5.0]), &doubles(&[0.2, 4.0])), doubles(&[0.2, 5.0]));
    // (1+2i)(3-1i) = 5+5i
    assert_eq!(apply(PROD, 0x216, &doubles(&[1.0, 2.0]), &doubles(&[3.0, -1.0])), doubles(&[5.0, 5.0]));
    assert_eq!(apply(SUM, 0x216, &doubles(&[1.0, 2.0]), &doubles(&[3.0, -1.0])), doubles(&[4.0, 1.0]));
    let long_complex = |values: [f64; 2]| values.map(|value| f80(value).0).concat();
    let product = apply(PROD, 0x224, &long_complex([1.0, 2.0]), &long_complex([3.0, -1.0]));
    assert_eq!(product, long_complex([5.0, 5.0]));
    let quad_complex = |values: [f64; 2]| values.map(|value| f128(value).0).concat();
    let product = apply(PROD, 0x2eb, &quad_complex([1.0, 2.0]), &quad_complex([3.0, -1.0]));
    assert_eq!(product, quad_complex([5.0, 5.0]));
}

#[test]
fn locations_go_with_values_and_the_lower_wins_a_tie() {
    // DOUBLE_INT, packed: twelve bytes.
    let pair = |value: f64, index: i32| [&value.to_ne_bytes()[..], &index.to_ne_bytes()].concat();
    assert_eq!(apply(MINLOC, 0x229, &pair(2.0, 7), &pair(1.0, 9)), pair(1.0, 9));
    assert_eq!(apply(MINLOC, 0x229, &pair(1.0, 7), &pair(2.0, 3)), pair(1.0, 7));
    assert_eq!(apply(MINLOC, 0x229, &pair(2.0, 7), &pair(2.0, 3)), pair(2.0, 3));
    assert_eq!(apply(MAXLOC, 0x229, &pair(2.0, 7), &pair(1.0, 3)), pair(2.0, 7));
    assert_eq!(apply(MAXLOC, 0x229, &pair(2.0, 3), &pair(2.0, 7)), pair(2.0, 3));
    let long = |value: f64, index: i32| [&f80(value).0[..], &index.to_ne_bytes()].concat();
    assert_eq!(apply(MAXLOC, 0x22d, &long(-2.0, 3), &long(1.0, 9)), long(1.0, 9));
    let reals = |value: f32, index: f32| [value.to_ne_bytes(), index.to_ne_bytes()].concat();
    assert_eq!(apply(MINLOC, 0x230, &reals(1.0, 5.0), &reals(1.0, 4.0)), reals(1.0, 4.0));
    let short = |value: i16, index: i32| [&value.to_ne_bytes()[..], &index.to_ne_bytes()].concat();
    assert_eq!(apply(MINLOC, 0x22c, &short(-3, 5), &short(4, 1)), short(-3, 5));
}

/// The 80-bit number of that sign, power of two and significand (its top bit set).
fn parts(negative: bool, exponent: i32, significand: u64) -> F80 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&significand.to_le_bytes());
    let head = (exponent + 16383) as u16 | if negative { 0x8000 } else { 0 };
    bytes[8..10].copy_from_slice(&head.to_le_bytes());
    F80(bytes)
}

/// A finite double that is not subnormal.
fn f80(value: f64) -> F80 {
    let bits = value.to_bits();
    if value == 0.0 {
        return F80([0; 16]);
    }
    let significand = (bits & ((1 << 52) - 1) | 1 << 52) << 11;
    parts(value < 0.0, (bits >> 52 & 0x7ff) as i32 - 1023, significand)
}

fn f128(value: f64) -> F128 {
    let bits = value.to_bits();
    if value == 0.0 {
        return F128([0; 16]);
    }
    let exponent = u128::from(bits >> 52 & 0x7ff) + 16383 - 1023;
    let sign = u128::from(bits >> 63) << 127;
    F128((sign | exponent << 112 | u128::from(bits & ((1 << 52) - 1)) << 60).to_le_bytes())
}

#[test]
fn long_double_has_all_its_64_bits() {
    const TOP: u64 = 1 << 63;
    // 2^63 + 1 takes 64 bits of significand; a double has 53.
    let large = parts(false, 63, TOP | 1);
    assert_eq!(large.plus(f80(2.0)), parts(false, 63, TOP | 3));
    assert_eq!(large.minus(f80(1.0)), parts(false, 63, TOP));
    assert_eq!(f80(1.0).minus(large), parts(true, 63, TOP));
    // (2^32 + 1)(2^31 + 1) = 2^63 + 2^32 + 2^31 + 1
    let product = f80(4_294_967_297.0).times(f80(2_147_483_649.0));
    assert_eq!(product, parts(false, 63, TOP | 1 << 32 | 1 << 31 | 1));
    // Beyond a double's range.
    assert!(!f80(1e300).times(f80(1e300)).less(f80(f64::MAX)));
    assert!(f80(f64::MAX).less(f80(1e300).times(f80(1e300))));
    assert!(parts(false, 63, TOP).less(large) && !large.less(parts(false, 63, TOP)) && !large.less(large));
    assert!(f80(-2.0).less(f80(1.0)) && f80(-3.0).less(f80(-2.0)));
    let nan = F80([0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0x7f, 0, 0, 0, 0, 0, 0]);
    assert!(!nan.less(f80(1.0)) && !f80(1.0).less(nan));
    // The x87 stack is left empty: more operations than it has registers.
    assert_eq!((0..100).fold(f80(0.0), |sum, i| sum.plus(f80(f64::from(i)))), f80(4950.0));
    assert!((0..100).all(|i| f80(f64::from(i)).less(f80(100.0))));
}

#[test]
fn long_double_computes_as_doubles_do_where_these_are_exact() {
    for a in -40..40 {
        for b in -40..40 {
            let (a, b) = (f64::from(a) * 0.125, f64::from(b) * 1024.0);
            assert_eq!(f80(a).plus(f80(b)), f80(a + b), "{a} + {b}");
            assert_eq!(f80(a).minus(f80(b)), f80(a - b), "{a} - {b}");
            assert_eq!(f80(a).less(f80(b)), a < b, "{a} < {b}");
            assert_eq!(f128(a).plus(f128(b)), f128(a + b), "{a} + {b}");
            assert_eq!(f128(a).minus(f128(b)), f128(a - b), "{a} - {b}");
            assert_eq!(f128(a).less(f128(b)), a < b, "{a} < {b}");
            if a * b != 0.0 {
                assert_eq!(f80(a).times(f80(b)), f80(a * b), "{a} * {b}");
                assert_eq!(f128(a).times(f128(b)), f128(a * b), "{a} * {b}");
            }
        }
    }
}

#[test]
fn binary128_has_all_its_113_bits() {
    let power = |exponent: u128| F128(((exponent + 16383) << 112).to_le_bytes());
    let sum = power(112).plus(power(0));
    assert_eq!(sum, F128(((112 + 16383) << 112 | 1u128).to_le_bytes()));
    assert_eq!(sum.minus(power(112)), power(0));
    assert!(power(112).less(sum) && !sum.less(power(112)));
}

#[test]
fn binary16_rounds_to_nearest_even() {
    // Every number survives; so do both neighbours of every midpoint.
    for bits in 0..0x7c00u16 {
        let value = F16(bits).widen();
        assert_eq!(F16::round(value), F16(bits));
        assert_eq!(F16::round(-value), F16(bits | 0x8000));
        if bits + 1 < 0x7c00 {
            let next = F16(bits + 1).widen();
            let middle = (value + next) / 2.0;
            assert_eq!(F16::round(middle), F16(bits + (bits & 1)));
            assert_eq!(F16::round(middle.next_down()), F16(bits));
            assert_eq!(F16::round(middle.next_up()), F16(bits + 1));
        }
    }
    assert_eq!(F16(0x3c00).widen(), 1.0);
    assert_eq!(F16::round(65519.9), F16(0x7bff));
    assert_eq!(F16::round(65520.0), F16(0x7c00));
    assert_eq!(F16::round(f32::MAX), F16(0x7c00));
    assert_eq!(F16::round(f32::MIN_POSITIVE / 2.0), F16(0));
    assert!(F16::round(f32::NAN).widen().is_nan());
    assert_eq!(F16(0x7c00).widen(), f32::INFINITY);
    // 1 + 2^-11 is halfway between 1 and its neighbour.
    assert_eq!(F16(0x3c00).plus(F16(0x1000)), F16(0x3c00));
    assert_eq!(F16(0x3c01).plus(F16(0x1000)), F16(0x3c02));
    assert_eq!(F16(0x4000).times(F16(0x4200)), F16(0x4600));
    assert!(F16(0xc000).less(F16(0x3c00)) && !F16(0x3c00).less(F16(0xc000)));
}

/// `inout = in - inout`, which neither commutes nor associates; looks at the handle it is given.
unsafe extern "C" fn minus(input: *mut c_void, inout: *mut c_void, len: *mut i32, datatype: *mut usize) {
    // SAFETY: as MPI promises.
    unsafe {
        assert_eq!(*datatype, 0x209);
        for element in 0..*len as usize {
            let (input, inout) = (input.cast::<i32>().add(element), inout.cast::<i32>().add(element));
            *inout = *input - *inout;
        }
    }
}

#[test]
fn user_functions_get_aligned_operands_in_order() {
    // SAFETY: the function does what it must.
    let op = Op::User(unsafe { UserOp::new(minus, false) });
    assert!(!op.commutes());
    let mut reduction = Reduction::new(&op, &Datatype::predefined(0x209).unwrap()).unwrap();
    let ints = |values: [i32; 3]| values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>();
    // One byte in, so that the operands are not aligned.
    let (left, right) = ([vec![0], ints([10, 20, 30])].concat(), [vec![0], ints([1, 2, 40])].concat());
    let (mut into_left, mut into_right) = (left.clone(), right.clone());
    reduction.combine_left(&mut into_left[1..], &right[1..]);
    reduction.combine_right(&left[1..], &mut into_right[1..]);
    assert_eq!(into_left[1..], ints([9, 18, -10]));
    assert_eq!(into_right[1..], ints([9, 18, -10]));
}

#[test]
fn handles_of_operations() {
    let mut table = OpTable::new();
    // SAFETY: the function does what it must.
    let handle = table.insert(unsafe { UserOp::new(minus, true) });
    assert!(handle >= 0x1000 && table.get(handle).unwrap().commutes());
    assert!(matches!(table.get(SUM), Ok(Op::Predefined(PredefinedOp::Sum))));
    table.free(handle).unwrap();
    assert_eq!(table.get(handle).unwrap_err(), OpError::UnknownHandle(handle));
    assert_eq!(table.free(handle).unwrap_err().class(), class::OP);
    assert_eq!(table.free(MAX).unwrap_err(), OpError::Predefined("MPI_MAX"));
    assert!(Op::predefined(0x20).is_none());
}

#[test]
fn derived_types_reduce_if_they_are_of_one_basic_type() {
    let int = Datatype::predefined(0x209).unwrap();
    let sum = Op::predefined(SUM).unwrap();
    assert!(Reduction::new(&sum, &Datatype::vector(2, 1, 3, &int).unwrap()).is_ok());
    let mixed = Datatype::structure(&[1, 1], &[0, 8], &[int.clone(), Datatype::predefined(0x214).unwrap()]);
    assert_eq!(Reduction::new(&sum, &mixed.unwrap()).unwrap_err(), OpError::Mixed("MPI_SUM"));
    assert!(Reduction::new(&sum, &Datatype::contiguous(0, &int).unwrap()).is_ok());
    let replace = Op::predefined(0x3c).unwrap();
    assert_eq!(Reduction::new(&replace, &int).unwrap_err(), OpError::OneSidedOnly("MPI_REPLACE"));
}
