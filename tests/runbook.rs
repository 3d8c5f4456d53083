//! The runbook: every page that an event or a refusal points to is there, and says all four things.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use seawall::error::Reason;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The pages that the code points to.
fn pointed_to() -> BTreeSet<String> {
    let code = read("src/event/runbook.rs");
    let pages = code.split("page!(\"").skip(1);
    pages.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// The pages that are there.
fn there() -> BTreeSet<String> {
    let files = fs::read_dir(path("src/guide/runbook")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".md")?.to_owned())).collect()
}

#[test]
fn every_anchor_is_a_page_and_every_page_has_its_anchor() {
    let pages = pointed_to();
    assert!(pages.len() > 20, "{pages:?}");
    assert_eq!(pages, there());
    let rendered = read("src/guide/runbook/mod.rs");
    for page in &pages {
        assert!(rendered.contains(&format!("pub mod {page} {{}}")), "{page} is rendered");
        assert!(rendered.contains(&format!("include_str!(\"{page}.md\")")), "{page} is rendered");
        assert!(rendered.contains(&format!("| [`{page}`] |")), "{page} is in the list");
    }
}

#[test]
fn every_page_says_what_it_means_how_to_confirm_what_to_do_and_how_to_prevent_it() {
    for page in there() {
        let text = read(&format!("src/guide/runbook/{page}.md"));
        let sections: Vec<&str> = text.split("\n# ").collect();
        let names: Vec<&str> =
            sections[1..].iter().map(|section| section.lines().next().unwrap()).collect();
        let want = ["What it means", "How to confirm", "What to do now", "How to prevent it"];
        assert_eq!(names, want, "{page}");
        for section in &sections[1..] {
            let words = section.split_whitespace().count();
            assert!(words > 5, "{page}: {section}");
        }
    }
}

#[test]
fn every_reason_of_a_refusal_is_named_on_its_page() {
    for reason in Reason::ALL {
        let page = reason.runbook().strip_prefix("guide/runbook/").unwrap();
        let page = page.strip_suffix("/index.html").unwrap();
        let text = read(&format!("src/guide/runbook/{page}.md"));
        assert!(text.contains(&format!("`{reason}`")), "{page} names {reason}");
    }
}
