//! The checkout, for the gateway's page: what there is to pay, and that the payer has begun.

use pgrx::prelude::*;
use serde::Serialize;

use super::card::{self, Card};
use super::currency;
use super::fault::PaymentFault;
use super::model::{self, Payment, Status};
use crate::pg::db::{self, args};
use crate::pg::jsonb::JsonbText;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, or_error};

/// A payment as its page shows it. Only the gateway sees this.
#[derive(Serialize)]
pub struct View {
    payment_id: String,
    status: Status,
    amount: Amount,
    amount_minor: Option<i64>,
    currency: String,
    /// How many the currency has.
    decimals: u32,
    credit: Amount,
    asset: String,
    asset_symbol: Option<String>,
    account_name: String,
    description: Option<String>,
    customer_id: Option<String>,
    customer_name: Option<String>,
    customer_email: Option<String>,
    merchant_name: String,
    tenant_id: String,
    environment: &'static str,
    provider: &'static str,
    provider_payment_id: Option<String>,
    provider_customer_id: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    return_url: Option<String>,
    failure_url: Option<String>,
    card: Option<Card>,
    failure: Option<PaymentFault>,
    /// Whether the payer can pay now; set by `checkout_begin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<bool>,
    /// Whether a report made a difference; set by `report_payment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
}

struct Names {
    merchant: String,
    customer: Option<String>,
    email: Option<String>,
    symbol: Option<String>,
}

const NAMES: &str = "
    select t.name, c.name, c.email, a.symbol
      from topup.tenant t
      left join topup.customer c on c.tenant_id = $1 and c.environment = $2::topup.environment and c.customer_id = $3
      left join topup.asset a on a.tenant_id = $1 and a.environment = $2::topup.environment and a.code = $4
     where t.tenant_id = $1";

impl View {
    /// The payment as it stands now.
    pub fn of(payment: Payment) -> Result<View, Failure> {
        let book = &payment.book;
        let (customer_id, environment) = (payment.customer_id, book.environment.as_str());
        let arguments = args![book.tenant_id, environment, customer_id, payment.asset.as_str()];
        let names = db::read(NAMES, arguments, |row| {
            let (merchant, symbol) = (row.get(1)?, row.maybe(4)?);
            Ok(Names { merchant, customer: row.maybe(2)?, email: row.maybe(3)?, symbol })
        })?;
        let no_tenant = || Failure::Fault("a payment without a tenant".to_owned());
        let names = names.into_iter().next().ok_or_else(no_tenant)?;
        let card = card::current(book, customer_id, payment.provider)?;
        let provider_customer_id = card::known_payer(book, customer_id, payment.provider)?;
        Ok(View {
            payment_id: payment.text_id(),
            status: payment.status_at(PgTimestamp::now()),
            amount: payment.amount,
            amount_minor: currency::whole_minor(payment.amount, &payment.currency),
            credit: payment.credit,
            asset_symbol: names.symbol,
            customer_id: customer_id.map(|id| Kind::Customer.text(id)),
            customer_name: names.customer,
            customer_email: names.email,
            merchant_name: names.merchant,
            tenant_id: Kind::Tenant.text(book.tenant_id),
            environment,
            provider: payment.provider.as_str(),
            provider_customer_id,
            created_at: payment.created_at.rfc3339(),
            expires_at: payment.expires_at.map(PgTimestamp::rfc3339),
            card,
            failure: payment
                .failure_code
                .zip(payment.failure_message)
                .map(|(code, message)| PaymentFault { code, message }),
            decimals: currency::decimals(&payment.currency),
            currency: payment.currency,
            asset: payment.asset,
            account_name: payment.account_name,
            description: payment.description,
            provider_payment_id: payment.provider_payment_id,
            return_url: payment.return_url,
            failure_url: payment.failure_url,
            begun: None,
            changed: None,
        })
    }

    /// The same as the answer to a report.
    pub fn changed(self, changed: bool) -> View {
        View { changed: Some(changed), ..self }
    }

    /// As the gateway gets it.
    pub fn json(&self) -> Result<JsonbText, Failure> {
        Ok(JsonbText(serde_json::to_string(self)?))
    }
}

/// Null where no checkout has this token.
#[pg_extern(schema = "topup", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn checkout_view(token: &str) -> Option<JsonbText> {
    let attempt = || model::by_token(token)?.map(|payment| View::of(payment)?.json()).transpose();
    or_error(attempt())
}

/// The first id of the provider's stays, so that a payment has one session there. With one, the provider is
/// asked from time to time, in case its own message is lost.
const BEGIN: &str = "
    update topup.payment
       set status = 'pending', provider_payment_id = coalesce(provider_payment_id, $4),
           due_at = case when coalesce(provider_payment_id, $4) is not null
                         then coalesce(due_at, clock_timestamp() + interval '10 minutes') end
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3
       and status in ('initiated', 'pending')";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn checkout_begin(
    token: Option<&str>,
    provider_payment_id: Option<&str>,
    provider_customer_id: default!(Option<&str>, "NULL"),
) -> Option<JsonbText> {
    let begin = |token| begin(token, provider_payment_id, provider_customer_id);
    or_error(token.map(begin).transpose().map(Option::flatten))
}

fn begin(
    token: &str,
    provider_payment_id: Option<&str>,
    provider_customer_id: Option<&str>,
) -> Result<Option<JsonbText>, Failure> {
    let Some(found) = model::by_token(token)? else { return Ok(None) };
    let Some(payment) = model::lock(found.book.tenant_id, found.id)? else { return Ok(None) };
    let begun = payment.status_at(PgTimestamp::now()).is_open();
    if begun {
        let book = &payment.book;
        let arguments = args![book.tenant_id, book.environment.as_str(), payment.id, provider_payment_id];
        db::execute(BEGIN, arguments)?;
        if let Some(id) = provider_customer_id {
            card::know_payer(book, payment.customer_id, payment.provider, id)?;
        }
    }
    let no_payment = || Failure::Fault("the payment is gone".to_owned());
    let payment = model::find(&payment.book, payment.id)?.ok_or_else(no_payment)?;
    View { begun: Some(begun), ..View::of(payment)? }.json().map(Some)
}
