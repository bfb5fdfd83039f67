//! Who is at the other end of a connection: challenge and response with a keyed hash (HMAC-SHA-256, RFC 2104).
//!
//! ```text
//!   caller                                        called
//!   magic | version | from | to | challenge  -->
//!                                            <--  challenge | HMAC(key, "called" | both openings)
//!   HMAC(key, "caller" | both openings)      -->
//!                                            <--  1
//! ```
//!
//! All of it has fixed length, so that a stranger can make us read no more than that. Each side's challenge is new, so that
//! what was overheard is worth nothing; each proof names its side, so that none can be reflected. Proofs are compared in
//! constant time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rustix::net::sockopt;
use sha2::Sha256;
use thiserror::Error;

use crate::key::{JobKey, SECRET_BYTES, random};

/// How long a handshake may take in all.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long what was sent may go unacknowledged by the other host before the connection is broken.
const SILENCE: Duration = Duration::from_secs(20);

const MAGIC: [u8; 8] = *b"EGIDAnet";
const VERSION: u32 = 1;
const OPENING_BYTES: usize = 8 + 3 * 4 + SECRET_BYTES;
const WELCOME: u8 = 1;

type Proof = [u8; 32];

/// Why a connection was not made.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The connection failed, or the other side took too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side speaks another protocol, or another version of ours.
    #[error("the other side does not speak this version of the protocol")]
    Foreign,
    /// The other side does not know the job's key.
    #[error("the other side does not know the job's key")]
    Stranger,
    /// It means somebody else.
    #[error("the other side means number {0}")]
    Misdirected(u32),
}

/// Connects to an address as `from`, where `to` is expected.
///
/// # Errors
/// [`HandshakeError`].
pub fn dial(address: SocketAddr, key: &JobKey, from: u32, to: u32) -> Result<TcpStream, HandshakeError> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut stream = TcpStream::connect_timeout(&address, TIME_LIMIT)?;
    let mut wire = Limited { stream: &mut stream, deadline };
    let mine = opening(from, to)?;
    wire.write(&mine)?;
    let mut theirs = [0; SECRET_BYTES];
    wire.read(&mut theirs)?;
    let mut proof = Proof::default();
    wire.read(&mut proof)?;
    verify(key, b"called", &mine, &theirs, &proof)?;
    wire.write(&prove(key, b"caller", &mine, &theirs))?;
    let mut welcome = [0];
    wire.read(&mut welcome)?;
    if welcome != [WELCOME] {
        return Err(HandshakeError::Foreign);
    }
    prepared(stream)
}

/// Answers a connection as `me`. Returns it, and who has called.
///
/// # Errors
/// [`HandshakeError`].
pub fn meet(mut stream: TcpStream, key: &JobKey, me: u32) -> Result<(u32, TcpStream), HandshakeError> {
    let mut wire = Limited { stream: &mut stream, deadline: Instant::now() + TIME_LIMIT };
    let mut theirs = [0; OPENING_BYTES];
    wire.read(&mut theirs)?;
    let number = |at: usize| u32::from_le_bytes([theirs[at], theirs[at + 1], theirs[at + 2], theirs[at + 3]]);
    if theirs[..8] != MAGIC || number(8) != VERSION {
        return Err(HandshakeError::Foreign);
    }
    let (from, to) = (number(12), number(16));
    let mine = random()?;
    wire.write(&mine)?;
    wire.write(&prove(key, b"called", &theirs, &mine))?;
    let mut proof = Proof::default();
    wire.read(&mut proof)?;
    verify(key, b"caller", &theirs, &mine, &proof)?;
    if to != me {
        return Err(HandshakeError::Misdirected(to));
    }
    wire.write(&[WELCOME])?;
    Ok((from, prepared(stream)?))
}

