//! The page: what was asked, how each did, and its limit over time. One file that needs no other.

use std::fmt::Write as _;

use super::classes::Served;
use super::report::{Worst, worst, worst_served};
use super::scenarios::{Row, SCENARIOS, WORKERS};

const COLOURS: [&str; 6] = ["#1f83b4", "#2a9d5c", "#8d63d2", "#d1495b", "#d9860f", "#8a8a8a"];

const STYLE: &str = "<style>\
:root{color-scheme:light dark;--ink:#222;--soft:#666;--line:#ddd;--paper:#fff;--good:#1c7c43;--bad:#b3263a}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e4e4;--soft:#9a9a9a;--line:#3a3a3a;--paper:#161616;\
--good:#5cc98a;--bad:#f0798a}}\
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;\
color:var(--ink);background:var(--paper)}\
h2{margin:2em 0 .2em;font-size:1.2em}p{max-width:46em}\
svg{display:block;width:100%;height:auto;margin-top:.5em}svg text{font-size:11px;fill:var(--soft)}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5em 0}\
th,td{padding:.15em .9em .15em 0;text-align:right;white-space:nowrap}\
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}\
tbody tr{border-top:1px solid var(--line)}.good{color:var(--good)}.bad{color:var(--bad)}\
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em}</style>";

pub(super) fn page(rows: &[Row], classes: &[Served]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width'>\
         <title>Limits that find themselves</title>{STYLE}<h1>Limits that find themselves</h1>\
         <p>A service with {WORKERS} workers and a queue, 120 ms a call on average, and clients that send \
         more than it can do. Below {WORKERS} calls in flight workers idle; above, calls wait. The goals: \
         at least 95 % of the goodput of the best fixed limit, a 99th percentile of at most twice that \
         without load, both within 10 s of each change, and of two clients none that starves. \
         <span class=good>&#10003; reached</span>, <span class=bad>&#10007; missed</span>; of all seeds \
         the worst is shown. A line is a limit over time, of the first seed, on a logarithmic scale; the \
         dashed line stands at {WORKERS}."
    );
    page.push_str("</p>");
    let worst = worst(rows);
    let mut scenarios: Vec<&str> = rows.iter().map(|row| row.scenario).collect();
    scenarios.dedup();
    for scenario in scenarios {
        let asked = SCENARIOS.iter().find(|asked| asked.name == scenario);
        let asked = asked.map_or(String::new(), |asked| asked.question());
        let _ = write!(page, "<h2>{scenario}</h2><p>{asked}</p>{}", chart(rows, scenario));
        let of = worst.iter().filter(|worst| worst.scenario == scenario);
        page.push_str(&table(&of.collect::<Vec<_>>()));
    }
    if !classes.is_empty() {
        page.push_str(&charges(classes));
    }
    page + "</html>\n"
}

fn told(good: bool, text: &str) -> String {
    let (class, mark) = if good { ("good", "&#10003;") } else { ("bad", "&#10007;") };
    format!("<td class={class}>{text} {mark}</td>")
}

fn table(of: &[&Worst]) -> String {
    let pair = of.iter().any(|worst| worst.fairness.is_some());
    let mut table = String::from(
        "<div class=wide><table><thead><tr><th>contender<th>goodput<th>p99<th>settled after<th>limit at \
         the end",
    );
    table.push_str(if pair { "<th>fairness</thead><tbody>" } else { "</thead><tbody>" });
    for (worst, colour) in of.iter().zip(COLOURS) {
        let settled = worst.settled.map_or("never".into(), |settled| format!("{settled:.1} s"));
        let _ = write!(
            table,
            "<tr><td><span class=dot style='background:{colour}'></span>{}</td>{}{}{}<td>{}</td>",
            worst.contender,
            told(worst.goodput >= 0.95, &format!("{:.1} %", 100.0 * worst.goodput)),
            told(worst.p99 <= 2.0, &format!("{:.2} x", worst.p99)),
            told(worst.settled.is_some_and(|settled| settled <= 10.0), &settled),
            worst.limit,
        );
        if let Some(fairness) = worst.fairness {
            table.push_str(&told(fairness >= 0.95, &format!("{fairness:.3}")));
        }
    }
    table + "</tbody></table></div>"
}

fn charges(classes: &[Served]) -> String {
    let mut section = String::from(
        "<h2>classes</h2><p>85 % reads, 15 % charges, two and four times what the service can do: of the \
         calls that came, those answered within 2 s. The goal: 95 % of the charges at twice the capacity, \
         88 % at four times.</p><div class=wide><table><thead><tr><th>demand<th>contender<th>charges\
         <th>reads</thead><tbody>",
    );
    for served in worst_served(classes) {
        let goal = if served.demand <= 2.0 { 0.95 } else { 0.88 };
        let _ = write!(
            section,
            "<tr><td>{} x capacity</td><td style='text-align:left'>{}</td>{}<td>{:.1} %</td>",
            served.demand,
            served.contender,
            told(served.charges >= goal, &format!("{:.1} %", 100.0 * served.charges)),
            100.0 * served.reads,
        );
    }
    section + "</tbody></table></div>"
}

fn chart(rows: &[Row], scenario: &str) -> String {
    const W: f64 = 900.0;
    const H: f64 = 240.0;
    let of: Vec<&Row> =
        rows.iter().filter(|row| row.scenario == scenario && row.seed == 1).collect();
    let longest = of.iter().flat_map(|row| &row.limits).map(Vec::len).max();
    let seconds = longest.unwrap_or(2).max(2) as f64 - 1.0;
    let x = |second: f64| 46.0 + second / seconds * (W - 60.0);
    let y = |limit: u32| H - 30.0 - f64::from(limit.max(1)).log10() / 3.3 * (H - 40.0);
    let mut svg =
        format!("<svg viewBox='0 0 {W} {H}' role=img aria-label='{scenario}: limits over time'>");
    for limit in [1, 10, 100, 1_000] {
        let _ = write!(
            svg,
            "<line x1=46 x2={2} y1={0:.1} y2={0:.1} stroke='var(--line)'/><text x=40 y={1:.1} \
             text-anchor=end>{limit}</text>",
            y(limit),
            y(limit) + 4.0,
            W - 14.0
        );
    }
    for second in (0..=seconds as usize).step_by(10) {
        let _ = write!(
            svg,
            "<text x={:.1} y={} text-anchor=middle>{second} s</text>",
            x(second as f64),
            H - 10.0
        );
    }
    let _ = write!(
        svg,
        "<line x1=46 x2={1} y1={0:.1} y2={0:.1} stroke='var(--ink)' stroke-dasharray='5 4'/>",
        y(WORKERS as u32),
        W - 14.0
    );
    for (row, colour) in of.iter().zip(COLOURS) {
        for (client, limits) in row.limits.iter().enumerate() {
            let points: Vec<String> = limits
                .iter()
                .enumerate()
                .map(|(second, limit)| format!("{:.1},{:.1}", x(second as f64), y(*limit)))
                .collect();
            // The second client's line is thinner.
            let width = if client == 0 { 1.8 } else { 0.9 };
            let _ = write!(
                svg,
                "<polyline points='{}' fill=none stroke='{colour}' stroke-width={width} \
                 stroke-linejoin=round><title>{}</title></polyline>",
                points.join(" "),
                row.contender
            );
        }
    }
    svg + "</svg>"
}
