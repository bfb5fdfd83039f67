//! Rank programs as async functions: bring your own.
//!
//! ```
//! use egida_core::ids::Domains;
//! use egida_core::setting::Setting;
//! use egida_sim::asynchronous::{Async, Comm};
//! use egida_sim::job::{Ending, Job};
//! use egida_spec::protocol::FailureUnit;
//!
//! async fn token(comm: Comm) {
//!     let next = (comm.rank() + 1) % comm.size();
//!     if comm.rank() == 0 {
//!         comm.send(next, 0, b"hello".to_vec()).await;
//!         let message = comm.receive(None, None).await;
//!         comm.write(format!("{} came around\n", String::from_utf8_lossy(&message.payload)));
//!     } else {
//!         let message = comm.receive(None, None).await;
//!         comm.send(next, 0, message.payload).await;
//!     }
//! }
//!
//! let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../specs/causal.egd"));
//! let protocol = egida_spec::load("causal.egd", text).protocol.expect("it loads");
//! let setting = Setting { domains: Domains::blocks(4, 1), unit: FailureUnit::Node, images: true };
//! let model = Async(token);
//! let job = Job::new(&protocol, setting, &model, 7).with("2@send:1".parse::<egida_sim::schedule::Schedule>().unwrap());
//! let outcome = egida_sim::run(&job, &egida_modules::registry()).expect("it binds");
//! assert_eq!(outcome.end, Ending::Done);
//! assert_eq!(outcome.deaths, [0, 0, 1, 0]);
//! assert_eq!(outcome.released[0], b"hello came around\n");
//! ```
//!
//! A program is deterministic but for what its [`Comm`] answers: it keeps no state outside of itself, asks no clock and draws
//! no random number but through [`Comm::read`]. Its calls are made one after another, like those of one thread: of two that a
//! program awaits together, the second is made when the first is done.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use egida_core::api::{Api, ReceiveId};
use egida_core::fault::Fault;
use egida_core::ids::Rank;
use egida_core::wire::SendMode;
use serde::{Deserialize, Serialize};

use crate::application::{Application, Model, Step, digest, mix};
use crate::calls::{Calls, Looked};

pub use crate::calls::Message;

/// A parallel program whose ranks all run one async function.
#[derive(Debug, Clone, Copy)]
pub struct Async<F>(pub F);

impl<F, Running> Model for Async<F>
where
    F: Fn(Comm) -> Running + Clone + 'static,
    Running: Future<Output = ()> + 'static,
{
    fn start(&self, rank: Rank, ranks: u32) -> Box<dyn Application> {
        let function = self.0.clone();
        Box::new(Task::new(rank, ranks, Rc::new(move |comm| Box::pin(function(comm)))))
    }
}

/// A rank's connection to the others and to the world, as its program has it.
#[derive(Debug)]
pub struct Comm {
    rank: Rank,
    ranks: u32,
    desk: Rc<RefCell<Desk>>,
}

/// A posted receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request(ReceiveId);

/// Where a program leaves its calls and finds their answers.
#[derive(Debug, Default)]
struct Desk {
    asked: u64,
    calls: VecDeque<(u64, Call)>,
    answers: BTreeMap<u64, Answer>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Call {
    Send { to: Rank, tag: i32, mode: SendMode, payload: Vec<u8> },
    Receive { from: Option<Rank>, tag: Option<i32> },
    Post { from: Option<Rank>, tag: Option<i32> },
    Wait(ReceiveId),
    Test { among: Vec<ReceiveId>, waits: bool },
    Probe { from: Option<Rank>, tag: Option<i32> },
    Read,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Answer {
    Sent,
    Posted(ReceiveId),
    Received(Message),
    Tested(Option<(usize, Message)>),
    Probed(Option<Rank>),
    Read(Vec<u8>),
}

/// A call under way.
struct Calling<'a> {
    desk: &'a RefCell<Desk>,
    call: Option<Call>,
    ticket: u64,
}

impl Future for Calling<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        let mut desk = self.desk.borrow_mut();
        if let Some(call) = self.call.take() {
            desk.asked += 1;
            self.ticket = desk.asked;
            desk.calls.push_back((self.ticket, call));
        }
        desk.answers.remove(&self.ticket).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Comm {
    /// This rank.
    #[must_use]
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// How many ranks there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.ranks
    }

    /// Sends a message; the receiver need not be there.
    pub async fn send(&self, to: Rank, tag: i32, payload: Vec<u8>) {
        self.call(Call::Send { to, tag, mode: SendMode::Standard, payload }).await;
    }

