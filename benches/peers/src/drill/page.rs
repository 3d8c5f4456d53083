//! The page.

use super::record::Row;

pub(super) fn page(_: &[Row]) -> String {
    String::new()
}
