//! The sequence of basic datatypes in a datatype: what counts of received elements and reductions ask for.

use std::sync::Arc;

use super::DatatypeError;
use super::predefined::{Predefined, Shape};

/// More parts than this (1 GiB of them) are refused rather than allocated.
const MAX_PARTS: usize = 1 << 26;

/// `repeats` copies of a list of basic datatypes, each some times in a row.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    period: Period,
    repeats: usize,
}

type Part = (&'static Predefined, usize);

#[derive(Debug, Clone)]
enum Period {
    One(Part),
    Many(Arc<[Part]>),
}

impl Signature {
    pub fn empty() -> Self {
        Self { period: Period::Many(Arc::default()), repeats: 1 }
    }

    pub fn basic(of: &'static Predefined) -> Self {
        Self { period: Period::One((of, 1)), repeats: 1 }
    }

    fn parts(&self) -> &[Part] {
        match &self.period {
            Period::One(part) => std::slice::from_ref(part),
            Period::Many(parts) => parts,
        }
    }

    /// The basic datatypes of one element, each with how many of it come in a row.
    pub fn basics(&self) -> impl Iterator<Item = (&'static Predefined, usize)> + '_ {
        (0..self.repeats).flat_map(|_| self.parts().iter().copied())
    }

    pub fn uniform(&self) -> Option<&'static Predefined> {
        match &self.period {
            Period::One((basic, _)) => Some(basic),
            Period::Many(_) => None,
        }
    }

    pub fn repeated(&self, count: usize) -> Self {
        match (&self.period, count) {
            (_, 0) => Self::empty(),
            (Period::Many(parts), _) if parts.is_empty() => Self::empty(),
            (Period::One((basic, times)), _) => {
                Self { period: Period::One((basic, times * count)), repeats: 1 }
            }
            (Period::Many(_), _) => Self { period: self.period.clone(), repeats: self.repeats * count },
        }
    }

    /// The signatures one after another.
    ///
    /// # Errors
    /// More parts than are reasonable to keep.
    pub fn joined(signatures: Vec<Self>) -> Result<Self, DatatypeError> {
        if let [signature] = &signatures[..] {
            return Ok(signature.clone());
        }
        let mut joined: Vec<Part> = Vec::new();
        for signature in signatures {
            for _ in 0..signature.repeats {
                for &(basic, times) in signature.parts() {
                    match joined.last_mut() {
                        Some((last, count)) if *last == basic => *count += times,
                        _ => joined.push((basic, times)),
                    }
                }
                if joined.len() > MAX_PARTS {
                    return Err(DatatypeError::TooLarge);
                }
            }
        }
        let period = match joined[..] {
            [part] => Period::One(part),
            _ => Period::Many(joined.into()),
        };
        Ok(Self { period, repeats: 1 })
    }

    /// Bytes of so many basic elements, of any number of elements of the datatype one after another.
    pub fn bytes_of_elements(&self, elements: usize) -> usize {
        let parts = self.parts();
        let period_elements: usize = parts.iter().map(|(basic, times)| components(basic) * times).sum();
        if period_elements == 0 {
            return 0;
        }
        let period_bytes: usize = parts.iter().map(|(basic, times)| basic.size() * times).sum();
        let (mut bytes, mut rest) = (elements / period_elements * period_bytes, elements % period_elements);
        for (basic, times) in parts {
            let whole = (rest / components(basic)).min(*times);
            bytes += whole * basic.size();
            rest -= whole * components(basic);
            if whole < *times {
                return bytes + if rest > 0 { basic.scalar.size() } else { 0 };
            }
        }
        bytes
    }

    /// How many basic elements that many bytes hold, of any number of elements of the datatype one after another; `None`
    /// where they end inside one.
    pub fn elements_of(&self, bytes: usize) -> Option<usize> {
        let parts = self.parts();
        let period_bytes: usize = parts.iter().map(|(basic, times)| basic.size() * times).sum();
        if period_bytes == 0 {
            return (bytes == 0).then_some(0);
        }
        let period_elements: usize = parts.iter().map(|(basic, times)| components(basic) * times).sum();
        let mut elements = bytes / period_bytes * period_elements;
        let mut rest = bytes % period_bytes;
        for (basic, times) in parts {
            let whole = (rest / basic.size()).min(*times);
            elements += whole * components(basic);
            rest -= whole * basic.size();
            if whole < *times {
                return match basic.shape {
                    _ if rest == 0 => Some(elements),
                    Shape::Pair(_) if rest == basic.scalar.size() => Some(elements + 1),
                    _ => None,
                };
            }
        }
        Some(elements)
    }
}

/// A pair is two basic elements; a complex number is one.
fn components(basic: &Predefined) -> usize {
    match basic.shape {
        Shape::Pair(_) => 2,
        Shape::Single | Shape::Complex => 1,
    }
}
