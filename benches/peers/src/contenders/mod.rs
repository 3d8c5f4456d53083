//! Who takes part. Each file says which work its contender does and does not do.
//!
//! All get their fastest sensible documented settings. Where a peer has several ways to do the
//! same work, the faster one is taken. A contender that leaves out part of a case's work says so
//! ([`Built::lacks`](crate::Built)), and a row of seawall's is held against those that do the same.

// To take part: a file here that implements `Contender`, and a line in `all`.
mod bare;
mod failsafe;
mod ninelives;
mod recloser;
mod seawall;
mod stale_map;
mod tower;
mod tower_resilience;

pub(crate) use seawall::CLOCK;
pub(crate) use stale_map::StaleMap;

use crate::drive::Contender;

/// The name under which the backend alone is listed.
pub const BARE: &str = "bare";
/// The name under which this library is listed.
pub const SEAWALL: &str = "seawall";

/// All contenders; the bare backend comes first.
pub fn all() -> Vec<&'static dyn Contender> {
    vec![
        &bare::Bare,
        &tower::Tower,
        &tower_resilience::TowerResilience,
        &failsafe::Failsafe,
        &recloser::Recloser,
        &ninelives::NineLives,
        &seawall::Seawall,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Seen;
    use crate::{CASES, runtimes};

    #[test]
    fn every_contender_does_what_the_case_is_about() {
        let timers = runtimes::for_timers();
        let _context = timers.enter();
        for case in CASES {
            for contender in all() {
                let Some(mut built) = contender.build(case) else {
                    continue;
                };
                let name = contender.name();
                let expected = if name == BARE { Seen::Fresh } else { case.expect };
                built.caller.run(100);
                // What another caller sees is what this one has done: they share their layers.
                for caller in [&mut built.caller.another(), &mut built.caller] {
                    let seen = caller.look();
                    assert!(
                        expected == Seen::Mixed || seen == expected,
                        "{} through {name}: {seen:?}, not {expected:?}",
                        case.name,
                    );
                }
            }
        }
    }

    #[test]
    fn the_bare_backend_comes_first() {
        assert_eq!(all()[0].name(), BARE);
    }
}
