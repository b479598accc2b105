//! Lists of the customer-wallet surface: pages by offset, with the whole count.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;

use crate::value::reply::Refusal;

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub limit: i64,
    pub offset: i64,
}

impl Range {
    /// 1 to 100 rows, 20 if not said, after `offset` others.
    pub fn of(limit: Option<i64>, offset: Option<i64>) -> Result<Range, Refusal> {
        let range = Range { limit: limit.unwrap_or(LIMIT_DEFAULT), offset: offset.unwrap_or(0) };
        let invalid = |field: &str, message: String| Refusal::of_field(Code::InvalidRequest, field, message);
        if !(1..=LIMIT_MAX).contains(&range.limit) {
            return Err(invalid("limit", format!("The limit must be from 1 to {LIMIT_MAX}.")));
        }
        if range.offset < 0 {
            return Err(invalid("offset", "The offset must be 0 or more.".to_owned()));
        }
        Ok(range)
    }

    /// A page with these rows.
    pub fn page<T>(self, items: Vec<T>, total_count: i64) -> Page<T> {
        Page { items, total_count, limit: self.limit, offset: self.offset }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total_count: i64,
    /// How many a page has at most.
    pub limit: i64,
    /// How many were left out before it.
    pub offset: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_1_to_100_rows() {
        assert_eq!(Range::of(None, None).unwrap(), Range { limit: 20, offset: 0 });
        assert_eq!(Range::of(Some(100), Some(7)).unwrap(), Range { limit: 100, offset: 7 });
        for (limit, offset, field) in [(0, 0, "limit"), (101, 0, "limit"), (1, -1, "offset")] {
            assert_eq!(Range::of(Some(limit), Some(offset)).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
