//! Canaries: how soon is a bad one found, and how often is a good one taken for bad?
//!
//! The detector that this library's layers have inside, on simulated calls: 200 a second, weighed every
//! 250 ms. [`power`] counts the calls until a bad canary is rolled back, beside the least that any test needs;
//! [`nulls`] rolls out canaries that are exactly as good as their baseline, while things happen to both. The
//! rules of others ([`judges`]) see the same calls. A run is a function of its number.

mod dice;
mod evidence;
mod judges;
mod lagging;
mod nulls;
mod page;
mod power;
mod report;
mod spread;
mod svg;
mod tick;
mod traffic;

use crate::args::{Args, Failure};

/// `canary [--quick] [--json FILE] [--html FILE]`
pub fn command(args: &Args) -> Result<(), Failure> {
    let quick = args.has("quick");
    let (runs, beside, extent) = if quick {
        (200, 60, nulls::Extent { runs: 1_000, seconds: 250 })
    } else {
        (1_000, 400, nulls::Extent { runs: 4_000, seconds: 1_260 })
    };
    let power = power::run(runs);
    report::print_power(&power, runs);
    let beside = power::beside(beside);
    report::print_beside(&beside);
    let nulls = nulls::run(extent);
    report::print_nulls(&nulls, extent);
    report::write_json(&power, &nulls, args)?;
    page::write(&power, &beside, &nulls, args)
}
