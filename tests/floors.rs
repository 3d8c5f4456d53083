//! Keeps the house standing: imports point down, rooms are strangers, engines are pure.
//!
//! ```text
//!  4 roof        stack/ http/ guide/ (see every room)   telemetry/ incident/ notify/ (see floors 0 and 1)
//!  3 middleware  <room>/{mod,layer,service,future,handle}.rs
//!  2 engines     <room>/{everything else}.rs: no tower, tokio, Poll; nothing of floor 3
//!  1 vocabulary  outcome event audit verdict steer tick measure key stale retry_after request
//!                budget window stats work; and, not for engines, readied, guarded and attempt
//!  0 ground      sync clock ratio rng error criticality local live stripe quoted wall
//! ```
//!
//! A new file of the ground or the vocabulary is named in [`GROUND`] or [`VOCABULARY`]; any other
//! folder is a room, by itself. Read are all paths in code (`use` and inline, groups unfolded), not
//! comments, strings, or what stands under `#[cfg(test)]` or `seawall_loom`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor 0.
const GROUND: &[&str] = &[
    "sync",
    "clock",
    "ratio",
    "rng",
    "error",
    "criticality",
    "local",
    "live",
    "stripe",
    "quoted",
    "wall",
];
/// Floor 1.
const VOCABULARY: &[&str] = &[
    "outcome",
    "event",
    "audit",
    "verdict",
    "steer",
    "tick",
    "measure",
    "key",
    "stale",
    "retry_after",
    "request",
    "budget",
    "window",
    "stats",
    "work",
];
/// What middleware and listeners share: floor 1 too, but made of tower's words, and not for engines.
const SHARED_MIDDLEWARE: [&str; 3] = ["readied", "guarded", "attempt"];
/// The one of them that waits: work beside all calls has a limit of time.
const WAITS: [&str; 1] = ["attempt"];
/// The roof's folders that see every room.
const ROOF: [&str; 3] = ["stack", "http", "guide"];
/// The roof's folders that see floors 0 and 1 alone.
const LISTENERS: [&str; 3] = ["telemetry", "incident", "notify"];
/// The files of a room that are its middleware; `mod` is the doorplate and re-exports from both.
const MIDDLEWARE: [&str; 5] = ["mod", "layer", "service", "future", "handle"];
/// Crates of the roof: HTTP is spoken there, over the vocabulary's traits.
const WEB: [&str; 4] = ["http", "http_body", "httpdate", "bytes"];
/// Crates of middleware.
const TOWER: [&str; 6] =
    ["tower", "tower_layer", "tower_service", "tokio", "pin_project_lite", "futures"];
/// `tokio` as a clock, and nothing else, on the ground.
const CLOCK_MAY: [&str; 2] = ["tokio", "time"];

/// Where a file stands, and what it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Ground,
    Vocabulary,
    SharedMiddleware,
    Engine(&'a str),
    Middleware(&'a str),
    Listener(&'a str),
    Roof,
    /// `lib.rs`.
    Top,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ground => f.write_str("the ground (floor 0)"),
            Self::Vocabulary => f.write_str("the vocabulary (floor 1)"),
            Self::SharedMiddleware => f.write_str("the shared middleware (floor 1)"),
            Self::Engine(room) => write!(f, "the engine of room `{room}` (floor 2)"),
            Self::Middleware(room) => write!(f, "the middleware of room `{room}` (floor 3)"),
            Self::Listener(name) => write!(f, "the listener `{name}` under the roof (floor 4)"),
            Self::Roof => f.write_str("the roof (floor 4)"),
            Self::Top => f.write_str("lib.rs"),
        }
    }
}

/// `path` as modules: `bulkhead/layer.rs` is `["bulkhead", "layer"]`.
fn modules(path: &str) -> Vec<&str> {
    path.trim_end_matches(".rs").split('/').collect()
}

