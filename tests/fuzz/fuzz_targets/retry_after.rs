//! `Retry-After`, in both its forms, beside a `Date`: whatever the bytes, no panic; a number is taken
//! as it is, and all that isn't one or a date is nothing.
#![no_main]

use std::time::Duration;

use http::{HeaderValue, Response};
use libfuzzer_sys::fuzz_target;
use seawall::retry_after::RetryAfter;

fuzz_target!(|headers: (&[u8], Option<&[u8]>)| {
    let (value, date) = headers;
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut response = Response::new(());
    response.headers_mut().insert("retry-after", value.clone());
    if let Some(Ok(date)) = date.map(HeaderValue::from_bytes) {
        response.headers_mut().insert("date", date);
    }
    let after = response.retry_after();
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        assert_eq!(after, text.parse().ok().map(Duration::from_secs));
    } else if !text.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        assert_eq!(after, None, "neither a number nor a date: {text:?}");
    }
});
