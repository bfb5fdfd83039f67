//! Datatypes against a naive model: the type map itself, byte by byte.

use proptest::prelude::*;
use proptest::sample::Index;

use super::predefined::TABLE;
use super::*;

/// A type map as the standard writes it: (displacement, size) of each scalar, and the markers of a resize.
#[derive(Debug, Clone)]
struct Model {
    scalars: Vec<(i64, usize)>,
    /// Where the last element ends, with the padding behind a structure.
    padded_end: i64,
    markers: Option<(i64, i64)>,
    align: i64,
}

impl Model {
    fn basic(of: &Predefined) -> Self {
        let first = of.scalar.size();
        let scalars = match of.shape {
            Shape::Single => vec![(0, first)],
            // A complex number is one basic element.
            Shape::Complex => vec![(0, 2 * first)],
            Shape::Pair(index) => {
                vec![(0, first), (first.next_multiple_of(index.size()) as i64, index.size())]
            }
        };
        Self { scalars, padded_end: 0, markers: None, align: of.align() as i64 }.of_structure()
    }

    fn of_structure(self) -> Self {
        let padded = |length: i64| (length + self.align - 1) / self.align * self.align;
        let end = self.padded_end.max(self.end());
        let padded_end = if self.scalars.is_empty() { 0 } else { self.first() + padded(end - self.first()) };
        Self { padded_end, ..self }
    }

    fn joined(blocks: &[(i64, i64, &Model)]) -> Self {
        let mut joined = Self { scalars: vec![], padded_end: i64::MIN, markers: None, align: 1 };
        for (length, displacement, old) in blocks {
            for copy in 0..*length {
                let shift = displacement + copy * (old.upper() - old.lower());
                joined.scalars.extend(old.scalars.iter().map(|(at, size)| (at + shift, *size)));
                if let Some((lower, upper)) = old.markers {
                    let (lower, upper) = (lower + shift, upper + shift);
                    let (low, high) = joined.markers.unwrap_or((lower, upper));
                    joined.markers = Some((low.min(lower), high.max(upper)));
                }
                joined.align = joined.align.max(old.align);
                if !old.scalars.is_empty() {
                    joined.padded_end = joined.padded_end.max(old.padded_end + shift);
                }
            }
        }
        if joined.scalars.is_empty() {
            joined.padded_end = 0;
        }
        joined
    }

    fn size(&self) -> usize {
        self.scalars.iter().map(|(_, size)| size).sum()
    }

    fn first(&self) -> i64 {
        self.scalars.iter().map(|(at, _)| *at).min().unwrap_or(0)
    }

    fn end(&self) -> i64 {
        self.scalars.iter().map(|(at, size)| at + *size as i64).max().unwrap_or(0)
    }

    fn lower(&self) -> i64 {
        self.markers.map_or(self.first(), |(lower, _)| lower)
    }

    fn upper(&self) -> i64 {
        self.markers.map_or(self.padded_end, |(_, upper)| upper)
    }

    /// The displacement of each byte of `count` elements, in the order of the type map.
    fn bytes(&self, count: i64) -> Vec<i64> {
        let extent = self.upper() - self.lower();
        let element = |i: i64| {
            self.scalars
                .iter()
                .flat_map(move |(at, size)| (0..*size as i64).map(move |b| at + b + i * extent))
        };
        (0..count).flat_map(element).collect()
    }
}

/// How to make a datatype.
#[derive(Debug, Clone)]
enum Recipe {
    Basic(Index),
    Contiguous(i64, Box<Recipe>),
    Vector(i64, i64, i64, Box<Recipe>),
    Hvector(i64, i64, i64, Box<Recipe>),
    Indexed(Vec<(i32, i32)>, Box<Recipe>),
    Hindexed(Vec<(i64, i64)>, Box<Recipe>),
    IndexedBlock(i64, Vec<i64>, Box<Recipe>),
    Structure(Vec<(i64, i64, Recipe)>),
    Resized(i64, i64, Box<Recipe>),
}

