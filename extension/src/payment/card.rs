//! Saved cards: what a payer lets be charged without being there.

use serde::Serialize;
use uuid::Uuid;

use super::provider::Provider;
use crate::book::Book;
use crate::db::{self, DbResult, args};
use crate::id;
use crate::name_lock;
use crate::reply::Failure;

/// A saved card. The ids are the provider's.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    #[serde(skip)]
    pub method_id: Uuid,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i32>,
    pub exp_year: Option<i32>,
    pub provider_customer_id: String,
    pub provider_method_id: String,
}

const CURRENT: &str = "
    select method_id, brand, last4, exp_month, exp_year, provider_customer_id, provider_method_id
      from topup.payment_method
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
       and provider = $4 and replaced_at is null";

/// The saved card of a customer, or of the tenant itself, at the provider.
pub fn current(book: &Book, customer_id: Option<Uuid>, provider: Provider) -> DbResult<Option<Card>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, provider.as_str()];
    let found = db::read(CURRENT, arguments, |row| {
        Ok(Card {
            method_id: row.uuid(1)?,
            brand: row.maybe(2)?,
            last4: row.maybe(3)?,
            exp_month: row.maybe(4)?,
            exp_year: row.maybe(5)?,
            provider_customer_id: row.get(6)?,
            provider_method_id: row.get(7)?,
        })
    })?;
    Ok(found.into_iter().next())
}

const KNOWN_CUSTOMER: &str = "
    select provider_customer_id from topup.payment_method
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
       and provider = $4
     order by created_at desc limit 1";

/// Under which id the provider knows a payer, from the last card that was saved.
pub fn known_customer(
    book: &Book,
    customer_id: Option<Uuid>,
    provider: Provider,
) -> DbResult<Option<String>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, provider.as_str()];
    Ok(db::read(KNOWN_CUSTOMER, arguments, |row| row.get(1))?.pop())
}

const ANY: &str = "
    select true from topup.payment_method
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
       and replaced_at is null";

/// Whether the payer has a saved card, at whatever provider.
pub fn any(book: &Book, customer_id: Option<Uuid>) -> DbResult<bool> {
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id];
    Ok(!db::read(ANY, arguments, |_| Ok(()))?.is_empty())
}

const REPLACE: &str = "
    update topup.payment_method set replaced_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
       and replaced_at is null and (provider, provider_method_id) is distinct from ($4, $5)";

const SAVE: &str = "
    insert into topup.payment_method (tenant_id, environment, method_id, customer_id, provider, provider_method_id,
                                      provider_customer_id, brand, last4, exp_month, exp_year)
    values ($1, $2::topup.environment, $6, $3, $4, $5, $7, $8, $9, $10, $11)
    on conflict (tenant_id, environment, customer_id) where replaced_at is null do nothing
    returning method_id";

/// Makes a card the payer's only one; tells whether it is new.
pub fn save(
    book: &Book,
    customer_id: Option<Uuid>,
    provider: Provider,
    card: &Card,
) -> Result<bool, Failure> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let payer = customer_id.unwrap_or(tenant_id);
    // Two cards of one payer that are saved at once queue up. It comes before the lock of any account.
    name_lock::lock(&format!("{tenant_id}/{environment}/card/{payer}"));
    let (provider, method) = (provider.as_str(), card.provider_method_id.as_str());
    db::execute(REPLACE, args![tenant_id, environment, customer_id, provider, method])?;
    let arguments = args![
        tenant_id,
        environment,
        customer_id,
        provider,
        method,
        id::new(),
        card.provider_customer_id.as_str(),
        card.brand.as_deref(),
        card.last4.as_deref(),
        card.exp_month,
        card.exp_year
    ];
    Ok(!db::write(SAVE, arguments, |_| Ok(()))?.is_empty())
}
