//! The launcher's own standard output and error: what ranks wrote and was released, and what the launcher has to say.
//!
//! A thread does the writing, so that a slow reader of our output never keeps the node from watching its processes. It
//! writes whole lines where it can: a line that is not ended waits a moment for its end, so that lines of different ranks
//! do not mix.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use egida_core::ids::Rank;
use egida_core::output::Stream;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;

use crate::process::Windows;

/// How long an unfinished line waits for its end.
const LINE_PATIENCE: Duration = Duration::from_millis(30);
/// How often progress is told where it cannot be drawn.
const LINE_EVERY: Duration = Duration::from_secs(2);
const LINE_LIMIT_BYTES: usize = 1 << 16;

/// Where everything goes.
pub struct Outlets {
    /// Standard output.
    pub out: Box<dyn Write + Send>,
    /// Standard error.
    pub err: Box<dyn Write + Send>,
    /// Whether standard error is a terminal: progress is drawn there, else told in lines.
    pub is_terminal: bool,
    /// Whether each line begins with its rank.
    pub tagged: bool,
}

/// A replay that takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaying {
    /// Who replays.
    pub rank: Rank,
    /// How much is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
}

/// The handle of the thread.
#[derive(Debug)]
pub struct Sink {
    messages: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Output { rank: Rank, stream: Stream, bytes: Vec<u8>, windows: Arc<Windows> },
    Note(String),
    Progress(Option<Replaying>),
    Flush(oneshot::Sender<()>),
}

impl Sink {
    /// Starts the thread. `failed` is told of the first error on standard output, after which nothing more is written there.
    ///
    /// # Errors
    /// [`io::Error`] where the system gives no thread.
    pub fn start(outlets: Outlets, failed: impl FnOnce(io::Error) + Send + 'static) -> io::Result<Self> {
        let (messages, received) = channel();
        let Outlets { out, err, is_terminal, tagged } = outlets;
        let mut thread = Thread {
            out: Outlet::new(out, tagged),
            err: Outlet::new(err, tagged),
            bar: None,
            last_line: None,
            is_terminal,
            failed: Some(Box::new(failed)),
        };
        let thread = std::thread::Builder::new()
            .name("egida-output".to_owned())
            .spawn(move || thread.run(&received))?;
        Ok(Self { messages: Some(messages), thread: Some(thread) })
    }

    /// Writes what a rank wrote, and makes room in its window afterwards.
    pub fn output(&self, rank: Rank, stream: Stream, bytes: Vec<u8>, windows: Arc<Windows>) {
        self.send(Message::Output { rank, stream, bytes, windows });
    }

    /// Says something, as a line of its own on standard error.
    pub fn note(&self, text: impl Into<String>) {
        self.send(Message::Note(text.into()));
    }

    /// Shows how far a replay is; nothing when there is none any more.
    pub fn progress(&self, replaying: Option<Replaying>) {
        self.send(Message::Progress(replaying));
    }

