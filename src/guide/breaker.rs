#![doc = include_str!("breaker.md")]
