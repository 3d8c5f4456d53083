//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const USAGE: &str = "\
Plays a payment incident over real HTTP: through a bare client, then through seawall.

Usage: cargo run --release -p checkout -- [FLAGS]
       cargo run --release -p checkout -- load [FLAGS]

  --mode MODE     bare, seawall or both (default: both)
  --canary        instead: two versions of the service behind one client; a bad one
                  that is rolled back, and an outage of both that rolls nobody back
  --rps N         calls offered per second, 10 to 10000 (default: 1000)
  --seconds N     length of the whole incident, over all its modes;
                  at least 20 a mode (default: 40 a mode)
  --json FILE     also write the figures to FILE
  --post-mortem FILE
                  where the beginnings of the incident's post-mortem go
                  (default: target/post-mortem.md)
  --help          print this

It exits with 0 only if no wrong answer was served, no key was charged twice, and every recovery was seen.

load: rises step by step from half of the peak to twice the peak, and finds the highest rate
that holds: p99 within the callers' 2 s, and no errors.

  --rps N         the peak, in calls a second (default: 400)
  --steps N       2 to 50 (default: 7)
  --seconds N     length of a step, 1 to 600 (default: 6)
  --workers N     of the payment service, each some 46 calls a second (default: 12)
  --mode MODE     as above
  --html FILE     write a report with plots to FILE
  --json FILE     write the figures to FILE";

const RPS: RangeInclusive<u32> = 10..=10_000;
/// Below this the phases are too short to tell one fault from the next.
const LEAST_SECONDS: u32 = 20;
const MOST_SECONDS: u32 = 3_600;
const DEFAULT_SECONDS: u32 = 40;

/// The way a checkout service calls the payment service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Bare,
    Seawall,
}

impl Mode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Seawall => "seawall",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which modes to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modes {
    One(Mode),
    Both,
}

impl Modes {
    pub(crate) const fn each(&self) -> &[Mode] {
        match self {
            Self::One(mode) => std::slice::from_ref(mode),
            Self::Both => &[Mode::Bare, Mode::Seawall],
        }
    }

    const fn count(self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Both => 2,
        }
    }
}

impl FromStr for Modes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bare" => Ok(Self::One(Mode::Bare)),
            "seawall" => Ok(Self::One(Mode::Seawall)),
            "both" => Ok(Self::Both),
            _ => Err("must be bare, seawall or both"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) mode: Modes,
    pub(crate) rps: u32,
    pub(crate) json: Option<PathBuf>,
    pub(crate) post_mortem: PathBuf,
    pub(crate) canary: bool,
    seconds: Option<u32>,
}

impl Args {
    /// How long one mode plays.
    pub(crate) fn seconds_per_mode(&self) -> f64 {
        self.seconds
            .map_or(f64::from(DEFAULT_SECONDS), |all| f64::from(all) / f64::from(self.mode.count()))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parsed {
    Run(Args),
    Load(LoadArgs),
    Help,
}

/// What the load test is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoadArgs {
    pub(crate) mode: Modes,
    /// The peak.
    pub(crate) rps: u32,
    pub(crate) steps: u32,
    /// Of each step.
    pub(crate) seconds: u32,
    pub(crate) workers: u32,
    pub(crate) html: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
}

impl LoadArgs {
    /// Calls a second in this step, counted from 0: from half of the peak to twice the peak.
    pub(crate) fn rate(&self, step: u32) -> u32 {
        self.rps / 2 + self.rps * 3 * step / (self.steps - 1) / 2
    }
}

fn parse_load(mut parser: Parser) -> Result<Parsed, String> {
    let mut found = LoadArgs {
        mode: Modes::Both,
        rps: 400,
        steps: 7,
        seconds: 6,
        workers: 12,
        html: None,
        json: None,
    };
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Arg::Long("mode") => {
                let text = value(&mut parser, "--mode")?;
                found.mode =
                    text.parse().map_err(|rule| format!("--mode is {text:?}, but {rule}"))?;
            }
            Arg::Long("rps") => found.rps = number(&mut parser, "--rps", RPS)?,
            Arg::Long("steps") => found.steps = number(&mut parser, "--steps", 2..=50)?,
            Arg::Long("seconds") => found.seconds = number(&mut parser, "--seconds", 1..=600)?,
            Arg::Long("workers") => found.workers = number(&mut parser, "--workers", 1..=10_000)?,
            Arg::Long("html") => found.html = Some(value(&mut parser, "--html")?.into()),
            Arg::Long("json") => found.json = Some(value(&mut parser, "--json")?.into()),
            Arg::Long("help") | Arg::Short('h') => return Ok(Parsed::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Parsed::Load(found))
}

/// Reads the flags (without the program's name), or says in one line what is wrong with them.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == "load").is_some() {
        return parse_load(Parser::from_args(args));
    }
    let mut parser = Parser::from_args(args);
    let mut found = Args {
        mode: Modes::Both,
        rps: 1_000,
        seconds: None,
        json: None,
        post_mortem: "target/post-mortem.md".into(),
        canary: false,
    };
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Arg::Long("mode") => {
                let text = value(&mut parser, "--mode")?;
                found.mode =
                    text.parse().map_err(|rule| format!("--mode is {text:?}, but {rule}"))?;
            }
            Arg::Long("rps") => found.rps = number(&mut parser, "--rps", RPS)?,
            Arg::Long("seconds") => {
                found.seconds = Some(number(&mut parser, "--seconds", 1..=MOST_SECONDS)?);
            }
            Arg::Long("json") => found.json = Some(value(&mut parser, "--json")?.into()),
            Arg::Long("post-mortem") => {
                found.post_mortem = value(&mut parser, "--post-mortem")?.into();
            }
            Arg::Long("canary") => found.canary = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Parsed::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let least = LEAST_SECONDS * found.mode.count();
    match found.seconds {
        Some(seconds) if seconds < least => {
            let modes = if found.mode == Modes::Both { "both modes" } else { "one mode" };
            Err(format!("--seconds is {seconds}, but must be at least {least} for {modes}"))
        }
        _ => Ok(Parsed::Run(found)),
    }
}