    /// Sends a message and waits until it is matched with a receive.
    pub async fn send_synchronous(&self, to: Rank, tag: i32, payload: Vec<u8>) {
        self.call(Call::Send { to, tag, mode: SendMode::Synchronous, payload }).await;
    }

    /// Receives a message, from anyone and with any tag where none is named.
    pub async fn receive(&self, from: Option<Rank>, tag: Option<i32>) -> Message {
        match self.call(Call::Receive { from, tag }).await {
            Answer::Received(message) => message,
            other => mistaken(&other),
        }
    }

    /// Posts a receive.
    pub async fn post(&self, from: Option<Rank>, tag: Option<i32>) -> Request {
        match self.call(Call::Post { from, tag }).await {
            Answer::Posted(id) => Request(id),
            other => mistaken(&other),
        }
    }

    /// Waits for the message of a request.
    pub async fn wait(&self, request: Request) -> Message {
        match self.call(Call::Wait(request.0)).await {
            Answer::Received(message) => message,
            other => mistaken(&other),
        }
    }

    /// Waits for the message of any one of the requests, which is taken out of the list; nothing where the list is empty.
    pub async fn wait_any(&self, requests: &mut Vec<Request>) -> Option<Message> {
        if requests.is_empty() { None } else { self.look(requests, true).await }
    }

    /// Looks once whether one of the requests is complete, and takes it out of the list.
    pub async fn test_any(&self, requests: &mut Vec<Request>) -> Option<Message> {
        self.look(requests, false).await
    }

    async fn look(&self, requests: &mut Vec<Request>, waits: bool) -> Option<Message> {
        let among = requests.iter().map(|request| request.0).collect();
        match self.call(Call::Test { among, waits }).await {
            Answer::Tested(found) => found.map(|(index, message)| {
                requests.remove(index);
                message
            }),
            other => mistaken(&other),
        }
    }

    /// Looks once whether a message is there, and whose, without taking it.
    pub async fn probe(&self, from: Option<Rank>, tag: Option<i32>) -> Option<Rank> {
        match self.call(Call::Probe { from, tag }).await {
            Answer::Probed(found) => found,
            other => mistaken(&other),
        }
    }

    /// Reads 8 bytes from outside of the job: a clock, a random number, what is typed. Another run reads others.
    pub async fn read(&self) -> Vec<u8> {
        match self.call(Call::Read).await {
            Answer::Read(value) => value,
            other => mistaken(&other),
        }
    }

    /// Writes output; the world sees it when the protocol lets it.
    pub fn write(&self, text: impl AsRef<[u8]>) {
        self.desk.borrow_mut().written.extend_from_slice(text.as_ref());
    }

    fn call(&self, call: Call) -> Calling<'_> {
        Calling { desk: &self.desk, call: Some(call), ticket: 0 }
    }
}

/// Calls and answers are paired by this file alone.
fn mistaken(answer: &Answer) -> ! {
    unreachable!("a call was answered with {answer:?}")
}

type Function = Rc<dyn Fn(Comm) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A rank that runs an async function.
struct Task {
    rank: Rank,
    ranks: u32,
    function: Function,
    running: Option<Pin<Box<dyn Future<Output = ()>>>>,
    desk: Rc<RefCell<Desk>>,
    calls: Calls,
    /// All answers so far. A future cannot be copied: whoever goes on from a snapshot executes it again with these.
    answered: Vec<Answer>,
    state: u64,
    /// What stands on the desk of `written`, where it can be borrowed from.
    written: Vec<u8>,
}

/// What a [`Task`] is made again from.
#[derive(Serialize, Deserialize)]
struct Snapshot<Answered, Under> {
    answered: Answered,
    calls: Under,
}

impl Task {
    fn new(rank: Rank, ranks: u32, function: Function) -> Self {
        let mut task = Self {
            rank,
            ranks,
            function,
            running: None,
            desk: Rc::default(),
            calls: Calls::default(),
            answered: Vec::new(),
            state: 0,
            written: Vec::new(),
        };
        task.begin();
        task
    }

    /// From the beginning, up to the first call.
    fn begin(&mut self) {
        self.desk = Rc::default();
        self.answered.clear();
        self.calls = Calls::default();
        self.state = mix(1, u64::from(self.rank));
        self.written.clear();
        let comm = Comm { rank: self.rank, ranks: self.ranks, desk: self.desk.clone() };
        self.running = Some((self.function)(comm));
        self.resume();
    }

