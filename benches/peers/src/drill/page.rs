//! The page: a timeline per scenario, contenders over one another, and the table; one file that needs no other.

use std::fmt::Write as _;

use super::contenders::{CONTENDERS, SEAWALL};
use super::record::{Row, Second};
use super::report::{COLUMNS, cells};
use super::scenarios::SCENARIOS;

const STYLE: &str = "\
:root{--bg:#fbfaf7;--ink:#1d2733;--dim:#66717d;--line:#e3e0d8;--card:#fff;--fresh:#2a9d76;--stale:#e0b23c;\
--failed:#cf4a4a;--flight:#3d5a98;--fault:#cf4a4a14;--own:#eef6f2}\
@media(prefers-color-scheme:dark){:root{--bg:#12171d;--ink:#e4e9ee;--dim:#93a0ad;--line:#2a333d;--card:#1a2129;\
--fresh:#3fb98d;--stale:#e2b94d;--failed:#e06a6a;--flight:#8aa6e0;--fault:#e06a6a1c;--own:#1c2a26}}\
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,sans-serif}\
main{max-width:1240px;margin:0 auto;padding:2.5rem 1.25rem 5rem}h1{font-size:2rem;margin:0 0 .25rem;letter-spacing:-.02em}\
h2{font-size:1.25rem;margin:0}p{margin:.3rem 0 1rem;color:var(--dim);max-width:75ch}\
nav{display:flex;flex-wrap:wrap;gap:.4rem;margin:1.25rem 0 2rem}nav a{padding:.15rem .6rem;border:1px solid var(--line);\
border-radius:99px;color:inherit;text-decoration:none;font-size:.85rem;background:var(--card)}\
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.25rem;margin:0 0 1.5rem}\
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.83rem;color:var(--dim)}.key i{display:inline-block;\
width:.8em;height:.8em;border-radius:2px;margin-right:.4em;vertical-align:-.05em}\
.lane{display:grid;grid-template-columns:11.5rem 1fr;gap:.75rem;align-items:center;margin:.35rem 0}\
.lane b{font-weight:600;font-size:.9rem}.lane small{display:block;color:var(--dim);font-size:.76rem;line-height:1.35}\
.own{background:var(--own);border-radius:8px}svg{width:100%;height:auto;display:block}\
.wrap{overflow-x:auto;margin-top:1rem}table{border-collapse:collapse;width:100%;font-size:.83rem;\
font-variant-numeric:tabular-nums}th,td{padding:.3rem .5rem;text-align:right;border-top:1px solid var(--line);\
white-space:nowrap}th{font-weight:600;color:var(--dim);border:0}th:first-child,td:first-child{text-align:left}\
.axis div{position:relative;height:1.2em;font-size:.72rem;color:var(--dim);font-variant-numeric:tabular-nums}\
.axis span{position:absolute;transform:translateX(-50%);white-space:nowrap}td.bad{color:var(--failed);font-weight:600}footer{color:var(--dim);font-size:.85rem}\
@media(max-width:640px){.lane{grid-template-columns:1fr;gap:.1rem}}";

/// The page with these rows; of several seeds, the timelines are the first's.
pub(super) fn page(rows: &[Row]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content='width=device-width,initial-scale=1'><title>seawall: the drills</title>\
         <style>{STYLE}</style><main><h1>The drills</h1><p>A payment service with 50 workers \
         (120 ms a call) falls ill; 250 callers a second go on asking, and wait for two seconds. The same \
         callers, through each stack, in virtual time. Each band is one stack: what its callers got, second \
         by second, above the load that the service had to bear.</p>{}",
        key()
    );
    let told: Vec<_> =
        SCENARIOS.iter().filter(|one| rows.iter().any(|row| row.scenario == one.name)).collect();
    page.push_str("<nav>");
    for scenario in &told {
        let _ = write!(page, "<a href='#{0}'>{0}</a>", scenario.name);
    }
    page.push_str("</nav>");
    for scenario in told {
        let of: Vec<&Row> = rows.iter().filter(|row| row.scenario == scenario.name).collect();
        let _ =
            write!(page, "<section id={0}><h2>{0}</h2><p>{1}.</p>", scenario.name, scenario.about);
        let seed = of.iter().map(|row| row.seed).min().unwrap_or(1);
        for row in of.iter().filter(|row| row.seed == seed) {
            page.push_str(&lane(row));
        }
        page.push_str(&axis(of[0]));
        page.push_str(&table(&of));
        page.push_str("</section>");
    }
    page.push_str(
        "<footer>Printed by <code>cargo run --release -p seawall-peers -- drill --html FILE</code>; \
         the same to the digit each time. <b>offered</b>: calls that came during the fault. <b>sick \
         calls</b>: sent to the service while it was ill. <b>peak</b>: worked on and queued at the service. \
         <b>detect</b>: from the trigger until a call was first kept off the service, or the new version had \
         its last call. <b>recover</b>: from the end of the fault until all callers got fresh answers again. \
         <b>wasted</b>: work that the service did for callers who had gone.</footer></main></html>",
    );
    page
}

