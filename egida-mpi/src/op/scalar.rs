//! Elements as the kernels see them: loaded from and stored to packed bytes of any alignment.

/// An element of a packed array.
pub(super) trait Element: Copy {
    /// Its packed length in bytes.
    const LEN: usize;

    fn load(bytes: &[u8]) -> Self;
    fn store(self, bytes: &mut [u8]);
}

/// Numbers that can be added and multiplied. Integers wrap, as in C on this machine.
pub(super) trait Arithmetic: Copy {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

/// Numbers that can be compared.
pub(super) trait Ordered: Copy {
    fn less(self, other: Self) -> bool;
}

/// Integers as bits and as truth values.
pub(super) trait Bits: Copy {
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn is_true(self) -> bool;
    fn of_truth(truth: bool) -> Self;
}

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Complex<T> {
    pub real: T,
    pub imaginary: T,
}

/// A value and where it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair<V, I> {
    pub value: V,
    pub index: I,
}

macro_rules! native {
    ($($type:ty)*) => { $(
        impl Element for $type {
            const LEN: usize = size_of::<$type>();

            fn load(bytes: &[u8]) -> Self {
                let mut array = [0; Self::LEN];
                array.copy_from_slice(bytes);
                Self::from_ne_bytes(array)
            }

            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_ne_bytes());
            }
        }

        impl Ordered for $type {
            fn less(self, other: Self) -> bool {
                self < other
            }
        }
    )* };
}

macro_rules! integer {
    ($($type:ty)*) => { $(
        impl Arithmetic for $type {
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }

        impl Bits for $type {
            fn and(self, other: Self) -> Self {
                self & other
            }

            fn or(self, other: Self) -> Self {
                self | other
            }

            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            fn is_true(self) -> bool {
                self != 0
            }

            fn of_truth(truth: bool) -> Self {
                truth.into()
            }
        }
    )* };
}

macro_rules! float {
    ($($type:ty)*) => { $(
        impl Arithmetic for $type {
            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn minus(self, other: Self) -> Self {
                self - other
            }

            fn times(self, other: Self) -> Self {
                self * other
            }
        }
    )* };
}

native!(i8 i16 i32 i64 i128 u8 u16 u32 u64 f32 f64);
integer!(i8 i16 i32 i64 i128 u8 u16 u32 u64);
float!(f32 f64);

impl<T: Element> Element for Complex<T> {
    const LEN: usize = 2 * T::LEN;

    fn load(bytes: &[u8]) -> Self {
        let (real, imaginary) = bytes.split_at(T::LEN);
        Self { real: T::load(real), imaginary: T::load(imaginary) }
    }

    fn store(self, bytes: &mut [u8]) {
        let (real, imaginary) = bytes.split_at_mut(T::LEN);
        self.real.store(real);
        self.imaginary.store(imaginary);
    }
}

impl<T: Arithmetic> Arithmetic for Complex<T> {
    fn plus(self, other: Self) -> Self {
        Self { real: self.real.plus(other.real), imaginary: self.imaginary.plus(other.imaginary) }
    }

    fn minus(self, other: Self) -> Self {
        Self { real: self.real.minus(other.real), imaginary: self.imaginary.minus(other.imaginary) }
    }

    fn times(self, other: Self) -> Self {
        Self {
            real: self.real.times(other.real).minus(self.imaginary.times(other.imaginary)),
            imaginary: self.real.times(other.imaginary).plus(self.imaginary.times(other.real)),
        }
    }
}

impl<V: Element, I: Element> Element for Pair<V, I> {
    const LEN: usize = V::LEN + I::LEN;

    fn load(bytes: &[u8]) -> Self {
        let (value, index) = bytes.split_at(V::LEN);
        Self { value: V::load(value), index: I::load(index) }
    }

    fn store(self, bytes: &mut [u8]) {
        let (value, index) = bytes.split_at_mut(V::LEN);
        self.value.store(value);
        self.index.store(index);
    }
}
