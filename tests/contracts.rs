//! `CONTRACTS.txt` tells no tales: each test that it names is in the tree, is a test, and runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SECTIONS: std::ops::RangeInclusive<u32> = 1..=11;
const FAULTS: std::ops::RangeInclusive<u32> = 1..=51;
/// Probes are functions; they are tests when they stand in the list of `main.rs`.
const PROBES: &str = "tests/contract/probes.rs";
const PROBES_LIST: &str = "tests/contract/main.rs";

/// One line: a rule or a fault, and its test.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'a> {
    what: &'a str,
    file: &'a str,
    test: &'a str,
}

/// Reads a line that is no comment; `None` if it isn't of the form.
fn claim(line: &str) -> Option<Claim<'_>> {
    let (what, place) = line.split_once(": ")?;
    let number = |text: &str| text.parse::<u32>().ok();
    let known = match what.strip_prefix("fault ") {
        Some(fault) => FAULTS.contains(&number(fault)?),
        None => {
            let (section, rule) = what.split_once('.')?;
            let named = !rule.is_empty() && rule.chars().all(|c| c.is_alphanumeric() || c == '-');
            SECTIONS.contains(&number(section)?) && named
        }
    };
    let (file, test) = place.split_once("::")?;
    let named = test.chars().all(|c| c.is_alphanumeric() || c == '_') && !test.is_empty();
    (known && named).then_some(Claim { what, file, test })
}

/// Is there a test `name` in `source` that runs?
fn is_test(source: &str, name: &str) -> Result<(), &'static str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &&str| {
        line.split_once("fn ")
            .and_then(|(_, rest)| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with(['(', '<']))
    };
    let at = lines.iter().position(begins).ok_or("there is no such fn")?;
    let attributes: Vec<&&str> = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .filter(|line| line.starts_with("#["))
        .collect();
    if attributes.iter().any(|line| line.starts_with("#[ignore")) {
        return Err("it is ignored");
    }
    let marks = ["#[test]", "#[tokio::test"];
    let marked = |line: &&&str| marks.iter().any(|mark| line.starts_with(mark));
    if attributes.iter().any(marked) { Ok(()) } else { Err("it is no test") }
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

/// What is wrong with the claims of `text`.
fn wrong(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = match claim(line) {
            None => Some("neither `<section>.<rule>` nor `fault <n>`: `<file>::<test>`"),
            Some(claim) => {
                let (source, list) = (read(claim.file), read(PROBES_LIST));
                let result = match (&source, &list) {
                    (None, _) => Err("there is no such file"),
                    (Some(source), Some(list)) if claim.file == PROBES => {
                        let listed = list.lines().any(|line| line.trim() == claim.test);
                        let there = source.contains(&format!("pub(crate) fn {}<", claim.test));
                        if listed && there {
                            Ok(())
                        } else {
                            Err("there is no such probe in the list")
                        }
                    }
                    (Some(source), _) => is_test(source, claim.test),
                };
                match result {
                    Err(fault) => Some(fault),
                    Ok(()) if seen.insert(claim) => None,
                    Ok(()) => Some("it stands there twice"),
                }
            }
        };
        if let Some(fault) = fault {
            wrong.push(format!("tests/CONTRACTS.txt:{number}: {fault}: {line}"));
        }
    }
    wrong
}

#[test]
fn every_promise_has_the_test_that_it_names() {
    let text = read("tests/CONTRACTS.txt").unwrap();
    let wrong = wrong(&text, read);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));

    let covered: BTreeSet<u32> = text
        .lines()
        .filter_map(|line| line.strip_prefix("fault ")?.split_once(':')?.0.parse().ok())
        .collect();
    let open: Vec<u32> = FAULTS.filter(|fault| !covered.contains(fault)).collect();
    println!("faults of the catalogue without a test so far: {open:?}");
}

#[test]
fn every_probe_is_in_the_list_that_runs_it() {
    let list = read(PROBES_LIST).unwrap();
    for line in read(PROBES).unwrap().lines() {
        let Some((name, _)) = line.strip_prefix("pub(crate) fn ").and_then(|l| l.split_once('<'))
        else {
            continue;
        };
        assert!(list.lines().any(|line| line.trim() == name), "{name} is not in {PROBES_LIST}");
    }
}

#[test]
fn a_claim_without_its_test_is_found() {
    let files = |file: &str| {
        let source = match file {
            "tests/a.rs" => {
                "#[test]\nfn runs() {}\nfn helper() {}\n#[test]\n#[ignore = \"slow\"]\nfn ignored() \
                 {}\n#[tokio::test(start_paused = true)]\n// Why.\nasync fn runs_in_time() {}\n\
                 fn runs_longer() {}"
            }
            PROBES => "pub(crate) fn probe<L>() {}\npub(crate) fn unlisted<L>() {}",
            PROBES_LIST => "    probe\n    ghost\n",
            _ => return None,
        };
        Some(source.to_owned())
    };
    let count = |text: &str| wrong(text, files).len();
    for good in [
        "# a comment",
        "1.a-rule: tests/a.rs::runs",
        "fault 51: tests/a.rs::runs_in_time",
        "1.a: tests/contract/probes.rs::probe\nfault 1: tests/contract/probes.rs::probe",
    ] {
        assert_eq!(count(good), 0, "{good}");
    }
    for bad in [
        "1.a: tests/a.rs::run",
        "1.a: tests/a.rs::helper",
        "1.a: tests/a.rs::runs_longer",
        "1.a: tests/a.rs::ignored",
        "1.a: tests/b.rs::runs",
        "1.a: tests/a.rs",
        "1.a tests/a.rs::runs",
        "12.a: tests/a.rs::runs",
        "1.: tests/a.rs::runs",
        "fault 52: tests/a.rs::runs",
        "fault x: tests/a.rs::runs",
        "1.a: tests/contract/probes.rs::unlisted",
        "1.a: tests/contract/probes.rs::ghost",
        "1.a: tests/a.rs::runs\n1.a: tests/a.rs::runs",
    ] {
        assert_eq!(count(bad), 1, "{bad}");
    }
}
