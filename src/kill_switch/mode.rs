//! The three positions.

use std::fmt;
use std::str::FromStr;

/// What a kill switch lets happen.
///
/// Read from text as `run`, `bypass` or `halt`, in any case, with white space around it:
///
/// ```
/// use seawall::kill_switch::Mode;
///
/// assert_eq!(" Halt\n".parse(), Ok(Mode::Halt));
/// assert!("hal".parse::<Mode>().is_err(), "half-written");
/// assert!("".parse::<Mode>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Calls go through the layers, as ever.
    #[default]
    Run,
    /// Calls go straight to the client.
    Bypass,
    /// Calls are refused; a fallback outside still answers.
    Halt,
}

impl Mode {
    /// The name: `run`, `bypass`, `halt`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Bypass => "bypass",
            Self::Halt => "halt",
        }
    }

    pub(super) const fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Bypass,
            2 => Self::Halt,
            _ => Self::Run,
        }
    }

    pub(super) const fn word(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMode(String);

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is none of run, bypass, halt", self.0)
    }
}

impl std::error::Error for UnknownMode {}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let name = text.trim();
        [Self::Run, Self::Bypass, Self::Halt]
            .into_iter()
            .find(|mode| name.eq_ignore_ascii_case(mode.as_str()))
            // The start says what was meant; a file of megabytes needn't be quoted.
            .ok_or_else(|| UnknownMode(name.chars().take(40).collect()))
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_mode_survives_its_word_and_its_name() {
        for mode in [Mode::Run, Mode::Bypass, Mode::Halt] {
            assert_eq!(Mode::from_word(mode.word()), mode);
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
    }
}
