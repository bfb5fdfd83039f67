//! Ranks as threads, and memory that datatypes describe.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::collective::{CollectiveError, Peers};
use crate::datatype::{Blocks, Datatype, Source, Target};
use crate::op::{Op, Reduction, UserOp};

pub const INT: usize = 0x209;
pub const DOUBLE: usize = 0x214;

pub type Failure = CollectiveError<Infallible>;

/// A rank whose messages are vectors on channels. They are handed on in pieces of uneven lengths.
pub struct Thread {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
    pub messages_sent: usize,
}

impl Peers for Thread {
    type Error = Infallible;

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<(), Infallible> {
        assert_ne!(to, self.rank, "a collective sends to itself");
        self.messages_sent += 1;
        self.to[to].send(bytes.to_vec()).expect("the receiver lives until all are done");
        Ok(())
    }

    fn receive(&mut self, from: usize, sink: &mut dyn FnMut(&[u8])) -> Result<(), Infallible> {
        let timeout = std::time::Duration::from_secs(60);
        let message = self.from[from].recv_timeout(timeout).expect("nothing came: the algorithm hangs");
        let (mut rest, mut len) = (&message[..], 1);
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(rest.len().min(len));
            sink(piece);
            (rest, len) = (later, len * 3 + 2);
        }
        Ok(())
    }
}

/// Runs a function on each of `size` ranks; returns what each returned. No message may be left over.
pub fn run<T: Send>(size: usize, function: impl Fn(&mut Thread) -> T + Sync) -> Vec<T> {
    let mut threads: Vec<_> =
        (0..size).map(|rank| Thread { rank, to: vec![], from: vec![], messages_sent: 0 }).collect();
    for from in 0..size {
        for to in 0..size {
            let (sender, receiver) = channel();
            threads[from].to.push(sender);
            threads[to].from.push(receiver);
        }
    }
    let function = &function;
    let done: Vec<_> = std::thread::scope(|scope| {
        let spawn = |mut thread: Thread| {
            scope.spawn(move || {
                let result = function(&mut thread);
                (result, thread)
            })
        };
        let running: Vec<_> = threads.into_iter().map(spawn).collect();
        running.into_iter().map(|handle| handle.join().expect("a rank panicked")).collect()
    });
    let (results, threads): (Vec<T>, Vec<Thread>) = done.into_iter().unzip();
    for thread in &threads {
        for (from, channel) in thread.from.iter().enumerate() {
            assert!(channel.try_recv().is_err(), "a message from {from} to {} is left over", thread.rank);
        }
    }
    results
}

/// The application's memory for elements of a datatype, filled with a pattern.
pub struct Area {
    bytes: Vec<u8>,
    origin: usize,
    pub datatype: Datatype,
    elements: i64,
}

impl Area {
    pub fn new(datatype: &Datatype, elements: i64) -> Self {
        // Room on both sides for types whose data lies below their origin or beyond their bounds.
        let margin = 64;
        let bytes = vec![0xee; (elements * datatype.extent()) as usize + 2 * margin];
        Self { bytes, origin: margin, datatype: datatype.clone(), elements }
    }

    /// Memory with that packed data from an element on.
    pub fn holding(datatype: &Datatype, elements: i64, from: i64, packed: &[u8]) -> Self {
        let mut area = Self::new(datatype, elements);
        area.put(from, packed);
        area
    }

    /// Places packed data from an element on.
    pub fn put(&mut self, from: i64, packed: &[u8]) {
        let count = (packed.len() / self.datatype.size()) as i64;
        assert!(from + count <= self.elements);
        let base = self.base().wrapping_offset((from * self.datatype.extent()) as isize);
        // SAFETY: the elements lie inside the area.
        unsafe { Target::new(base, count, &self.datatype) }.unwrap().unpack(packed).unwrap();
    }

    pub fn source(&self, count: i64) -> Source<'_> {
        assert!(count <= self.elements);
        // SAFETY: the elements lie inside the area.
        unsafe { Source::new(self.bytes.as_ptr().wrapping_add(self.origin), count, &self.datatype) }.unwrap()
    }

    pub fn target(&mut self, count: i64) -> Target<'_> {
        assert!(count <= self.elements);
        // SAFETY: the elements lie inside the area.
        unsafe { Target::new(self.base(), count, &self.datatype) }.unwrap()
    }

    pub fn send_blocks(&self, places: &Places) -> Blocks<'_, *const u8> {
        let base = self.bytes.as_ptr().wrapping_add(self.origin);
        places.blocks(base, self.elements, &self.datatype)
    }

    pub fn receive_blocks(&mut self, places: &Places) -> Blocks<'_, *mut u8> {
        let base = self.base();
        places.blocks(base, self.elements, &self.datatype)
    }

    /// Whether this memory, gaps and surroundings included, is as the other's.
    pub fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.bytes == other.bytes, "{what}:\n{:?}\n{:?}", self.packed(), other.packed());
    }

    pub fn packed(&self) -> Vec<u8> {
        self.source(self.elements).packed().into_owned()
    }

    fn base(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().wrapping_add(self.origin)
    }
}

/// Where the ranks' blocks lie.
#[derive(Clone, Debug)]
pub enum Places {
    Uniform { count: i64, blocks: usize },
    Each { counts: Vec<i64>, displacements: Vec<i64> },
}

