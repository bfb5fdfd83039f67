//! An in-memory copy of the determinants that may still be read on the normal path.

use std::collections::VecDeque;

use egida_core::module::EntryId;

/// Encoded determinants by number; a prefix is forgotten.
#[derive(Debug, Clone, Default)]
pub(super) struct Mirror {
    kept: bool,
    first: EntryId,
    entries: VecDeque<Box<[u8]>>,
}

impl Mirror {
    /// A mirror; one that is not `kept` stays empty.
    pub fn new(kept: bool) -> Self {
        Self { kept, ..Self::default() }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.kept {
            self.entries.push_back(bytes.into());
        }
    }

    pub fn get(&self, id: EntryId) -> Option<&[u8]> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|bytes| &**bytes)
    }

    pub fn forget(&mut self, below: EntryId) {
        while self.first < below && self.entries.pop_front().is_some() {
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mirror;

    #[test]
    fn a_forgotten_prefix_is_gone_and_the_rest_keeps_its_numbers() {
        let mut mirror = Mirror::new(true);
        for byte in 0..5u8 {
            mirror.push(&[byte]);
        }
        mirror.forget(3);
        assert_eq!(mirror.get(2), None);
        assert_eq!(mirror.get(3), Some(&[3][..]));
        assert_eq!(mirror.get(5), None);
    }
}
