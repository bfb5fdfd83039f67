//! How a rank comes to a connection of its own: it asks its host's daemon, which hands it one whose other end the other rank is
//! given, once both have asked. Each message is one of a socket between the two processes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

use egida_core::ids::Rank;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
};

/// A connection to another rank.
#[derive(Debug)]
pub struct Offer {
    /// To whom.
    pub peer: Rank,
    /// Its number: the same at both ends, and of no other connection between these two.
    pub number: u64,
    /// Itself.
    pub stream: TcpStream,
}

const OFFER_BYTES: usize = 12;

/// Makes such a socket: the daemon's end and the rank's. Neither blocks.
///
/// # Errors
/// [`io::Error`] where there are no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// A rank asks for a connection to another.
///
/// # Errors
/// [`io::Error`] of the socket.
pub fn ask(daemon: impl AsFd, peer: Rank) -> io::Result<()> {
    send(daemon, &peer.to_le_bytes(), SendFlags::NOSIGNAL)?;
    Ok(())
}

/// What a rank has asked for: nothing where it has not.
///
/// # Errors
/// [`io::Error`] of the socket; [`io::ErrorKind::UnexpectedEof`] where the rank has gone.
pub fn asked(rank: impl AsFd) -> io::Result<Option<Rank>> {
    let mut bytes = [0; 4];
    match recv(rank, &mut bytes[..], RecvFlags::empty()) {
        Ok((4, _)) => Ok(Some(Rank::from_le_bytes(bytes))),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Hands a rank its end of a connection.
///
/// # Errors
/// [`io::Error`] of the socket.
pub fn offer(rank: impl AsFd, offer: &Offer) -> io::Result<()> {
    let mut bytes = [0; OFFER_BYTES];
    bytes[..4].copy_from_slice(&offer.peer.to_le_bytes());
    bytes[4..].copy_from_slice(&offer.number.to_le_bytes());
    let streams = [offer.stream.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&streams));
    sendmsg(rank, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// What a rank was handed: nothing where it was not.
///
/// # Errors
/// [`io::Error`] of the socket.
pub fn offered(daemon: impl AsFd) -> io::Result<Option<Offer>> {
    let mut bytes = [0; OFFER_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message =
        match recvmsg(daemon, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => message,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    let stream = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut streams) => streams.next(),
        _ => None,
    });
    match (message.bytes, stream) {
        (OFFER_BYTES, Some(stream)) => {
            let (peer, number) = bytes.split_at(4);
            let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            Ok(Some(Offer { peer: word(peer) as Rank, number: word(number), stream: stream.into() }))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_rank_asks_and_is_handed_a_connection() {
        let (daemon, rank) = pair().unwrap();
        assert!(asked(&daemon).unwrap().is_none() && offered(&rank).unwrap().is_none());
        ask(&rank, 7).unwrap();
        ask(&rank, 300).unwrap();
        assert_eq!((asked(&daemon).unwrap(), asked(&daemon).unwrap()), (Some(7), Some(300)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        offer(&daemon, &Offer { peer: 300, number: 1 << 40, stream: near }).unwrap();
        let mut handed = offered(&rank).unwrap().unwrap();
        assert_eq!((handed.peer, handed.number), (300, 1 << 40));
        handed.stream.write_all(b"hello").unwrap();
        let mut hello = [0; 5];
        far.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello");
        drop(rank);
        assert!(asked(&daemon).is_err());
    }
}
