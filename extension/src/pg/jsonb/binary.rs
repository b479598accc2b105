//! A document as Postgres stores it in a `jsonb` (src/include/utils/jsonb.h): a container has a word with its kind and
//! count, a word for each of its children, and then their values. To have Postgres read the text instead costs four
//! times as much, and every reply pays for it.

use std::collections::BTreeMap;

use pgrx::pg_sys;

use super::document::{Document, Text};

/// More than a reply ever has, and less than the format's own bounds.
const BYTES_MAX: usize = 1 << 24;

/// Room for the length that every value of variable length begins with.
const HEADER: usize = 4;

/// The bytes of a document, but for the length in the first four; none for what is not a container, or too large.
pub fn write(document: &Document) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    match document {
        Document::Array(_) | Document::Object(_) => push(&mut bytes, document),
        _ => return None,
    };
    (bytes.len() <= BYTES_MAX).then_some(bytes)
}

/// Adds a value, and gives the word that stands for it in its container, without a length.
fn push(bytes: &mut Vec<u8>, document: &Document) -> u32 {
    match document {
        Document::Null => pg_sys::JENTRY_ISNULL,
        Document::Bool(true) => pg_sys::JENTRY_ISBOOL_TRUE,
        Document::Bool(false) => pg_sys::JENTRY_ISBOOL_FALSE,
        Document::Integer(number) => push_number(bytes, *number),
        Document::String(text) => push_text(bytes, text),
        Document::Array(items) => {
            let children: Vec<Child> = items.iter().map(Child::Value).collect();
            push_container(bytes, pg_sys::JB_FARRAY, items.len(), &children)
        }
        Document::Object(pairs) => {
            // The last of equal keys counts.
            let pairs: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (rank(key), (key, value))).collect();
            let keys = pairs.values().map(|(key, _)| Child::Key(key));
            let children: Vec<Child> =
                keys.chain(pairs.values().map(|(_, value)| Child::Value(value))).collect();
            push_container(bytes, pg_sys::JB_FOBJECT, pairs.len(), &children)
        }
    }
}

/// In which order keys stand: the shorter first.
fn rank<'a>(key: &'a Text) -> (usize, &'a [u8]) {
    (key.0.len(), key.0.as_bytes())
}

/// What a container has: an object all its keys, and then their values.
enum Child<'a> {
    Key(&'a Text<'a>),
    Value(&'a Document<'a>),
}

fn push_container(bytes: &mut Vec<u8>, kind: u32, count: usize, children: &[Child]) -> u32 {
    align(bytes);
    bytes.extend((kind | count as u32).to_ne_bytes());
    let words = bytes.len();
    bytes.resize(words + children.len() * size_of::<u32>(), 0);
    let values = bytes.len();
    for (n, child) in children.iter().enumerate() {
        let begin = bytes.len();
        let kind = match child {
            Child::Key(key) => push_text(bytes, key),
            Child::Value(value) => push(bytes, value),
        };
        // One in so many has the place where its value ends, so that a search need not add up all lengths.
        let word = match n % pg_sys::JB_OFFSET_STRIDE as usize {
            0 => kind | pg_sys::JENTRY_HAS_OFF | (bytes.len() - values) as u32,
            _ => kind | (bytes.len() - begin) as u32,
        };
        let place = words + n * size_of::<u32>();
        bytes[place..place + size_of::<u32>()].copy_from_slice(&word.to_ne_bytes());
    }
    pg_sys::JENTRY_ISCONTAINER
}

fn push_text(bytes: &mut Vec<u8>, text: &Text) -> u32 {
    bytes.extend(text.0.as_bytes());
    pg_sys::JENTRY_ISSTRING
}

fn push_number(bytes: &mut Vec<u8>, number: i64) -> u32 {
    align(bytes);
    // SAFETY: gives a numeric in the current memory context, whose length is at its beginning.
    unsafe {
        let numeric = pg_sys::int64_to_numeric(number).cast::<pg_sys::varlena>();
        bytes.extend(std::slice::from_raw_parts(numeric.cast::<u8>(), pgrx::varsize_any(numeric)));
    }
    pg_sys::JENTRY_ISNUMERIC
}

/// Numbers and containers begin at a multiple of four. The gap counts as theirs.
fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(size_of::<u32>()), 0);
}
