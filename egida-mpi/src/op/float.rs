//! Floating-point formats that Rust has no stable type for: binary16, the x87 80-bit format, binary128.
//!
//! The 80-bit format is computed by the x87 unit itself, binary128 by the compiler's run-time library, as a C or Fortran
//! program on this machine would have them computed.

use std::arch::asm;
use std::arch::x86_64::{__m128, _mm_loadu_ps, _mm_storeu_ps};

use super::scalar::{Arithmetic, Element, Ordered};

/// IEEE 754 binary16: Fortran's `real(2)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct F16(pub u16);

/// C's `long double` on x86-64: ten bytes of value, six of padding (zero in results).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct F80(pub [u8; 16]);

/// IEEE 754 binary128: Fortran's `real(16)`, C's `__float128`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct F128(pub [u8; 16]);

impl F16 {
    /// Exact.
    pub fn widen(self) -> f32 {
        let sign = if self.0 & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(self.0 >> 10 & 0x1f), f32::from(self.0 & 0x3ff));
        match exponent {
            0 => sign * fraction * 2f32.powi(-24),
            31 if fraction == 0.0 => sign * f32::INFINITY,
            31 => f32::NAN,
            _ => sign * (fraction + 1024.0) * 2f32.powi(exponent - 25),
        }
    }

    /// Rounds to nearest, ties to even.
    pub fn round(value: f32) -> Self {
        let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
        if value.is_nan() {
            return Self(sign | 0x7e00);
        }
        let bits = value.abs().to_bits();
        // Scaled so that what remains are the units of the result's last place; then the f32 is rounded to an integer.
        let exponent = ((bits >> 23) as i32 - 127).max(-14);
        let units = value.abs() * 2f32.powi(-exponent.min(16)) * 1024.0;
        if exponent > 15 {
            return Self(sign | 0x7c00);
        }
        // A carry out of the fraction is a carry into the exponent, up to infinity.
        let units = units.round_ties_even() as u16;
        let biased = (exponent + 14) as u16;
        Self(sign | (biased * 1024 + units))
    }
}

/// Binary16 arithmetic in f32: with 24 bits of significand, more than twice 11, rounding twice equals rounding once.
impl Arithmetic for F16 {
    fn plus(self, other: Self) -> Self {
        Self::round(self.widen() + other.widen())
    }

    fn minus(self, other: Self) -> Self {
        Self::round(self.widen() - other.widen())
    }

    fn times(self, other: Self) -> Self {
        Self::round(self.widen() * other.widen())
    }
}

impl Ordered for F16 {
    fn less(self, other: Self) -> bool {
        self.widen() < other.widen()
    }
}

impl Element for F16 {
    const LEN: usize = 2;

    fn load(bytes: &[u8]) -> Self {
        Self(u16::load(bytes))
    }

    fn store(self, bytes: &mut [u8]) {
        self.0.store(bytes);
    }
}

/// `left <instruction> right` on the x87 stack.
macro_rules! x87 {
    ($instruction:literal, $left:expr, $right:expr) => {{
        let (left, right, mut result) = ($left.0, $right.0, [0u8; 16]);
        // SAFETY: reads ten bytes of each operand, writes ten of the result, leaves the x87 stack as it was.
        unsafe {
            asm!(
                "fld tbyte ptr [{left}]",
                "fld tbyte ptr [{right}]",
                concat!($instruction, " st(1), st"),
                "fstp tbyte ptr [{result}]",
                left = in(reg) left.as_ptr(),
                right = in(reg) right.as_ptr(),
                result = in(reg) result.as_mut_ptr(),
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack),
            );
        }
        F80(result)
    }};
}

impl Arithmetic for F80 {
    fn plus(self, other: Self) -> Self {
        x87!("faddp", self, other)
    }

    fn minus(self, other: Self) -> Self {
        x87!("fsubp", self, other)
    }

    fn times(self, other: Self) -> Self {
        x87!("fmulp", self, other)
    }
}

impl Ordered for F80 {
    fn less(self, other: Self) -> bool {
        let above: u8;
        // SAFETY: reads ten bytes of each operand, leaves the x87 stack as it was.
        unsafe {
            asm!(
                "fld tbyte ptr [{left}]",
                "fld tbyte ptr [{right}]",
                // Compares right (on top) with left; unordered sets the carry, so that it is not above.
                "fucomip st, st(1)",
                "seta {above}",
                "fstp st(0)",
                left = in(reg) self.0.as_ptr(),
                right = in(reg) other.0.as_ptr(),
                above = out(reg_byte) above,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                options(nostack),
            );
        }
        above != 0
    }
}

// Of the compiler's run-time library. Their real signatures take and return binary128 in vector registers, which Rust
// cannot declare.
unsafe extern "C" {
    fn __addtf3();
    fn __subtf3();
    fn __multf3();
    fn __lttf2();
}

/// Calls a function of two binary128 numbers.
macro_rules! binary128 {
    ($function:path, $left:expr, $right:expr) => {{
        let (left, right, mut result) = ($left.0, $right.0, [0u8; 16]);
        // SAFETY: the functions take their operands in xmm0 and xmm1, return the result in xmm0 (System V ABI, class
        // SSE), touch what a C function may touch and have no other effect.
        unsafe {
            let mut value: __m128 = _mm_loadu_ps(left.as_ptr().cast());
            asm!(
                "call {function}",
                function = sym $function,
                inout("xmm0") value,
                in("xmm1") _mm_loadu_ps(right.as_ptr().cast()),
                clobber_abi("C"),
            );
            _mm_storeu_ps(result.as_mut_ptr().cast(), value);
        }
        F128(result)
    }};
}

impl Arithmetic for F128 {
    fn plus(self, other: Self) -> Self {
        binary128!(__addtf3, self, other)
    }

    fn minus(self, other: Self) -> Self {
        binary128!(__subtf3, self, other)
    }

    fn times(self, other: Self) -> Self {
        binary128!(__multf3, self, other)
    }
}

impl Ordered for F128 {
    fn less(self, other: Self) -> bool {
        let order: i32;
        // SAFETY: as for arithmetic; the result is an `int`, negative where left is less than right and never so for
        // NaN.
        unsafe {
            asm!(
                "call {function}",
                function = sym __lttf2,
                in("xmm0") _mm_loadu_ps(self.0.as_ptr().cast()),
                in("xmm1") _mm_loadu_ps(other.0.as_ptr().cast()),
                out("eax") order,
                clobber_abi("C"),
            );
        }
        order < 0
    }
}

macro_rules! sixteen_bytes {
    ($($type:ty)*) => { $(
        impl Element for $type {
            const LEN: usize = 16;

            fn load(bytes: &[u8]) -> Self {
                let mut array = [0; 16];
                array.copy_from_slice(bytes);
                Self(array)
            }

            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.0);
            }
        }
    )* };
}

sixteen_bytes!(F80 F128);
