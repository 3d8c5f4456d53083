//! `Cache-Control`, as far as a cache of last good responses has to know it.

use std::time::Duration;

/// The directives of RFC 9111 section 5.2 and RFC 5861 that matter here.
///
/// Names are compared without regard to case; unknown directives, and what isn't grammar, are passed
/// over. A number that isn't one counts as zero, the cautious reading (RFC 9111 section 4.2.1 has
/// such a response be stale), and one too large as the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(super) revalidate: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) s_maxage: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
}

impl Directives {
    /// Those of all the field's lines together.
    pub(super) fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for line in lines {
            for member in Members(line) {
                found.add(member);
            }
        }
        found
    }

    fn add(&mut self, member: &[u8]) {
        let (name, value) = match member.iter().position(|&b| b == b'=') {
            Some(at) => (&member[..at], Some(&member[at + 1..])),
            None => (member, None),
        };
        let is = |other: &str| name.trim_ascii().eq_ignore_ascii_case(other.as_bytes());
        // Of a directive that is there twice, the stricter holds.
        let least = |so_far: Option<Duration>| {
            let new = seconds(value.unwrap_or_default());
            Some(so_far.map_or(new, |old| old.min(new)))
        };
        // `private` and `no-cache` with a list of fields are taken as without: stricter, and simple.
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("must-revalidate") || is("proxy-revalidate") {
            self.revalidate = true;
        } else if is("max-age") {
            self.max_age = least(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = least(self.s_maxage);
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error);
        }
    }
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1); commas in quotes don't count.
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.0.is_empty() {
            let (mut quoted, mut escaped) = (false, false);
            let end = self.0.iter().position(|&byte| {
                let ends = byte == b',' && !quoted;
                if escaped {
                    escaped = false;
                } else if byte == b'\\' {
                    escaped = quoted;
                } else if byte == b'"' {
                    quoted = !quoted;
                }
                ends
            });
            let (member, rest) = match end {
                Some(at) => (&self.0[..at], &self.0[at + 1..]),
                None => (self.0, &[][..]),
            };
            self.0 = rest;
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

/// The names in a list such as `Vary`.
#[cfg(feature = "cache")]
pub(super) fn names(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    Members(line)
}

/// A number of seconds, perhaps in quotes; zero if it is none.
pub(super) fn seconds(value: &[u8]) -> Duration {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let number = value
        .iter()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Duration::from_secs(number)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Directives {
        Directives::parse([line.as_bytes()])
    }

    #[test]
    fn directives_are_found_whatever_their_case_and_company() {
        let found = parse(r#"Public, ext="no-store, a\",b", MAX-AGE=60 ,,stale-if-error="120""#);
        let expected = Directives {
            max_age: Some(Duration::from_secs(60)),
            stale_if_error: Some(Duration::from_secs(120)),
            ..Directives::default()
        };
        assert_eq!(found, expected, "what is quoted is no directive");
        assert!(parse("private=\"set-cookie\"").private);
        assert!(parse("no-cache=\"a, b\", x").no_cache);
        assert!(parse("proxy-revalidate").revalidate && parse("must-revalidate").revalidate);
        let lines = [b"no-store".as_slice(), b"s-maxage=5"];
        let both = Directives::parse(lines);
        assert!(both.no_store && both.s_maxage == Some(Duration::from_secs(5)));
    }

    #[test]
    fn hostile_numbers_are_read_with_caution() {
        let number = |value: &str| parse(&format!("max-age={value}")).max_age.unwrap();
        for nonsense in ["", "-1", "+1", "1.5", "1e9", "0x10", "\"", "\"1", "ten", "1 2"] {
            assert_eq!(number(nonsense), Duration::ZERO, "{nonsense}");
        }
        let huge = "9".repeat(10_000);
        assert_eq!(number(&huge), Duration::from_secs(u64::MAX));
        let twice = parse("max-age=60, max-age=5").max_age;
        assert_eq!(twice, Some(Duration::from_secs(5)), "the stricter");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let found = Directives::parse([line.as_slice()]);
            prop_assert_eq!(found, Directives::parse([line.as_slice()]));
            prop_assert!(Members(&line).all(|member| !member.is_empty()));
        }

        #[test]
        fn a_directive_is_found_between_any_unquoted_others(
            before in "[a-z=0-9 ,-]{0,20}",
            after in "[a-z=0-9 ,-]{0,20}",
        ) {
            let line = format!("{before},no-store,{after}");
            prop_assert!(parse(&line).no_store);
        }
    }
}
