//! What a determinant must hold.

use crate::protocol::{Event, Field};

/// The determinant that an event needs, as text.
pub(crate) fn default_determinant(event: Event) -> String {
    let fields: Vec<&str> = required_fields(event).iter().map(|field| field.as_str()).collect();
    format!("{{{}}}", fields.join(", "))
}

/// The fields without which an event of that kind cannot be replayed (rule 3).
///
/// A delivery is the paper's four. What the library chose adds what was answered and to which call. What is read from
/// outside has no sender and no channel, so of the four it needs none, and its place among the process's events is the
/// number of its call.
pub(crate) const fn required_fields(event: Event) -> &'static [Field] {
    match event {
        Event::Choice => {
            &[Field::Source, Field::Sesn, Field::Dest, Field::Desn, Field::Outcome, Field::Event]
        }
        Event::Read => &[Field::Outcome, Field::Event],
        Event::Receive | Event::Send | Event::Write => {
            &[Field::Source, Field::Sesn, Field::Dest, Field::Desn]
        }
    }
}
