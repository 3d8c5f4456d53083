//! The terminal: plain lines, and colour where somebody looks.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

/// Prints a line. Where nobody reads on, the program has nothing left to do.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(1);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

/// `text` in its style, or as it is where the output is no terminal.
pub(crate) fn paint(style: Style, text: &str) -> String {
    static COLOUR: OnceLock<bool> = OnceLock::new();
    let colour = *COLOUR.get_or_init(|| {
        io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    });
    let code = match style {
        _ if !colour => return text.to_owned(),
        Style::Plain => return text.to_owned(),
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Good => "32",
        Style::Warn => "33",
        Style::Bad => "31",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Milliseconds as a reader takes them: `0.4 ms`, `21 ms`, `2.0 s`.
pub(crate) fn duration(ms: f64) -> String {
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let told: Vec<_> = [0, 999, 1_000, 1_234_567].map(thousands).into();
        assert_eq!(told, ["0", "999", "1,000", "1,234,567"]);
        let told: Vec<_> = [0.04, 9.94, 9.96, 999.0, 999.6, 2_001.0].map(duration).into();
        assert_eq!(told, ["0.0 ms", "9.9 ms", "10 ms", "999 ms", "1.0 s", "2.0 s"]);
    }
}
