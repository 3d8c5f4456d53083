//! Times as people read them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wall-clock time in UTC, to the millisecond, by RFC 3339: `2026-11-25T16:07:52.120Z`.
pub(crate) struct Utc(pub(crate) SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before 1970 nothing happened here.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let milli = since.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Year, month and day of a number of days since 1970, by the Gregorian calendar, counted in years that
/// begin in March (Hinnant, "chrono-compatible low-level date algorithms").
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// A span as it is said: `90 ms`, `1.5 s`, `12 min 5 s`, `2 h 3 min`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0..1_000 => write!(f, "{ms} ms"),
            1_000..60_000 => write!(f, "{}.{} s", ms / 1_000, ms / 100 % 10),
            60_000..3_600_000 if ms % 60_000 < 1_000 => write!(f, "{} min", ms / 60_000),
            60_000..3_600_000 => write!(f, "{} min {} s", ms / 60_000, ms / 1_000 % 60),
            _ if ms % 3_600_000 < 60_000 => write!(f, "{} h", ms / 3_600_000),
            _ => write!(f, "{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
        }
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at =
            |seconds: u64| Utc(UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 7)).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_709_164_800), "2024-02-29T00:00:00.007Z");
        assert_eq!(at(1_764_086_872), "2025-11-25T16:07:52.007Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.007Z", "2100 is no leap year");
    }

    #[test]
    fn spans_are_said_in_two_units_at_most() {
        let said = |ms: u64| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(
            [said(90), said(1_550), said(725_400), said(7_400_000)],
            ["90 ms", "1.5 s", "12 min 5 s", "2 h 3 min"]
        );
    }
}