fn key() -> String {
    let entries = [
        ("fresh", "fresh"),
        ("stale", "old, and marked"),
        ("failed", "failed"),
        ("flight", "in flight at the service (own scale)"),
    ];
    let mut key = String::from("<div class=key>");
    for (colour, name) in entries {
        let _ = write!(key, "<span><i style='background:var(--{colour})'></i>{name}</span>");
    }
    key.push_str(
        "<span><i style='background:var(--fault);outline:1px solid var(--failed)'></i>the fault</span>\
         <span><i style='background:linear-gradient(90deg,var(--fresh),var(--failed))'></i>ribbon: calls \
         go through, or are kept off</span></div>",
    );
    key
}

const WIDTH: f64 = 820.0;
/// Heights: what callers got, the ribbon, what is in flight.
const GOT: f64 = 58.0;
const RIBBON: f64 = 5.0;
const FLIGHT: f64 = 22.0;

/// Seconds that are shown before the trigger.
const BEFORE: f64 = 20.0;
/// No band has more bars: of a long run, some seconds make one.
const BARS: usize = 240;

/// Seconds of a timeline, so many in one.
fn bars(seconds: &[Second]) -> Vec<Second> {
    let each = seconds.len().div_ceil(BARS).max(1);
    let sum = |seconds: &[Second]| {
        seconds.iter().fold(Second::default(), |sum, one| Second {
            offered: sum.offered + one.offered,
            fresh: sum.fresh + one.fresh,
            stale: sum.stale + one.stale,
            failed: sum.failed + one.failed,
            kept_off: sum.kept_off + one.kept_off,
            in_flight: sum.in_flight.max(one.in_flight),
        })
    };
    // An incomplete last bar would look like a drop.
    seconds.chunks_exact(each).map(sum).collect()
}

/// The seconds that are shown, from, to.
fn shown(row: &Row) -> (usize, usize) {
    let first = (row.marks.0 - BEFORE).max(0.0) as usize;
    // The last ten seconds are there for late answers only.
    (first, row.timeline.len().saturating_sub(11).max(first + 2).min(row.timeline.len()))
}

/// When it was, under the bands: since the trigger.
fn axis(row: &Row) -> String {
    let (first, last) = shown(row);
    let trigger = row.marks.0;
    let length = (last - first) as f64;
    let step = STEPS.into_iter().find(|step| length / step <= 10.0).unwrap_or(600.0);
    let mut axis = String::from("<div class='lane axis'><b></b><div>");
    let mut at = 0.0;
    while trigger + at < last as f64 {
        let told = match at as u64 {
            0 => "trigger".to_owned(),
            seconds if step < 60.0 => format!("{seconds} s"),
            seconds => format!("{} min", seconds / 60),
        };
        let left = (trigger + at - first as f64) / length * 100.0;
        let _ = write!(axis, "<span style='left:{left:.1}%'>{told}</span>");
        at += step;
    }
    axis + "</div></div>"
}

/// Seconds between two marks of an axis: at most ten marks.
const STEPS: [f64; 7] = [5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];

