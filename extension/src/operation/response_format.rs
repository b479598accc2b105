//! How a reply looks over HTTP: the envelope itself, or the shapes of the API that a path stands for.
//! Inside, and in SQL, every reply is an envelope; only the wire turns it into another shape.

use pg_topup_contract::{Problem, cloudflare_refusal, cloudflare_result, cloudflare_status};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::value::reply::{Failure, Rendered};

/// The API that a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFormat {
    /// Ours: six fields, always all six.
    Envelope,
    /// Credyt's: the data alone under the one status that its clients accept, or an RFC 7807 problem.
    Credyt { success_status: i16 },
    /// A text of this media type, alone; or a problem.
    Document { media_type: &'static str },
    /// Cloudflare's: a result enclosed with success, errors and messages.
    Cloudflare,
}

/// The parts of an envelope that other surfaces show.
#[derive(Deserialize)]
struct Parts<'a> {
    success: bool,
    code: i16,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct RefusalData {
    message: String,
    field: Option<String>,
}

impl ResponseFormat {
    /// As `topup.operations()` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            ResponseFormat::Envelope => "envelope",
            ResponseFormat::Credyt { .. } => "credyt",
            ResponseFormat::Document { .. } => "document",
            ResponseFormat::Cloudflare => "cloudflare",
        }
    }

    /// The HTTP status of a success; in the envelope a code may have another.
    pub fn success_status(self) -> i16 {
        match self {
            ResponseFormat::Envelope | ResponseFormat::Document { .. } | ResponseFormat::Cloudflare => OK,
            ResponseFormat::Credyt { success_status } => success_status,
        }
    }

    /// What the body of a success is.
    pub fn media_type(self) -> &'static str {
        match self {
            ResponseFormat::Envelope | ResponseFormat::Credyt { .. } | ResponseFormat::Cloudflare => {
                "application/json"
            }
            ResponseFormat::Document { media_type } => media_type,
        }
    }

    /// The HTTP status of a refusal that the envelope would tell under this one.
    pub fn refusal_status(self, envelope_status: u16) -> i16 {
        let status = match self {
            ResponseFormat::Envelope => envelope_status,
            ResponseFormat::Cloudflare => cloudflare_status(envelope_status),
            // What goes beyond an account is 422 there.
            ResponseFormat::Credyt { .. } | ResponseFormat::Document { .. }
                if envelope_status == PAYMENT_REQUIRED =>
            {
                UNPROCESSABLE
            }
            ResponseFormat::Credyt { .. } | ResponseFormat::Document { .. } => envelope_status,
        };
        i16::try_from(status).unwrap_or(i16::MAX)
    }

    /// The HTTP status for a field at fault, where it is another than that of a malformed request.
    pub fn field_refusal_status(self) -> Option<i16> {
        match self {
            ResponseFormat::Envelope | ResponseFormat::Cloudflare => None,
            ResponseFormat::Credyt { .. } | ResponseFormat::Document { .. } => {
                i16::try_from(UNPROCESSABLE).ok()
            }
        }
    }

    /// An envelope as this surface shows it.
    pub fn show(self, reply: Rendered) -> Result<Rendered, Failure> {
        if self == ResponseFormat::Envelope {
            return Ok(reply);
        }
        let success_status = self.success_status();
        let parts: Parts = serde_json::from_str(&reply.body)?;
        let (http_status, body) = if !parts.success {
            let fault: RefusalData = serde_json::from_str(parts.data.get())?;
            let status = u16::try_from(reply.http_status).unwrap_or(500);
            if self == ResponseFormat::Cloudflare {
                let http_status = i16::try_from(cloudflare_status(status)).unwrap_or(500);
                let body = cloudflare_refusal(parts.code, &fault.message, fault.field.as_deref())?;
                return Ok(Rendered { http_status, body, ..reply });
            }
            let problem = Problem::new(status, parts.code, &fault.message, fault.field.as_deref());
            (i16::try_from(problem.status).unwrap_or(500), problem.to_json()?)
        } else if success_status == NO_CONTENT {
            (NO_CONTENT, String::new())
        } else if self == ResponseFormat::Cloudflare {
            (success_status, cloudflare_result(parts.data)?)
        } else if matches!(self, ResponseFormat::Document { .. }) {
            (success_status, serde_json::from_str(parts.data.get())?)
        } else {
            (success_status, parts.data.get().to_owned())
        };
        Ok(Rendered { http_status, body, ..reply })
    }
}

const OK: i16 = 200;
const NO_CONTENT: i16 = 204;
const PAYMENT_REQUIRED: u16 = 402;
const UNPROCESSABLE: u16 = 422;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(surface: ResponseFormat, status: i16, body: &str) -> (i16, String) {
        let reply = Rendered { http_status: status, body: body.to_owned(), replayed: false };
        let shown = surface.show(reply).unwrap();
        (shown.http_status, shown.body)
    }

    #[test]
    fn data_stands_alone_to_the_digit() {
        let envelope = r#"{"success":true,"code":1000,"transaction_id":null,"status":null,"timestamp":"t","data":{"amount":0.10}}"#;
        let credyt = |success_status| ResponseFormat::Credyt { success_status };
        assert_eq!(shown(credyt(201), 200, envelope), (201, r#"{"amount":0.10}"#.to_owned()));
        assert_eq!(shown(credyt(204), 200, envelope), (204, String::new()));
        assert_eq!(shown(ResponseFormat::Envelope, 200, envelope), (200, envelope.to_owned()));
    }

    #[test]
    fn a_document_is_the_text_itself() {
        let envelope = r#"{"success":true,"code":1000,"transaction_id":null,"status":null,"timestamp":"t","data":"a,\"b\"\r\n"}"#;
        let document = ResponseFormat::Document { media_type: "text/csv" };
        assert_eq!(shown(document, 200, envelope), (200, "a,\"b\"\r\n".to_owned()));
    }

    #[test]
    fn a_refusal_is_a_problem() {
        let envelope = r#"{"success":false,"code":2006,"transaction_id":null,"status":null,"timestamp":"t","data":{"message":"Used before."}}"#;
        let (status, body) = shown(ResponseFormat::Credyt { success_status: 201 }, 409, envelope);
        assert_eq!(status, 409);
        assert!(
            body.contains(r#""title":"Conflict","status":409,"detail":"Used before.","code":2006"#),
            "{body}"
        );
    }

    #[test]
    fn cloudflares_clients_find_a_result_or_errors() {
        let envelope = r#"{"success":true,"code":1000,"transaction_id":null,"status":null,"timestamp":"t","data":{"balance":10}}"#;
        let enclosed = r#"{"result":{"balance":10},"success":true,"errors":[],"messages":[]}"#;
        assert_eq!(shown(ResponseFormat::Cloudflare, 200, envelope), (200, enclosed.to_owned()));
        let refusal = r#"{"success":false,"code":2006,"transaction_id":null,"status":null,"timestamp":"t","data":{"message":"Used before."}}"#;
        let (status, body) = shown(ResponseFormat::Cloudflare, 409, refusal);
        assert!(
            status == 400 && body.contains(r#""errors":[{"code":2006,"message":"Used before."}]"#),
            "{body}"
        );
    }
}
