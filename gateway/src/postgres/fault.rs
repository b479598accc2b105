//! Why Postgres gave no answer: what its SQLSTATE means for the caller, and for the connection that it came over.

use std::fmt;

use deadpool_postgres::PoolError;
use pg_topup_contract::Code;
use tokio_postgres::Error;
use tokio_postgres::error::Severity;

use crate::reply::Refusal;
use crate::request_id;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Postgres is away, or ended the session: trying again may help. What was asked may have been done.
    Unavailable(String),
    /// Postgres said that it cannot do this now, and did nothing of it.
    NotNow(Reason, String),
    /// Whoever asks has all of its share of the connections in use. Postgres was not asked.
    Busy(String),
    /// The transaction lost against another (40001, 40P01): trying again will help.
    Conflict(String),
    Internal {
        sqlstate: String,
        message: String,
    },
}

/// Why Postgres cannot do something now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Locked,
    TooLong,
    ReadOnly,
    Exhausted,
}

/// What a SQLSTATE means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Conflict,
    NotNow(Reason),
    /// The session is over, and nobody has said what became of the transaction.
    Lost,
    Fault,
}

/// States, or the beginnings of those that mean the same.
const STATES: [(&str, Meaning); 11] = [
    ("40001", Meaning::Conflict),
    ("40P01", Meaning::Conflict),
    ("55P03", Meaning::NotNow(Reason::Locked)),
    ("57014", Meaning::NotNow(Reason::TooLong)),
    ("25006", Meaning::NotNow(Reason::ReadOnly)),
    ("53", Meaning::NotNow(Reason::Exhausted)),
    ("58030", Meaning::NotNow(Reason::Exhausted)),
    ("57P0", Meaning::Lost),
    ("25P03", Meaning::Lost),
    ("40003", Meaning::Lost),
    ("08", Meaning::Lost),
];

impl Meaning {
    fn of(sqlstate: &str) -> Meaning {
        let found = STATES.iter().find(|(state, _)| sqlstate.starts_with(state));
        found.map_or(Meaning::Fault, |(_, meaning)| *meaning)
    }
}

impl Reason {
    /// What clients are told.
    pub fn told(self) -> &'static str {
        match self {
            Reason::Locked => {
                "Something else holds what this call needs, such as a transaction that was left open. \
                 Nothing was done. Try again."
            }
            Reason::TooLong => "This took too long. Nothing was done. Try again.",
            Reason::ReadOnly => {
                "The database takes no changes for the moment: it is a standby, or another is about to take over. \
                 Nothing was done. Try again."
            }
            Reason::Exhausted => {
                "The database is short of space, memory or connections for the moment. Nothing was done. Try again."
            }
        }
    }
}

impl Fault {
    pub fn internal(message: String) -> Self {
        Fault::Internal { sqlstate: String::new(), message }
    }

    /// Whether Postgres itself has said that nothing was done. Without its word, all may have been.
    pub fn is_undone(&self) -> bool {
        match self {
            Fault::Unavailable(_) | Fault::Busy(_) => false,
            Fault::NotNow(..) | Fault::Conflict(_) => true,
            Fault::Internal { sqlstate, .. } => !sqlstate.is_empty(),
        }
    }

    /// Whether another connection may lead further: to another server, after a failover, or to one that has recovered.
    pub fn is_of_the_connection(&self) -> bool {
        match self {
            Fault::Unavailable(_) => true,
            Fault::NotNow(reason, _) => matches!(reason, Reason::ReadOnly | Reason::Exhausted),
            Fault::Busy(_) | Fault::Conflict(_) | Fault::Internal { .. } => false,
        }
    }

    /// What clients are told of it.
    pub fn told(&self) -> &'static str {
        match self {
            Fault::NotNow(reason, _) => reason.told(),
            Fault::Busy(_) => "Too many calls of this key or its tenant are under way. Try again.",
            _ => "The service is unavailable for the moment. Try again.",
        }
    }

    /// What Postgres says of something that went wrong. After what is no plain error, its word on the transaction is missing.
    fn of_state(sqlstate: &str, is_error: bool, message: String) -> Fault {
        match Meaning::of(sqlstate) {
            Meaning::Conflict => Fault::Conflict(message),
            Meaning::NotNow(reason) if is_error => Fault::NotNow(reason, message),
            Meaning::NotNow(_) | Meaning::Lost => Fault::Unavailable(message),
            Meaning::Fault => Fault::Internal { sqlstate: sqlstate.to_owned(), message },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unavailable(message)
            | Fault::NotNow(_, message)
            | Fault::Busy(message)
            | Fault::Conflict(message) => f.write_str(message),
            Fault::Internal { sqlstate, message } => write!(f, "{message} ({sqlstate})"),
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Fault::Unavailable(in_words(&error)),
            other => Fault::Unavailable(other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = in_words(&error);
        if let Some(refused) = error.as_db_error() {
            let is_error = refused.parsed_severity().is_none_or(|severity| severity == Severity::Error);
            return Fault::of_state(refused.code().code(), is_error, message);
        }
        let cause = std::error::Error::source(&error);
        let is_io = cause.is_some_and(|cause| cause.is::<std::io::Error>());
        let is_lost = error.is_closed() || is_io;
        if is_lost { Fault::Unavailable(message) } else { Fault::internal(message) }
    }
}

/// The server's own sentence where there is one, else the driver's with its cause.
pub fn in_words(error: &Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return refused.message().to_owned();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a client hears of a fault. What happened goes to the log.
pub fn refusal(operation: &str, fault: &Fault) -> Refusal {
    let request_id = request_id::current();
    match fault {
        Fault::Internal { sqlstate, message } => {
            tracing::error!(request_id, operation, sqlstate, message, "the call failed");
            Refusal::internal()
        }
        _ => {
            tracing::warn!(request_id, operation, message = %fault, "postgres cannot answer now");
            Refusal::new(Code::ServiceUnavailable, fault.told())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_means_what_it_means_however_grave_it_is() {
        let fault = |state: &str, is_error| Fault::of_state(state, is_error, String::new());
        for state in ["25006", "55P03", "57014", "53000", "53100", "53200", "53300", "53400", "58030"] {
            assert!(fault(state, true).is_undone(), "{state}");
            assert!(matches!(fault(state, false), Fault::Unavailable(_)), "{state}");
        }
        for state in
            ["08000", "08003", "08006", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "40003"]
        {
            assert!(!fault(state, true).is_undone(), "{state}");
            assert!(fault(state, true).is_of_the_connection(), "{state}");
        }
        for state in ["25006", "53100", "58030"] {
            assert!(fault(state, true).is_of_the_connection(), "{state}");
        }
        for state in ["55P03", "57014", "40001", "40P01", "23505", "XX000", "42501", "58P01"] {
            assert!(!fault(state, true).is_of_the_connection(), "{state}");
        }
        for state in ["23505", "XX000", "XX001", "42501", "42883", "22003", "P0001", "58P01"] {
            assert!(matches!(fault(state, true), Fault::Internal { .. }), "{state}");
        }
    }
}
