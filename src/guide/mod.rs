//! Guides: how things work, and how to choose.
//!
//! | guide | for whom |
//! | --- | --- |
//! | [`breaker`] | who wants to know why a circuit opened, or to tune one |

pub mod breaker;
