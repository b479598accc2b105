//! Payment providers: who takes the money in an environment.

use pg_topup_contract::Code;

use crate::pg::settings;
use crate::value::book::{Book, Environment};
use crate::value::reply::Refusal;

/// Who takes the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Built into the gateway, with test cards and no real money.
    Test,
    Stripe,
}

impl Provider {
    /// As settings and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::Test => "test",
            Provider::Stripe => "stripe",
        }
    }

    /// The provider of that name.
    pub fn parse(name: &str) -> Option<Provider> {
        [Provider::Test, Provider::Stripe].into_iter().find(|provider| provider.as_str() == name)
    }

    /// The provider of an environment. One that takes no money is none for live.
    pub fn of(environment: Environment) -> Option<Provider> {
        let provider = Provider::parse(&settings::payment_provider(environment));
        provider.filter(|provider| environment == Environment::Staging || *provider != Provider::Test)
    }
}

/// The provider of the book's environment; refused where none is configured.
pub fn require(book: &Book) -> Result<Provider, Refusal> {
    let environment = book.environment.as_str();
    let message = format!("No payment provider is configured for {environment}.");
    Provider::of(book.environment).ok_or_else(|| Refusal::new(Code::InvalidRequest, message))
}
