//! Judges what a caller got: fresh, stale and marked, refused, failed, or wrong.

use crate::answer::{self, Answer, Kind, Refusal};
use crate::clock::SECOND;
use crate::traffic::Ask;

/// A refusal that takes longer than this was not fast, and counts as failed.
const FAST: u64 = SECOND / 10;
/// `Age` has whole seconds, and a cache takes the time a little after the service gave it.
const AGE_SLACK: u64 = 2 * SECOND;

/// What a caller got, to the last byte.
#[derive(Clone, Debug)]
pub(crate) struct Got<'a> {
    pub(crate) status: u16,
    /// The `Age` header, in seconds: the mark of a stale answer.
    pub(crate) age: Option<u64>,
    pub(crate) body: &'a [u8],
    /// When all of it was there.
    pub(crate) at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fresh,
    /// Old, and marked as such.
    Stale,
    /// A charge refused fast, with a typed reason, before anything was sent.
    Refused,
    /// No answer, or none in time.
    Failed,
    Wrong(Wrong),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    Unreadable,
    OtherKey,
    OtherKind,
    OtherPrincipal,
    UnmarkedStale,
    /// Marked, but as much younger than it is.
    UnderstatedAge,
    /// A quote of another amount.
    Amount,
    /// A charge's answer that no charge of this caller made.
    ChargeFromCache,
}

impl Wrong {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::OtherKey => "another key's",
            Self::OtherKind => "another kind's",
            Self::OtherPrincipal => "another principal's",
            Self::UnmarkedStale => "stale, not marked",
            Self::UnderstatedAge => "older than its mark",
            Self::Amount => "another amount",
            Self::ChargeFromCache => "a charge from the cache",
        }
    }
}

/// Judges what came back for `ask`, which was due at `asked`.
pub(crate) fn judge(ask: &Ask, asked: u64, got: &Got<'_>) -> Verdict {
    match got.status {
        200 => match answered(ask, asked, got) {
            Ok(verdict) => verdict,
            Err(wrong) => Verdict::Wrong(wrong),
        },
        503 if !ask.kind.is_read() && got.at.saturating_sub(asked) <= FAST => {
            match serde_json::from_slice::<Refusal>(got.body) {
                // Once sent, the money may have moved: that is no clean refusal.
                Ok(refusal) if !refusal.sent => Verdict::Refused,
                _ => Verdict::Failed,
            }
        }
        _ => Verdict::Failed,
    }
}

fn answered(ask: &Ask, asked: u64, got: &Got<'_>) -> Result<Verdict, Wrong> {
    let answer: Answer = serde_json::from_slice(got.body).map_err(|_| Wrong::Unreadable)?;
    if answer.key != ask.key {
        return Err(Wrong::OtherKey);
    }
    if answer.kind != ask.kind {
        return Err(Wrong::OtherKind);
    }
    if answer.principal != ask.principal {
        return Err(Wrong::OtherPrincipal);
    }
    if ask.kind == Kind::Quote && answer.detail != answer::quote(&ask.key) {
        return Err(Wrong::Amount);
    }
    let old = answer.issued_us < asked;
    match got.age {
        _ if !ask.kind.is_read() && (old || got.age.is_some()) => Err(Wrong::ChargeFromCache),
        None if old => Err(Wrong::UnmarkedStale),
        None => Ok(Verdict::Fresh),
        Some(age) => {
            let real = got.at.saturating_sub(answer.issued_us);
            let told = age.saturating_mul(SECOND);
            if real > told.saturating_add(AGE_SLACK) {
                Err(Wrong::UnderstatedAge)
            } else {
                Ok(Verdict::Stale)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: u64 = 100 * SECOND;

    fn ask(kind: Kind) -> Ask {
        Ask { kind, key: "k-1".into(), principal: "m-1".into(), cents: 0 }
    }

    fn answer(kind: Kind) -> Answer {
        Answer {
            kind,
            key: "k-1".into(),
            principal: "m-1".into(),
            sequence: 7,
            issued_us: ASKED + 10,
            detail: answer::quote("k-1"),
        }
    }

    fn judged(ask: &Ask, age: Option<u64>, answer: &Answer) -> Verdict {
        let body = serde_json::to_vec(answer).unwrap();
        judge(ask, ASKED, &Got { status: 200, age, body: &body, at: ASKED + 20 })
    }

    fn refused(kind: Kind, sent: bool, after: u64) -> Verdict {
        let body = serde_json::to_vec(&Refusal { refused: "circuit_open".into(), sent }).unwrap();
        judge(&ask(kind), ASKED, &Got { status: 503, age: None, body: &body, at: ASKED + after })
    }

    #[test]
    fn an_answer_given_after_the_question_is_fresh() {
        for kind in [Kind::Quote, Kind::Charge] {
            assert_eq!(judged(&ask(kind), None, &answer(kind)), Verdict::Fresh);
        }
    }

    #[test]
    fn an_old_answer_is_stale_if_marked_and_wrong_if_not() {
        let old = Answer { issued_us: ASKED - 30 * SECOND, ..answer(Kind::Quote) };
        let ask = ask(Kind::Quote);
        assert_eq!(judged(&ask, Some(30), &old), Verdict::Stale);
        assert_eq!(judged(&ask, Some(29), &old), Verdict::Stale);
        assert_eq!(judged(&ask, None, &old), Verdict::Wrong(Wrong::UnmarkedStale));
        assert_eq!(judged(&ask, Some(3), &old), Verdict::Wrong(Wrong::UnderstatedAge));
    }

    #[test]
    fn an_answer_of_somebody_or_something_else_is_wrong() {
        let ask = ask(Kind::Quote);
        let right = answer(Kind::Quote);
        for (other, wrong) in [
            (Answer { key: "k-2".into(), ..right.clone() }, Wrong::OtherKey),
            (Answer { principal: "m-2".into(), ..right.clone() }, Wrong::OtherPrincipal),
            (Answer { kind: Kind::Status, ..right }, Wrong::OtherKind),
        ] {
            assert_eq!(judged(&ask, None, &other), Verdict::Wrong(wrong));
            assert_eq!(judged(&ask, Some(9), &other), Verdict::Wrong(wrong), "a mark excuses none");
        }
        let got = Got { status: 200, age: None, body: b"{}", at: ASKED };
        assert_eq!(judge(&ask, ASKED, &got), Verdict::Wrong(Wrong::Unreadable));
    }

    #[test]
    fn a_charge_from_the_cache_is_wrong_marked_or_not() {
        let ask = ask(Kind::Charge);
        let old = Answer { issued_us: ASKED - SECOND, ..answer(Kind::Charge) };
        for (age, answer) in [(None, &old), (Some(1), &old), (Some(0), &answer(Kind::Charge))] {
            assert_eq!(judged(&ask, age, answer), Verdict::Wrong(Wrong::ChargeFromCache));
        }
    }

    #[test]
    fn only_a_charge_that_was_never_sent_is_refused_and_only_fast() {
        assert_eq!(refused(Kind::Charge, false, FAST), Verdict::Refused);
        assert_eq!(refused(Kind::Charge, false, FAST + 1), Verdict::Failed);
        assert_eq!(refused(Kind::Charge, true, 1), Verdict::Failed);
        assert_eq!(refused(Kind::Quote, false, 1), Verdict::Failed);
    }

    #[test]
    fn any_other_status_is_a_failure() {
        for status in [404, 500, 502, 503] {
            let got = Got { status, age: None, body: b"", at: ASKED };
            assert_eq!(judge(&ask(Kind::Charge), ASKED, &got), Verdict::Failed);
        }
    }
}
