//! Saved cards: what a payer lets be charged without being there.

use serde::Serialize;
use uuid::Uuid;

use super::provider::Provider;
use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::name_lock;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::Failure;

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

const KNOWN_PAYER: &str = "
    select provider_customer_id from topup.payer
     where tenant_id = $1 and environment = $2::topup.environment and payer_id = $3 and provider = $4";

/// Under which id the provider knows a payer.
pub fn known_payer(book: &Book, customer_id: Option<Uuid>, provider: Provider) -> DbResult<Option<String>> {
    let payer_id = customer_id.unwrap_or(book.tenant_id);
    let arguments = args![book.tenant_id, book.environment.as_str(), payer_id, provider.as_str()];
    Ok(db::read(KNOWN_PAYER, arguments, |row| row.get(1))?.pop())
}

const KNOW_PAYER: &str = "
    insert into topup.payer as p (tenant_id, environment, payer_id, provider, provider_customer_id)
    values ($1, $2::topup.environment, $3, $4, $5)
    on conflict (tenant_id, environment, payer_id, provider) do update
       set provider_customer_id = excluded.provider_customer_id
     where p.provider_customer_id <> excluded.provider_customer_id";

/// Remembers under which id the provider knows a payer by now.
pub fn know_payer(
    book: &Book,
    customer_id: Option<Uuid>,
    provider: Provider,
    provider_customer_id: &str,
) -> DbResult<()> {
    let payer_id = customer_id.unwrap_or(book.tenant_id);
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    db::execute(KNOW_PAYER, args![tenant_id, environment, payer_id, provider.as_str(), provider_customer_id])
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

/// Why a charge without the holder ends so that none after it will come through: the holder has to confirm, or the card
/// is gone for good.
const FOR_HOLDER: &[&str] = &[
    "authentication_required",
    "authentication_not_handled",
    "payment_intent_authentication_failure",
    "resource_missing",
    "payment_method_unactivated",
    "payment_method_not_available",
    "payment_method_unexpected_state",
    "expired_card",
    "lost_card",
    "stolen_card",
    "pickup_card",
    "restricted_card",
    "card_not_supported",
    "invalid_account",
    "incorrect_number",
    "invalid_number",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "new_account_information_available",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "stop_payment_order",
    "invalid_request_error",
];
/// So many refusals of whatever kind, one after the other, say the same.
const REFUSALS_MAX: usize = 3;

/// Whether a charge that ended with this code leaves the card to its holder.
pub fn is_for_holder(code: &str) -> bool {
    FOR_HOLDER.contains(&code)
}

const LAST_CHARGES: &str = "
    select status = 'succeeded', failure_code from topup.payment
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is null and method_id = $3
       and status in ('succeeded', 'failed')
     order by payment_id desc limit $4";

/// Whether the tenant's card is charged in vain, so that only a checkout fills the wallet.
pub fn needs_holder(book: &Book, card: &Card) -> DbResult<bool> {
    let limit = i64::try_from(REFUSALS_MAX).unwrap_or(i64::MAX);
    let arguments = args![book.tenant_id, book.environment.as_str(), card.method_id, limit];
    let read = |row: &Row| Ok((row.get::<bool>(1)?, row.maybe::<String>(2)?));
    let last = db::read(LAST_CHARGES, arguments, read)?;
    let is_lost = last.iter().take_while(|(succeeded, _)| !succeeded).count() >= REFUSALS_MAX;
    let of_holder = last
        .first()
        .is_some_and(|(succeeded, code)| !succeeded && code.as_deref().is_some_and(is_for_holder));
    Ok(is_lost || of_holder)
}

const REPLACE: &str = "
    update topup.payment_method set replaced_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is not distinct from $3
       and replaced_at is null and ($4::text is null or provider_method_id = $4)
    returning method_id";

const SAVE: &str = "
    insert into topup.payment_method (tenant_id, environment, method_id, customer_id, provider, provider_method_id,
                                      provider_customer_id, brand, last4, exp_month, exp_year)
    values ($1, $2::topup.environment, $6, $3, $4, $5, $7, $8, $9, $10, $11)
";

/// Two cards of one payer that are saved at once queue up. It comes before the lock of any account.
fn queue(book: &Book, customer_id: Option<Uuid>) {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let payer = customer_id.unwrap_or(tenant_id);
    name_lock::lock(&format!("{tenant_id}/{environment}/card/{payer}"));
}

/// Makes a card the payer's only one. One that is saved again begins anew: its holder has just paid with it, so that what
/// it was refused before says nothing any more.
pub fn save(book: &Book, customer_id: Option<Uuid>, provider: Provider, card: &Card) -> Result<(), Failure> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    queue(book, customer_id);
    know_payer(book, customer_id, provider, &card.provider_customer_id)?;
    let (provider, method) = (provider.as_str(), card.provider_method_id.as_str());
    db::execute(REPLACE, args![tenant_id, environment, customer_id, None::<&str>])?;
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
    Ok(db::execute(SAVE, arguments)?)
}

/// Forgets the payer's card, or only that of the provider's id; tells whether there was one. A charge that is under way
/// goes on.
pub fn remove(
    book: &Book,
    customer_id: Option<Uuid>,
    provider_method_id: Option<&str>,
) -> Result<bool, Failure> {
    queue(book, customer_id);
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, provider_method_id];
    Ok(!db::write(REPLACE, arguments, |_| Ok(()))?.is_empty())
}
