//! What the figures were taken on, in terms that name no particular host.

use std::fs;

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor model, cores, system and its version (major and minor).
pub fn describe() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| {
        let version: Vec<&str> = text.trim().split(['.', '-']).take(2).collect();
        version.join(".")
    });
    format!(
        "{}, {} cores, {} {}",
        model.as_deref().unwrap_or(std::env::consts::ARCH),
        cores(),
        std::env::consts::OS,
        kernel.as_deref().unwrap_or("(version unknown)"),
    )
}
