//! What a store keeps: where a rollout stands, as a short text.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::audit::{Decision, RollbackCause};
use crate::clock::Moment;
use crate::ratio::Ratio;
use crate::verdict::{Arms, Cause, Evidence, Nats, Stream, Totals};

const HEAD: &str = "seawall rollout 1";

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Its id.
    pub rollout: Arc<str>,
    /// The version on trial.
    pub version: Arc<str>,
    /// How many decisions were made.
    pub seq: u32,
    /// What it is at.
    pub saved: Saved,
}

/// What a rollout is at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Saved {
    /// Under way, at this stage.
    Running {
        /// From 0 on.
        stage: u8,
    },
    /// A rollback was decided, and its hooks may or may not have run: the intent.
    Decided(Arc<Decision>),
    /// The hooks ran: the acknowledgement.
    RolledBack {
        /// How many gave up.
        failed_hooks: u32,
    },
    /// The canary is the version.
    Promoted,
}

impl Record {
    /// A record.
    pub fn new(rollout: Arc<str>, version: Arc<str>, seq: u32, saved: Saved) -> Self {
        Self { rollout, version, seq, saved }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        writeln!(f, "rollout {}", Escaped(&self.rollout))?;
        writeln!(f, "version {}", Escaped(&self.version))?;
        writeln!(f, "seq {}", self.seq)?;
        match &self.saved {
            Saved::Running { stage } => writeln!(f, "state running\nstage {stage}")?,
            Saved::RolledBack { failed_hooks } => {
                writeln!(f, "state rolled_back\nfailed_hooks {failed_hooks}")?;
            }
            Saved::Promoted => writeln!(f, "state promoted")?,
            Saved::Decided(decision) => write_decision(f, decision)?,
        }
        writeln!(f, "end")
    }
}

fn write_decision(f: &mut fmt::Formatter<'_>, decision: &Decision) -> fmt::Result {
    writeln!(f, "state decided\ncause {}", decision.cause.as_str())?;
    if let RollbackCause::Manual { who, reason } = &decision.cause {
        writeln!(f, "who {}\nreason {}", Escaped(who), Escaped(reason))?;
    }
    if let Some(stage) = decision.stage {
        writeln!(f, "stage {stage}")?;
    }
    writeln!(f, "weight {}", decision.weight.ppm())?;
    for (name, nats) in nats(&mut { decision.evidence }) {
        writeln!(f, "{name} {}", f64::from(*nats))?;
    }
    for (name, arms) in arms(&mut { decision.totals }) {
        let Arms { canary, baseline } = arms;
        let (n, k) = (baseline.calls, baseline.bad);
        writeln!(f, "{name} {} {} {n} {k}", canary.calls, canary.bad)?;
    }
    Ok(())
}

fn nats(evidence: &mut Evidence) -> [(&'static str, &mut Nats); 8] {
    [
        ("evidence.worse", &mut evidence.worse),
        ("evidence.line", &mut evidence.line),
        ("evidence.errors", &mut evidence.errors),
        ("evidence.slow", &mut evidence.slow),
        ("evidence.bad_data", &mut evidence.bad_data),
        ("evidence.guard", &mut evidence.guard),
        ("evidence.not_worse", &mut evidence.not_worse),
        ("evidence.promotion_line", &mut evidence.promotion_line),
    ]
}

fn arms(totals: &mut Totals) -> [(&'static str, &mut Arms); 3] {
    [
        ("totals.errors", &mut totals.errors),
        ("totals.slow", &mut totals.slow),
        ("totals.bad_data", &mut totals.bad_data),
    ]
}

/// Text on one line.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

/// A text that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRecord(String);

impl fmt::Display for NoRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a rollout's record: {}", self.0)
    }
}

impl Error for NoRecord {}

