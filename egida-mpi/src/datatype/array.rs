//! Parts of arrays of several dimensions, and their distribution over a grid of processes (MPI 5.0, sections 5.1.3 and 5.1.4).

use super::{Datatype, DatatypeError};

/// In which order an array lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The last dimension varies fastest.
    C,
    /// The first dimension varies fastest.
    Fortran,
}

impl Order {
    /// The dimensions, from that which varies fastest.
    fn fastest_first(self, dimensions: usize) -> Box<dyn Iterator<Item = usize>> {
        match self {
            Self::C => Box::new((0..dimensions).rev()),
            Self::Fortran => Box::new(0..dimensions),
        }
    }
}

/// One dimension of a part of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many elements the array has.
    pub size: i64,
    /// How many the part has.
    pub subsize: i64,
    /// Where the part begins.
    pub start: i64,
}

/// How one dimension of an array is dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many elements the array has.
    pub size: i64,
    /// To how many processes.
    pub processes: i64,
    /// In which way.
    pub deal: Deal,
}

/// A way to deal out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deal {
    /// All to one process.
    None,
    /// A block to each; of that size, or of equal ones.
    Block(Option<i64>),
    /// Blocks of that size, round and round.
    Cyclic(i64),
}

impl Datatype {
    /// `MPI_Type_create_subarray`
    ///
    /// # Errors
    /// A part that is not within the array, or a type too large.
    pub fn subarray(spans: &[Span], order: Order, old: &Datatype) -> Result<Datatype, DatatypeError> {
        if spans.is_empty() {
            return Err(DatatypeError::Dimensions);
        }
        for span in spans {
            let inside = span.size >= 1
                && span.subsize >= 1
                && span.start >= 0
                && span.subsize.checked_add(span.start).is_some_and(|end| end <= span.size);
            if !inside {
                return Err(DatatypeError::Dimensions);
            }
        }
        nested(
            order.fastest_first(spans.len()).map(|at| {
                let span = spans[at];
                (span.size, vec![(span.subsize, span.start)])
            }),
            old,
        )
    }

    /// `MPI_Type_create_darray`, for the process of that rank in the grid, whose ranks go row by row.
    ///
    /// # Errors
    /// A grid or shares that do not fit each other, or a type too large.
    pub fn darray(
        shares: &[Share],
        rank: i64,
        order: Order,
        old: &Datatype,
    ) -> Result<Datatype, DatatypeError> {
        if shares.is_empty() || shares.iter().any(|share| share.size < 1 || share.processes < 1) {
            return Err(DatatypeError::Dimensions);
        }
        let mut rest = rank;
        let mut coords = vec![0; shares.len()];
        for (share, coord) in shares.iter().zip(&mut coords).rev() {
            *coord = rest % share.processes;
            rest /= share.processes;
        }
        let blocks = |at: usize| Ok((shares[at].size, shares[at].blocks(coords[at])?));
        let dimensions = order.fastest_first(shares.len()).map(blocks).collect::<Result<Vec<_>, _>>()?;
        nested(dimensions, old)
    }
}

impl Share {
    /// The blocks of (length, start) of a process.
    fn blocks(&self, coord: i64) -> Result<Vec<(i64, i64)>, DatatypeError> {
        let cut = |start: i64, len: i64| (len.min(self.size - start).max(0), start.min(self.size));
        match self.deal {
            Deal::None if self.processes == 1 => Ok(vec![(self.size, 0)]),
            Deal::None => Err(DatatypeError::Dimensions),
            Deal::Block(len) => {
                let len = len.unwrap_or((self.size - 1) / self.processes + 1);
                let enough = len > 0 && len.checked_mul(self.processes).is_some_and(|all| all >= self.size);
                if enough { Ok(vec![cut(len * coord, len)]) } else { Err(DatatypeError::Dimensions) }
            }
            Deal::Cyclic(len) if len > 0 => {
                let step = len.checked_mul(self.processes).ok_or(DatatypeError::TooLarge)?;
                let starts = (0..).map(|round| coord * len + round * step);
                Ok(starts.take_while(|&start| start < self.size).map(|start| cut(start, len)).collect())
            }
            Deal::Cyclic(_) => Err(DatatypeError::Dimensions),
        }
    }
}

/// Dimension by dimension from that which varies fastest: blocks of (length, start) within so many elements.
fn nested(
    dimensions: impl IntoIterator<Item = (i64, Vec<(i64, i64)>)>,
    old: &Datatype,
) -> Result<Datatype, DatatypeError> {
    let mut inner = Datatype::resized(old, old.lower_bound(), old.extent())?;
    for (size, blocks) in dimensions {
        let (lengths, starts): (Vec<i64>, Vec<i64>) = blocks.into_iter().unzip();
        let lower = inner.lower_bound();
        let extent = inner.extent().checked_mul(size).ok_or(DatatypeError::TooLarge)?;
        inner = Datatype::resized(&Datatype::indexed(&lengths, &starts, &inner)?, lower, extent)?;
    }
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(datatype: &Datatype) -> Vec<u8> {
        datatype.commit();
        let memory: Vec<u8> = (0..255).collect();
        // SAFETY: the type lies within the memory.
        unsafe { super::super::Source::new(memory.as_ptr(), 1, datatype) }.unwrap().packed().into_owned()
    }

    fn byte() -> Datatype {
        Datatype::predefined(0x247).unwrap()
    }

    #[test]
    fn a_part_of_a_matrix_in_both_orders() {
        let spans = [Span { size: 4, subsize: 2, start: 1 }, Span { size: 5, subsize: 3, start: 2 }];
        let c = Datatype::subarray(&spans, Order::C, &byte()).unwrap();
        assert_eq!(bytes(&c), [7, 8, 9, 12, 13, 14]);
        assert_eq!((c.lower_bound(), c.extent()), (0, 20));
        let fortran = Datatype::subarray(&spans, Order::Fortran, &byte()).unwrap();
        assert_eq!(bytes(&fortran), [9, 10, 13, 14, 17, 18]);
        assert!(Datatype::subarray(&[Span { size: 4, subsize: 2, start: 3 }], Order::C, &byte()).is_err());
    }

    #[test]
    fn shares_cover_an_array_once() {
        let shares = [
            Share { size: 5, processes: 2, deal: Deal::Cyclic(2) },
            Share { size: 7, processes: 3, deal: Deal::Block(None) },
        ];
        let mut all: Vec<u8> = (0..6)
            .flat_map(|rank| bytes(&Datatype::darray(&shares, rank, Order::C, &byte()).unwrap()))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..35).collect::<Vec<u8>>());
        assert_eq!(
            bytes(&Datatype::darray(&shares, 1, Order::C, &byte()).unwrap()),
            [3, 4, 5, 10, 11, 12, 31, 32, 33]
        );
        let too_small = [Share { size: 5, processes: 2, deal: Deal::Block(Some(2)) }];
        assert!(Datatype::darray(&too_small, 0, Order::C, &byte()).is_err());
    }
}
