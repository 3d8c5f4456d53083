#![doc = include_str!("retry.md")]
