//! The representation `external32`: the same on every machine (MPI 5.0, section 14.5.2). Big-endian; a `long` has 4 bytes, a wide character
//! 2, and a `long double` is an IEEE binary128.

use super::Datatype;
use super::predefined::{Predefined, Scalar, Shape};

/// Bytes of `count` elements in `external32`.
#[must_use]
pub fn size(datatype: &Datatype, count: usize) -> usize {
    datatype.definition.signature.basics().map(|(basic, times)| external_size(basic) * times).sum::<usize>()
        * count
}

/// From packed bytes of whole elements to `external32`.
#[must_use]
pub fn encode(datatype: &Datatype, packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packed.len());
    let mut rest = packed;
    while !rest.is_empty() {
        for component in components(datatype) {
            let (native, after) = rest.split_at(component.native());
            component.to_external(native, &mut out);
            rest = after;
        }
    }
    out
}

/// From `external32` of whole elements to packed bytes.
#[must_use]
pub fn decode(datatype: &Datatype, external: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(external.len());
    let mut rest = external;
    while !rest.is_empty() {
        for component in components(datatype) {
            let (bytes, after) = rest.split_at(component.external);
            component.to_native(bytes, &mut out);
            rest = after;
        }
    }
    out
}

/// A number as it lies in memory, and how long it is in `external32`.
#[derive(Debug, Clone, Copy)]
struct Component {
    scalar: Scalar,
    external: usize,
}

impl Component {
    fn native(self) -> usize {
        self.scalar.size()
    }

    fn to_external(self, native: &[u8], out: &mut Vec<u8>) {
        if self.scalar == Scalar::F80 {
            out.extend(quadruple_of(native).to_be_bytes());
        } else {
            // The low bytes come first here; a number that is shorter there keeps these.
            out.extend(native[..self.external.min(native.len())].iter().rev());
        }
    }

    fn to_native(self, external: &[u8], out: &mut Vec<u8>) {
        if self.scalar == Scalar::F80 {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(external);
            out.extend(extended_of(u128::from_be_bytes(bytes)));
            return;
        }
        out.extend(external.iter().rev());
        let signed =
            matches!(self.scalar, Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128);
        let fill = if signed && external.first().is_some_and(|high| high & 0x80 != 0) { 0xff } else { 0 };
        out.extend(std::iter::repeat_n(fill, self.native() - external.len()));
    }
}

fn components(datatype: &Datatype) -> impl Iterator<Item = Component> {
    datatype
        .definition
        .signature
        .basics()
        .flat_map(|(basic, times)| {
            let one = of_basic(basic);
            (0..times).flat_map(move |_| one)
        })
        .flatten()
}

fn of_basic(basic: &Predefined) -> [Option<Component>; 2] {
    let external = match basic.name {
        "MPI_LONG" | "MPI_UNSIGNED_LONG" | "MPI_LONG_INT" => 4,
        "MPI_WCHAR" => 2,
        _ => basic.scalar.size(),
    };
    let first = Component { scalar: basic.scalar, external };
    let second = match basic.shape {
        Shape::Single => None,
        Shape::Complex => Some(first),
        Shape::Pair(index) => Some(Component { scalar: index, external: index.size() }),
    };
    [Some(first), second]
}

fn external_size(basic: &Predefined) -> usize {
    of_basic(basic).iter().flatten().map(|component| component.external).sum()
}

/// The explicit leading bit of the 80-bit format.
const LEADING: u64 = 1 << 63;

fn quadruple_of(native: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..10].copy_from_slice(&native[..10]);
    let bits = u128::from_le_bytes(bytes);
    let (high, significand) = ((bits >> 64) as u16, bits as u64);
    (u128::from(high) << 112) | (u128::from(significand & !LEADING) << 49)
}

fn extended_of(quadruple: u128) -> [u8; 16] {
    let high = (quadruple >> 112) as u16;
    let leading = if high & 0x7fff == 0 { 0 } else { LEADING };
    let significand = leading | ((quadruple >> 49) as u64 & !LEADING);
    ((u128::from(high) << 64) | u128::from(significand)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predefined(name: &str) -> Datatype {
        let basic = super::super::predefined::TABLE.iter().find(|basic| basic.name == name).unwrap();
        Datatype::predefined(basic.handle).unwrap()
    }

    #[test]
    fn integers_are_big_endian_and_longs_short() {
        assert_eq!(encode(&predefined("MPI_INT"), &[1, 2, 3, 4]), [4, 3, 2, 1]);
        let long = predefined("MPI_LONG");
        let minus_two = (-2i64).to_le_bytes();
        assert_eq!(encode(&long, &minus_two), (-2i32).to_be_bytes());
        assert_eq!(decode(&long, &(-2i32).to_be_bytes()), minus_two);
        assert_eq!(size(&long, 3), 12);
        assert_eq!(size(&predefined("MPI_LONG_INT"), 1), 8);
    }

    #[test]
    fn a_long_double_travels_as_a_quadruple() {
        // 1.5 in the 80-bit format.
        let mut value = [0; 16];
        value[..10].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0x3f]);
        let datatype = predefined("MPI_LONG_DOUBLE");
        let external = encode(&datatype, &value);
        assert_eq!(external[..4], [0x3f, 0xff, 0x80, 0]);
        assert_eq!(decode(&datatype, &external), value);
    }
}
