//! What the load test found, as a table and as a page with its plots.

use std::fmt::Write as _;

use crate::ramp::Climb;
use crate::term::{duration, thousands};

/// The table, and one line on each client.
pub(crate) fn table(climbs: &[Climb]) -> String {
    let mut table = format!(
        "\n{:<8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8} {:>7}\n",
        "",
        "rps",
        "answered",
        "fresh",
        "stale",
        "refused",
        "failed",
        "p50",
        "p99",
        "p99.9",
        "max",
        "peak"
    );
    for climb in climbs {
        for step in &climb.steps {
            let _ = writeln!(
                table,
                "{:<8} {:>6} {:>7.1}% {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8} {:>7}{}",
                climb.mode,
                thousands(u64::from(step.rps)),
                100.0 * step.answered(),
                thousands(step.fresh),
                thousands(step.stale),
                thousands(step.refused),
                thousands(step.failed),
                duration(step.p50_ms),
                duration(step.p99_ms),
                duration(step.p999_ms),
                duration(step.max_ms),
                thousands(step.peak_in_flight),
                if step.holds() { "" } else { "  *" },
            );
        }
    }
    table.push('\n');
    for climb in climbs {
        let _ = writeln!(table, "{}", verdict(climb));
    }
    table + "* broken: p99 above the callers' 2 s, or calls that got no answer\n"
}

fn verdict(climb: &Climb) -> String {
    let holds = climb.holds_rps.map_or("less than all of these".to_owned(), |rps| {
        format!("up to {} calls a second", thousands(u64::from(rps)))
    });
    let last = climb.steps.last().map_or(String::new(), |step| {
        format!(
            "; at {} it answers {:.1} % of them, 99 of 100 within {}",
            thousands(u64::from(step.rps)),
            100.0 * step.answered(),
            duration(step.p99_ms)
        )
    });
    format!("{}: holds {holds}{last}", climb.mode)
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;\
color:#1d2733;background:#fbfaf7}svg{width:100%;height:auto;background:#fff;border:1px solid #e3e0d8;\
border-radius:8px}text{font-size:12px;fill:#66717d}pre{overflow-x:auto;font-size:13px}h2{margin:1.6em 0 .3em}\
.k span{margin-right:1.4em}";

/// One self-contained page.
pub(crate) fn page(climbs: &[Climb]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Load at twice the peak</title>\
         <style>{STYLE}</style><h1>Load at twice the peak</h1>"
    );
    for climb in climbs {
        let _ = write!(page, "<p>{}</p>", verdict(climb));
    }
    let share = |at: fn(&crate::ramp::Step) -> f64| {
        climbs
            .iter()
            .map(|climb| {
                let points = climb.steps.iter().map(|step| (f64::from(step.rps), at(step)));
                (climb.mode, points.collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
    };
    page += "<h2>Answered, % of the calls</h2>";
    page += &plot(&share(|step| 100.0 * step.answered()), 100.0, "%");
    page += "<h2>Answered fresh, % of the calls</h2>";
    page +=
        &plot(&share(|step| 100.0 * step.fresh as f64 / step.offered.max(1) as f64), 100.0, "%");
    page += "<h2>p99 of the callers' wait, ms</h2>";
    page += &plot(&share(|step| step.p99_ms), 2_000.0, "ms");
    let _ = write!(page, "<h2>All figures</h2><pre>{}</pre></html>", table(climbs));
    page
}

const COLOURS: [(&str, &str); 2] = [("bare", "#cf4a4a"), ("seawall", "#2a9d76")];

/// Lines over the rate.
fn plot(lines: &[(&'static str, Vec<(f64, f64)>)], most: f64, unit: &str) -> String {
    const SIZE: (f64, f64) = (860.0, 230.0);
    let all = || lines.iter().flat_map(|(_, points)| points);
    let right = all().map(|point| point.0).fold(1.0, f64::max);
    let top = all().map(|point| point.1).fold(most, f64::max);
    let x = |rps: f64| 60.0 + rps / right * (SIZE.0 - 80.0);
    let y = |value: f64| SIZE.1 - 30.0 - value / top * (SIZE.1 - 50.0);
    let mut svg = format!("<svg viewBox='0 0 {} {}' role=img>", SIZE.0, SIZE.1);
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let _ = write!(
            svg,
            "<line x1=60 x2={} y1={1:.1} y2={1:.1} stroke='#e9e6df'/><text x=54 y={2:.1} \
             text-anchor=end>{value:.0} {unit}</text>",
            SIZE.0 - 20.0,
            y(value),
            y(value) + 4.0
        );
    }
    for (rps, _) in lines.first().map(|(_, points)| points.as_slice()).unwrap_or_default() {
        let _ = write!(
            svg,
            "<text x={:.1} y={} text-anchor=middle>{rps}</text>",
            x(*rps),
            SIZE.1 - 10.0
        );
    }
    let mut key = String::from("<p class=k>");
    for (mode, points) in lines {
        let colour = COLOURS.iter().find(|(name, _)| name == mode).map_or("#333", |(_, c)| c);
        let path: Vec<String> =
            points.iter().map(|(rps, value)| format!("{:.1},{:.1}", x(*rps), y(*value))).collect();
        let _ = write!(
            svg,
            "<polyline points='{}' fill=none stroke='{colour}' stroke-width=2.2 />",
            path.join(" ")
        );
        let _ = write!(key, "<span style='color:{colour}'>&#9644; {mode}</span>");
    }
    svg + "</svg>" + &key + "over calls a second</p>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_a_table_marks_what_broke() {
        let step = |rps: u32, failed: u64| crate::ramp::Step {
            rps,
            offered: 100,
            fresh: 100 - failed,
            stale: 0,
            refused: 0,
            failed,
            wrong: 0,
            p50_ms: 20.0,
            p90_ms: 30.0,
            p99_ms: 40.0,
            p999_ms: 50.0,
            max_ms: 60.0,
            peak_in_flight: 7,
        };
        let climb =
            Climb { mode: "bare", holds_rps: Some(200), steps: vec![step(200, 0), step(400, 9)] };
        let climbs = [climb];
        let page = page(&climbs);
        assert!(!page.contains("http") && !page.contains("src="));
        let table = table(&climbs);
        assert_eq!(table.lines().filter(|line| line.ends_with("  *")).count(), 1);
        assert!(table.contains("bare: holds up to 200 calls a second; at 400 it answers 91.0 %"));
        assert_eq!(serde_json::to_value(&climbs).unwrap()[0]["steps"][1]["failed"], 9);
    }
}
