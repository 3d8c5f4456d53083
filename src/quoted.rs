//! Text as JSON writes it.

use std::fmt::{self, Write as _};

/// A JSON string (RFC 8259, section 7), quotes included.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_json_asks() {
        assert_eq!(Quoted("a\"b\\c\nd\u{7f}é").to_string(), "\"a\\\"b\\\\c\\u000ad\u{7f}é\"");
    }
}
