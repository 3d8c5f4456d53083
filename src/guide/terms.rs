#![doc = include_str!("terms.md")]
