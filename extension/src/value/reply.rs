//! What a handler answers: a reply, a refusal (a value), or a fault (an error that aborts the statement).

use std::time::SystemTime;

use pg_topup_contract::{Code, Envelope, timestamp};
use pgrx::error;
use serde::Serialize;
use uuid::Uuid;

use crate::value::id::Kind;

/// What every handler returns.
pub type Outcome<D> = Result<Reply<D>, Failure>;

/// A success: the envelope, with the HTTP status that goes with it.
#[derive(Debug)]
pub struct Reply<D> {
    pub http_status: u16,
    pub envelope: Envelope<D>,
}

impl<D: Serialize> Reply<D> {
    /// A reply that belongs to no transaction.
    pub fn new(code: Code, data: D) -> Self {
        Reply { http_status: code.http_status(), envelope: Envelope::new(code, None, None, data) }
    }

    /// A reply about a transaction.
    pub fn of(code: Code, transaction_id: Uuid, status: Option<&'static str>, data: D) -> Self {
        Reply::at(timestamp(SystemTime::now()), code, transaction_id, status, data)
    }

    /// The same of another time than now, as the wire has it.
    pub fn at(
        timestamp: String,
        code: Code,
        transaction_id: Uuid,
        status: Option<&'static str>,
        data: D,
    ) -> Self {
        let id = Kind::Transaction.text(transaction_id);
        let envelope = Envelope::at(timestamp, code, Some(id), status, data);
        Reply { http_status: code.http_status(), envelope }
    }

    /// The same reply under another HTTP status than its code's usual one.
    pub fn with_http_status(self, http_status: u16) -> Self {
        Reply { http_status, ..self }
    }
}

/// Why a request was not carried out. Nothing was written.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    pub field: Option<String>,
    /// Where it is not the code's usual one.
    http_status: Option<u16>,
    /// The transaction it is about, and where that stands.
    about: Option<(Uuid, &'static str)>,
}

impl Refusal {
    /// A refusal with no field at fault.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), field: None, http_status: None, about: None }
    }

    /// A refusal for one field of the request.
    pub fn of_field(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { field: Some(field.into()), ..Refusal::new(code, message) }
    }

    /// What a field names does not exist: 404 over HTTP.
    pub fn not_found(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { http_status: Some(404), ..Refusal::of_field(Code::InvalidRequest, field, message) }
    }

    /// The same refusal, for one field of the request.
    pub fn at(self, field: impl Into<String>) -> Self {
        Refusal { field: Some(field.into()), ..self }
    }

    /// What a field asks for does not go with what there is already: 409 over HTTP.
    pub fn conflict(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { http_status: Some(409), ..Refusal::of_field(Code::InvalidRequest, field, message) }
    }

    /// The same refusal under another HTTP status than its code's usual one.
    pub fn with_http_status(self, http_status: u16) -> Self {
        Refusal { http_status: Some(http_status), ..self }
    }

    /// The same refusal, of a transaction that exists.
    pub fn about(self, transaction_id: Uuid, status: &'static str) -> Self {
        Refusal { about: Some((transaction_id, status)), ..self }
    }

    /// The refusal as a finished reply.
    pub fn render(&self) -> Result<Rendered, Failure> {
        let mut envelope = Envelope::refusal(self.code, &self.message, self.field.as_deref());
        if let Some((transaction_id, status)) = self.about {
            envelope.transaction_id = Some(Kind::Transaction.text(transaction_id));
            envelope.status = Some(status);
        }
        render(self.http_status.unwrap_or(self.code.http_status()), &envelope)
    }
}

/// A request that was not carried out, by decision or by accident.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    Fault(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Fault(error.to_string())
    }
}

/// A finished reply: HTTP status and body.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub http_status: i16,
    pub body: String,
    /// It is the stored first reply to a repeated request.
    pub replayed: bool,
}

impl<D: Serialize> Reply<D> {
    /// The reply as text.
    pub fn render(&self) -> Result<Rendered, Failure> {
        render(self.http_status, &self.envelope)
    }
}

fn render<D: Serialize>(http_status: u16, envelope: &Envelope<D>) -> Result<Rendered, Failure> {
    let http_status = i16::try_from(http_status).unwrap_or(i16::MAX);
    Ok(Rendered { http_status, body: envelope.to_json()?, replayed: false })
}

/// The reply, or the refusal as a reply, or an SQL error.
pub fn finish(result: Result<Rendered, Failure>) -> Rendered {
    or_error(match result {
        Err(Failure::Refused(refusal)) => refusal.render(),
        other => other,
    })
}

/// The value, or an SQL error: for functions whose callers do not expect refusals.
pub fn or_error<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(Failure::Refused(refusal)) => error!("{}", refusal.message),
        Err(Failure::Fault(fault)) => error!("{fault}"),
    }
}
