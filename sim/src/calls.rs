//! What a simulated rank has under way in the library: requests, payloads that have come in part, a send that is not
//! complete, an observation that is not answered.
//!
//! Each method does as much of a call as can be done now and is called again until it is done: nothing here waits. Scripts and
//! asynchronous programs are built on it.

use egida_core::api::{Api, Matched, Observation, Pattern, ReceiveId, SendId, Take};
use egida_core::event::Answer;
use egida_core::fault::Fault;
use egida_core::ids::{Rank, Ssn};
use egida_core::wire::{Envelope, SendMode};
use serde::{Deserialize, Serialize};

/// The one communicator of simulated applications.
const CONTEXT: u32 = 1;

/// See the [module](self).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    requests: Vec<Request>,
    sending: Option<SendId>,
    /// The receive that a blocking one has become.
    receiving: Option<ReceiveId>,
    /// The answer to repeat, where it is still to come true.
    observing: Option<Observation>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    id: ReceiveId,
    payload: Vec<u8>,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who sent it.
    pub source: Rank,
    /// Its tag.
    pub tag: i32,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What came of looking once.
#[derive(Debug)]
pub(crate) enum Looked<T> {
    /// There is no answer yet: the call is made again.
    Waiting,
    /// There was nothing to see, and the protocol has taken note of that.
    Nothing,
    /// This.
    Found(T),
}

impl Calls {
    /// The requests that are posted, in the order of posting.
    pub fn posted(&self) -> Vec<ReceiveId> {
        self.requests.iter().map(|request| request.id).collect()
    }

    /// Sends a message the first time that it is called; whether the send is complete.
    pub fn send(
        &mut self,
        api: &mut dyn Api,
        to: Rank,
        tag: i32,
        mode: SendMode,
        payload: impl FnOnce() -> Vec<u8>,
    ) -> Result<bool, Fault> {
        let id = match self.sending {
            Some(id) => id,
            None => api.send(to, Envelope { context: CONTEXT, tag }, mode, &payload())?,
        };
        let is_sent = api.sent(id);
        self.sending = (!is_sent).then_some(id);
        Ok(is_sent)
    }

    /// Posts a receive.
    pub fn post(
        &mut self,
        api: &mut dyn Api,
        from: Option<Rank>,
        tag: Option<i32>,
    ) -> Result<ReceiveId, Fault> {
        let id = api.post(Pattern { source: from, context: CONTEXT, tag })?;
        self.requests.push(Request { id, payload: Vec::new() });
        Ok(id)
    }

    /// Takes the message of a request, once it is there.
    pub fn wait(&mut self, api: &mut dyn Api, id: ReceiveId) -> Result<Option<Message>, Fault> {
        if api.defers() {
            let mut payload = Vec::new();
            match api.take_posted(id, &mut |bytes| payload.extend_from_slice(bytes))? {
                Take::Taken(message) => {
                    self.requests.retain(|request| request.id != id);
                    return Ok(Some(Message::new(&message, payload)));
                }
                Take::NotYet => return Ok(None),
                Take::Post => {}
            }
        }
        Ok(if self.is_complete(api, id)? { Some(self.take(api, id)?) } else { None })
    }

    /// Receives a message: in one step, or posted the first time that this is called.
    pub fn receive(
        &mut self,
        api: &mut dyn Api,
        from: Option<Rank>,
        tag: Option<i32>,
    ) -> Result<Option<Message>, Fault> {
        let id = match self.receiving {
            Some(id) => id,
            None => {
                let (pattern, mut payload) = (Pattern { source: from, context: CONTEXT, tag }, Vec::new());
                if let Take::Taken(message) =
                    api.take(pattern, &mut |bytes| payload.extend_from_slice(bytes))?
                {
                    return Ok(Some(Message::new(&message, payload)));
                }
                self.post(api, from, tag)?
            }
        };
        let message = self.wait(api, id)?;
        self.receiving = message.is_none().then_some(id);
        Ok(message)
    }