fn place<'a>(modules: &[&'a str]) -> Place<'a> {
    match modules {
        ["lib"] => Place::Top,
        [top, ..] if GROUND.contains(top) => Place::Ground,
        [top, ..] if VOCABULARY.contains(top) => Place::Vocabulary,
        [top, ..] if SHARED_MIDDLEWARE.contains(top) => Place::SharedMiddleware,
        [top, ..] if ROOF.contains(top) => Place::Roof,
        [top, ..] if LISTENERS.contains(top) => Place::Listener(top),
        [room] => Place::Middleware(room),
        [room, file, ..] if MIDDLEWARE.contains(file) => Place::Middleware(room),
        [room, ..] => Place::Engine(room),
        [] => Place::Top,
    }
}

/// What `to`, a path of modules from the crate's root, leads to.
fn target<'a>(to: &[&'a str]) -> Place<'a> {
    match place(to) {
        // `crate::bulkhead::BulkheadLayer` is a re-export, not a file, and may come from both of the
        // room's floors: from outside it counts as the upper one.
        Place::Engine(room) if to[1].starts_with(char::is_uppercase) => Place::Middleware(room),
        place => place,
    }
}

/// May a file at `from` name what lies at `to`?
fn sees(from: Place<'_>, to: Place<'_>) -> bool {
    use Place::*;
    match (from, to) {
        (Top | Roof, _) => true,
        (_, Ground) => true,
        (Ground, _) => false,
        (_, Vocabulary) => true,
        (SharedMiddleware | Middleware(_) | Listener(_), SharedMiddleware) => true,
        (Listener(own), Listener(other)) => own == other,
        (Engine(room), Engine(other)) => room == other,
        (Middleware(room), Engine(other) | Middleware(other)) => room == other,
        _ => false,
    }
}

/// May a file at `from` use the foreign `path`, such as `tokio::time::Sleep`?
fn may_use(from: Place<'_>, file: &[&str], path: &[&str]) -> bool {
    let tower = TOWER.contains(&path[0]) || path.contains(&"Poll");
    let web = WEB.contains(&path[0]);
    match from {
        Place::Top | Place::Roof | Place::Listener(_) => true,
        Place::Middleware(_) => !web,
        // Needs no timer and no runtime, but for the one that waits.
        Place::SharedMiddleware => !web && (path[0] != "tokio" || file == WAITS),
        Place::Engine(_) | Place::Vocabulary => !tower && !web,
        Place::Ground => (!tower && !web) || (file == ["clock"] && path.starts_with(&CLOCK_MAY)),
    }
}

/// One import that the house forbids.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Everything wrong with `file` (its path below `src`), whose text is `source`.
fn check(file: &str, source: &str) -> Vec<Wrong> {
    let here = modules(file);
    let from = place(&here);
    paths(&code_of(source))
        .into_iter()
        .filter_map(|(line, path)| {
            let segments: Vec<&str> = path.split("::").collect();
            let what = match absolute(&here, &segments) {
                Some(to) if sees(from, target(&to)) => return None,
                Some(to) => format!("{from} must not name `{}`, {}", to.join("::"), target(&to)),
                None if may_use(from, &here, &segments) => return None,
                None => format!("{from} must not use `{path}`"),
            };
            let file = file.to_owned();
            Some(Wrong { file, line, what })
        })
        .collect()
}

