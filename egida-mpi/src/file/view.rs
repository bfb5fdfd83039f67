//! Views: which bytes of a file a process sees, and as what (MPI 5.0, section 14.3).

use crate::constants::*;
use crate::datatype::Datatype;
use crate::errors::{Failure, Outcome};
use crate::types;

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Where it begins.
    pub displacement: i64,
    /// What positions count.
    pub etype: Datatype,
    /// Which parts are seen, over and over.
    pub filetype: Datatype,
    /// The representation of the data.
    pub external: bool,
    /// The parts of one filetype that are seen: offset and length, in order.
    pieces: Vec<(i64, i64)>,
}

impl View {
    /// All bytes from one on.
    pub fn bytes(displacement: i64) -> Outcome<Self> {
        let byte = types::get(MPI_BYTE)?;
        Self::new(displacement, byte.clone(), byte, (false, false))
    }

    /// Checks the arguments. Parts may overlap where nothing is written.
    pub fn new(
        displacement: i64,
        etype: Datatype,
        filetype: Datatype,
        (external, overlaps): (bool, bool),
    ) -> Outcome<Self> {
        let wrong = |what: &'static str| Err(Failure::new(MPI_ERR_ARG, what));
        if displacement < 0 {
            return wrong("a view that begins before the file");
        }
        if !etype.is_committed() || !filetype.is_committed() {
            return Err(Failure::new(MPI_ERR_TYPE, "a type of the view is not committed"));
        }
        if etype.size() == 0 || !filetype.size().is_multiple_of(etype.size()) {
            return wrong("the filetype is not made of whole elementary types");
        }
        if !ascends(&etype, overlaps) || !ascends(&filetype, overlaps) {
            return Err(Failure::new(
                MPI_ERR_IO,
                "a type of the view has negative, decreasing or overlapping parts",
            ));
        }
        let mut pieces: Vec<(i64, i64)> = Vec::new();
        filetype.for_each_piece(|offset, len| match pieces.last_mut() {
            Some((start, length)) if *start + *length == offset => *length += len as i64,
            _ => pieces.push((offset, len as i64)),
        });
        Ok(Self { displacement, etype, filetype, external, pieces })
    }

    /// The place in the file of the byte at that place of the data that is seen.
    pub fn byte_offset(&self, data: i64) -> i64 {
        let mut place = self.displacement;
        self.runs(data, 1, |offset, _| {
            place = offset;
            true
        });
        place
    }

    /// Visits the runs of bytes in the file that hold some of the data: their places and lengths, until `visit` has enough.
    pub fn runs(&self, mut data: i64, mut len: i64, mut visit: impl FnMut(i64, i64) -> bool) {
        let (tile, extent) = (self.filetype.size() as i64, self.filetype.extent());
        if tile == 0 {
            return;
        }
        if let [(0, length)] = self.pieces[..]
            && length == extent
        {
            if len > 0 {
                visit(self.displacement + data, len);
            }
            return;
        }
        while len > 0 {
            let start = self.displacement + data / tile * extent;
            let mut within = data % tile;
            for &(offset, length) in &self.pieces {
                if within >= length {
                    within -= length;
                    continue;
                }
                let run = (length - within).min(len);
                if run > 0 && !visit(start + offset + within, run) {
                    return;
                }
                data += run;
                len -= run;
                within = 0;
                if len == 0 {
                    return;
                }
            }
        }
    }

    /// How many elementary types are seen of a file of that length: where its end is.
    pub fn end(&self, size: i64) -> i64 {
        let (tile, extent) = (self.filetype.size() as i64, self.filetype.extent());
        let left = size - self.displacement;
        if left <= 0 || tile == 0 || extent <= 0 {
            return 0;
        }
        let rest = left % extent;
        let seen: i64 = self.pieces.iter().map(|&(offset, length)| (rest - offset).clamp(0, length)).sum();
        (left / extent * tile + seen) / self.etype.size() as i64
    }
}

/// Whether the parts of a type lie one behind the other from 0 on; whether they may overlap.
fn ascends(datatype: &Datatype, overlaps: bool) -> bool {
    let (mut ascends, mut last) = (true, 0);
    datatype.for_each_piece(|offset, len| {
        ascends &= offset >= last;
        last = if overlaps { offset } else { offset + len as i64 };
    });
    ascends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(datatype: Datatype) -> Datatype {
        datatype.commit();
        datatype
    }

    #[test]
    fn a_view_with_holes_sees_its_parts_over_and_over() {
        let int = types::get(MPI_INT).unwrap();
        // Two ints of every five.
        let two = Datatype::contiguous(2, &int).unwrap();
        let filetype = committed(Datatype::resized(&two, 0, 20).unwrap());
        let view = View::new(100, int, filetype, (false, false)).unwrap();
        let mut runs = Vec::new();
        view.runs(4, 16, |offset, len| {
            runs.push((offset, len));
            true
        });
        assert_eq!(runs, [(104, 4), (120, 8), (140, 4)]);
        assert_eq!((view.byte_offset(8), view.end(128), view.end(99)), (120, 4, 0));
    }
}