fn recipe() -> impl Strategy<Value = Recipe> {
    any::<Index>().prop_map(Recipe::Basic).prop_recursive(4, 12, 3, |inner| {
        let old = inner.clone().prop_map(Box::new);
        let (count, length) = (0..5i64, 0..4i64);
        prop_oneof![
            (count.clone(), old.clone()).prop_map(|(n, old)| Recipe::Contiguous(n, old)),
            (count.clone(), length.clone(), -4..6i64, old.clone())
                .prop_map(|(n, l, s, old)| Recipe::Vector(n, l, s, old)),
            (count, length.clone(), -40..80i64, old.clone())
                .prop_map(|(n, l, s, old)| Recipe::Hvector(n, l, s, old)),
            (prop::collection::vec((0..3i32, -5..9i32), 0..4), old.clone())
                .prop_map(|(blocks, old)| Recipe::Indexed(blocks, old)),
            (prop::collection::vec((0..3i64, -40..90i64), 0..4), old.clone())
                .prop_map(|(blocks, old)| Recipe::Hindexed(blocks, old)),
            (length, prop::collection::vec(-5..9i64, 0..4), old.clone())
                .prop_map(|(l, displacements, old)| Recipe::IndexedBlock(l, displacements, old)),
            prop::collection::vec((0..3i64, -40..90i64, inner), 0..4).prop_map(Recipe::Structure),
            (-16..16i64, -8..64i64, old).prop_map(|(lower, extent, old)| Recipe::Resized(lower, extent, old)),
        ]
    })
}

impl Recipe {
    fn make(&self) -> (Datatype, Model) {
        match self {
            Self::Basic(index) => {
                let basic = index.get(TABLE);
                (Datatype::predefined(basic.handle).unwrap(), Model::basic(basic))
            }
            Self::Contiguous(n, old) => {
                let (old, model) = old.make();
                (Datatype::contiguous(*n, &old).unwrap(), Model::joined(&[(*n, 0, &model)]))
            }
            Self::Vector(n, l, s, old) => {
                let (old, model) = old.make();
                let stride = s * (model.upper() - model.lower());
                (Datatype::vector(*n, *l, *s, &old).unwrap(), strided(*n, *l, stride, &model))
            }
            Self::Hvector(n, l, s, old) => {
                let (old, model) = old.make();
                (Datatype::hvector(*n, *l, *s, &old).unwrap(), strided(*n, *l, *s, &model))
            }
            Self::Indexed(blocks, old) => {
                let (old, model) = old.make();
                let (lengths, displacements): (Vec<i32>, Vec<i32>) = blocks.iter().copied().unzip();
                let extent = model.upper() - model.lower();
                let blocks: Vec<_> =
                    blocks.iter().map(|(l, d)| (i64::from(*l), i64::from(*d) * extent, &model)).collect();
                (Datatype::indexed(&lengths, &displacements, &old).unwrap(), Model::joined(&blocks))
            }
            Self::Hindexed(blocks, old) => {
                let (old, model) = old.make();
                let (lengths, displacements): (Vec<i64>, Vec<i64>) = blocks.iter().copied().unzip();
                let blocks: Vec<_> = blocks.iter().map(|(l, d)| (*l, *d, &model)).collect();
                (Datatype::hindexed(&lengths, &displacements, &old).unwrap(), Model::joined(&blocks))
            }
            Self::IndexedBlock(l, displacements, old) => {
                let (old, model) = old.make();
                let extent = model.upper() - model.lower();
                let blocks: Vec<_> = displacements.iter().map(|d| (*l, *d * extent, &model)).collect();
                (Datatype::indexed_block(*l, displacements, &old).unwrap(), Model::joined(&blocks))
            }
            Self::Structure(blocks) => {
                let made: Vec<_> = blocks.iter().map(|(_, _, old)| old.make()).collect();
                let lengths: Vec<_> = blocks.iter().map(|(l, _, _)| *l).collect();
                let displacements: Vec<_> = blocks.iter().map(|(_, d, _)| *d).collect();
                let types: Vec<_> = made.iter().map(|(datatype, _)| datatype.clone()).collect();
                let blocks: Vec<_> =
                    blocks.iter().zip(&made).map(|((l, d, _), (_, model))| (*l, *d, model)).collect();
                let model = Model::joined(&blocks).of_structure();
                (Datatype::structure(&lengths, &displacements, &types).unwrap(), model)
            }
            Self::Resized(lower, extent, old) => {
                let (old, model) = old.make();
                let resized = Model { markers: Some((*lower, lower + extent)), ..model };
                (Datatype::resized(&old, *lower, *extent).unwrap(), resized)
            }
        }
    }
}

fn strided(count: i64, length: i64, stride: i64, old: &Model) -> Model {
    let blocks: Vec<_> = (0..count).map(|block| (length, block * stride, old)).collect();
    Model::joined(&blocks)
}

/// Memory around an origin.
struct Memory {
    bytes: Vec<u8>,
    origin: i64,
}

impl Memory {
    fn around(places: &[i64], fill: impl Fn(usize) -> u8) -> Self {
        let (low, high) = places.iter().fold((0, 0), |(low, high), at| (low.min(*at), high.max(at + 1)));
        Self { bytes: (0..(high - low + 1) as usize).map(fill).collect(), origin: -low }
    }

    fn base(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().wrapping_offset(self.origin as isize)
    }