/// `path` from the crate's root, if it is one of ours.
fn absolute<'a>(here: &[&'a str], path: &[&'a str]) -> Option<Vec<&'a str>> {
    // The module that `super` of this file is in; `mod.rs` is its folder.
    let mut base: Vec<&str> = here.to_vec();
    if base.last() == Some(&"mod") {
        base.pop();
    }
    let ups = path.iter().take_while(|part| **part == "super").count();
    let rest = match path[0] {
        "crate" | "seawall" => {
            base.clear();
            &path[1..]
        }
        "self" => &path[1..],
        "super" => {
            base.truncate(base.len().saturating_sub(ups));
            &path[ups..]
        }
        _ => return None,
    };
    base.extend(rest);
    (!base.is_empty()).then_some(base)
}

/// The code of `source`, line for line: comments, strings and test-only items blanked out.
fn code_of(source: &str) -> String {
    let mut code = blank_comments_and_strings(source);
    while let Some(item) = test_only_item(&code) {
        let blank = code[item.clone()]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect::<String>();
        code.replace_range(item, &blank);
    }
    code
}

fn blank_comments_and_strings(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            find(rest, b"*/").map_or(rest.len(), |end| end + 2)
        } else if rest[0] == b'"' {
            string_length(rest)
        } else if rest.starts_with(b"'\"'") {
            3
        } else if rest.starts_with(b"'\\") {
            // An escaped character: up to its quote, which is not the escaped one.
            3 + rest[3..].iter().position(|b| *b == b'\'').unwrap_or(0) + 1
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length;
    }
    // What was blanked began and ended at ASCII bytes.
    String::from_utf8(code).expect("still UTF-8")
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Of a string that begins with its quote; raw strings hold no quote in this house.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The next item that exists only in tests or models: its attribute, and up to its end.
///
/// What a feature brings, or what is there when *no* model runs, is checked.
fn test_only_item(code: &str) -> Option<std::ops::Range<usize>> {
    let start = ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(seawall_loom)]"]
        .iter()
        .filter_map(|attribute| code.find(attribute))
        .min()?;
    let body = code[start..].find(['{', ';'])? + start;
    if code.as_bytes()[body] == b';' {
        return Some(start..body + 1);
    }
    let mut depth = 0_usize;
    for (offset, c) in code[body..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(start..body + offset + 1);
        }
    }
    Some(start..code.len())
}

/// Every path of two parts or more, and every `use`, with its line; groups unfolded.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let begins = starts_word(code, at);
        if !begins {
            at += 1;
            continue;
        }
        let word = &code[at..at + word_length(&code[at..])];
        let in_use = word == "use";
        let path = if in_use {
            at += word.len();
            at += code[at..].len() - code[at..].trim_start().len();
            // `use ::tokio::..` names the crate tokio.
            at += if code[at..].starts_with("::") { 2 } else { 0 };
            &code[at..]
        } else {
            &code[at..]
        };
        let line = code[..at].matches('\n').count() + 1;
        let mut unfolded = Vec::new();
        let length = unfold(path, "", &mut unfolded);
        unfolded.retain(|path: &String| in_use || path.contains("::"));
        found.extend(unfolded.into_iter().map(|path| (line, path)));
        at += length.max(1);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Does a word begin at `at` that isn't a later part of a path, a lifetime or a macro's variable?
fn starts_word(code: &str, at: usize) -> bool {
    if !code.is_char_boundary(at) || !code[at..].starts_with(|c| is_word(c) && !char::is_numeric(c))
    {
        return false;
    }
    let before = code[..at].chars().next_back().unwrap_or(' ');
    !is_word(before) && !matches!(before, '\'' | '$') && !code[..at].ends_with("::")
}

/// Reads a path at the start of `text`, groups and all, into `out`; gives the length read.
fn unfold(text: &str, prefix: &str, out: &mut Vec<String>) -> usize {
    let skipped = text.len() - text.trim_start().len();
    let mut at = skipped + word_length(&text[skipped..]);
    let word = &text[skipped..at];
    let path = match (prefix, word) {
        ("", word) => word.to_owned(),
        (prefix, "" | "self") => prefix.to_owned(),
        (prefix, word) => format!("{prefix}::{word}"),
    };
    let after = text[at..].trim_start();
    let Some(tail) = after.strip_prefix("::") else {
        out.push(path);
        return at;
    };
    at = text.len() - tail.len();
    let inner = tail.trim_start();
    if let Some(group) = inner.strip_prefix('{') {
        let mut at = text.len() - group.len();
        loop {
            let rest = text[at..].trim_start();
            at = text.len() - rest.len();
            match rest.chars().next() {
                Some('}') => return at + 1,
                None => return at,
                Some(c) if is_word(c) => at += unfold(rest, &path, out),
                // A comma, a `*`, or what `as` renames to.
                Some(c) => at += c.len_utf8(),
            }
            // `x as y`: the new name is no path.
            if let Some(renamed) = text[at..].trim_start().strip_prefix("as ") {
                at = text.len() - renamed.len() + word_length(renamed);
            }
        }
    }
    if inner.starts_with(is_word) {
        return at + unfold(&text[at..], &path, out);
    }
    // `path::<T>`, `path::*`
    out.push(path);
    at
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_import_in_the_house_points_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "{} files in {root:?}", files.len());
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            check(&name.replace('\\', "/"), &fs::read_to_string(path).unwrap())
        })
        .map(|wrong| wrong.to_string())
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_room_has_its_doorplate_and_it_holds_no_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(&root).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !folder.is_dir() || !matches!(place(&[name]), Place::Middleware(_)) {
            continue;
        }
        let plate = fs::read_to_string(folder.join("mod.rs")).unwrap();
        assert!(plate.starts_with("//! "), "{name}/mod.rs says what it is");
        let code = code_of(&plate);
        for word in ["fn ", "impl ", "struct ", "enum ", "trait "] {
            assert!(!code.contains(word), "{name}/mod.rs: `{word}` is code");
        }
    }
}

