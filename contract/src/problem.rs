//! Refusals on the surfaces that speak RFC 7807 (application/problem+json) instead of the envelope.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Code;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal as RFC 7807 tells it. `code` is ours: the same number as in the envelope.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    pub status: u16,
    detail: &'a str,
    code: i16,
    /// What is wrong with each field, where a field is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<BTreeMap<&'a str, [&'a str; 1]>>,
}

impl<'a> Problem<'a> {
    /// A refusal that the envelope would tell under this HTTP status. What is wrong with a field, or goes beyond
    /// what an account holds, is 422 here.
    pub fn new(envelope_status: u16, code: i16, detail: &'a str, field: Option<&'a str>) -> Self {
        let is_of_request =
            code == Code::InvalidRequest.number() && envelope_status == 400 && field.is_some();
        let is_of_amount = code == Code::InsufficientBalance.number();
        let status = if is_of_request || is_of_amount { 422 } else { envelope_status };
        Problem {
            r#type: "about:blank",
            title: title(status),
            status,
            detail,
            code,
            errors: field.map(|field| BTreeMap::from([(field, [detail])])),
        }
    }

    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// HTTP's own words for a status.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_at_fault_is_named_under_errors() {
        let problem = Problem::new(400, 2000, "Missing field `code`.", Some("code")).to_json().unwrap();
        let expected = r#"{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"Missing field `code`.","code":2000,"errors":{"code":["Missing field `code`."]}}"#;
        assert_eq!(problem, expected);
    }

    #[test]
    fn the_status_is_the_envelopes_but_for_fields_and_balances() {
        for (status, code, field, told) in [
            (400, 2000, None, 400),
            (404, 2000, Some("customer_id"), 404),
            (402, 2002, Some("amount"), 422),
            (409, 2006, None, 409),
            (401, 2001, None, 401),
        ] {
            assert_eq!(Problem::new(status, code, "No.", field).status, told, "{code}");
        }
    }
}
