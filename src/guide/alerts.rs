#![doc = include_str!("alerts.md")]
