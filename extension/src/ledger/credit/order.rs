//! The order in which grants burn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Grant;
use crate::value::pg_timestamp::PgTimestamp;

/// What a grant was given for, in the order in which they burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    #[serde(alias = "promotion")]
    Promotional,
    Bundled,
    Paid,
}

impl Purpose {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Promotional => "promotional",
            Purpose::Bundled => "bundled",
            Purpose::Paid => "paid",
        }
    }

    /// The purpose of that name.
    pub fn parse(text: &str) -> Option<Purpose> {
        [Purpose::Promotional, Purpose::Bundled, Purpose::Paid]
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
    }
}

impl Grant {
    /// Promotional before bundled before paid, then lower priority, then earliest expiry, then oldest.
    pub(super) fn burn_order(&self) -> impl Ord + use<> {
        let expiry = self.expires_at.unwrap_or(PgTimestamp::NEVER);
        let oldest = self.id;
        (self.purpose, self.priority, expiry, oldest)
    }
}