/// The checker itself: what it must find, what it must let pass.
mod checker {
    use super::*;

    /// The lines at which `source` is wrong as `file`.
    fn lines(file: &str, source: &str) -> Vec<usize> {
        check(file, source).iter().map(|wrong| wrong.line).collect()
    }

    #[test]
    fn a_wrong_import_is_told_with_file_line_and_rooms() {
        let source = "//! A room.\n\nuse crate::clock::Clock;\nuse crate::fallback::Fallback;\n";
        let wrong = check("breaker/service.rs", source);
        assert_eq!(
            wrong[0].to_string(),
            "src/breaker/service.rs:4: the middleware of room `breaker` (floor 3) must not name \
             `fallback::Fallback`, the middleware of room `fallback` (floor 3)"
        );
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn rooms_are_strangers() {
        for path in ["fallback", "fallback::Fallback", "fallback::engine::Engine"] {
            for file in ["breaker/service.rs", "breaker/engine.rs", "breaker/mod.rs"] {
                assert_eq!(lines(file, &format!("use crate::{path};")), [1], "{path}");
                let inline = format!("fn f() {{\n    crate::{path}::f()\n}}");
                assert_eq!(lines(file, &inline), [2], "{path}");
            }
        }
        assert_eq!(lines("breaker/service.rs", "use super::super::bulkhead::X;"), [1]);
        assert!(lines("breaker/service.rs", "use super::engine::Engine;").is_empty());
        assert!(lines("breaker/service.rs", "use crate::breaker::State;").is_empty());
    }

    #[test]
    fn engines_are_pure() {
        for import in [
            "use tokio::time::Sleep;",
            "use ::tokio::sync::Notify;",
            "use tower_service::Service;",
            "use std::task::Poll;",
            "use std::task::{Context, Poll};",
            "use std::{fmt, task::{Context, Poll}};",
            "fn f() -> std::task::Poll<()> { todo!() }",
            "use pin_project_lite::pin_project;",
            "use super::layer::Shared;",
            "use super::{word, service::X};",
            "use crate::breaker::future::X;",
            "use crate::guarded::Guarded;",
            "use crate::stack;",
        ] {
            assert_eq!(lines("breaker/engine.rs", import), [1], "{import}");
            if !import.contains("super") {
                assert_eq!(lines("breaker/rules/hung.rs", import), [1], "{import}");
            }
        }
        for import in [
            "use super::word::Word;",
            "use crate::breaker::word::Word;",
            "use crate::window::CountWindow;",
            "use crate::sync::{AtomicU64, Ordering};",
            "use std::time::Duration;",
        ] {
            assert!(lines("breaker/engine.rs", import).is_empty(), "{import}");
        }
    }

    #[test]
    fn the_lower_floors_do_not_look_up() {
        assert_eq!(lines("clock.rs", "use crate::event::Event;"), [1]);
        assert_eq!(lines("clock.rs", "use crate::bulkhead::Bulkhead;"), [1]);
        assert_eq!(lines("event.rs", "use crate::bulkhead::Bulkhead;"), [1]);
        assert_eq!(lines("event.rs", "use crate::readied::Readied;"), [1]);
        assert_eq!(lines("window/count.rs", "use std::task::Poll;"), [1]);
        assert_eq!(lines("window/count.rs", "use tokio::sync::Notify;"), [1]);
        assert_eq!(lines("guarded.rs", "use tokio::time::Sleep;"), [1]);
        assert_eq!(lines("guarded.rs", "use crate::timeout::Timeout;"), [1]);
        assert!(lines("guarded.rs", "use std::task::Poll;").is_empty());
        assert!(lines("event.rs", "use crate::outcome::Outcome;").is_empty());
    }

    #[test]
    fn http_is_spoken_on_the_roof() {
        let import = "use http::Response;";
        assert!(lines("http/buffer.rs", import).is_empty());
        for file in ["fallback/service.rs", "fallback/store.rs", "stale.rs", "guarded.rs"] {
            assert_eq!(lines(file, import), [1], "{file}");
        }
    }

    #[test]
    fn only_the_clock_reads_tokios_time() {
        let reads = "fn now() { tokio::time::Instant::now(); }";
        assert!(lines("clock.rs", reads).is_empty());
        assert_eq!(lines("rng.rs", reads), [1]);
        assert_eq!(lines("clock.rs", "use tokio::sync::Notify;"), [1]);
    }

    #[test]
    fn the_roof_sees_every_room_and_listeners_see_none() {
        let import = "use crate::breaker::CircuitBreaker;";
        assert!(lines("stack/payment.rs", import).is_empty());
        assert!(lines("http/classify.rs", import).is_empty());
        assert!(lines("lib.rs", "pub use breaker::CircuitBreaker;").is_empty());
        assert_eq!(lines("telemetry/metrics.rs", import), [1]);
        assert!(lines("incident/record.rs", "use crate::event::Event;").is_empty());
        assert!(lines("incident/record.rs", "use super::clerk::Clerk;").is_empty());
        assert_eq!(lines("incident/record.rs", "use crate::telemetry::CATALOGUE;"), [1]);
        assert_eq!(lines("breaker/service.rs", "use crate::stack::payment;"), [1]);
    }

    #[test]
    fn comments_strings_and_tests_are_not_code() {
        let source = "\
//! [`fallback`](crate::fallback)
/// ```
/// use crate::fallback::Fallback;
/// ```
/* use crate::fallback::Fallback; */
const TEXT: &str = \"crate::fallback::X \\\" crate::fallback::X\";
const QUOTE: char = '\"';
#[cfg(test)]
use crate::fallback::Fallback;
#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use crate::fallback::Fallback;
    fn f() { if true { tokio::spawn(x) } }
}
#[cfg(seawall_loom)]
pub(crate) use tokio::x;
use crate::fallback::Found;
";
        assert_eq!(lines("breaker/engine.rs", source), [17]);
    }

    #[test]
    fn a_feature_is_code() {
        let source = "#[cfg(feature = \"x\")]\nuse crate::fallback::X;";
        assert_eq!(lines("breaker/engine.rs", source), [2]);
        let source = "#[cfg(not(seawall_loom))]\nuse tokio::x;";
        assert_eq!(lines("breaker/engine.rs", source), [2]);
    }

    #[test]
    fn groups_globs_and_new_names_are_followed() {
        let source = "use crate::{clock::Clock, fallback::{self, X as Y},\n    outcome::*};";
        let found: Vec<_> =
            check("breaker/engine.rs", source).into_iter().map(|wrong| wrong.what).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`fallback`"), "{found:?}");
        assert!(found[1].contains("`fallback::X`"), "{found:?}");
        assert_eq!(lines("breaker/engine.rs", "use crate::fallback::*;"), [1]);
        assert_eq!(lines("breaker/engine.rs", "use tokio as t;"), [1]);
    }
}
