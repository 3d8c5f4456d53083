//! Guides: how things work, and how to choose.
//!
//! | guide | for whom |
//! | --- | --- |
//! | [`breaker`] | who wants to know why a circuit opened, or to tune one |
//! | [`concurrency`] | who must say how many calls may be in flight, and which go first |

pub mod breaker;
pub mod concurrency;
