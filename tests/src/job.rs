//! One run of `egida run`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::installation::installation;
use crate::programs::Program;
use crate::protocols::{FailureUnit, Protocol};
use crate::report::Report;

/// After this long a job is said to hang. Runs last a fraction of a second; a
/// busy machine and a recovery make it a few.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file in a job's directory that the launcher reports to.
const REPORT: &str = "report.jsonl";

/// What to run, before it runs.
#[derive(Debug, Clone)]
pub struct Job {
    egida: PathBuf,
    environment: Vec<(OsString, OsString)>,
    executable: PathBuf,
    args: Vec<OsString>,
    options: Vec<OsString>,
    stdin: Input,
    patience: Duration,
}

#[derive(Debug, Clone)]
enum Input {
    /// All of it at once, then its end.
    Given(Vec<u8>),
    /// The test writes it.
    Piped,
}

impl Job {
    /// A program of the table with its own number of ranks and arguments.
    pub fn of(program: &Program) -> Self {
        let options = ["-n", &program.ranks.to_string()].map(OsString::from).to_vec();
        Self {
            egida: installation().egida.clone(),
            environment: Vec::new(),
            executable: installation().executable(program.name),
            args: program.args.iter().map(OsString::from).collect(),
            options,
            stdin: Input::Given(program.stdin.into()),
            patience: PATIENCE,
        }
    }

    /// Under that protocol and failure unit.
    #[must_use]
    pub fn under(self, protocol: &Protocol, unit: FailureUnit) -> Self {
        let spec = installation().spec(protocol.name);
        self.option("--spec", spec).option("--failure-unit", unit.to_string())
    }

    /// With that `--kill`.
    #[must_use]
    pub fn kill(self, kill: &str) -> Self {
        self.option("--kill", kill)
    }

    /// With any option that takes a value.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.options.extend([name.into(), value.into()]);
        self
    }

    /// With an option that takes no value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.options.push(name.into());
        self
    }

    /// With another argument for the program.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With another executable, linked from the same program.
    #[must_use]
    pub fn executable(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.executable);
        self
    }

    /// By another copy of the launcher.
    #[must_use]
    pub fn launched_by(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.egida);
        self
    }

    /// With that in the launcher's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With standard input that the test writes while the job runs.
    #[must_use]
    pub fn piped_stdin(mut self) -> Self {
        self.stdin = Input::Piped;
        self
    }

    /// With less or more patience than usual.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to its end.
    pub fn run(&self) -> Finished {
        self.start().finish()
    }

    /// Starts it in a process group of its own.
    ///
    /// # Panics
    /// The launcher cannot be started.
    pub fn start(&self) -> Running {
        let scratch = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(&self.egida);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("run").args(&self.options);
        command.arg("--state-dir").arg(scratch.path().join("state"));
        command.arg("--report").arg(scratch.path().join(REPORT));
        command.arg(&self.executable).args(&self.args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().expect("`egida run` starts");

        let stdout = Some(collect(child.stdout.take()));
        let stderr = Some(collect(child.stderr.take()));
        let mut stdin = child.stdin.take();
        if let Input::Given(bytes) = &self.stdin {
            // A job that ends early closes its end, which is for the verdict to see.
            let _ = stdin.take().map(|mut pipe| pipe.write_all(bytes));
        }
        let command_line = self.command_line();
        let deadline = Instant::now() + self.patience;
        Running { child, stdin, stdout, stderr, scratch, command_line, deadline }
    }

    /// The command that a reader of a failure can repeat.
    fn command_line(&self) -> String {
        let mut words = self.options.clone();
        words.push(self.executable.clone().into());
        words.extend(self.args.iter().cloned());
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        format!("{} run {}", self.egida.display(), words.join(" "))
    }
}

/// A job that has been started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    scratch: TempDir,
    command_line: String,
    deadline: Instant,
}

impl Running {
    /// The launcher's process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Writes to the job's standard input.
    ///
    /// # Errors
    /// The job has closed it.
    ///
    /// # Panics
    /// The job was not started with a piped standard input.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let stdin = self.stdin.as_mut().expect("standard input is piped");
        stdin.write_all(text.as_bytes())?;
        stdin.flush()
    }

    /// Waits for the end, for as long as the job's patience lasts; then kills it.
    ///
    /// # Panics
    /// The launcher cannot be waited for, or its report cannot be read.
    pub fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the launcher can be waited for") {
                break Some(status);
            }
            if Instant::now() >= self.deadline {
                self.kill_all();
                break None;
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |thread: Option<JoinHandle<Vec<u8>>>| {
            let bytes = thread.map(|thread| thread.join().expect("a reader of output"));
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        let report = fs::read_to_string(self.scratch.path().join(REPORT)).unwrap_or_default();
        // A launcher that was killed may leave half a line.
        let report = match (Report::parse(&report), status.and_then(|status| status.code())) {
            (Ok(report), _) => report,
            (Err(_), None) => Report::default(),
            (Err(bad), Some(_)) => panic!("{bad}\n{report}"),
        };
        Finished {
            status,
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            report,
            took: started.elapsed(),
            command_line: self.command_line.clone(),
        }
    }

    /// Kills the launcher's group and whatever else descends from the launcher,
    /// so that no reader waits for a pipe that a stray rank holds open.
    fn kill_all(&mut self) {
        let strays = crate::processes::descendants(self.pid());
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        for stray in strays {
            crate::processes::signal(stray, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    /// A test that fails before its job has ended leaves no job behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill_all();
        }
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is what the test sees.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A job that has ended or was ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// None if the job hung.
    pub status: Option<ExitStatus>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error, the launcher's words among it.
    pub stderr: String,
    /// What the launcher reported.
    pub report: Report,
    /// How long it took.
    pub took: Duration,
    /// The command to repeat it.
    pub command_line: String,
}

impl Finished {
    /// The exit code; none for a job that hung or a launcher that was killed.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// The last lines of standard error.
    pub fn stderr_tail(&self) -> String {
        let lines: Vec<_> = self.stderr.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}
