//! Fingerprints of states: equal states have equal ones, and different states, but for an accident of 128 bits, do not.

use std::fmt::{self, Debug, Write};

/// A digest under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64, u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344)
    }
}

impl Fingerprint {
    /// Takes in a number.
    pub fn word(&mut self, word: u64) {
        let one = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = one ^ (one >> 32);
        let other = (self.1.rotate_left(23) ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self.1 = other ^ (other >> 29);
    }

    /// Takes in bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// Takes in all that the debug form of a value shows.
    pub fn shown(&mut self, value: &impl Debug) {
        // Writing into a digest cannot fail.
        let _ = write!(Shown(self), "{value:?}");
    }

    /// Takes in another one.
    pub fn join(&mut self, other: Self) {
        self.word(other.0);
        self.word(other.1);
    }

    /// The digest.
    #[must_use]
    pub fn value(self) -> u128 {
        (u128::from(self.0) << 64) | u128::from(self.1)
    }
}

struct Shown<'a>(&'a mut Fingerprint);

impl Write for Shown<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[u64]) -> u128 {
        let mut fingerprint = Fingerprint::default();
        words.iter().for_each(|&word| fingerprint.word(word));
        fingerprint.value()
    }

    #[test]
    fn order_and_number_count() {
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[0]), of(&[0, 0]));
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        one.bytes(&[1, 0]);
        other.bytes(&[1]);
        assert_ne!(one, other);
        one.shown(&Some(3));
        other.shown(&Some(4));
        assert_ne!(one.value(), other.value());
    }
}
