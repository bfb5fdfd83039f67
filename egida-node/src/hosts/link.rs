//! A link between two daemons, or a daemon and the launcher: a connection that is made again when it is lost.
//!
//! ```text
//!   Mirror  --messages-->  \                        / --> the other end's Mirror
//!                           one connection at a time
//!   tell()  --numbered-->  /                        \ --> receive, each once and in order
//! ```
//!
//! What a mirror sends has its source in memory, and the other end says from where on it wants it. What is told besides is
//! numbered, and kept until the other end has it. It goes out after everything that stood in this host's journals when it was
//! told: who hears that a rank has ended has that rank's journal. Where the launcher drops what a mirror sends, because the views
//! differ, it drops what is told after it as well; with the next view everything is told again that is not confirmed.
//!
//! A connection is lost when the system says so, when its bytes are garbled, or when a newer one is made. What was under way
//! on it counts as never sent.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use egida_core::fault::Fault;
use egida_net::{Framer, JobKey, dial, framing};
use egida_shm::{Mirror, MirrorBell};

/// How long a link may be without a connection before the other host counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a call is repeated that nobody answers.
const REDIAL: Duration = Duration::from_millis(50);

/// How long a sender sleeps where nobody rings: what nobody waits for goes out then.
const NAP: Duration = Duration::from_millis(5);

/// Begins a numbered message.
const TOLD: u8 = 0x40;
/// Begins a message that says up to which number they have come.
const HEARD: u8 = 0x41;

/// How much is handed to the system at once.
const WRITE_BYTES: usize = 1 << 20;

/// One end of a link. Clones are the same end.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

/// Who calls at the other end where a link has no connection.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where.
    pub address: SocketAddr,
    /// What lets us in.
    pub key: JobKey,
    /// Our number.
    pub from: u32,
    /// That of the other end.
    pub to: u32,
}

/// Takes a message.
type Receive = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Learns why.
type Fail = Box<dyn Fn(String) + Send + Sync>;

/// What a link does with what it hears.
pub struct Ears {
    /// Takes what was told. It may block.
    pub receive: Receive,
    /// Learns, at most once, why there is no link any more.
    pub fail: Fail,
}

struct Shared {
    /// Of the other end, for people.
    name: String,
    mirror: Mutex<Mirror>,
    bell: MirrorBell,
    told: Mutex<Told>,
    connection: Mutex<Connection>,
    changed: Condvar,
    ears: Ears,
}

/// What is told and heard besides the mirror's messages.
#[derive(Default)]
struct Told {
    /// The number of the last message.
    last: u64,
    /// What the other end may not have.
    kept: VecDeque<(u64, Vec<u8>)>,
    /// The last message that was sent on this connection.
    sent: u64,
    /// The last that has come.
    heard: u64,
    /// The last that the other end was told has come, on this connection.
    confirmed: u64,
}

impl Told {
    /// Has everything sent again that the other end may not have.
    fn send_again(&mut self) {
        self.sent = self.kept.front().map_or(self.last, |(number, _)| number - 1);
    }
}

struct Connection {
    stream: Option<Arc<TcpStream>>,
    /// How many there have been.
    number: u64,
    since: Instant,
    is_closed: bool,
}

impl Link {
    /// A link without a connection. With a `call` it makes its connections itself; else they are handed to it.
    ///
    /// # Errors
    /// [`std::io::Error`] where there are no threads.
    pub fn start(name: String, mirror: Mirror, call: Option<Call>, ears: Ears) -> std::io::Result<Self> {
        let link = Self(Arc::new(Shared {
            name,
            bell: mirror.bell(),
            mirror: Mutex::new(mirror),
            told: Mutex::default(),
            connection: Mutex::new(Connection {
                stream: None,
                number: 0,
                since: Instant::now(),
                is_closed: false,
            }),
            changed: Condvar::new(),
            ears,
        }));
        let sender = link.clone();
        thread::Builder::new().name("egida-send".to_owned()).spawn(move || sender.send())?;
        let keeper = link.clone();
        thread::Builder::new().name("egida-keep".to_owned()).spawn(move || keeper.keep(call.as_ref()))?;
        Ok(link)
    }

