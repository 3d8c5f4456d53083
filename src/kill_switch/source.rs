//! Who says what position the switch should be in.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use super::mode::{Mode, UnknownMode};

/// Says what position a [`KillSwitch`](super::KillSwitch) should be in.
///
/// Closures that give an `Option<Mode>` implement it: a feature flag's client, for example.
///
/// ```
/// use seawall::kill_switch::{KillSwitch, KillSwitchConfig, Mode};
///
/// let switch = KillSwitch::new(KillSwitchConfig::new("payments"));
/// let flag = || Some(Mode::Halt);
/// assert_eq!(switch.consult(&flag), Mode::Halt);
/// let says_nothing = || None;
/// assert_eq!(switch.consult(&says_nothing), Mode::Halt, "it stays");
/// ```
pub trait Source {
    /// The position; `None` if it has nothing to say.
    ///
    /// # Errors
    /// [`Unreadable`] if it should say something and can't: the switch keeps its position.
    fn read(&self) -> Result<Option<Mode>, Unreadable>;

    /// Who flips, in events.
    fn name(&self) -> String {
        "a closure".to_owned()
    }
}

impl<F: Fn() -> Option<Mode>> Source for F {
    fn read(&self) -> Result<Option<Mode>, Unreadable> {
        Ok(self())
    }
}

/// A source that couldn't be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It isn't there, or can't be opened.
    Io(io::Error),
    /// What is there names no mode.
    Unknown(UnknownMode),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Unknown(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Unknown(error) => Some(error),
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<UnknownMode> for Unreadable {
    fn from(error: UnknownMode) -> Self {
        Self::Unknown(error)
    }
}

/// An environment variable: set before the process starts, so worth consulting once.
///
/// A variable that isn't set says nothing.
#[derive(Clone, Debug)]
pub struct Environment(String);

impl Environment {
    /// The variable called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl Source for Environment {
    fn read(&self) -> Result<Option<Mode>, Unreadable> {
        match env::var_os(&self.0) {
            Some(text) => Ok(Some(text.to_string_lossy().parse()?)),
            None => Ok(None),
        }
    }

    fn name(&self) -> String {
        format!("the variable {}", self.0)
    }
}

/// A file that holds the name of a mode, such as one that a ConfigMap mounts.
///
/// It may be replaced by a rename at any moment. One that is missing, or found half-written, or holds
/// anything but the name of a mode, leaves the switch as it is.
#[derive(Clone, Debug)]
pub struct File(PathBuf);

impl File {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Source for File {
    fn read(&self) -> Result<Option<Mode>, Unreadable> {
        // A mode has few letters; whatever is longer is something else, however long.
        let mut text = Vec::with_capacity(64);
        fs::File::open(&self.0)?.take(64).read_to_end(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).parse()?))
    }

    fn name(&self) -> String {
        format!("the file {}", self.0.display())
    }
}
