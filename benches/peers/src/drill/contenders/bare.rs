//! No layers at all.

use super::split::Split;
use super::{Client, Site, Through};

pub(super) fn make(site: &Site, _: usize) -> Box<dyn Client> {
    Through::boxed(Split::of(site))
}
