//! The book of a tenant's environment: what every operation works on, and all that it may touch.

use uuid::Uuid;

/// One environment of one tenant: everything that an operation may touch.
pub struct Book {
    pub tenant_id: Uuid,
    pub environment: Environment,
    /// The account of the tenant's own wallet.
    pub wallet_id: Uuid,
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
