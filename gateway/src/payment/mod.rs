//! Payments: what a provider is asked, by the worker and by the checkout page, and what it may answer.
//! What is decided and recorded is in Postgres; a provider only carries it out.

mod card;
mod checkout;
mod form;
mod outcome;
mod page;
pub mod routes;
mod store;
mod stripe;
pub mod stripe_api;
mod stripe_checkout;
mod stripe_dispute;
mod stripe_event;
mod stripe_refund;
mod test;
mod test_card;
pub mod view;
pub mod worker;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::config::StripeSettings;
use outcome::{Order, Outcome, Report};
use stripe::Stripe;
use stripe_api::Api;
use test::TestProvider;
use view::View;

/// Takes money, and says what became of it. Whatever has no clear answer is unknown, never failed.
pub trait PaymentProvider: Send + Sync {
    /// Takes money with a saved card, while nobody is there. The same order again has the same answer.
    fn charge<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome>;

    /// What became of an earlier payment.
    fn look_up<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome>;

    /// Gives money back. The same order again gives it back once.
    fn refund<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Outcome>;

    /// Where somebody goes who has come to pay at this address of ours; the error is for the log.
    fn checkout<'a>(&'a self, view: &'a View, address: &'a str) -> BoxFuture<'a, Result<Step, String>>;
}

/// What comes next in a checkout.
pub enum Step {
    /// Our own page takes the card.
    Page,
    /// The provider's page takes it, under its ids of the checkout and of the payer.
    Redirect { provider_payment_id: String, provider_customer_id: Option<String>, url: String },
    /// The provider says that it is over.
    Over(Box<Report>),
    /// The provider does not take this payment as it is, and says why.
    Refused(Box<Report>),
    /// It is paid, but the provider does not have the money yet.
    Wait,
}

/// The providers that this gateway can speak to.
pub struct Providers {
    test: TestProvider,
    stripe_staging: Option<Stripe>,
    stripe_live: Option<Stripe>,
}

impl Providers {
    /// What the settings give keys for. A key's mode says which environment it is for: so neither does staging
    /// charge real cards, nor is live paid for with test cards.
    pub fn new(settings: &StripeSettings) -> Result<Arc<Self>, String> {
        let mut providers = Providers { test: TestProvider, stripe_staging: None, stripe_live: None };
        for key in &settings.secret_keys {
            let Some(environment) = environment_of(key) else {
                let kinds = "sk_test_, sk_live_, rk_test_ or rk_live_";
                return Err(format!("--stripe-secret-key must begin with {kinds}"));
            };
            let place = match environment {
                "live" => &mut providers.stripe_live,
                _ => &mut providers.stripe_staging,
            };
            if place.is_some() {
                return Err(format!("--stripe-secret-key is given twice for {environment}"));
            }
            *place = Some(Stripe::new(Api::new(&settings.url, key)?, environment));
        }
        Ok(Arc::new(providers))
    }

    /// The provider of this name. Play money never pays for what is live.
    pub fn get(&self, name: &str, environment: &str) -> Option<&dyn PaymentProvider> {
        match (name, environment) {
            ("test", "staging") => Some(&self.test),
            ("stripe", _) => self.stripe(environment).map(|stripe| stripe as &dyn PaymentProvider),
            _ => None,
        }
    }

    fn stripe(&self, environment: &str) -> Option<&Stripe> {
        match environment {
            "staging" => self.stripe_staging.as_ref(),
            "live" => self.stripe_live.as_ref(),
            _ => None,
        }
    }
}

/// The environment that a secret key of Stripe's is for.
pub fn environment_of(key: &str) -> Option<&'static str> {
    let is_of = |mode: &str| ["sk", "rk"].iter().any(|kind| key.starts_with(&format!("{kind}_{mode}_")));
    match () {
        _ if is_of("test") => Some("staging"),
        _ if is_of("live") => Some("live"),
        _ => None,
    }
}