fn value(parser: &mut Parser, flag: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("{flag} needs a value"))?;
    match value.string() {
        // `--json --rps 5`: the next flag is no file's name.
        Ok(text) if text.is_empty() || text.starts_with("--") => {
            Err(format!("{flag} needs a value"))
        }
        Ok(text) => Ok(text),
        Err(error) => Err(format!("{flag}: {error}")),
    }
}

fn number(parser: &mut Parser, flag: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    let text = value(parser, flag)?;
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let (least, most) = range.into_inner();
        format!("{flag} is {text:?}, but must be a whole number from {least} to {most}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> Args {
        match parsed(line) {
            Ok(Parsed::Run(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn no_flags_play_both_modes_in_eighty_seconds() {
        let args = run("");
        assert_eq!(args.mode.each(), [Mode::Bare, Mode::Seawall]);
        assert_eq!((args.rps, args.seconds_per_mode(), args.json), (1_000, 40.0, None));
    }

    #[test]
    fn flags_take_their_value_after_a_space_or_an_equals_sign() {
        let args = run("--mode=seawall --rps 250 --seconds=30 --json out.json");
        assert_eq!(args.mode.each(), [Mode::Seawall]);
        assert_eq!((args.rps, args.seconds_per_mode()), (250, 30.0));
        assert_eq!(args.json, Some("out.json".into()));
    }

    #[test]
    fn seconds_are_shared_by_the_modes() {
        assert_eq!(run("--seconds 60").seconds_per_mode(), 30.0);
        assert_eq!(run("--seconds 60 --mode bare").seconds_per_mode(), 60.0);
    }

    #[test]
    fn the_load_test_rises_from_half_of_the_peak_to_twice_the_peak() {
        let Ok(Parsed::Load(args)) = parsed("load --rps 400 --steps 7 --html a.html") else {
            panic!("it is a load test");
        };
        let rates: Vec<u32> = (0..7).map(|step| args.rate(step)).collect();
        assert_eq!(rates, [200, 300, 400, 500, 600, 700, 800]);
        assert_eq!(args.html, Some("a.html".into()));
        assert!(parsed("load --steps 1").is_err() && parsed("load --seconds 0").is_err());
    }

    #[test]
    fn help_wins() {
        assert_eq!(parsed("--help"), Ok(Parsed::Help));
        assert_eq!(parsed("-h --rps x"), Ok(Parsed::Help));
    }

    #[test]
    fn bad_flags_get_one_clear_line() {
        for (line, said) in [
            ("--rps", "--rps needs a value"),
            ("--json --rps 5", "--json needs a value"),
            ("--rps fast", "--rps is \"fast\", but must be a whole number from 10 to 10000"),
            ("--rps 0", "--rps is \"0\", but must be a whole number from 10 to 10000"),
            ("--rps -5", "--rps is \"-5\", but must be a whole number from 10 to 10000"),
            ("--mode fast", "--mode is \"fast\", but must be bare, seawall or both"),
            ("--seconds 39", "--seconds is 39, but must be at least 40 for both modes"),
            ("--seconds 9 --mode bare", "--seconds is 9, but must be at least 20 for one mode"),
            ("--fast", "invalid option '--fast'"),
            ("now", "unexpected argument \"now\""),
        ] {
            assert_eq!(parsed(line), Err(said.into()), "{line}");
        }
    }
}
