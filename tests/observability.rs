//! What is written about metrics outside the code says what the code says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use seawall::telemetry::CATALOGUE;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_guide_lists_every_metric_as_it_is() {
    let guide = read("src/guide/metrics.md");
    let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| `seawall_")).collect();
    let want: Vec<String> = CATALOGUE
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (kind, unit) = (metric.kind.as_str(), metric.unit.as_str());
            let labels = labels.join(", ");
            format!("| `{}` | {kind} | {unit} | {labels} | {} |", metric.name, metric.help)
        })
        .collect();
    assert_eq!(rows, want, "one row a metric, in order");
}

#[test]
fn no_two_metrics_share_a_name() {
    let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
}

const FOLDER: &str = "examples/observability";

/// What Prometheus makes of a histogram or a summary.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The metrics that `text` speaks of; recorded ones (`slo:seawall_...`) aren't seawall's.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c| !part(c))
        .filter(|word| word.starts_with("seawall_"))
        .map(|word| {
            let base = SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

fn known() -> BTreeSet<String> {
    CATALOGUE.iter().map(|metric| metric.name.to_owned()).collect()
}

#[test]
fn rules_their_tests_dashboard_and_autoscaler_speak_of_metrics_that_are_there() {
    for file in
        ["rules.yml", "rules_test.yml", "rules_days_test.yml", "dashboard.json", "autoscale.yml"]
    {
        let spoken_of = metrics_in(&read(&format!("{FOLDER}/{file}")));
        assert!(!spoken_of.is_empty(), "{file}");
        let unknown: Vec<_> = spoken_of.difference(&known()).cloned().collect();
        assert!(unknown.is_empty(), "{file} speaks of {unknown:?}");
    }
}

#[test]
fn labels_in_rules_and_dashboard_are_those_of_the_metric() {
    // What the scrape, the exporter and the format add by themselves.
    let added = ["instance", "le", "quantile"];
    for file in ["rules.yml", "dashboard.json", "rules_test.yml", "rules_days_test.yml"] {
        let text = read(&format!("{FOLDER}/{file}")).replace("\\\"", "\"");
        for metric in CATALOGUE {
            for (at, _) in text.match_indices(&format!("{}{{", metric.name)) {
                let inside = &text[at + metric.name.len() + 1..];
                let inside = &inside[..inside.find('}').unwrap()];
                for label in inside.split("\",").map(|pair| pair.split(['=', '!']).next().unwrap())
                {
                    let label = label.trim();
                    assert!(
                        metric.labels.contains(&label) || added.contains(&label),
                        "{file}: {} has no label {label:?}",
                        metric.name
                    );
                }
            }
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric_but_those_named_here() {
    let elsewhere = BTreeSet::from(
        [
            "seawall_cache_entries",
            "seawall_cache_stale_ratio",
            "seawall_pool_in_use",
            "seawall_pool_size",
            "seawall_rollout_steps_total",
            "seawall_slo_alert_firing",
            "seawall_slo_bad_calls_total",
            "seawall_slo_calls_total",
            "seawall_slo_target_ratio",
        ]
        .map(str::to_owned),
    );
    let shown = metrics_in(&read(&format!("{FOLDER}/dashboard.json")));
    let missing: BTreeSet<_> = known().difference(&shown).cloned().collect();
    let missing: Vec<_> = missing.difference(&elsewhere).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_alert_leads_to_a_page_of_the_runbook_and_says_how_bad_it_is() {
    let rules = read(&format!("{FOLDER}/rules.yml"));
    let count = |what: &str| rules.matches(what).count();
    let alerts = count("- alert: ");
    assert!(alerts >= 12, "{alerts}");
    assert_eq!(alerts, count("severity: page") + count("severity: ticket"));
    assert_eq!(alerts, count("runbook_url: "));
    assert_eq!(alerts, count("summary: "));
    let pages: BTreeSet<_> = rules
        .lines()
        .filter_map(|line| line.split_once("/guide/runbook/"))
        .map(|(_, page)| page.trim_end_matches("/index.html"))
        .collect();
    let anchors = read("src/event/runbook.rs");
    for page in pages {
        assert!(anchors.contains(&format!("page!(\"{page}\")")), "{page} is no page");
    }
}
