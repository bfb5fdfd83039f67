//! A port that hands over connections of the job and closes all others.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::handshake::meet;
use crate::key::JobKey;

/// How many may be about to prove who they are. More are turned away at once: who is of the job tries again.
const MOST_UNKNOWN: usize = 64;

/// A port at which the job's hosts call. It is open as long as the process lives.
#[derive(Debug)]
pub struct Listener {
    port: u16,
}

impl Listener {
    /// Listens at an address of this host, at a port of the system's choice, as `me`. Each connection whose other end knows the
    /// key is handed to `welcome` with who that is, on a thread of its own.
    ///
    /// # Errors
    /// [`io::Error`] where the address cannot be listened at, or there is no thread to do it.
    pub fn start(
        address: IpAddr,
        key: JobKey,
        me: u32,
        welcome: impl Fn(u32, TcpStream) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(address, 0))?;
        let port = listener.local_addr()?.port();
        let welcome = Arc::new(welcome);
        let unknown = Arc::new(AtomicUsize::new(0));
        let body = move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // No descriptors are left, or the like: it may be better soon.
                    thread::sleep(std::time::Duration::from_millis(50));
                    continue;
                };
                if unknown.fetch_add(1, Ordering::AcqRel) >= MOST_UNKNOWN {
                    unknown.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                let (key, welcome, counted) = (key.clone(), Arc::clone(&welcome), Arc::clone(&unknown));
                let answer = move || {
                    let met = meet(stream, &key, me);
                    counted.fetch_sub(1, Ordering::AcqRel);
                    match met {
                        Ok((from, stream)) => welcome(from, stream),
                        Err(error) => tracing::warn!(%error, "a connection was turned away"),
                    }
                };
                if thread::Builder::new().name("egida-handshake".to_owned()).spawn(answer).is_err() {
                    unknown.fetch_sub(1, Ordering::AcqRel);
                }
            }
        };
        thread::Builder::new().name("egida-listener".to_owned()).spawn(body)?;
        Ok(Self { port })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::handshake::dial;

    #[test]
    fn members_come_through_while_strangers_fill_the_port() {
        let key = JobKey::random().unwrap();
        let (met, meets) = mpsc::channel();
        let welcome = move |from, mut stream: TcpStream| {
            stream.write_all(b"hello").unwrap();
            met.send(from).unwrap();
        };
        let listener = Listener::start(Ipv4Addr::LOCALHOST.into(), key.clone(), 3, welcome).unwrap();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listener.port());
        let mut strangers: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stranger in &mut strangers {
            let _ =
                stranger.write_all(b"GET / HTTP/1.1\r\n\r\n, and enough more to be as long as an opening is");
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut stream = loop {
            match dial(address, &key, 7, 3) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!((&hello, meets.recv().unwrap()), (b"hello", 7));
        for mut stranger in strangers {
            assert_eq!(stranger.read(&mut [0; 64]).unwrap_or(0), 0, "nothing is said to strangers");
        }
        assert!(meets.try_recv().is_err(), "and nobody hears of them");
    }
}
