//! A link unit: a specification inside of an object file, so that a program takes its protocol along from the linker.
//!
//! The unit is an ELF note in a section of its own. Notes survive `strip` and the linker's garbage collection although
//! no one refers to them, and those of several objects stand one behind the other, so that two units in one program are
//! noticed. This module knows the note's bytes; who reads and writes files is elsewhere.
//!
//! ```text
//!   note header   owner's length, contents' length, type, owner "Egida", padded to 4 bytes
//!   contents      format, checksum of all that follows, length of the name; name, text; padded to 4 bytes
//! ```

use thiserror::Error;

/// The section that holds the note.
pub const SECTION: &str = ".egida.protocol";

/// The bytes that the section is aligned to.
pub const ALIGN_BYTES: u64 = 4;

const OWNER: &[u8; 6] = b"Egida\0";
/// "EGDP": none of the types that tools give a meaning to whoever owns the note.
const TYPE_PROTOCOL: u32 = u32::from_le_bytes(*b"EGDP");
const FORMAT: u32 = 1;

/// A specification as it travels in a link unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedSpecification {
    /// The name of the file that it was read from.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Why there is no specification in a section that should hold one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkUnitError {
    /// The bytes are cut short or are no such note.
    #[error("section `{SECTION}` holds no link unit of Egida")]
    Foreign,
    /// Another version wrote it.
    #[error(
        "the link unit has format {found}, and this build reads format {FORMAT}; run `egida synth` again"
    )]
    Format {
        /// Its format.
        found: u32,
    },
    /// The checksum does not fit.
    #[error("the link unit is damaged; run `egida synth` and link again")]
    Damaged,
    /// The program was linked with several.
    #[error(
        "the program is linked with two link units, of `{first}` and `{second}`; link it with one of them"
    )]
    Several {
        /// The first one's file name.
        first: String,
        /// The second one's.
        second: String,
    },
    /// Name or text is too long for a note.
    #[error("the specification is too long for a link unit")]
    TooLong,
}

/// The bytes of the section for a specification.
///
/// # Errors
/// [`LinkUnitError::TooLong`] from 4 GiB on.
pub fn encode(specification: &LinkedSpecification) -> Result<Vec<u8>, LinkUnitError> {
    let (name, text) = (specification.name.as_bytes(), specification.text.as_bytes());
    let word = |len: usize| u32::try_from(len).map_err(|_| LinkUnitError::TooLong);
    let mut rest = word(name.len())?.to_le_bytes().to_vec();
    rest.extend_from_slice(name);
    rest.extend_from_slice(text);
    let contents_bytes = word(8 + rest.len())?;

    let mut note = Vec::new();
    for word in [OWNER.len() as u32, contents_bytes, TYPE_PROTOCOL] {
        note.extend_from_slice(&word.to_le_bytes());
    }
    note.extend_from_slice(OWNER);
    pad(&mut note);
    note.extend_from_slice(&FORMAT.to_le_bytes());
    note.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    note.extend_from_slice(&rest);
    pad(&mut note);
    Ok(note)
}

/// Reads the one unit that the bytes of the section hold.
///
/// # Errors
/// [`LinkUnitError`].
pub fn decode(section: &[u8]) -> Result<LinkedSpecification, LinkUnitError> {
    let (first, rest) = decode_one(section)?;
    // A linker may pad behind the last note.
    if rest.iter().all(|&byte| byte == 0) {
        return Ok(first);
    }
    let (second, _) = decode_one(rest)?;
    Err(LinkUnitError::Several { first: first.name, second: second.name })
}

fn decode_one(bytes: &[u8]) -> Result<(LinkedSpecification, &[u8]), LinkUnitError> {
    let (owner_bytes, bytes) = take_word(bytes)?;
    let (contents_bytes, bytes) = take_word(bytes)?;
    let (kind, bytes) = take_word(bytes)?;
    let (owner, bytes) = take(bytes, owner_bytes)?;
    if owner != OWNER || kind != TYPE_PROTOCOL {
        return Err(LinkUnitError::Foreign);
    }
    let (contents, rest) = take(bytes, contents_bytes)?;
    let (format, contents) = take_word(contents)?;
    if format != FORMAT {
        return Err(LinkUnitError::Format { found: format });
    }
    let (checksum, contents) = take_word(contents)?;
    if crc32fast::hash(contents) != checksum {
        return Err(LinkUnitError::Damaged);
    }
    let (name_bytes, contents) = take_word(contents)?;
    let (name, text) = contents.split_at_checked(name_bytes as usize).ok_or(LinkUnitError::Damaged)?;
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| LinkUnitError::Damaged);
    Ok((LinkedSpecification { name: string(name)?, text: string(text)? }, rest))
}

/// Takes so many bytes and their padding.
fn take(bytes: &[u8], len: u32) -> Result<(&[u8], &[u8]), LinkUnitError> {
    let (taken, rest) = bytes.split_at_checked(len as usize).ok_or(LinkUnitError::Foreign)?;
    let padding = taken.len().next_multiple_of(ALIGN_BYTES as usize) - taken.len();
    Ok((taken, rest.get(padding..).unwrap_or_default()))
}

fn take_word(bytes: &[u8]) -> Result<(u32, &[u8]), LinkUnitError> {
    let (word, rest) = bytes.split_first_chunk().ok_or(LinkUnitError::Foreign)?;
    Ok((u32::from_le_bytes(*word), rest))
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGN_BYTES as usize), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(name: &str, text: &str) -> Vec<u8> {
        encode(&LinkedSpecification { name: name.to_owned(), text: text.to_owned() }).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(name: String, text: String, padding in 0..8usize) {
            let mut bytes = unit(&name, &text);
            prop_assert_eq!(bytes.len() % 4, 0);
            bytes.resize(bytes.len() + padding, 0);
            prop_assert_eq!(decode(&bytes), Ok(LinkedSpecification { name, text }));
        }

        #[test]
        fn a_changed_byte_never_gives_another_text(at in 0..80usize, flip in 1..=255u8) {
            let mut bytes = unit("causal.egd", "receive:\n determinant: {source, sesn, dest, desn}");
            let before = decode(&bytes);
            bytes[at] ^= flip;
            let after = decode(&bytes);
            prop_assert!(after.is_err() || after == before);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn two_units_in_one_program_are_named() {
        let mut bytes = unit("causal.egd", "a");
        bytes.extend(unit("none.egd", "b"));
        let several =
            LinkUnitError::Several { first: "causal.egd".to_owned(), second: "none.egd".to_owned() };
        assert_eq!(decode(&bytes), Err(several));
    }

    #[test]
    fn another_format_is_told_apart_from_damage() {
        let mut bytes = unit("causal.egd", "a");
        bytes[20] = 9;
        assert_eq!(decode(&bytes), Err(LinkUnitError::Format { found: 9 }));
    }
}
