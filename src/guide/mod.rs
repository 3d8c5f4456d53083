//! Guides: how things work, and how to choose.
//!
//! | guide | for whom |
//! | --- | --- |
//! | [`breaker`] | who wants to know why a circuit opened, or to tune one |
//! | [`metrics`] | who reads or draws metrics: each name, type, unit and label |

pub mod breaker;
pub mod metrics;
