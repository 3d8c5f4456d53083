//! The progress lines: one a second.

use crate::args::Mode;
use crate::client::Watch;
use crate::ledger::Tally;
use crate::term::{Style, duration, paint, say, thousands};

pub(crate) fn header(mode: Mode, rps: u32, seconds: f64) {
    let what = match mode {
        Mode::Bare => "the payment client as it is",
        Mode::Seawall => "the same client through seawall",
    };
    let title = format!("{mode}: {what}, {} calls a second for {seconds:.0} s", {
        thousands(u64::from(rps))
    });
    say("");
    say(&paint(Style::Bold, &title));
    say(&paint(
        Style::Dim,
        &format!(
            "{:>6}  {:<13} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}  {:<9} {:>9} {:>8}",
            "second",
            "phase",
            "offered",
            "fresh",
            "stale",
            "refused",
            "failed",
            "wrong",
            "breaker",
            "in flight",
            "p99"
        ),
    ));
}

pub(crate) fn line(second: u64, phase: &str, tally: &Tally, watch: &Watch) {
    let wrong = tally.wrong_answers();
    let breaker = watch.circuit().unwrap_or("-");
    let p99 = match tally.waits.is_empty() {
        true => "-".to_owned(),
        false => duration(tally.wait_ms(0.99)),
    };
    let count = |width: usize, number: u64, style: Style| {
        let style = if number == 0 { Style::Plain } else { style };
        paint(style, &format!("{:>width$}", thousands(number)))
    };
    say(&format!(
        "{second:>6}  {phase:<13} {} {} {} {} {} {}  {} {} {p99:>8}",
        count(8, tally.offered, Style::Plain),
        count(8, tally.fresh, Style::Good),
        count(8, tally.stale, Style::Warn),
        count(8, tally.refused, Style::Warn),
        count(8, tally.failed, Style::Bad),
        count(6, wrong, Style::Bad),
        paint(
            if matches!(breaker, "-" | "closed") { Style::Plain } else { Style::Warn },
            &format!("{breaker:<9}")
        ),
        count(9, watch.in_flight() as u64, Style::Plain),
    ));
}
