//! A page, read as its reader reads it: examples, tables, links.

use crate::support::place;

/// The README and the pages of docs/, in the order in which their examples run. A page goes on where the one before it
/// ended, unless it begins a story of its own.
pub const PAGES: &[(&str, Story)] = &[
    ("README.md", Story::Own),
    ("docs/quickstart.md", Story::Own),
    ("docs/api.md", Story::Own),
    ("docs/mcp.md", Story::GoesOn),
    ("docs/webhooks.md", Story::GoesOn),
    ("docs/wallets.md", Story::GoesOn),
    ("docs/funding.md", Story::GoesOn),
    ("docs/operating.md", Story::Own),
    ("docs/invariants.md", Story::Own),
    ("docs/decisions.md", Story::Own),
    ("docs/performance.md", Story::Own),
    ("docs/glossary.md", Story::Own),
    ("docs/README.md", Story::Own),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Its SQL begins with an empty ledger.
    Own,
    /// Its SQL uses what the page before it has made.
    GoesOn,
}

/// A fenced block.
pub struct Block {
    pub page: &'static str,
    pub language: String,
    /// What the comment before it says, such as `test: sql prints 1001`; empty where there is none.
    pub note: String,
    pub text: String,
}

pub fn text(page: &str) -> String {
    std::fs::read_to_string(place::root().join(page)).unwrap()
}

/// The fenced blocks of a page, each with the comment on the line before it.
pub fn blocks(page: &'static str) -> Vec<Block> {
    let text = text(page);
    let mut lines = text.lines();
    let mut before = "";
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let note = before.strip_prefix("<!-- ").and_then(|note| note.strip_suffix(" -->")).unwrap_or("");
            let text = format!("{}\n", inside.join("\n"));
            found.push(Block { page, language: language.to_owned(), note: note.to_owned(), text });
        }
        before = line;
    }
    found
}

/// The blocks of all pages that a test of this kind runs, each with what it prints.
pub fn examples(kind: &str) -> Vec<(Block, String)> {
    let marker = format!("test: {kind}");
    let all = PAGES.iter().flat_map(|(page, _)| blocks(page));
    let found: Vec<(Block, String)> = all
        .filter_map(|block| {
            let rest = block.note.strip_prefix(&marker)?;
            (rest.is_empty() || rest.starts_with(' '))
                .then(|| rest.trim().trim_start_matches("prints ").to_owned())
                .map(|prints| (block, prints))
        })
        .collect();
    assert!(!found.is_empty(), "no example of kind {kind}");
    found
}

/// The rows of the tables with this header on any page, their cells without code marks.
pub fn table(header: &str) -> Vec<Vec<String>> {
    let all: String = PAGES.iter().map(|(page, _)| text(page)).collect();
    let tables: Vec<&str> = all.split(header).skip(1).collect();
    assert!(!tables.is_empty(), "no table {header}");
    let rows = tables.iter().flat_map(|rest| rest.lines().skip(2).take_while(|line| line.starts_with('|')));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}
