//! The page: the same figures, drawn. One file that needs nothing else.

use std::fmt::Write as _;
use std::fs;

use super::judges::{ALPHA, JUDGES};
use super::power::{self, SPIKES};
use super::report::{detectors, of, percent, scenarios, thousands};
use super::svg::Svg;
use super::tick::SECOND;
use super::{evidence, nulls};
use crate::args::{Args, Failure};

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content='width=device-width'><title>Canaries</title>\
<style>:root{color-scheme:light dark;--ink:light-dark(#222,#ddd);--soft:light-dark(#666,#aaa);\
--line:light-dark(#ddd,#444);--own:light-dark(#0b6e99,#5bb8e0);--bad:light-dark(#d1495b,#f07c8c);\
--good:light-dark(#2a9d5c,#5fd08f)}\
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:68em;padding:0 1em;color:var(--ink);\
background:light-dark(#fff,#181818)}\
svg{width:100%;height:auto}text{font-size:12px;fill:var(--soft)}h2{margin:2em 0 .3em}\
table{border-collapse:collapse;font-size:13px}.scroll{overflow-x:auto}\
td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid var(--line);font-weight:normal;\
font-variant-numeric:tabular-nums;white-space:nowrap}td:first-child,th:first-child{text-align:left}\
td.own,th.own,.own td{font-weight:600}.key span{margin-right:1.5em;white-space:nowrap}li{margin:.2em 0}</style>";

pub(super) fn write(
    power: &[power::Row],
    beside: &[(&str, [Option<u64>; SPIKES.len()])],
    nulls: &[nulls::Row],
    args: &Args,
) -> Result<(), Failure> {
    let Some(file) = args.value("html") else { return Ok(()) };
    let sections =
        [what_evidence_does(), delays(power), beside_others(beside), wrong(nulls), rules()];
    let page = format!(
        "{HEAD}<h1>Canaries</h1><p>How soon a bad version is found, and how often a good one is taken \
         for bad: simulated calls, 200 a second, weighed every 250 ms.</p>{}</html>\n",
        sections.concat()
    );
    Ok(fs::write(file, page)?)
}

const GRID: &str = "stroke='var(--line)'";

fn what_evidence_does() -> String {
    let mut svg = Svg::new(800.0, 300.0, "Evidence over time");
    let x = |seconds: f64| 40.0 + seconds / evidence::SECONDS as f64 * 740.0;
    let y = |nats: f64| 140.0 - nats.clamp(-11.0, 11.0) * 12.0;
    for nats in [-10.0, -5.0, 0.0, 5.0, 10.0] {
        svg.line((40.0, y(nats)), (780.0, y(nats)), GRID);
        svg.text((34.0, y(nats) + 4.0), "end", nats);
    }
    for second in (0..=evidence::SECONDS).step_by(30) {
        svg.text((x(second as f64), 294.0), "middle", format!("{second} s"));
    }
    let line = y(-ALPHA.ln());
    svg.line((40.0, line), (780.0, line), "stroke='var(--ink)' stroke-dasharray='5 4'");
    svg.text((44.0, line - 5.0), "start", "ln 1000: above this it is suspect");
    let mut key = String::new();
    let colours = ["var(--good)", "var(--own)", "var(--bad)"];
    for ((name, logs), colour) in evidence::lines().into_iter().zip(colours) {
        let at = |tick: usize| x((tick + 1) as f64 / SECOND as f64);
        svg.curve(logs.iter().enumerate().map(|(tick, log)| (at(tick), y(*log))), colour);
        let _ = write!(key, "<span style='color:{colour}'>&#9632; {name}</span>");
    }
    format!(
        "<h2>What the evidence does</h2><p>The logarithm of the evidence that the canary is worse. It has a \
         tenth of the calls, and 1 % of all calls usually fail. What hits both arms lowers it, however bad \
         it is; a worse canary raises it until it is rolled back.</p>{}<p class=key>{key}</p>",
        svg.done()
    )
}

fn delays(rows: &[power::Row]) -> String {
    const ROW: f64 = 19.0;
    let bottom = 20.0 + rows.len() as f64 * ROW;
    let mut svg = Svg::new(800.0, bottom + 8.0, "Calls until a bad canary is rolled back");
    let x = |calls: f64| 210.0 + (calls.max(8.0) / 8.0).log10() / 6.0 * 580.0;
    for decade in 1..=6 {
        let at = x(10_f64.powi(decade));
        svg.line((at, 18.0), (at, bottom), GRID);
        svg.text((at, 12.0), "middle", thousands(10_u64.pow(decade as u32)));
    }
    for (row, i) in rows.iter().zip(0..) {
        let y = 30.0 + ROW * f64::from(i);
        let power::Case { p_b, p_c, w } = row.case;
        let name = format!("{} to {}, share {}", percent(p_b), percent(p_c), percent(w));
        svg.text((0.0, y + 4.0), "start", name);
        let limit = x(row.limit);
        svg.line((limit, y - 6.0), (limit, y + 6.0), "stroke='var(--ink)' stroke-width='2'");
        if let Some(median) = row.median {
            let median = x(median as f64);
            if let Some(p95) = row.p95 {
                svg.line((median, y), (x(p95 as f64), y), "stroke='var(--own)' stroke-width='2'");
            }
            svg.dot((median, y), "var(--own)");
        }
    }
    format!(
        "<h2>Calls until a bad canary is rolled back</h2><p>Of both arms together. The bar is the least that \
         any test needs on average which may err in 1 of 1,000 cases, ever; the dot is the median, its line \
         ends at 95 %. No roll-back is sooner than four blocks: 200 calls here.</p>{}",
        svg.done()
    )
}

fn beside_others(rows: &[(&str, [Option<u64>; SPIKES.len()])]) -> String {
    let (w, p_b) = power::COMMON;
    let mut table = String::from("<tr><th>");
    SPIKES.iter().for_each(|(name, _)| table += &format!("<th>{name}"));
    for (name, medians) in rows {
        let _ = write!(table, "<tr{}><td>{name}", own(name));
        for calls in medians {
            let time = calls.map(|calls| calls as f64 / 200.0);
            let text = match (calls, time) {
                (Some(calls), Some(s)) if s < 120.0 => {
                    format!("{} ({} s)", thousands(*calls), (s * 10.0).round() / 10.0)
                }
                (Some(calls), Some(s)) => format!("{} ({:.0} min)", thousands(*calls), s / 60.0),
                _ => "not in 40 min".into(),
            };
            let _ = write!(table, "<td>{text}");
        }
    }
    format!(
        "<h2>Beside other rules</h2><p>Median calls, and time at 200 calls a second, until a canary with a \
         share of {} is rolled back, if {} of calls usually fail. How often each is wrong is below.</p>\
         <div class=scroll><table>{table}</table></div>",
        percent(w),
        percent(p_b)
    )
}

fn own(detector: &str) -> &'static str {
    if detector == JUDGES[0].name { " class=own" } else { "" }
}

fn wrong(rows: &[nulls::Row]) -> String {
    let detectors = detectors(rows);
    let mut table = String::from("<tr><th>what happens to both<th>share");
    detectors.iter().for_each(|name| _ = write!(table, "<th{}>{name}", own(name)));
    for scenario in scenarios(rows) {
        let _ = write!(table, "<tr><td>{}<td>{}", scenario.0, percent(scenario.1));
        for detector in &detectors {
            match of(rows, scenario, detector) {
                None => table += "<td>",
                Some(row) => {
                    let rate = row.rate();
                    let (colour, depth) = if rate <= 0.005 {
                        ("var(--good)", 18.0)
                    } else {
                        ("var(--bad)", 20.0 + 50.0 * rate.sqrt())
                    };
                    let _ = write!(
                        table,
                        "<td{} style='background:color-mix(in srgb,{colour} {depth:.0}%,transparent)'>\
                         {rate:.4}",
                        own(detector)
                    );
                }
            }
        }
    }
    let runs = rows.first().map_or(0, |row| row.runs);
    format!(
        "<h2>Good canaries rolled back</h2><p>The share of {} runs in which a canary that is exactly as good \
         as its baseline is rolled back, while something happens to both. Green: at most 0.005. \
         Argo and Kayenta look every 5 and 10 minutes. <em>misused</em> is this library's test where the \
         guide says that it doesn't hold: with too little of the baseline learned where failures come in \
         clumps; told every call of users who keep to their arm; with blocks shorter than the arms' \
         latencies differ.</p>\
         <div class=scroll><table>{table}</table></div>",
        thousands(runs)
    )
}

fn rules() -> String {
    let items: String =
        JUDGES.iter().map(|judge| format!("<li><b>{}</b>: {}", judge.name, judge.source)).collect();
    format!("<h2>The rules</h2><ul>{items}</ul>")
}