/// The lines of a record, by their first word.
struct Lines<'a>(HashMap<&'a str, &'a str>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Result<Self, NoRecord> {
        let whole = text.strip_suffix("\nend\n").ok_or_else(|| NoRecord("it has no end".into()))?;
        let mut lines = whole.lines();
        match lines.next() {
            Some(HEAD) => {}
            other => return Err(NoRecord(format!("it begins with {other:.40?}"))),
        }
        Ok(Self(lines.filter_map(|line| line.split_once(' ')).collect()))
    }

    fn text(&self, name: &str) -> Result<&'a str, NoRecord> {
        self.0.get(name).copied().ok_or_else(|| NoRecord(format!("no {name}")))
    }

    fn plain(&self, name: &str) -> Result<String, NoRecord> {
        unescaped(self.text(name)?).ok_or_else(|| NoRecord(format!("{name} is garbled")))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, NoRecord> {
        self.text(name)?.parse().map_err(|_| NoRecord(format!("{name} is no number")))
    }

    fn decision(&self) -> Result<Decision, NoRecord> {
        let cause = match self.text("cause")? {
            "errors" => RollbackCause::Judged(Cause::Worse(Stream::Errors)),
            "slow" => RollbackCause::Judged(Cause::Worse(Stream::Slow)),
            "bad_data" => RollbackCause::Judged(Cause::Worse(Stream::BadData)),
            "absolute_guard" => RollbackCause::Judged(Cause::AbsoluteGuard),
            "breaker_open" => RollbackCause::Judged(Cause::BreakerOpen),
            "manual" => RollbackCause::Manual {
                who: self.plain("who")?.into(),
                reason: self.plain("reason")?.into(),
            },
            other => return Err(NoRecord(format!("the cause is {other:.40}"))),
        };
        let mut decision = Decision::new(cause, Moment::from_nanos(0));
        decision.stage = self.text("stage").is_ok().then(|| self.number("stage")).transpose()?;
        decision.weight = Ratio::from_ppm(self.number("weight")?)
            .ok_or_else(|| NoRecord("the weight is above 1".into()))?;
        for (name, nats) in nats(&mut decision.evidence) {
            *nats = Nats::new(self.number(name)?);
        }
        for (name, arms) in arms(&mut decision.totals) {
            let numbers: Vec<u64> =
                self.text(name)?.split(' ').filter_map(|number| number.parse().ok()).collect();
            let &[n_c, k_c, n_b, k_b] = numbers.as_slice() else {
                return Err(NoRecord(format!("{name} isn't four numbers")));
            };
            *arms = Arms::new(n_c, k_c, n_b, k_b);
        }
        Ok(decision)
    }
}

impl FromStr for Record {
    type Err = NoRecord;

    fn from_str(text: &str) -> Result<Self, NoRecord> {
        let lines = Lines::of(text)?;
        let saved = match lines.text("state")? {
            "running" => Saved::Running { stage: lines.number("stage")? },
            "decided" => Saved::Decided(Arc::new(lines.decision()?)),
            "rolled_back" => Saved::RolledBack { failed_hooks: lines.number("failed_hooks")? },
            "promoted" => Saved::Promoted,
            other => return Err(NoRecord(format!("the state is {other:.40}"))),
        };
        let (rollout, version) = (lines.plain("rollout")?, lines.plain("version")?);
        Ok(Self::new(rollout.into(), version.into(), lines.number("seq")?, saved))
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decided(cause: RollbackCause) -> Saved {
        let mut decision = Decision::new(cause, Moment::from_nanos(0));
        decision.stage = Some(1);
        decision.weight = Ratio::percent(5).unwrap();
        decision.evidence.worse = Nats::new(13.004_691);
        decision.evidence.not_worse = Nats::new(-2.5);
        decision.totals.errors = Arms::new(20, 19, 380, 4);
        Saved::Decided(Arc::new(decision))
    }

    fn causes() -> Vec<RollbackCause> {
        let judged = [
            Cause::Worse(Stream::Errors),
            Cause::Worse(Stream::Slow),
            Cause::Worse(Stream::BadData),
            Cause::AbsoluteGuard,
            Cause::BreakerOpen,
        ];
        let manual = RollbackCause::Manual { who: "a\nstate promoted".into(), reason: "\\".into() };
        judged.map(RollbackCause::Judged).into_iter().chain([manual]).collect()
    }

    fn states() -> Vec<Saved> {
        causes()
            .into_iter()
            .map(decided)
            .chain([
                Saved::Running { stage: 3 },
                Saved::RolledBack { failed_hooks: 2 },
                Saved::Promoted,
            ])
            .collect()
    }

    proptest! {
        #[test]
        fn every_record_survives_its_text_whatever_its_names_are(
            rollout in any::<String>(),
            version in any::<String>(),
            seq in any::<u32>(),
        ) {
            for saved in states() {
                let record = Record::new(rollout.as_str().into(), version.as_str().into(), seq, saved);
                prop_assert_eq!(record.to_string().parse::<Record>(), Ok(record));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = text.parse::<Record>();
            let _ = format!("{HEAD}\n{text}\nend\n").parse::<Record>();
        }
    }

    #[test]
    fn a_record_that_is_cut_off_anywhere_is_none() {
        for saved in states() {
            let record = Record::new("r".into(), "v".into(), 1, saved);
            let text = record.to_string();
            for end in 0..text.len() {
                assert!(text[..end].parse::<Record>().is_err(), "{:?}", &text[..end]);
            }
        }
    }
}
