//! Command-line options: `--name value` pairs and bare `--flags`, no more.

use std::collections::BTreeMap;

/// What a command failed with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const FLAGS: [&str; 3] = ["check", "instructions", "quick"];
const VALUES: [&str; 9] =
    ["baseline", "calls", "case", "clients", "contender", "html", "json", "scenario", "seeds"];

/// The options that were given.
#[derive(Debug, Default)]
pub struct Args {
    given: BTreeMap<String, String>,
}

impl Args {
    /// Reads options; an unknown one is an error, so that a typo does not measure something else.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut given = BTreeMap::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("unexpected `{word}`"))?;
            if FLAGS.contains(&name) {
                given.insert(name.to_owned(), String::new());
            } else if VALUES.contains(&name) {
                let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
                given.insert(name.to_owned(), value);
            } else {
                return Err(format!("unknown option `{word}`").into());
            }
        }
        Ok(Self { given })
    }

    /// Was this flag given?
    pub fn has(&self, flag: &str) -> bool {
        self.given.contains_key(flag)
    }

    /// The value of this option, if given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// The value of this option as a number, or `default`.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, Failure> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => {
                value.parse().map_err(|_| format!("`--{name} {value}`: a number").into())
            }
        }
    }

    /// Does `--case` / `--contender` let this name through? (Left out, it lets all through.)
    pub fn admits(&self, option: &str, name: &str) -> bool {
        self.value(option).is_none_or(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Failure> {
        Args::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_flags_and_values() {
        let args = read("--quick --case bare").expect("both are known");
        assert!(args.has("quick"));
        assert!(args.admits("case", "bare") && !args.admits("case", "http_key"));
        assert!(args.admits("contender", "any: none was asked for"));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in ["--fast", "quick", "--json", "--quick --cases bare"] {
            assert!(read(line).is_err(), "{line}");
        }
        assert!(read("--clients many").expect("known").number("clients", 1).is_err());
    }
}
