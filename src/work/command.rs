//! A command: what you would type.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::kinds::{Abandoned, Work};
use crate::error::BoxError;

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// So much of what a failed command says is told.
const MOST_TOLD: usize = 400;
/// So many looks long it is waited for the end of what a command says, once it has ended.
const PATIENCE: u32 = 10;

/// A program and its arguments, run when a rollout is rolled back or when there is an alert.
///
/// No shell is between: an argument is what it is, whatever it contains. The command finds what it is
/// about in its environment. It succeeds by its exit status; what it writes to standard error is told when
/// it fails. If it takes longer than the time limit it is killed.
///
/// | variable | of a rollback | of an alert |
/// | --- | --- | --- |
/// | `SEAWALL_KEY` | the idempotency key | the idempotency key |
/// | `SEAWALL_ATTEMPT` | which attempt, from 1 on | which attempt, from 1 on |
/// | `SEAWALL_ROLLOUT`, `SEAWALL_VERSION`, `SEAWALL_CAUSE` | which, of what, and why | |
/// | `SEAWALL_SUBJECT`, `SEAWALL_STATE`, `SEAWALL_SEVERITY` | | what it is about: `breaker/payments/circuit`; `firing`, `cleared` or `happened`; `P1` to `P4`, or `critical`, `warning`, `note` |
/// | `SEAWALL_TEXT`, `SEAWALL_RUNBOOK`, `SEAWALL_TIMES` | | in a sentence; the runbook's page; how often since the last message |
///
/// ```
/// use seawall::rollout::{Command, RolloutConfig};
///
/// let config = RolloutConfig::new("payments")
///     .hook(Command::new("kubectl").args(["argo", "rollouts", "abort", "payments"]));
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    name: String,
    program: OsString,
    args: Vec<OsString>,
}

impl Command {
    /// Runs `program`, found as the system finds programs.
    pub fn new(program: impl Into<OsString>) -> Self {
        let program = program.into();
        Self { name: program.to_string_lossy().into_owned(), program, args: Vec::new() }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Its name in what is told. Default: the program.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Runs it with these variables.
    pub(crate) fn with(&self, variables: Vec<(&'static str, String)>) -> Work {
        let command = self.clone();
        Work::Blocking(Box::new(move |abandoned| {
            let child = command.start(variables)?;
            wait(child, abandoned)
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, variables: Vec<(&'static str, String)>) -> io::Result<Child> {
        std::process::Command::new(&self.program)
            .args(&self.args)
            // No variable may hold a NUL; what an operator typed might.
            .envs(variables.into_iter().map(|(name, value)| (name, value.replace('\0', " "))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Waits for the command's end, or ends it when nobody waits for it any more.
fn wait(mut child: Child, abandoned: &Abandoned) -> Result<(), BoxError> {
    let said = child.stderr.take().map(Said::listen);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if abandoned.is_abandoned() {
            child.kill()?;
            child.wait()?;
            return Err("killed: it took too long".into());
        }
        pause();
    };
    if status.success() {
        return Ok(());
    }
    let said = said.map(Said::heard).unwrap_or_default();
    match said.trim() {
        "" => Err(status.to_string().into()),
        said => Err(format!("{status}: {said}").into()),
    }
}

#[allow(clippy::disallowed_methods)] // a thread of its own, and a process in real time
fn pause() {
    thread::sleep(LOOK);
}

/// What a command says, read beside, so that one which says much doesn't wait for a reader.
struct Said {
    heard: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Said {
    fn listen(mut from: impl Read + Send + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let listener = thread::spawn(move || {
            let mut part = [0; 256];
            loop {
                match from.read(&mut part) {
                    Ok(0) => break,
                    Ok(n) => {
                        // The beginning is kept; the rest is read and forgotten.
                        let mut heard = hears.lock();
                        let room = MOST_TOLD - heard.len();
                        heard.extend_from_slice(&part[..n.min(room)]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        Self { heard, listener }
    }

    /// All that was said before the command ended; of a grandchild that holds the pipe open, what it said so
    /// far.
    fn heard(self) -> String {
        for _ in 0..PATIENCE {
            if self.listener.is_finished() {
                break;
            }
            pause();
        }
        String::from_utf8_lossy(&self.heard.lock()).into_owned()
    }
}