fn opening(from: u32, to: u32) -> io::Result<[u8; OPENING_BYTES]> {
    let mut opening = [0; OPENING_BYTES];
    opening[..8].copy_from_slice(&MAGIC);
    for (at, number) in [(8, VERSION), (12, from), (16, to)] {
        opening[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    opening[20..].copy_from_slice(&random()?);
    Ok(opening)
}

fn hash(key: &JobKey, side: &[u8], caller: &[u8], called: &[u8]) -> Hmac<Sha256> {
    // A key of any length will do for this hash, so that it is never refused.
    let hash =
        Hmac::<Sha256>::new_from_slice(key.bytes()).unwrap_or_else(|_| unreachable!("any key will do"));
    hash.chain_update(side).chain_update(caller).chain_update(called)
}

fn prove(key: &JobKey, side: &[u8], caller: &[u8], called: &[u8]) -> Proof {
    hash(key, side, caller, called).finalize().into_bytes().into()
}

fn verify(
    key: &JobKey,
    side: &[u8],
    caller: &[u8],
    called: &[u8],
    proof: &Proof,
) -> Result<(), HandshakeError> {
    hash(key, side, caller, called).verify_slice(proof).map_err(|_| HandshakeError::Stranger)
}

/// Makes a connection fit for messages: none waits for others to be sent along, and a host that is gone is noticed.
fn prepared(stream: TcpStream) -> Result<TcpStream, HandshakeError> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    stream.set_nodelay(true)?;
    let silence = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    let set = sockopt::set_tcp_user_timeout(&stream, silence)
        .and_then(|()| sockopt::set_socket_keepalive(&stream, true))
        .and_then(|()| sockopt::set_tcp_keepidle(&stream, SILENCE / 4))
        .and_then(|()| sockopt::set_tcp_keepintvl(&stream, SILENCE / 4))
        .and_then(|()| sockopt::set_tcp_keepcnt(&stream, 3));
    set.map_err(io::Error::from)?;
    Ok(stream)
}

/// A connection on which everything must be over by some time.
struct Limited<'a> {
    stream: &'a mut TcpStream,
    deadline: Instant,
}

impl Limited<'_> {
    fn left(&self) -> io::Result<Duration> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        // Byte by byte slowly is too slow as well: so not `read_exact`, whose limit is for each read.
        while !bytes.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // So few bytes always fit into the buffer of a new connection.
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn called(key: &JobKey, me: u32) -> (SocketAddr, thread::JoinHandle<Result<u32, HandshakeError>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let key = key.clone();
        let answer = move || meet(listener.accept().unwrap().0, &key, me).map(|(from, _)| from);
        (address, thread::spawn(answer))
    }

    #[test]
    fn those_who_know_the_key_meet() {
        let key = JobKey::random().unwrap();
        let (address, answer) = called(&key, 3);
        dial(address, &key, 7, 3).unwrap();
        assert_eq!(answer.join().unwrap().unwrap(), 7);
    }

    #[test]
    fn a_stranger_is_turned_away_by_either_side() {
        let (address, answer) = called(&JobKey::random().unwrap(), 3);
        assert!(matches!(dial(address, &JobKey::random().unwrap(), 7, 3), Err(HandshakeError::Stranger)));
        assert!(answer.join().unwrap().is_err());
    }

    #[test]
    fn a_caller_without_the_key_that_goes_on_all_the_same_is_turned_away() {
        let (address, answer) = called(&JobKey::random().unwrap(), 3);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&opening(7, 3).unwrap()).unwrap();
        let mut theirs = [0; SECRET_BYTES + 32];
        stream.read_exact(&mut theirs).unwrap();
        // The other side's own proof, reflected.
        stream.write_all(&theirs[SECRET_BYTES..]).unwrap();
        assert!(matches!(answer.join().unwrap(), Err(HandshakeError::Stranger)));
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "nothing is said to it");
    }

    #[test]
    fn what_was_overheard_is_worth_nothing() {
        let key = JobKey::random().unwrap();
        let mine = opening(7, 3).unwrap();
        let overheard = prove(&key, b"caller", &mine, &[5; SECRET_BYTES]);
        let (address, answer) = called(&key, 3);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&mine).unwrap();
        stream.write_all(&overheard).unwrap();
        assert!(matches!(answer.join().unwrap(), Err(HandshakeError::Stranger)));
    }

    #[test]
    fn who_means_somebody_else_or_speaks_otherwise_is_turned_away() {
        let key = JobKey::random().unwrap();
        let (address, answer) = called(&key, 3);
        assert!(dial(address, &key, 7, 4).is_err());
        assert!(matches!(answer.join().unwrap(), Err(HandshakeError::Misdirected(4))));
        let (address, answer) = called(&key, 3);
        TcpStream::connect(address).unwrap().write_all(&[b'x'; OPENING_BYTES]).unwrap();
        assert!(matches!(answer.join().unwrap(), Err(HandshakeError::Foreign)));
    }

    #[test]
    fn who_says_nothing_does_not_keep_anybody() {
        let (address, answer) = called(&JobKey::random().unwrap(), 3);
        let stream = TcpStream::connect(address).unwrap();
        let begun = Instant::now();
        assert!(matches!(answer.join().unwrap(), Err(HandshakeError::Io(_))));
        assert!(begun.elapsed() < TIME_LIMIT + Duration::from_secs(3));
        drop(stream);
    }
}
