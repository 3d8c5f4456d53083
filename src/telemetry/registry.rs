//! Where metrics are registered: at the process's recorder, or at a given one.
//!
//! A recorder is somebody else's code. If it panics while a metric is registered, that metric is a dead
//! one; nothing else happens.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};

use super::catalogue::{CATALOGUE, Metric, Type, Unit};

/// Gives out handles to metrics.
#[derive(Clone, Default)]
pub(super) struct Registry {
    /// `None`: the process's.
    recorder: Option<Arc<dyn Recorder + Send + Sync>>,
}

const METADATA: Metadata<'static> =
    Metadata::new("seawall", Level::INFO, Some("seawall::telemetry"));

impl Registry {
    pub(super) fn to(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        Self { recorder: Some(recorder) }
    }

    fn with<T>(&self, ask: impl FnOnce(&dyn Recorder) -> T) -> Option<T> {
        let ask = || match &self.recorder {
            Some(recorder) => ask(&**recorder),
            None => metrics::with_recorder(|recorder| ask(recorder)),
        };
        catch_unwind(AssertUnwindSafe(ask)).ok()
    }

    /// Tells the recorder what each metric is.
    pub(super) fn describe(&self) {
        for metric in CATALOGUE {
            let unit = match metric.unit {
                Unit::Seconds => Some(metrics::Unit::Seconds),
                Unit::Bytes => Some(metrics::Unit::Bytes),
                // No unit: exporters make `_ratio` of a gauge whose unit is 1, and counts are no ratios.
                _ => None,
            };
            let (name, help) = (metric.name.into(), metric.help.into());
            self.with(|recorder| match metric.kind {
                Type::Counter => recorder.describe_counter(name, unit, help),
                Type::Gauge => recorder.describe_gauge(name, unit, help),
                Type::Histogram => recorder.describe_histogram(name, unit, help),
            });
        }
    }

    pub(super) fn counter(&self, metric: &Metric, labels: &[&'static str]) -> Counter {
        debug_assert_eq!(metric.kind, Type::Counter);
        self.with(|recorder| recorder.register_counter(&key(metric, labels), &METADATA))
            .unwrap_or_else(Counter::noop)
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: &[&'static str]) -> Gauge {
        debug_assert_eq!(metric.kind, Type::Gauge);
        self.with(|recorder| recorder.register_gauge(&key(metric, labels), &METADATA))
            .unwrap_or_else(Gauge::noop)
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: &[&'static str]) -> Histogram {
        debug_assert_eq!(metric.kind, Type::Histogram);
        self.with(|recorder| recorder.register_histogram(&key(metric, labels), &METADATA))
            .unwrap_or_else(Histogram::noop)
    }
}

fn key(metric: &Metric, values: &[&'static str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<_> =
        labels.map(|(label, value)| Label::from_static_parts(label, value)).collect();
    Key::from_parts(metric.name, labels)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.recorder {
            None => "the process's recorder",
            Some(_) => "a recorder of its own",
        })
    }
}
