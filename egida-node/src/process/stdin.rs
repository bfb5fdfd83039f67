//! The job's standard input: retained from its first byte, because each incarnation of rank 0 reads it from there.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// What was read from standard input so far, in a file without a name.
#[derive(Debug, Clone)]
pub struct Spool {
    file: Arc<File>,
    filled: watch::Receiver<Filled>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Filled {
    bytes: u64,
    is_whole: bool,
}

impl Spool {
    /// Begins to retain our own standard input. A terminal that another job has in its foreground is not touched: reading
    /// it would stop us.
    ///
    /// # Errors
    /// [`io::Error`] where there is no room for the file, or no thread to read with.
    pub fn of_standard_input(file: File) -> io::Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() && tcgetpgrp(stdin.as_fd()).ok() != Some(getpgrp()) {
            return Self::start(file, io::empty());
        }
        Self::start(file, stdin)
    }

    /// Begins to retain what `source` gives, in `file`.
    ///
    /// # Errors
    /// As for [`Spool::of_standard_input`].
    pub fn start(file: File, mut source: impl Read + Send + 'static) -> io::Result<Self> {
        let file = Arc::new(file);
        let (fill, filled) = watch::channel(Filled::default());
        let mut sink = Arc::clone(&file);
        // A thread, because a read of a terminal or a pipe shared with others cannot be made non-blocking without
        // changing it for the others as well. It ends with the process.
        let body = move || {
            let mut bytes = vec![0; 1 << 16];
            loop {
                let read = match source.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(read) if read > 0 && sink.write_all(&bytes[..read]).is_ok() => read,
                    _ => 0,
                };
                fill.send_modify(|filled| {
                    filled.bytes += read as u64;
                    filled.is_whole = read == 0;
                });
                if read == 0 {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("egida-stdin".to_owned()).spawn(body)?;
        Ok(Self { file, filled })
    }
}

/// Feeds a process from the first byte on, until the end of input or until it reads no more.
pub async fn feed(mut spool: Spool, mut process: pipe::Sender) {
    let mut offset = 0;
    let mut bytes = vec![0; 1 << 16];
    loop {
        let more = |filled: &Filled| filled.bytes > offset || filled.is_whole;
        let Ok(end) = spool.filled.wait_for(more).await.map(|filled| filled.bytes) else { return };
        if offset == end {
            return;
        }
        let want = usize::try_from(end - offset).unwrap_or(usize::MAX).min(bytes.len());
        let Ok(read @ 1..) = spool.file.read_at(&mut bytes[..want], offset) else { return };
        if process.write_all(&bytes[..read]).await.is_err() {
            return;
        }
        offset += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn every_reader_gets_all_from_the_first_byte() {
        let text: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let spool = Spool::start(tempfile::tempfile().unwrap(), io::Cursor::new(text.clone())).unwrap();
        for _ in 0..2 {
            let (sender, mut receiver) = pipe::pipe().unwrap();
            let feeder = tokio::spawn(feed(spool.clone(), sender));
            let mut read = Vec::new();
            receiver.read_to_end(&mut read).await.unwrap();
            feeder.await.unwrap();
            assert_eq!(read, text);
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_early_harms_nobody() {
        let spool = Spool::start(tempfile::tempfile().unwrap(), io::repeat(7).take(1 << 20)).unwrap();
        let (sender, receiver) = pipe::pipe().unwrap();
        drop(receiver);
        feed(spool, sender).await;
    }
}