    /// Goes on with a new connection, in place of one that there may be.
    pub fn attach(&self, stream: TcpStream) {
        let stream = Arc::new(stream);
        let number = {
            // Who holds the mirror knows that the connection stays the same meanwhile.
            let mut mirror = self.mirror();
            let mut connection = lock(&self.0.connection);
            if connection.is_closed {
                return;
            }
            if let Some(old) = connection.stream.replace(Arc::clone(&stream)) {
                let _ = old.shutdown(Shutdown::Both);
            }
            connection.number += 1;
            if let Err(fault) = mirror.connected() {
                drop((connection, mirror));
                self.fail(format!("{}: {fault}", self.0.name));
                return;
            }
            let mut told = lock(&self.0.told);
            told.send_again();
            told.confirmed = 0;
            connection.number
        };
        self.0.changed.notify_all();
        let receiver = self.clone();
        let body = move || receiver.receive(&stream, number);
        if let Err(error) = thread::Builder::new().name("egida-receive".to_owned()).spawn(body) {
            self.fail(format!("no thread for the connection to {}: {error}", self.0.name));
        }
    }

    /// Tells the other end something.
    pub fn tell(&self, message: Vec<u8>) {
        let mut told = lock(&self.0.told);
        told.last += 1;
        let number = told.last;
        told.kept.push_back((number, message));
        drop(told);
        self.0.bell.ring();
    }

