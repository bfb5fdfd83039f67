//! What a message-passing library asks of a rank: the API module of section 4.2.
//!
//! Nothing here blocks. A caller that has to wait calls [`Api::progress`] until what it waits for is there, and parks
//! itself between calls in its driver's way.

use serde::{Deserialize, Serialize};

use crate::event::Answer;
use crate::fault::Fault;
use crate::ids::{Rank, Ssn};
use crate::wire::{Envelope, SendMode};

/// What a receive or a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// The sender; `None` takes any.
    pub source: Option<Rank>,
    /// The communicator's context.
    pub context: u32,
    /// The tag; `None` takes any.
    pub tag: Option<i32>,
}

impl Pattern {
    /// Whether a message from `source` with that envelope fits.
    #[must_use]
    pub fn fits(&self, source: Rank, envelope: Envelope) -> bool {
        self.context == envelope.context
            && self.source.is_none_or(|wanted| wanted == source)
            && self.tag.is_none_or(|wanted| wanted == envelope.tag)
    }
}

/// A message that a receive was matched with, or that a probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// The sender.
    pub source: Rank,
    /// The message's number on the channel from the sender.
    pub ssn: Ssn,
    /// Its context and tag.
    pub envelope: Envelope,
    /// The payload's length in bytes.
    pub len: u64,
}

/// A posted receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReceiveId(pub u64);

/// A send that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SendId {
    /// The receiver.
    pub dest: Rank,
    /// The message's number on the channel to the receiver.
    pub ssn: Ssn,
}

/// How an observation is to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// As the execution that is being repeated answered it. Where it names requests or a message, the caller makes
    /// progress until these are there, and reports just them.
    Replayed(Answer),
    /// By looking. The caller makes progress once, decides, and reports the answer to [`Api::observed`].
    Live,
}

/// What came of [`Api::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The receive is over.
    Taken(Matched),
    /// Nothing is there yet. To look again costs little.
    NotYet,
    /// It takes more than that: the caller posts, or goes on with what is posted.
    Post,
}

/// The calls of an application that matter to a protocol.
///
/// Order of calls: any, from one thread at a time. Every method that may move messages also runs the protocol's event
/// handler; a [`Fault`] from any of them ends the rank.
pub trait Api {
    /// This process.
    fn rank(&self) -> Rank;

    /// How many processes the job has.
    fn size(&self) -> u32;

    /// Sends a message: a dependency-generating event. The payload is free for reuse on return.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn send(
        &mut self,
        dest: Rank,
        envelope: Envelope,
        mode: SendMode,
        payload: &[u8],
    ) -> Result<SendId, Fault>;

    /// Whether a send is complete: at once in standard mode, after the match in synchronous mode.
    fn sent(&mut self, id: SendId) -> bool;

    /// Receives the next message of a named source in one step, if that is all there is to it: a receive with this pattern,
    /// posted now, would be matched with it at once, the whole payload is here, and the protocol has no part in it. Hands the
    /// payload over and counts as a receive that was posted, read and finished.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn take(&mut self, pattern: Pattern, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let _ = (pattern, payload);
        Ok(Take::Post)
    }

    /// Takes the message of a receive that was posted, as [`Api::take`] does, where the engine has put off its posting. It does so
    /// where nobody can tell, until anything is called that has to know what is posted.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn take_posted(&mut self, id: ReceiveId, payload: &mut dyn FnMut(&[u8])) -> Result<Take, Fault> {
        let _ = (id, payload);
        Ok(Take::Post)
    }

    /// Whether the posting of a receive is put off: [`Api::take_posted`] may have an answer.
    fn defers(&self) -> bool {
        false
    }

    /// Posts a receive.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn post(&mut self, pattern: Pattern) -> Result<ReceiveId, Fault>;

    /// The message that a receive was matched with, once it is and the protocol lets the application see it.
    fn matched(&self, id: ReceiveId) -> Option<Matched>;

    /// The next bytes of a matched receive's payload, in order, each byte once; `None` where the next are not here yet.
    /// An empty payload has no pieces.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn piece(&mut self, id: ReceiveId) -> Result<Option<&[u8]>, Fault>;

    /// Ends a receive whose payload has been read to its end (or is not wanted): the engine forgets it.
    ///
    /// # Errors
    /// Any [`Fault`]; a bug where the receive is unknown or not matched.
    fn finish(&mut self, id: ReceiveId) -> Result<(), Fault>;

    /// Whether a matched receive may be shown to the application as complete: its whole payload has been read, and the
    /// protocol has logged what it wants logged before.
    fn deliverable(&self, id: ReceiveId) -> bool;

    /// Withdraws a receive that was not matched. Returns whether it did.
    fn withdraw(&mut self, id: ReceiveId) -> bool;

    /// Withdraws a receive because the application asks for it, unless it is matched. Whether it was is an observation; that it
    /// never will be is a determinant of the receive, so that a re-execution gives it no message that comes earlier then.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn cancel(&mut self, id: ReceiveId) -> Result<bool, Fault>;

    /// The first message that has arrived and fits, as a probe sees it.
    fn peek(&self, pattern: Pattern) -> Option<Matched>;

    /// Whether that very message has arrived and is not matched: how a replayed probe waits.
    fn arrived(&self, source: Rank, ssn: Ssn) -> Option<Matched>;

    /// Takes in what has arrived and moves what can move. Returns whether anything changed.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn progress(&mut self) -> Result<bool, Fault>;

    /// Begins an observation: a test, a probe for any source, a wait for one of several. One that is live when a checkpoint is
    /// taken is begun anew by whoever is restored from there: it may be one to repeat now.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn observe(&mut self) -> Result<Observation, Fault>;

    /// Ends a live observation with its answer, which becomes a determinant unless it is [`Answer::Nothing`].
    ///
    /// # Errors
    /// Any [`Fault`].
    fn observed(&mut self, answer: Answer) -> Result<(), Fault>;

    /// Input from outside, the paper's `read` event: the value that `live` gives, or gave before the crash.
    ///
    /// # Errors
    /// Any [`Fault`].
    fn read(&mut self, live: &mut dyn FnMut() -> Vec<u8>) -> Result<Vec<u8>, Fault>;
}
