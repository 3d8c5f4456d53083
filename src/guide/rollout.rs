#![doc = include_str!("rollout.md")]