    fn at(&mut self, displacement: i64) -> &mut u8 {
        &mut self.bytes[(self.origin + displacement) as usize]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_datatype_is_its_type_map(
        recipe in recipe(),
        count in 0..5i64,
        pieces in prop::collection::vec(1..40usize, 1..30),
        cut in any::<Index>(),
    ) {
        let (datatype, model) = recipe.make();
        prop_assert_eq!(datatype.size(), model.size());
        prop_assert_eq!(datatype.lower_bound(), model.lower());
        prop_assert_eq!(datatype.upper_bound(), model.upper());
        prop_assert_eq!(datatype.true_lower_bound(), model.first());
        prop_assert_eq!(datatype.true_extent(), model.end() - model.first());

        let places = model.bytes(count);
        if datatype.is_contiguous() {
            prop_assert!(places.iter().enumerate().all(|(i, at)| i as i64 == *at));
        }

        // Out of memory.
        datatype.commit();
        let mut memory = Memory::around(&places, |i| (i * 37 % 251) as u8);
        let expected: Vec<u8> = places.iter().map(|at| *memory.at(*at)).collect();
        // SAFETY: the memory covers every byte of the model, which has as many as the datatype.
        let source = unsafe { Source::new(memory.base(), count, &datatype) }.unwrap();
        prop_assert_eq!(source.len(), expected.len());
        prop_assert_eq!(source.packed(), &expected[..]);
        let cut = if expected.is_empty() { 0 } else { cut.index(expected.len()) };
        let mut part = vec![0; cut];
        source.pack_into(&mut part);
        prop_assert_eq!(&part[..], &expected[..cut]);

        // Into memory, in pieces, and all at once; what lies between stays as it was.
        let message: Vec<u8> = (0..expected.len()).map(|i| (i * 11 % 253) as u8).collect();
        let mut by_model = Memory::around(&places, |_| 0xee);
        places.iter().zip(&message).for_each(|(at, byte)| *by_model.at(*at) = *byte);
        let mut by_pieces = Memory::around(&places, |_| 0xee);
        // SAFETY: as above.
        let mut unpacker = unsafe { Target::new(by_pieces.base(), count, &datatype) }.unwrap().unpacker();
        let mut rest = &message[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            unpacker.write(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(unpacker.finish(), Ok(message.len()));
        prop_assert_eq!(&by_pieces.bytes, &by_model.bytes);
        let mut at_once = Memory::around(&places, |_| 0xee);
        // SAFETY: as above.
        unsafe { Target::new(at_once.base(), count, &datatype) }.unwrap().unpack(&message).unwrap();
        prop_assert_eq!(&at_once.bytes, &by_model.bytes);

        // Part by part, each told more than there is room for.
        let mut by_parts = Memory::around(&places, |_| 0xee);
        let step = pieces[0];
        for from in (0..message.len()).step_by(step) {
            // SAFETY: as above.
            let target = unsafe { Target::new(by_parts.base(), count, &datatype) }.unwrap();
            let mut unpacker = target.part(from, step);
            prop_assert_eq!(unpacker.room(), step.min(message.len() - from));
            unpacker.write(&message[from..(from + step).min(message.len())]);
            unpacker.write(&[0xdd; 3]);
        }
        prop_assert_eq!(&by_parts.bytes, &by_model.bytes);

        // Counts of every prefix.
        let mut ends = vec![0];
        for (_, size) in std::iter::repeat_n(&model.scalars, count as usize).flatten() {
            ends.push(ends[ends.len() - 1] + size);
        }
        for bytes in 0..=message.len() {
            let elements = ends.iter().position(|end| *end == bytes);
            prop_assert_eq!(datatype.elements_of(bytes), elements, "elements in {} bytes", bytes);
            let whole = if model.size() == 0 { Some(0) } else { (bytes % model.size() == 0).then(|| bytes / model.size()) };
            prop_assert_eq!(datatype.count_of(bytes), whole);
        }
    }
}

fn int() -> Datatype {
    Datatype::predefined(0x209).unwrap()
}

#[test]
fn pair_types_have_the_layout_of_c_structs() {
    // (handle, size, extent) as gcc lays out struct { T value; int index; } on x86-64.
    let pairs =
        [(0x228, 8, 8), (0x229, 12, 16), (0x22a, 12, 16), (0x22b, 8, 8), (0x22c, 6, 8), (0x22d, 20, 32)];
    for (handle, size, extent) in pairs {
        let pair = Datatype::predefined(handle).unwrap();
        assert_eq!((pair.size(), pair.extent()), (size, extent), "{handle:#x}");
        assert_eq!(pair.elements_of(size), Some(2));
    }
}

#[test]
fn the_table_has_every_predefined_handle_once_and_no_other() {
    let mut handles: Vec<_> = TABLE.iter().map(|basic| basic.handle).collect();
    handles.sort_unstable();
    handles.dedup();
    assert_eq!(handles.len(), TABLE.len());
    assert_eq!(TABLE.len(), 70);
    let found = (0..0x1000).filter(|handle| Datatype::predefined(*handle).is_some()).count();
    assert_eq!(found, TABLE.len());
    assert!(Datatype::predefined(NULL_HANDLE).is_none());
}

#[test]
fn simple_layouts_stay_compact_whatever_their_size() {
    let column = Datatype::vector(1 << 30, 1, 1 << 10, &int()).unwrap();
    assert_eq!(column.definition.layout.runs().len(), 1);
    let mixed =
        Datatype::structure(&[1, 1], &[0, 8], &[int(), Datatype::predefined(0x214).unwrap()]).unwrap();
    let many = Datatype::contiguous(1 << 30, &mixed).unwrap();
    assert_eq!(many.definition.layout.runs().len(), 2);
    assert_eq!(many.elements_of(12 << 20), Some(2 << 20));
}

#[test]
fn a_freed_type_lives_on_in_what_holds_it() {
    let mut table = DatatypeTable::new();
    let handle = table.insert(Datatype::contiguous(3, &int()).unwrap());
    assert!(handle >= 0x1000);
    let held = table.get(handle).unwrap();
    held.commit();
    assert_eq!(held.handle(), handle);
    table.free(handle).unwrap();
    assert_eq!(table.get(handle).unwrap_err(), DatatypeError::UnknownHandle(handle));
    assert_eq!(table.free(handle).unwrap_err().class(), class::TYPE);
    let mut memory = [0u32; 3];
    // SAFETY: three ints are there.
    let mut target = unsafe { Target::new(memory.as_mut_ptr().cast(), 1, &held) }.unwrap();
    target.unpack(&[1; 12]).unwrap();
    assert_eq!(memory, [0x0101_0101; 3]);
    assert_ne!(table.insert(held), handle);
    assert_eq!(table.free(0x209).unwrap_err(), DatatypeError::Predefined("MPI_INT"));
}

#[test]
fn misuse_is_told_by_its_class() {
    let class_of = |result: Result<Datatype, DatatypeError>| result.unwrap_err().class();
    assert_eq!(class_of(Datatype::contiguous(-1, &int())), class::COUNT);
    assert_eq!(class_of(Datatype::contiguous(i64::MAX, &int())), class::COUNT);
    assert_eq!(class_of(Datatype::vector(2, 1, i64::MAX / 2, &int())), class::COUNT);
    assert_eq!(class_of(Datatype::hindexed(&[1, 1], &[i64::MIN, i64::MAX], &int())), class::COUNT);
    assert_eq!(class_of(Datatype::indexed(&[1, 1], &[0], &int())), class::ARG);
    assert_eq!(class_of(Datatype::resized(&int(), i64::MAX, 1)), class::COUNT);
    let wide = Datatype::hvector(2, 1, i64::MAX / 16, &int()).unwrap();
    assert_eq!(class_of(Datatype::contiguous(1 << 20, &wide)), class::COUNT);
    // No data, however many.
    let nothing = Datatype::contiguous(i64::MAX, &Datatype::contiguous(0, &int()).unwrap()).unwrap();
    assert_eq!((nothing.size(), nothing.elements_of(0)), (0, Some(0)));

    // SAFETY: nothing is read.
    let refused =
        |count, datatype: &Datatype| unsafe { Source::new(std::ptr::null(), count, datatype) }.map(drop);
    assert_eq!(refused(1, &int()), Err(DatatypeError::NullBuffer));
    assert_eq!(refused(0, &int()), Ok(()));
    assert_eq!(refused(-2, &int()).unwrap_err().class(), class::COUNT);
    let uncommitted = Datatype::contiguous(2, &int()).unwrap();
    assert_eq!(refused(1, &uncommitted), Err(DatatypeError::NotCommitted));
    assert!(uncommitted.duplicate().as_predefined().is_none() && !uncommitted.duplicate().is_committed());
}

#[test]
fn a_message_too_long_fills_the_memory_and_is_told() {
    let (int, mut memory) = (int(), [0u8; 12]);
    // SAFETY: two ints and room behind them.
    let mut unpacker = unsafe { Target::new(memory.as_mut_ptr(), 2, &int) }.unwrap().unpacker();
    unpacker.write(&[1; 5]);
    unpacker.write(&[2; 5]);
    unpacker.write(&[3; 5]);
    assert_eq!(unpacker.finish(), Err(DatatypeError::Truncated { sent_bytes: 15, room_bytes: 8 }));
    assert_eq!(memory, [1, 1, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0]);
}
