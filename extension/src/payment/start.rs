//! Starts a payment: with a saved card, which the gateway is asked to charge, or as a checkout.

use std::time::Duration;

use uuid::Uuid;

use super::card::Card;
use super::model::{self, Method, Origin, Payment, Status};
use super::provider;
use crate::event::wake;
use crate::pg::db::{self, args};
use crate::pg::settings;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// How long a checkout can be paid: 24 hours.
const CHECKOUT_S: u64 = 86_400;
const TOKEN_BYTES: usize = 32;
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A payment to be made. Who makes it has judged the amounts.
pub struct NewPayment<'a> {
    /// Who pays; none: the tenant, for its own wallet.
    pub customer_id: Option<Uuid>,
    /// What is credited.
    pub account_id: Uuid,
    pub account_name: &'a str,
    pub asset: &'a str,
    /// What is charged: whole units of the smallest coin.
    pub currency: &'a str,
    pub amount: Amount,
    pub credit: Amount,
    /// Units of the asset for one unit of the currency.
    pub exchange_rate: Amount,
    /// The card to charge now; none: a checkout.
    pub card: Option<&'a Card>,
    pub origin: Origin,
    pub description: Option<&'a str>,
    /// A JSON object.
    pub metadata: Option<String>,
    pub credit_expires_at: Option<PgTimestamp>,
    pub return_url: Option<&'a str>,
    pub failure_url: Option<&'a str>,
}

/// A payment under way.
pub struct Started {
    pub payment: Payment,
    /// Where the payer pays; none: the card is being charged.
    pub redirect_url: Option<String>,
}

const INSERT: &str = "
    insert into topup.payment
           (tenant_id, environment, payment_id, customer_id, account_id, account_name, asset, currency, amount, credit,
            exchange_rate, method, origin, status, description, metadata, credit_expires_at, return_url, failure_url,
            provider, method_id, token_hash, expires_at, due_at)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8, $9::numeric, $10::numeric, $11::numeric, $12, $13, $14, $15,
            $16::jsonb, $17, $18, $19, $20, $21, $22, $23, case when $12 = 'off_session' then clock_timestamp() end)";

/// Starts a payment. Refused where no provider takes money in this environment.
pub fn start(book: &Book, new: &NewPayment) -> Result<Started, Failure> {
    let provider = provider::require(book)?;
    let payment_id = id::new();
    let (method, status) = match new.card {
        Some(_) => (Method::OffSession, Status::Pending),
        None => (Method::Checkout, Status::Initiated),
    };
    let token = (method == Method::Checkout).then(new_token).transpose()?;
    let token_hash = token.as_deref().map(model::token_hash);
    let ends_at = PgTimestamp::now().plus(Duration::from_secs(CHECKOUT_S));
    let ends_at = new.credit_expires_at.map_or(ends_at, |end| end.min(ends_at));
    let arguments = args![
        book.tenant_id,
        book.environment.as_str(),
        payment_id,
        new.customer_id,
        new.account_id,
        new.account_name,
        new.asset,
        new.currency,
        new.amount.to_string(),
        new.credit.to_string(),
        new.exchange_rate.to_string(),
        method.as_str(),
        new.origin.as_str(),
        status.as_str(),
        new.description,
        new.metadata.clone(),
        new.credit_expires_at,
        new.return_url,
        new.failure_url,
        provider.as_str(),
        new.card.map(|card| card.method_id),
        token_hash.as_ref().map(<[u8; 32]>::as_slice),
        token.as_ref().map(|_| ends_at)
    ];
    db::execute(INSERT, arguments)?;
    if method == Method::OffSession {
        wake::workers();
    }
    let missing = || Failure::Fault("the payment was not written".to_owned());
    let payment = model::find(book, payment_id)?.ok_or_else(missing)?;
    let redirect_url = token.map(|token| format!("{}/checkout/{token}", settings::public_url()));
    Ok(Started { payment, redirect_url })
}

/// A secret for an address or a cookie: 32 random bytes.
pub fn new_token() -> Result<String, Failure> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(|error| Failure::Fault(error.to_string()))?;
    Ok(base_x::encode(BASE62, &random))
}
