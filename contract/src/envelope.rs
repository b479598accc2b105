//! The response envelope: six fields, always all six, always in this order.

use std::time::SystemTime;

use serde::Serialize;

use crate::Code;

/// One reply of the top-up surface. `D` is what stands in `data`.
#[derive(Debug, Serialize)]
pub struct Envelope<D> {
    pub success: bool,
    pub code: i16,
    pub transaction_id: Option<String>,
    pub status: Option<&'static str>,
    pub timestamp: String,
    pub data: D,
}

/// The `data` of a refusal: what is wrong, and the field at fault where there is one.
#[derive(Debug, Serialize)]
pub struct Fault {
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl<D: Serialize> Envelope<D> {
    /// An envelope of this moment.
    pub fn new(code: Code, transaction_id: Option<String>, status: Option<&'static str>, data: D) -> Self {
        Envelope::at(timestamp(SystemTime::now()), code, transaction_id, status, data)
    }

    /// An envelope of a time, as [`timestamp`] writes it.
    pub fn at(
        timestamp: String,
        code: Code,
        transaction_id: Option<String>,
        status: Option<&'static str>,
        data: D,
    ) -> Self {
        Envelope { success: code.is_success(), code: code.number(), transaction_id, status, timestamp, data }
    }

    /// The envelope as JSON text, its fields in the published order.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl Envelope<Fault> {
    /// A refusal that belongs to no transaction.
    pub fn refusal(code: Code, message: impl Into<String>, field: Option<&str>) -> Self {
        let fault = Fault { message: message.into(), field: field.map(str::to_owned) };
        Envelope::new(code, None, None, fault)
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`, as every time on the wire is written.
pub fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// The Unix time in seconds of a time of day as the wire has it; nothing where it is none.
pub fn unix_seconds(timestamp: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(timestamp).ok()?;
    at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_six_fields_stand_in_the_published_order() {
        let json =
            Envelope::refusal(Code::AmountOutOfRange, "Too little.", Some("amount_cents")).to_json().unwrap();
        let (head, tail) = json.split_once("\"timestamp\":\"").unwrap();
        assert_eq!(head, r#"{"success":false,"code":2005,"transaction_id":null,"status":null,"#);
        assert!(tail.ends_with(r#"Z","data":{"message":"Too little.","field":"amount_cents"}}"#));
    }

    #[test]
    fn a_time_has_milliseconds_and_z() {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