impl Places {
    /// Blocks of different lengths, some empty, in descending order, with gaps.
    pub fn uneven(size: usize, unit: i64, seed: usize) -> Self {
        let counts: Vec<i64> = (0..size).map(|rank| ((rank * 7 + seed) % 4) as i64 * unit).collect();
        let mut displacements = vec![0; size];
        let mut end = 1;
        for rank in (0..size).rev() {
            displacements[rank] = end;
            end += counts[rank] + (rank % 2) as i64;
        }
        Self::Each { counts, displacements }
    }

    pub fn block(&self, rank: usize) -> (i64, i64) {
        match self {
            Self::Uniform { count, .. } => (*count, *count * rank as i64),
            Self::Each { counts, displacements } => (counts[rank], displacements[rank]),
        }
    }

    /// How many elements reach over all blocks.
    pub fn elements(&self) -> i64 {
        let ranks = match self {
            Self::Uniform { blocks, .. } => *blocks,
            Self::Each { counts, .. } => counts.len(),
        };
        (0..ranks).map(|rank| self.block(rank)).map(|(count, at)| count + at).max().unwrap_or(0)
    }

    fn blocks<'t, M: Copy + Into<crate::datatype::Address>>(
        &self,
        base: M,
        elements: i64,
        datatype: &'t Datatype,
    ) -> Blocks<'t, M> {
        assert!(self.elements() <= elements);
        // SAFETY: the blocks lie inside the area.
        unsafe {
            match self {
                Self::Uniform { count, blocks } => Blocks::uniform(base, *count, *blocks, datatype),
                Self::Each { counts, displacements } => Blocks::each(base, counts, displacements, datatype),
            }
        }
        .unwrap()
    }
}

/// Bytes that differ from rank to rank and from use to use, the same in every run.
pub fn data(len: usize, seed: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub fn predefined(handle: usize) -> Datatype {
    Datatype::predefined(handle).unwrap()
}

fn committed(datatype: Datatype) -> Datatype {
    datatype.commit();
    datatype
}

/// A contiguous type, one with gaps, and one whose data runs backwards from below its origin.
pub fn int_types() -> Vec<Datatype> {
    let int = predefined(INT);
    let backwards = Datatype::hindexed(&[1, 2], &[8, -8], &int).unwrap();
    vec![
        int.clone(),
        committed(Datatype::vector(3, 2, 4, &int).unwrap()),
        committed(Datatype::resized(&backwards, -8, 24).unwrap()),
    ]
}

/// 2×2 matrices of u32: four in a row, and two rows apart from each other.
pub fn matrix_types() -> [Datatype; 2] {
    let unsigned = predefined(0x20d);
    let apart = Datatype::hvector(2, 2, 20, &unsigned).unwrap();
    [
        committed(Datatype::contiguous(4, &unsigned).unwrap()),
        committed(Datatype::resized(&apart, 0, 36).unwrap()),
    ]
}

/// The product of 2×2 matrices, which does not commute, on either layout.
pub fn matrix_product(datatype: &Datatype) -> Op {
    unsafe extern "C" fn in_a_row(
        input: *mut std::ffi::c_void,
        inout: *mut std::ffi::c_void,
        len: *mut i32,
        _: *mut usize,
    ) {
        // SAFETY: as MPI promises.
        unsafe { multiply(input.cast(), inout.cast(), *len as usize, 16, [0, 4, 8, 12]) }
    }
    unsafe extern "C" fn rows_apart(
        input: *mut std::ffi::c_void,
        inout: *mut std::ffi::c_void,
        len: *mut i64,
        _: *mut usize,
    ) {
        // SAFETY: as MPI promises.
        unsafe { multiply(input.cast(), inout.cast(), *len as usize, 36, [0, 4, 20, 24]) }
    }
    // SAFETY: both read `len` matrices and write the second.
    Op::User(unsafe {
        if datatype.is_contiguous() {
            UserOp::new(in_a_row, false)
        } else {
            UserOp::new_large(rows_apart, false)
        }
    })
}

/// # Safety
/// `len` matrices at both addresses.
unsafe fn multiply(input: *const u8, inout: *mut u8, len: usize, extent: usize, at: [usize; 4]) {
    for element in 0..len {
        let offset = element * extent;
        // SAFETY: as the caller promises; the library keeps the alignment of the type.
        unsafe {
            let a = at.map(|at| *input.add(offset + at).cast::<u32>());
            let b = at.map(|at| *inout.add(offset + at).cast::<u32>());
            let product = |row: usize, column: usize| {
                let (left, right) =
                    (a[2 * row].wrapping_mul(b[column]), a[2 * row + 1].wrapping_mul(b[2 + column]));
                left.wrapping_add(right)
            };
            let c = [product(0, 0), product(0, 1), product(1, 0), product(1, 1)];
            at.iter().zip(c).for_each(|(at, value)| *inout.add(offset + at).cast::<u32>() = value);
        }
    }
}

/// The operands combined one after another.
pub fn fold(op: &Op, datatype: &Datatype, operands: &[Vec<u8>]) -> Vec<u8> {
    let mut reduction = Reduction::new(op, datatype).unwrap();
    let (first, rest) = operands.split_first().unwrap();
    rest.iter().fold(first.clone(), |mut left, right| {
        reduction.combine_left(&mut left, right);
        left
    })
}
