//! How a datatype was made: what `MPI_Type_get_envelope` and `MPI_Type_get_contents` tell (MPI 5.0, section 5.1.13).

use super::Datatype;

/// A constructor's name and arguments.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// `MPI_COMBINER_...`
    pub combiner: i32,
    /// Arguments that are integers.
    pub integers: Vec<i64>,
    /// Arguments that are addresses.
    pub addresses: Vec<i64>,
    /// Arguments that are large counts.
    pub large_counts: Vec<i64>,
    /// Arguments that are datatypes.
    pub datatypes: Vec<Datatype>,
}

impl Origin {
    /// By that constructor.
    #[must_use]
    pub fn new(combiner: i32) -> Self {
        Self { combiner, ..Self::default() }
    }

    /// With counts, which the large forms of the constructors have as large ones.
    #[must_use]
    pub fn counts(mut self, large: bool, counts: impl IntoIterator<Item = i64>) -> Self {
        if large { &mut self.large_counts } else { &mut self.integers }.extend(counts);
        self
    }

    /// With integers.
    #[must_use]
    pub fn integers(self, integers: impl IntoIterator<Item = i64>) -> Self {
        self.counts(false, integers)
    }

    /// With displacements, which the large forms of the constructors have as large counts.
    #[must_use]
    pub fn addresses(mut self, large: bool, addresses: impl IntoIterator<Item = i64>) -> Self {
        if large { &mut self.large_counts } else { &mut self.addresses }.extend(addresses);
        self
    }

    /// With datatypes.
    #[must_use]
    pub fn of<'a>(mut self, datatypes: impl IntoIterator<Item = &'a Datatype>) -> Self {
        self.datatypes.extend(datatypes.into_iter().cloned());
        self
    }
}
