#![doc = include_str!("drills.md")]
