//! What a reader meets on every page: short lines, a README of one sitting, and links that lead somewhere.

use super::page::{PAGES, text};
use crate::support::place;
use std::collections::BTreeSet;

const COLUMNS_MAX: usize = 110;
const README_LINES_MAX: usize = 150;

/// Pages for contributors, without examples.
const OTHERS: [&str; 5] = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md"];

fn all_pages() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(page, _)| *page).chain(OTHERS)
}

#[test]
fn the_readme_is_short_and_no_line_of_a_page_is_long() {
    assert!(text("README.md").lines().count() <= README_LINES_MAX);
    for page in all_pages() {
        for (number, line) in text(page).lines().enumerate().filter(|(_, line)| !line.starts_with('|')) {
            let columns = line.chars().count();
            assert!(columns <= COLUMNS_MAX, "{page}:{}: {columns} columns", number + 1);
        }
    }
}

#[test]
fn every_page_is_known_and_every_link_leads_somewhere() {
    let files = std::fs::read_dir(place::root().join("docs")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    let known: BTreeSet<String> =
        PAGES.iter().map(|(page, _)| (*page).to_owned()).filter(|page| page.starts_with("docs/")).collect();
    assert_eq!(pages, known);

    for page in all_pages() {
        let folder = place::root().join(page).parent().unwrap().to_owned();
        let shown = text(page);
        for link in shown.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = folder.join(file);
            assert!(target.is_file(), "{page}: {link}");
            let there = std::fs::read_to_string(&target).unwrap();
            let anchors: Vec<String> =
                there.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
            assert!(anchor.is_empty() || anchors.contains(&anchor.to_owned()), "{page}: {link}: {anchors:?}");
        }
    }
}

/// What a page names in code marks under a folder of the project is there.
#[test]
fn every_file_that_a_page_names_exists() {
    let folders = ["extension/", "gateway/", "sql/", "tests/", "contract/", "scripts/", "docs/"];
    let mut count = 0;
    for page in all_pages() {
        for name in text(page).split('`').skip(1).step_by(2) {
            let is_path =
                folders.iter().any(|folder| name.starts_with(folder)) && !name.contains([' ', '<', '*']);
            if is_path {
                count += 1;
                assert!(place::root().join(name).exists(), "{page}: {name}");
            }
        }
    }
    assert!(count > 40, "{count}");
}

/// The anchor that readers of Markdown give to a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words.chars().filter(|c| c.is_alphanumeric() || "- ".contains(*c)).collect::<String>().replace(' ', "-")
}
