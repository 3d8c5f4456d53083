//! Shares as integers: parts per million, so that a threshold is met exactly or not at all.

use std::fmt;

const MILLION: u64 = 1_000_000;

/// A share between 0 and 1, held in parts per million.
///
/// Rates are compared as integers (`part * 1_000_000 >= ppm * whole`), never as rounded floats:
/// 99 of 200 does not meet 50 %.
///
/// ```
/// use seawall::ratio::Ratio;
///
/// let half = Ratio::percent(50).unwrap();
/// assert!(half.is_met_by(100, 200));
/// assert!(!half.is_met_by(99, 200));
/// assert!(!half.is_met_by(0, 0), "no data meets nothing");
/// assert_eq!(Ratio::new(f64::NAN), None);
/// assert_eq!(half.to_string(), "50%");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// Nothing: 0.
    pub const ZERO: Self = Self(0);
    /// The whole: 1.
    pub const ONE: Self = Self(MILLION as u32);

    /// The share `value`, rounded to the nearest millionth; `None` unless `0.0 <= value <= 1.0`.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then(|| Self((value * MILLION as f64).round() as u32))
    }

    /// `percent` hundredths; `None` above 100.
    pub const fn percent(percent: u32) -> Option<Self> {
        if percent > 100 { None } else { Some(Self(percent * 10_000)) }
    }

    /// `ppm` millionths; `None` above 1,000,000.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm as u64 > MILLION { None } else { Some(Self(ppm)) }
    }

    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// What share `part` is of `whole`, rounded down to a millionth; `None` of nothing.
    pub const fn of(part: u64, whole: u64) -> Option<Self> {
        if whole == 0 {
            return None;
        }
        let ppm = part as u128 * MILLION as u128 / whole as u128;
        Some(Self(if ppm > MILLION as u128 { MILLION as u32 } else { ppm as u32 }))
    }

    /// Is `part` of `whole` this share or more? Exact at every size; false of nothing.
    pub const fn is_met_by(self, part: u64, whole: u64) -> bool {
        whole != 0 && part as u128 * MILLION as u128 >= self.0 as u128 * whole as u128
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> f64 {
        f64::from(ratio.0) / MILLION as f64
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn rates_are_compared_as_integers_and_never_rounded() {
        let half = Ratio::percent(50).unwrap();
        assert!(!half.is_met_by(499, 1000));
        assert!(half.is_met_by(4, 8));
        let tenth_of_a_percent = Ratio::new(0.001).unwrap();
        assert!(tenth_of_a_percent.is_met_by(4, 1000), "0.4 % is not rounded away");
        assert!(Ratio::ONE.is_met_by(10, 10), "a threshold of 100 % can be reached");
    }

    #[test]
    fn comparisons_are_exact_near_the_end_of_u64() {
        assert!(Ratio::ONE.is_met_by(u64::MAX, u64::MAX));
        assert!(!Ratio::ONE.is_met_by(u64::MAX - 1, u64::MAX));
        assert_eq!(Ratio::of(u64::MAX, u64::MAX), Some(Ratio::ONE));
    }

    #[test]
    fn what_is_no_share_is_none() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 1.000_001] {
            assert_eq!(Ratio::new(value), None, "{value}");
        }
        assert_eq!(Ratio::percent(101), None);
        assert_eq!(Ratio::of(1, 0), None);
    }
}
