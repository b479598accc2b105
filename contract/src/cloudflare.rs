//! Replies as Cloudflare's clients know them: a result enclosed with success, errors and messages. Their clients take
//! every 2xx for a success, and repeat a 409 as they repeat a 5xx: no refusal may have either.

use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct CloudflareReply<'a> {
    result: Option<&'a RawValue>,
    success: bool,
    errors: Vec<Fault<'a>>,
    messages: [(); 0],
}

#[derive(Serialize)]
struct Fault<'a> {
    /// The number that the envelope has.
    code: i16,
    message: &'a str,
    /// The field at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// The body of a success; `result` is JSON text.
pub fn cloudflare_result(result: &RawValue) -> serde_json::Result<String> {
    serde_json::to_string(&CloudflareReply {
        result: Some(result),
        success: true,
        errors: Vec::new(),
        messages: [],
    })
}

/// The body of a refusal.
pub fn cloudflare_refusal(code: i16, message: &str, field: Option<&str>) -> serde_json::Result<String> {
    let errors = vec![Fault { code, message, field }];
    serde_json::to_string(&CloudflareReply { result: None, success: false, errors, messages: [] })
}

/// The status of a refusal that the envelope would tell under this one.
pub fn cloudflare_status(envelope_status: u16) -> u16 {
    match envelope_status {
        402 | 409 => 400,
        status if status < 400 => 400,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_keeps_its_digits_and_a_refusal_has_no_result() {
        let result = RawValue::from_string(r#"{"balance":0.10}"#.to_owned()).unwrap();
        let text = r#"{"result":{"balance":0.10},"success":true,"errors":[],"messages":[]}"#;
        assert_eq!(cloudflare_result(&result).unwrap(), text);
        let refusal = r#"{"result":null,"success":false,"errors":[{"code":2005,"message":"No.","field":"amount"}],"messages":[]}"#;
        assert_eq!(cloudflare_refusal(2005, "No.", Some("amount")).unwrap(), refusal);
    }

    #[test]
    fn no_refusal_is_repeated_or_taken_for_a_success() {
        for (envelope, shown) in
            [(200, 400), (202, 400), (402, 400), (409, 400), (404, 404), (429, 429), (503, 503)]
        {
            assert_eq!(cloudflare_status(envelope), shown);
        }
    }
}
