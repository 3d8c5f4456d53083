//! The table at the end: bare against seawall, phase by phase and in all.

use crate::report::{Figures, Report, Reports};
use crate::script::Fault;
use crate::term::{Style, duration, paint, thousands};

const WIDTH: usize = 100;
/// Columns that begin a group of what belongs together: a wider gap goes before each.
const GROUPS: [usize; 6] = [2, 4, 7, 8, 10, 11];

/// The two lines over each column.
const HEADS: [(&str, &str); 13] = [
    ("", ""),
    ("reads", "answered"),
    ("", "fresh"),
    ("", "stale"),
    ("charges", "refused"),
    ("", "failed"),
    ("", "wrong"),
    ("sick", "calls"),
    ("wait", "p50"),
    ("wait", "p99"),
    ("peak in", "flight"),
    ("time to", "detect"),
    ("time to", "recover"),
];

type Cells = [(String, Style); 13];

/// The whole table.
pub(crate) fn draw(reports: &Reports) -> String {
    let Some((_, first)) = reports.each().next() else {
        return String::new();
    };
    let mut groups = Vec::new();
    for (at, phase) in first.phases.iter().enumerate() {
        let title = format!(
            "{}: {}, {} s",
            phase.name,
            phase.phase.fault.describe(),
            (phase.phase.length.as_secs_f64() * 10.0).round() / 10.0
        );
        let sick = phase.phase.fault != Fault::Healthy;
        let of = |report: &Report| report.phases.get(at).map(|phase| phase.figures.clone());
        groups.push((title, rows(reports, sick, of)));
    }
    groups.push(("in all".to_owned(), rows(reports, true, |report| Some(report.all.clone()))));

    let mut widths = HEADS.map(|(upper, lower)| upper.len().max(lower.len()));
    for cells in groups.iter().flat_map(|(_, rows)| rows) {
        for (width, (text, _)) in widths.iter_mut().zip(cells) {
            *width = (*width).max(text.chars().count());
        }
    }
    let least = widths.iter().sum::<usize>() + widths.len() - 1;
    let wide = WIDTH.saturating_sub(least) / GROUPS.len();
    // A column's width has its gap in it from here on.
    for (at, width) in widths.iter_mut().enumerate().skip(1) {
        *width += 1 + if GROUPS.contains(&at) { wide } else { 0 };
    }
    let total = widths.iter().sum::<usize>();

    let mut out = String::from("\n");
    let upper = HEADS.map(|(upper, _)| (upper.to_owned(), Style::Dim));
    let lower = HEADS.map(|(_, lower)| (lower.to_owned(), Style::Dim));
    out += &row(&upper, &widths);
    out += &row(&lower, &widths);
    for (title, rows) in &groups {
        let rule = "─".repeat(total.saturating_sub(title.chars().count() + 4));
        out += &format!("── {} {}\n", paint(Style::Bold, title), paint(Style::Dim, &rule));
        for cells in rows {
            out += &row(cells, &widths);
        }
    }
    out += &paint(Style::Dim, &"─".repeat(total));
    out
}

fn rows(reports: &Reports, sick: bool, of: impl Fn(&Report) -> Option<Figures>) -> Vec<Cells> {
    let each = reports.each();
    each.filter_map(|(mode, report)| Some(cells(mode.as_str(), &of(report)?, sick))).collect()
}