    /// Waits until all is written that was given so far.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        self.send(Message::Flush(done));
        let _ = is_done.await;
    }

    /// Lets the thread go with what it has not written: whoever should take it does not.
    pub fn abandon(&mut self) {
        self.thread = None;
    }

    fn send(&self, message: Message) {
        // The thread ends with the channel, never before.
        if let Some(messages) = &self.messages {
            let _ = messages.send(message);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Thread {
    out: Outlet,
    err: Outlet,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    is_terminal: bool,
    failed: Option<Box<dyn FnOnce(io::Error) + Send>>,
}

impl Thread {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let message = match self.out.has_partial() || self.err.has_partial() {
                false => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => messages.recv_timeout(LINE_PATIENCE),
            };
            match message {
                Ok(Message::Output { rank, stream, bytes, windows }) => {
                    self.write(|this| this.outlet(stream).take(rank, &bytes));
                    let window = match stream {
                        Stream::Out => &windows.out,
                        Stream::Err => &windows.err,
                    };
                    window.give_back(bytes.len());
                }
                Ok(Message::Note(text)) => {
                    self.write(|this| this.err.say(&text));
                }
                Ok(Message::Progress(replaying)) => self.show(replaying),
                Ok(Message::Flush(done)) => {
                    self.finish();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.finish(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.show(None);
                    return self.finish();
                }
            }
        }
    }

    fn outlet(&mut self, stream: Stream) -> &mut Outlet {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn finish(&mut self) {
        self.write(|this| {
            this.out.finish()?;
            this.err.finish()
        });
    }

    /// Writes around a progress bar. Standard error that nobody takes is no reason to end; standard output is.
    fn write(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        let bar = self.bar.clone();
        let written = match bar {
            Some(bar) => bar.suspend(|| write(self)),
            None => write(self),
        };
        let Err(error) = written else { return };
        if self.out.broken
            && let Some(failed) = self.failed.take()
        {
            failed(error);
        }
    }

    fn show(&mut self, replaying: Option<Replaying>) {
        let Some(now) = replaying else {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return;
        };
        let text = format!("egida: rank {} replays", now.rank);
        if !self.is_terminal {
            if self.last_line.is_some_and(|last| last.elapsed() < LINE_EVERY) {
                return;
            }
            self.last_line = Some(Instant::now());
            self.write(|this| this.err.say(&format!("{text}: {} of {}", now.done, now.total)));
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len}");
            let bar = ProgressBar::new(now.total);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_message(text);
        bar.set_length(now.total);
        bar.set_position(now.done);
    }
}

/// One of our own streams.
struct Outlet {
    writer: Box<dyn Write + Send>,
    tagged: bool,
    partial: BTreeMap<Rank, Vec<u8>>,
    /// Who wrote the line that is not ended yet.
    open_line: Option<Rank>,
    broken: bool,
}

impl Outlet {
    fn new(writer: Box<dyn Write + Send>, tagged: bool) -> Self {
        Self { writer, tagged, partial: BTreeMap::new(), open_line: None, broken: false }
    }

    fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    fn take(&mut self, rank: Rank, bytes: &[u8]) -> io::Result<()> {
        let mut text = self.partial.remove(&rank).unwrap_or_default();
        text.extend_from_slice(bytes);
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let whole = if text.len() - whole > LINE_LIMIT_BYTES { text.len() } else { whole };
        let rest = text.split_off(whole);
        if !rest.is_empty() {
            self.partial.insert(rank, rest);
        }
        self.put(rank, &text)
    }

    /// Writes a line of the launcher's own between those of ranks.
    fn say(&mut self, text: &str) -> io::Result<()> {
        let end_line = if self.open_line.take().is_some() { "\n" } else { "" };
        self.write(format!("{end_line}{text}\n").as_bytes())
    }

    /// Writes out lines that found no end.
    fn finish(&mut self) -> io::Result<()> {
        for (rank, text) in std::mem::take(&mut self.partial) {
            self.put(rank, &text)?;
        }
        Ok(())
    }

    fn put(&mut self, rank: Rank, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.tagged {
            self.open_line = (!text.ends_with(b"\n")).then_some(rank);
            return self.write(text);
        }
        let mut tagged = Vec::with_capacity(text.len() + 64);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if self.open_line.is_some_and(|open| open != rank) {
                tagged.push(b'\n');
                self.open_line = None;
            }
            if self.open_line.is_none() {
                tagged.extend_from_slice(format!("[{rank}] ").as_bytes());
            }
            tagged.extend_from_slice(line);
            self.open_line = (!line.ends_with(b"\n")).then_some(rank);
        }
        self.write(&tagged)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        let written = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
        self.broken = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn text(shared: &Shared) -> String {
        String::from_utf8(shared.0.lock().unwrap().clone()).unwrap()
    }

    fn written(tagged: bool, pieces: &[(Rank, &str)]) -> (String, String) {
        let (out, err) = (Shared::default(), Shared::default());
        let outlets =
            Outlets { out: Box::new(out.clone()), err: Box::new(err.clone()), is_terminal: false, tagged };
        let sink = Sink::start(outlets, |error| panic!("{error}")).unwrap();
        for &(rank, piece) in pieces {
            sink.output(rank, Stream::Out, piece.into(), Arc::default());
        }
        sink.note("egida: a note");
        drop(sink);
        (text(&out), text(&err))
    }

    #[test]
    fn lines_of_different_ranks_do_not_mix() {
        let (out, err) = written(false, &[(0, "hel"), (1, "good\nby"), (0, "lo\n"), (1, "e\n")]);
        assert_eq!(out, "good\nhello\nbye\n");
        assert_eq!(err, "egida: a note\n");
    }

    #[test]
    fn a_line_that_never_ends_is_written_all_the_same() {
        assert_eq!(written(false, &[(0, "password: ")]).0, "password: ");
    }

    #[test]
    fn every_line_is_tagged_once() {
        let (out, _) = written(true, &[(0, "a\nb"), (1, "x\n"), (0, "b\n"), (3, "end")]);
        assert_eq!(out, "[0] a\n[1] x\n[0] bb\n[3] end");
    }

    #[test]
    fn an_error_is_told_once_and_room_is_made_all_the_same() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (failed, has_failed) = channel();
        let outlets =
            Outlets { out: Box::new(Full), err: Box::new(io::sink()), is_terminal: false, tagged: false };
        let sink = Sink::start(outlets, move |error| failed.send(error.kind()).unwrap()).unwrap();
        sink.output(0, Stream::Out, b"lost\n".to_vec(), Arc::default());
        sink.output(0, Stream::Out, b"lost too\n".to_vec(), Arc::default());
        drop(sink);
        assert_eq!(has_failed.iter().collect::<Vec<_>>(), [io::ErrorKind::BrokenPipe]);
    }
}
