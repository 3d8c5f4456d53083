//! What a run found, and its JSON.

use serde_json::{Value, json};

/// One contender in one case at one number of threads.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case's name.
    pub case: &'static str,
    /// The contender's name.
    pub contender: &'static str,
    /// Threads that call at the same time.
    pub threads: usize,
    /// Nanoseconds per call.
    pub ns: f64,
    /// Nanoseconds over the bare backend.
    pub added_ns: f64,
    /// Nanoseconds that the case takes at least, bare included.
    pub floor_ns: f64,
    /// Allocations per call.
    pub allocs: f64,
    /// Instructions per call, where measured.
    pub instructions: Option<f64>,
    /// What the contender leaves out of the case's work.
    pub lacks: Option<&'static str>,
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "case": self.case,
            "contender": self.contender,
            "threads": self.threads,
            "ns": round(self.ns),
            "added_ns": round(self.added_ns),
            "floor_ns": round(self.floor_ns),
            "allocs": round(self.allocs),
            "instructions": self.instructions.map(round),
            "lacks": self.lacks,
        })
    }
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it ran on.
    pub machine: String,
    /// What a reading of each clock costs.
    pub clocks: Vec<(&'static str, f64)>,
    /// All rows: by case, then contender, then threads.
    pub rows: Vec<Row>,
}

impl Report {
    /// `{"machine": .., "clocks": [..], "rows": [..]}`.
    pub fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        let clocks: Vec<Value> = self
            .clocks
            .iter()
            .map(|(clock, ns)| json!({ "clock": clock, "ns": round(*ns) }))
            .collect();
        json!({ "machine": self.machine, "clocks": clocks, "rows": rows })
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
