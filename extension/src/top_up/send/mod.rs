//! Send: prices a top-up, debits the wallet, and delivers, all in the caller's transaction. One send is a
//! batch of one.
//!
//! ```text
//! batch ─► ledger::Journal, top_up::New, key_usage::Days, idempotency::Replies, event::Events
//! ```

mod batch;
pub mod body;

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::account::{self, USD};
use crate::operation::handler::OperationTerms;
use crate::operation::request::Metadata;
use crate::pg::db::DbResult;
use crate::tenant::caller::Caller;
use crate::tenant::customer::{self, Email};
use crate::tenant::key_usage;
use crate::tenant::platform::{self, Platforms};
use crate::tenant::spending_limit;
use crate::top_up::price;
use crate::value::amount::Cents;
use crate::value::book::{Book, Environment};
use crate::value::reply::{Failure, Refusal, Rendered};

pub use batch::{SendCall, send_all};

/// A top-up as a client asks for it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// Whose credit: `claude`, `chatgpt`, `gemini`, or another platform of this installation.
    #[schemars(example = &"claude")]
    pub platform: String,
    /// List price in US cents, within the platform's limits (100 to 100,000 at first).
    #[schemars(example = 1000)]
    pub amount_cents: Cents,
    /// Whose wallet receives it. Without it, the reply's voucher waits to be redeemed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"user@example.com")]
    pub recipient_email: Option<String>,
    /// An object of your own, at most 4 KiB, kept with the top-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

pub const NAME: &str = "send";

/// Runs one send.
pub fn run(
    caller: &Caller,
    terms: OperationTerms,
    text: &str,
    idempotency_key: Option<&str>,
) -> Result<Rendered, Failure> {
    let replies = send_all(caller, terms, &[SendCall { text, idempotency_key }])?;
    let reply = replies.into_iter().next();
    Ok(reply.ok_or_else(|| Failure::Fault("a send without a reply".to_owned()))??)
}

/// A request found good, and its price.
pub struct Quote {
    pub cost: Cents,
    recipient: Option<Email>,
    ending: Ending,
}

/// What becomes of a top-up once it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Delivered,
    Pending,
    /// Staging's own: pending, and failing by itself.
    Failing,
}

/// Judges everything that does not depend on the wallet. Writes nothing.
pub fn quote_one(caller: &Caller, request: &SendRequest) -> Result<Quote, Failure> {
    let platforms = platform::all()?;
    Ok(quote(caller, request, &platforms)?)
}

fn quote(caller: &Caller, request: &SendRequest, platforms: &Platforms) -> Result<Quote, Refusal> {
    let platform = platforms
        .get(&request.platform)
        .ok_or_else(|| Refusal::of_field(Code::InvalidPlatform, "platform", "There is no such platform."))?;
    if request.amount_cents < platform.min || request.amount_cents > platform.max {
        let message = format!("The amount must be from {} to {} cents.", platform.min.0, platform.max.0);
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount_cents", message));
    }
    let recipient =
        request.recipient_email.as_deref().map(|email| Email::parse(email, "recipient_email")).transpose()?;
    let staging = caller.environment == Environment::Staging;
    let marked = |marker| staging && recipient.as_ref().is_some_and(|email| email.has_marker(marker));
    let ending = match platform.is_instant {
        _ if marked("+fail") => Ending::Failing,
        _ if marked("+pending") => Ending::Pending,
        true => Ending::Delivered,
        false => Ending::Pending,
    };
    Ok(Quote { cost: price::cost(request.amount_cents, caller.key.discount), recipient, ending })
}

/// What is spent of the key's cap and of the environment's limit.
#[derive(Default)]
pub struct Spent {
    of_cap: Cents,
    of_limit: Cents,
}

impl Spent {
    /// Reads it; with the wallet locked it stays so.
    pub fn read(caller: &Caller) -> DbResult<Spent> {
        let of_limit = spending_limit::spent(caller, caller.spending_limit.as_ref())?;
        Ok(Spent { of_cap: key_usage::cap_used(caller)?, of_limit })
    }

    /// Judges what the wallet, the key's cap and the limit allow.
    pub fn afford(&self, caller: &Caller, quote: &Quote, covered: bool) -> Result<(), Refusal> {
        key_usage::check_cap(caller, self.of_cap, quote.cost)?;
        spending_limit::check(caller.spending_limit.as_ref(), self.of_limit, quote.cost)?;
        if covered {
            return Ok(());
        }
        let message = format!("The wallet does not cover the cost of {} cents.", quote.cost.0);
        Err(Refusal::new(Code::InsufficientBalance, message))
    }

    fn add(&mut self, cost: Cents) {
        self.of_cap = Cents(self.of_cap.0.saturating_add(cost.0));
        self.of_limit = Cents(self.of_limit.0.saturating_add(cost.0));
    }
}

/// A recipient, and the account in which it holds credit of a platform.
pub fn open_recipient(book: &Book, email: &Email, platform: &str) -> Result<(Uuid, Uuid), Failure> {
    let customer_id = customer::find_or_make(book, email)?;
    Ok((customer_id, account::open_for_customer(book, customer_id, platform, USD)?))
}