    /// The mirror. While it is held nothing is sent or taken.
    pub fn mirror(&self) -> MutexGuard<'_, Mirror> {
        lock(&self.0.mirror)
    }

    /// Has the mirror looked at.
    pub fn ring(&self) {
        self.0.bell.ring();
    }

    /// Waits until the other end has heard everything that it was told, or until the time is over.
    pub fn drain(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while !lock(&self.0.told).kept.is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the link. Nobody is told.
    pub fn close(&self) {
        let mut connection = lock(&self.0.connection);
        connection.is_closed = true;
        if let Some(stream) = connection.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(connection);
        self.0.changed.notify_all();
        self.0.bell.ring();
    }

    fn fail(&self, why: String) {
        let was_closed = lock(&self.0.connection).is_closed;
        self.close();
        if !was_closed {
            (self.0.ears.fail)(why);
        }
    }

    /// A connection is lost.
    fn lost(&self, number: u64) {
        let mut connection = lock(&self.0.connection);
        if connection.number == number
            && let Some(stream) = connection.stream.take()
        {
            tracing::debug!(to = self.0.name, "a connection is lost");
            let _ = stream.shutdown(Shutdown::Both);
            connection.since = Instant::now();
            self.0.changed.notify_all();
            self.0.bell.ring();
        }
    }

    /// Makes connections where there is none, or waits for them: with patience, but not for ever.
    fn keep(&self, call: Option<&Call>) {
        loop {
            let connection = lock(&self.0.connection);
            if connection.is_closed {
                return;
            }
            if connection.stream.is_some() {
                drop(wait(&self.0.changed, connection, Duration::from_secs(3600)));
                continue;
            }
            let since = connection.since;
            if since.elapsed() > PATIENCE {
                drop(connection);
                self.fail(format!("there is no connection to {} for {} s", self.0.name, PATIENCE.as_secs()));
                return;
            }
            let Some(Call { address, key, from, to }) = call else {
                drop(wait(&self.0.changed, connection, Duration::from_secs(1)));
                continue;
            };
            drop(connection);
            match dial(*address, key, *from, *to) {
                Ok(stream) => self.attach(stream),
                Err(error) => {
                    tracing::debug!(to = self.0.name, %error, "nobody answers");
                    thread::sleep(REDIAL);
                }
            }
        }
    }

    fn send(&self) {
        let mut bytes = Vec::new();
        loop {
            let (stream, number) = {
                let connection = lock(&self.0.connection);
                if connection.is_closed {
                    return;
                }
                match &connection.stream {
                    Some(stream) => (Arc::clone(stream), connection.number),
                    None => {
                        drop(wait(&self.0.changed, connection, Duration::from_secs(1)));
                        continue;
                    }
                }
            };
            match self.send_on(&stream, number, &mut bytes) {
                Ok(()) => self.lost(number),
                Err(fault) => self.fail(format!("{}: {fault}", self.0.name)),
            }
        }
    }

    /// Sends until the connection is another.
    fn send_on(&self, mut stream: &TcpStream, number: u64, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let mut reached = None;
        loop {
            bytes.clear();
            let mut any = false;
            {
                let mut mirror = self.mirror();
                if lock(&self.0.connection).number != number {
                    return Ok(());
                }
                // What is told was told by now: so what it must come after is what stands in the journals by now.
                let (last, (after, target)) = {
                    let told = lock(&self.0.told);
                    let fresh = || (told.last, mirror.reached());
                    (told.sent, reached.take().unwrap_or_else(fresh))
                };
                let mut too_long = Ok(());
                while bytes.len() < WRITE_BYTES
                    && mirror.produce(|parts| {
                        too_long = too_long.and(framing::put(bytes, parts));
                    })?
                {
                    any = true;
                }
                too_long.map_err(|error| Fault::Driver(error.to_string()))?;
                if last < after && !mirror.has_sent(&target) {
                    reached = Some((after, target));
                } else {
                    any |= self.put_told(after, bytes)?;
                }
            }
            if bytes.is_empty() {
                self.0.bell.sleep(NAP, || self.has_news(number));
            } else if stream.write_all(bytes).is_err() {
                return Ok(());
            }
            if any && bytes.capacity() > 4 * WRITE_BYTES {
                bytes.shrink_to(WRITE_BYTES);
            }
        }
    }

    /// Adds what was told up to a number, and what has been heard.
    fn put_told(&self, after: u64, bytes: &mut Vec<u8>) -> Result<bool, Fault> {
        let too_long = |error: framing::Broken| Fault::Driver(error.to_string());
        let mut told = lock(&self.0.told);
        let mut any = false;
        let from = told.sent;
        for (number, message) in told.kept.iter().filter(|(number, _)| (from + 1..=after).contains(number)) {
            framing::put(bytes, &[&[TOLD], &number.to_le_bytes(), message]).map_err(too_long)?;
            any = true;
        }
        told.sent = told.sent.max(after);
        if told.confirmed < told.heard {
            told.confirmed = told.heard;
            framing::put(bytes, &[&[HEARD], &told.heard.to_le_bytes()]).map_err(too_long)?;
            any = true;
        }
        Ok(any)
    }

    fn has_news(&self, number: u64) -> bool {
        let told = lock(&self.0.told);
        if told.sent < told.last || told.confirmed < told.heard {
            return true;
        }
        drop(told);
        if lock(&self.0.connection).number != number {
            return true;
        }
        self.mirror().has_news()
    }

    fn receive(&self, mut stream: &TcpStream, number: u64) {
        let mut framer = Framer::default();
        let mut heard = Vec::new();
        loop {
            match framer.read(&mut stream) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            }
            match self.take(&mut framer, number, &mut heard) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    self.fail(format!("{}: {fault}", self.0.name));
                    return;
                }
            }
            for message in heard.drain(..) {
                (self.0.ears.receive)(&message);
            }
        }
        self.lost(number);
    }

    /// Takes what has come. Returns whether the connection is to be read on.
    fn take(&self, framer: &mut Framer, number: u64, heard: &mut Vec<Vec<u8>>) -> Result<bool, Fault> {
        let mut mirror = self.mirror();
        if lock(&self.0.connection).number != number {
            return Ok(false);
        }
        let mut is_for_sender = false;
        loop {
            let message = match framer.take() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(from = self.0.name, %error, "a connection is given up");
                    return Ok(false);
                }
            };
            match message.split_first() {
                // What it comes after was dropped; it is sent again with that.
                Some((&TOLD, _)) if !mirror.is_heard() => {}
                Some((&TOLD, rest)) => {
                    let Some((at, rest)) = rest.split_first_chunk() else { return Ok(false) };
                    let mut told = lock(&self.0.told);
                    // One that has come already was sent again because nobody had confirmed it.
                    if u64::from_le_bytes(*at) == told.heard + 1 {
                        told.heard += 1;
                        heard.push(rest.to_vec());
                    } else {
                        told.confirmed = 0;
                    }
                    is_for_sender = true;
                }
                Some((&HEARD, rest)) => {
                    let Some(at) = rest.first_chunk() else { return Ok(false) };
                    let at = u64::from_le_bytes(*at);
                    let mut told = lock(&self.0.told);
                    while told.kept.front().is_some_and(|(number, _)| *number <= at) {
                        told.kept.pop_front();
                    }
                }
                _ => {
                    mirror.take(message)?;
                    if message.first() == Some(&Mirror::VIEW) {
                        lock(&self.0.told).send_again();
                        is_for_sender = true;
                    }
                }
            }
        }
        drop(mirror);
        if is_for_sender {
            self.0.bell.ring();
        }
        Ok(true)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.name).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
    changed.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;

    use egida_net::Listener;
    use egida_shm::{JobConfig, JobMemory, Side};

    use super::*;

    fn memory() -> JobMemory {
        let config = JobConfig {
            ranks: 2,
            ranks_per_domain: 1,
            failure_unit_is_node: false,
            limit_bytes: 1 << 20,
            specification: String::new(),
        };
        JobMemory::create_within(&config, 1 << 30).unwrap()
    }

    /// A link whose ears hand on what they hear, and fail the test where it fails.
    fn link(memory: &JobMemory, side: Side, call: Option<Call>) -> (Link, mpsc::Receiver<u32>) {
        let (hear, heard) = mpsc::channel();
        let hear = Mutex::new(hear);
        let receive = move |bytes: &[u8]| {
            // Who listens no longer has heard all.
            let _ = lock(&hear).send(u32::from_le_bytes(bytes.try_into().unwrap()));
        };
        let fail = |why: String| panic!("{why}");
        let ears = Ears { receive: Box::new(receive), fail: Box::new(fail) };
        (Link::start("the other".to_owned(), memory.mirror(side), call, ears).unwrap(), heard)
    }

    #[test]
    fn what_is_told_comes_once_and_in_order_however_often_connections_break() {
        const MESSAGES: u32 = 3000;
        let memories = [memory(), memory()];
        let (called, at_called) = link(&memories[0], Side::Hosts { here: 0..1, there: 1..2 }, None);
        let key = JobKey::random().unwrap();
        let made = Arc::new(Mutex::new(0u64));
        let (attach, count) = (called.clone(), Arc::clone(&made));
        let welcome = move |_, stream: TcpStream| {
            *lock(&count) += 1;
            let broken = stream.try_clone().unwrap();
            attach.attach(stream);
            // Each lasts a little longer than the one before, so that the end is reached.
            thread::sleep(Duration::from_micros(300 * *lock(&count)));
            let _ = broken.shutdown(Shutdown::Both);
        };
        let listener = Listener::start(Ipv4Addr::LOCALHOST.into(), key.clone(), 1, welcome).unwrap();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listener.port());
        let call = Call { address, key, from: 2, to: 1 };
        let (calls, at_caller) = link(&memories[1], Side::Hosts { here: 1..2, there: 0..1 }, Some(call));
        for number in 0..MESSAGES {
            called.tell(number.to_le_bytes().to_vec());
            calls.tell(number.to_le_bytes().to_vec());
            if number % 50 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        for heard in [at_called, at_caller] {
            let all: Vec<u32> = heard.iter().take(MESSAGES as usize).collect();
            assert!(all.into_iter().eq(0..MESSAGES));
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err(), "one came twice");
        }
        assert!(*lock(&made) > 2, "connections broke");
        calls.close();
        called.close();
    }
}
