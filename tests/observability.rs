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