fn cells(mode: &str, figures: &Figures, sick: bool) -> Cells {
    let count = |number: u64, style: Style| {
        (thousands(number), if number == 0 { Style::Dim } else { style })
    };
    let time = |ms: Option<f64>| match ms {
        Some(0.0) => ("at once".to_owned(), Style::Plain),
        Some(ms) => (duration(ms), Style::Plain),
        None if sick => ("never".to_owned(), Style::Bad),
        None => (String::new(), Style::Plain),
    };
    let sick_calls =
        if sick { count(figures.sick_calls, Style::Plain) } else { (String::new(), Style::Plain) };
    [
        (mode.to_owned(), Style::Plain),
        (share(figures.reads_answered, figures.reads), Style::Bold),
        count(figures.fresh, Style::Good),
        count(figures.stale, Style::Warn),
        count(figures.refused, Style::Warn),
        count(figures.failed, Style::Bad),
        count(figures.wrong, Style::Bad),
        sick_calls,
        (duration(figures.p50_ms), Style::Plain),
        (duration(figures.p99_ms), Style::Plain),
        count(figures.peak_in_flight, Style::Plain),
        time(figures.detect_ms),
        time(figures.recover_ms),
    ]
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // Cut, not rounded: 100 % is to mean all.
    let tenths = part * 1_000 / whole;
    if tenths == 1_000 { "100 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

fn row(cells: &Cells, widths: &[usize; 13]) -> String {
    let mut line = String::new();
    for (at, ((text, style), width)) in cells.iter().zip(widths).enumerate() {
        let text = match at {
            0 => format!("{text:<width$}"),
            _ => format!("{text:>width$}"),
        };
        line += &paint(*style, &text);
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// The last lines: what the table comes to, and whether the run ended well.
pub(crate) fn closing(reports: &Reports, problems: &[String], interrupted: bool) -> String {
    let mut lines = Vec::new();
    for (mode, report) in reports.each() {
        let faults = report.in_faults();
        if faults.reads > 0 {
            lines.push(format!(
                "In the faults {mode} answered {} of reads and sent {} calls to the sick service.",
                share(faults.reads_answered, faults.reads),
                thousands(faults.sick_calls)
            ));
        }
        if report.without_socket > 0 {
            let count = thousands(report.without_socket);
            lines.push(format!(
                "{count} of its calls failed for want of sockets: raise the limit of open files."
            ));
        }
    }
    if interrupted {
        lines.push(paint(Style::Warn, "Interrupted: the figures are of what was played."));
    }
    match problems {
        [] if interrupted => {}
        [] if reports.canary.is_some() => {
            lines.push(paint(Style::Good, "The bad version went, and the good one stayed."));
        }
        [] => lines.push(paint(
            Style::Good,
            "No wrong answer, no double charge; every recovery was seen.",
        )),
        _ => lines.extend(problems.iter().map(|problem| paint(Style::Bad, problem))),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PhaseFigures;
    use crate::script::incident;

    /// As large as figures get at the default rate.
    fn report(recover_ms: Option<f64>) -> Report {
        let figures = Figures {
            offered: 40_000,
            fresh: 40_000,
            stale: 40_000,
            refused: 40_000,
            failed: 40_000,
            wrong: 40_000,
            reads: 34_000,
            reads_answered: 33_999,
            sick_calls: 40_000,
            p50_ms: 1_999.9,
            p99_ms: 2_001.3,
            peak_in_flight: 2_234,
            detect_ms: Some(312.4),
            recover_ms,
        };
        let phases = incident(40.0).into_iter().map(|phase| PhaseFigures {
            name: phase.name,
            figures: figures.clone(),
            phase,
        });
        Report {
            phases: phases.collect(),
            all: figures,
            double_charges: 0,
            wrongs: Vec::new(),
            incidents: Vec::new(),
            without_socket: 0,
        }
    }

    #[test]
    fn the_table_fits_a_hundred_columns() {
        let seawall = Some(report(Some(900.0)));
        let both = Reports { bare: Some(report(None)), seawall, ..Reports::default() };
        let table = draw(&both);
        for line in table.lines() {
            assert!(line.chars().count() <= WIDTH, "{}: {line}", line.chars().count());
        }
        assert_eq!(table.lines().filter(|line| line.starts_with("seawall")).count(), 8);
        assert_eq!(table.lines().filter(|line| line.starts_with("bare")).count(), 8);
    }

    #[test]
    fn a_run_cut_short_shows_what_it_has() {
        let mut short = report(Some(900.0));
        short.phases.truncate(2);
        let bare = Some(report(None));
        let both = Reports { bare, seawall: Some(short), ..Reports::default() };
        let table = draw(&both);
        assert_eq!(table.lines().filter(|line| line.starts_with("seawall")).count(), 3);
        assert_eq!(draw(&Reports::default()), "");
    }

    #[test]
    fn only_all_is_a_hundred_per_cent() {
        assert_eq!(share(9_999, 10_000), "99.9 %");
        assert_eq!(share(10_000, 10_000), "100 %");
        assert_eq!(share(0, 10), "0.0 %");
        assert_eq!(share(0, 0), "-");
    }
}
