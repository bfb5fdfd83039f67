//! The journal's form of entries.

use egida_core::driver::EntryKind;
use egida_core::module::Entry;
use egida_core::recovery::LoggedMessage;

/// Encodes an entry into `out`, which it clears. `None` for a sent message: the channel holds it.
pub(super) fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) -> Option<EntryKind> {
    out.clear();
    match entry {
        Entry::Own(determinant) => {
            determinant.encode(out);
            Some(EntryKind::Own)
        }
        Entry::Held(determinant) => {
            determinant.encode(out);
            Some(EntryKind::Held)
        }
        Entry::Delivered(message) => {
            LoggedMessage::encode(out, message);
            Some(EntryKind::Message)
        }
        Entry::Sent { .. } => None,
    }
}

/// Whether it is a determinant, which has a number and may be read back.
pub(super) fn is_determinant(entry: &Entry<'_>) -> bool {
    matches!(entry, Entry::Own(_) | Entry::Held(_))
}
