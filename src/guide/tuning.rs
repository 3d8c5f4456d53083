#![doc = include_str!("tuning.md")]