/// One stack's band.
fn lane(row: &Row) -> String {
    let about = CONTENDERS.iter().find(|one| one.name == row.contender).map_or("", |one| one.about);
    let own = if row.contender == SEAWALL { " own" } else { "" };
    let (first, last) = shown(row);
    let shown = &row.timeline[first..last];
    let x = |second: f64| (second - first as f64) / shown.len() as f64 * WIDTH;
    let shown = &bars(shown)[..];
    let span = shown.len() as f64;
    let height = GOT + RIBBON + FLIGHT + 8.0;
    let mut svg = format!(
        "<svg viewBox='0 0 {WIDTH} {height}' preserveAspectRatio=none role=img aria-label='{} {}'>",
        row.scenario, row.contender
    );
    let (from, to) = row.marks;
    let _ = write!(
        svg,
        "<rect x={:.1} y=0 width={:.1} height={height} fill='var(--fault)'/>",
        x(from),
        x(to) - x(from)
    );
    let ended = |second: &Second| second.fresh + second.stale + second.failed;
    let most = f64::from(shown.iter().map(ended).max().unwrap_or(1).max(1));
    let y = |count: u32| GOT - f64::from(count) / most * (GOT - 2.0);
    // From the top: failed over stale over fresh, so that what was answered stands on the ground.
    for (colour, upper) in [
        ("failed", (|one: &Second| one.fresh + one.stale + one.failed) as fn(&Second) -> u32),
        ("stale", |one| one.fresh + one.stale),
        ("fresh", |one| one.fresh),
    ] {
        let mut path = format!("M0 {GOT}");
        for (index, second) in shown.iter().enumerate() {
            let (left, right) = (index as f64 / span * WIDTH, (index + 1) as f64 / span * WIDTH);
            let at = y(upper(second));
            let _ = write!(path, "L{left:.1} {at:.1}H{right:.1}");
        }
        let _ = write!(svg, "<path d='{path}L{WIDTH} {GOT}Z' fill='var(--{colour})'/>");
    }
    for (index, second) in shown.iter().enumerate() {
        let share = f64::from(second.kept_off) / f64::from(ended(second).max(1));
        let _ = write!(
            svg,
            "<rect x={:.1} y={} width={:.2} height={RIBBON} \
             fill='color-mix(in srgb,var(--failed) {:.0}%,var(--fresh))'/>",
            index as f64 / span * WIDTH,
            GOT + 2.0,
            WIDTH / span + 0.3,
            share * 100.0
        );
    }
    let floor = height - 1.0;
    let most = f64::from(shown.iter().map(|second| second.in_flight).max().unwrap_or(1).max(1));
    let mut path = format!("M0 {floor}");
    for (index, second) in shown.iter().enumerate() {
        let at = floor - f64::from(second.in_flight) / most * FLIGHT;
        let _ = write!(path, "L{:.1} {at:.1}", (index as f64 + 0.5) / span * WIDTH);
    }
    let _ = write!(
        svg,
        "<path d='{path}L{WIDTH} {floor}' fill=none stroke='var(--flight)' stroke-width=1.2 \
         vector-effect=non-scaling-stroke /></svg>"
    );
    let told = cells(row);
    format!(
        "<div class='lane{own}'><div><b>{}</b><small title='{about}'>answered {} · detect {} · recover {}\
         <br>in flight: most {most}</small></div>{svg}</div>",
        row.contender,
        answered(row),
        told[10],
        told[11],
    )
}

fn answered(row: &Row) -> String {
    let share = (row.fresh + row.stale) as f64 / row.offered.max(1) as f64;
    format!("{:.0} %", 100.0 * share)
}

fn table(rows: &[&Row]) -> String {
    let mut table = String::from("<div class=wrap><table><tr><th>");
    let seeds = rows.iter().any(|row| row.seed != rows[0].seed);
    if seeds {
        table.push_str("<th>seed");
    }
    for column in COLUMNS {
        let _ = write!(table, "<th>{column}");
    }
    for row in rows {
        let own = if row.contender == SEAWALL { " class=own" } else { "" };
        let _ = write!(table, "<tr{own}><td>{}", row.contender);
        if seeds {
            let _ = write!(table, "<td>{}", row.seed);
        }
        for (column, cell) in COLUMNS.iter().zip(cells(row)) {
            let bad = (*column == "wrong" && cell != "0") || cell == "never";
            let _ = write!(table, "<td{}>{cell}", if bad { " class=bad" } else { "" });
        }
    }
    table + "</table></div>"
}