    /// Tests requests once, and takes the messages of at most `most` that are complete: an observation. Where it is to
    /// wait, nothing complete is no answer.
    pub fn test(
        &mut self,
        api: &mut dyn Api,
        among: &[ReceiveId],
        most: usize,
        waits: bool,
    ) -> Result<Looked<Vec<(usize, Message)>>, Fault> {
        let observation = self.observation(api)?;
        let chosen: Vec<u32> = match &observation {
            Observation::Replayed(Answer::Nothing) => return Ok(Looked::Nothing),
            Observation::Replayed(Answer::Message { .. }) => {
                return Err(Fault::Bug("a test was answered with a message"));
            }
            Observation::Replayed(Answer::Requests(indices)) => {
                for &index in indices {
                    if !self.is_complete(api, request(among, index)?)? {
                        self.observing = Some(observation);
                        return Ok(Looked::Waiting);
                    }
                }
                indices.clone()
            }
            Observation::Live => {
                let mut complete = Vec::new();
                for (index, &id) in (0..).zip(among) {
                    if complete.len() < most && self.is_complete(api, id)? {
                        complete.push(index);
                    }
                }
                if complete.is_empty() {
                    if waits {
                        // It is begun anew: whoever goes on from a snapshot may have to repeat what was seen behind it.
                        return Ok(Looked::Waiting);
                    }
                    api.observed(Answer::Nothing)?;
                    return Ok(Looked::Nothing);
                }
                api.observed(Answer::Requests(complete.clone()))?;
                complete
            }
        };
        let mut messages = Vec::with_capacity(chosen.len());
        for index in chosen {
            messages.push((index as usize, self.take(api, request(among, index)?)?));
        }
        Ok(Looked::Found(messages))
    }

    /// Looks for a message once, without taking it: an observation.
    pub fn probe(
        &mut self,
        api: &mut dyn Api,
        from: Option<Rank>,
        tag: Option<i32>,
    ) -> Result<Looked<(Rank, Ssn)>, Fault> {
        let observation = self.observation(api)?;
        match observation {
            Observation::Replayed(Answer::Nothing) => Ok(Looked::Nothing),
            Observation::Replayed(Answer::Message { source, ssn }) => {
                if api.arrived(source, ssn).is_none() {
                    self.observing = Some(observation);
                    return Ok(Looked::Waiting);
                }
                Ok(Looked::Found((source, ssn)))
            }
            Observation::Replayed(Answer::Requests(_)) => {
                Err(Fault::Bug("a probe was answered with requests"))
            }
            Observation::Live => match api.peek(Pattern { source: from, context: CONTEXT, tag }) {
                Some(seen) => {
                    api.observed(Answer::Message { source: seen.source, ssn: seen.ssn })?;
                    Ok(Looked::Found((seen.source, seen.ssn)))
                }
                None => {
                    api.observed(Answer::Nothing)?;
                    Ok(Looked::Nothing)
                }
            },
        }
    }

    fn observation(&mut self, api: &mut dyn Api) -> Result<Observation, Fault> {
        match self.observing.take() {
            Some(observation) => Ok(observation),
            None => {
                // Who looks sees what has come; where a receive was put off no checkpoint is due.
                if api.defers() {
                    api.progress()?;
                }
                api.observe()
            }
        }
    }

    /// Reads what is there of a request's payload; whether the request is complete.
    fn is_complete(&mut self, api: &mut dyn Api, id: ReceiveId) -> Result<bool, Fault> {
        if api.matched(id).is_none() {
            return Ok(false);
        }
        let request = self.requests.iter_mut().find(|request| request.id == id);
        let request = request.ok_or(Fault::Bug("a request is waited for that is not posted"))?;
        while let Some(piece) = api.piece(id)? {
            request.payload.extend_from_slice(piece);
        }
        Ok(api.deliverable(id))
    }

    /// Takes a complete request out of the list.
    fn take(&mut self, api: &mut dyn Api, id: ReceiveId) -> Result<Message, Fault> {
        let at = self.requests.iter().position(|request| request.id == id);
        let at = at.ok_or(Fault::Bug("a request is taken that is not posted"))?;
        let request = self.requests.remove(at);
        let message = api.matched(id).ok_or(Fault::Bug("a complete receive has no message"))?;
        api.finish(id)?;
        Ok(Message::new(&message, request.payload))
    }
}

impl Message {
    fn new(message: &Matched, payload: Vec<u8>) -> Self {
        Self { source: message.source, tag: message.envelope.tag, payload }
    }
}

/// The request that an answer names by its place in the call.
fn request(among: &[ReceiveId], index: u32) -> Result<ReceiveId, Fault> {
    among.get(index as usize).copied().ok_or(Fault::Bug("a test was answered with a request it did not name"))
}
