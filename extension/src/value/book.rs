//! The book of a tenant's environment: what every operation works on, and all that it may touch.

use pgrx::spi::SpiError;
use uuid::Uuid;

use crate::pg::db::{DbResult, Row};

/// One environment of one tenant: everything that an operation may touch.
pub struct Book {
    pub tenant_id: Uuid,
    pub environment: Environment,
    /// The account of the tenant's own wallet.
    pub wallet_id: Uuid,
}

impl Book {
    /// Reads tenant, environment and wallet from the first three columns of a row.
    pub fn read(row: &Row) -> DbResult<Book> {
        Ok(Book {
            tenant_id: row.uuid(1)?,
            environment: Environment::parse(&row.get::<String>(2)?).ok_or(SpiError::InvalidPosition)?,
            wallet_id: row.uuid(3)?,
        })
    }
}

/// One of a tenant's two separate worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Staging,
    Live,
}

impl Environment {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Environment::Staging => "staging",
            Environment::Live => "live",
        }
    }

    /// The environment of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "staging" => Some(Environment::Staging),
            "live" => Some(Environment::Live),
            _ => None,
        }
    }
}