    /// From the beginning, with all answers that it had, to where another was.
    fn repeat(&mut self, answered: Vec<Answer>, calls: Calls) {
        self.begin();
        answered.into_iter().for_each(|answer| self.answer(answer));
        self.calls = calls;
    }

    /// Lets the program run until it waits for an answer, or is over.
    fn resume(&mut self) {
        let Some(running) = &mut self.running else { return };
        // It is polled whenever there is an answer, and at no other time.
        let is_over = running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if is_over {
            self.running = None;
        }
        self.written.append(&mut self.desk.borrow_mut().written);
    }

    /// The program goes on with an answer to the call whose turn it is.
    fn answer(&mut self, answer: Answer) {
        self.state = mix(self.state, answer.digest());
        self.answered.push(answer.clone());
        {
            let mut desk = self.desk.borrow_mut();
            if let Some((ticket, _)) = desk.calls.pop_front() {
                desk.answers.insert(ticket, answer);
            }
        }
        self.resume();
    }

    /// Makes a call as far as it goes now.
    fn perform(&mut self, call: &Call, api: &mut dyn Api, live: u64) -> Result<Option<Answer>, Fault> {
        Ok(match call {
            Call::Send { to, tag, mode, payload } => {
                self.calls.send(api, *to, *tag, *mode, || payload.clone())?.then_some(Answer::Sent)
            }
            Call::Post { from, tag } => Some(Answer::Posted(self.calls.post(api, *from, *tag)?)),
            Call::Receive { from, tag } => self.calls.receive(api, *from, *tag)?.map(Answer::Received),
            Call::Wait(id) => self.calls.wait(api, *id)?.map(Answer::Received),
            Call::Test { among, waits } => match self.calls.test(api, among, 1, *waits)? {
                Looked::Waiting => None,
                Looked::Nothing => Some(Answer::Tested(None)),
                Looked::Found(messages) => Some(Answer::Tested(messages.into_iter().next())),
            },
            Call::Probe { from, tag } => match self.calls.probe(api, *from, *tag)? {
                Looked::Waiting => None,
                Looked::Nothing => Some(Answer::Probed(None)),
                Looked::Found((source, _)) => Some(Answer::Probed(Some(source))),
            },
            Call::Read => Some(Answer::Read(api.read(&mut || live.to_le_bytes().to_vec())?)),
        })
    }
}

impl Answer {
    /// What a rank's state remembers of it.
    fn digest(&self) -> u64 {
        match self {
            Self::Sent | Self::Posted(_) => 17,
            Self::Received(message) => message.digest(),
            Self::Tested(Some((index, message))) => mix(*index as u64, message.digest()),
            Self::Probed(Some(source)) => mix(5, u64::from(*source)),
            Self::Tested(None) | Self::Probed(None) => 3,
            Self::Read(value) => digest(value),
        }
    }
}

impl Message {
    fn digest(&self) -> u64 {
        mix(mix(u64::from(self.source), self.tag as u64), digest(&self.payload))
    }
}

impl Application for Task {
    fn step(&mut self, api: &mut dyn Api, live: u64) -> Result<Step, Fault> {
        if self.running.is_none() {
            return Ok(Step::Over);
        }
        let Some((_, call)) = self.desk.borrow().calls.front().cloned() else {
            return Err(Fault::Driver(
                "the program awaits something that is no call of its `Comm`, and nothing will ever wake it"
                    .to_owned(),
            ));
        };
        Ok(match self.perform(&call, api, live)? {
            None => Step::Waiting,
            Some(answer) => {
                self.answer(answer);
                Step::Moved
            }
        })
    }

    fn snapshot(&self) -> Vec<u8> {
        rmp_serde::to_vec(&Snapshot { answered: &self.answered, calls: &self.calls }).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        let snapshot: Snapshot<Vec<Answer>, Calls> = rmp_serde::from_slice(snapshot)
            .map_err(|error| Fault::Driver(format!("a snapshot cannot be read: {error}")))?;
        self.repeat(snapshot.answered, snapshot.calls);
        Ok(())
    }

    fn duplicate(&self) -> Box<dyn Application> {
        let mut duplicate = Self::new(self.rank, self.ranks, self.function.clone());
        duplicate.repeat(self.answered.clone(), self.calls.clone());
        Box::new(duplicate)
    }

    fn state(&self) -> u64 {
        self.state
    }

    fn written(&self) -> &[u8] {
        &self.written
    }
}
