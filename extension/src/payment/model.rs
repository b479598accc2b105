//! A payment as its row has it, and the statements that find one.

use pgrx::prelude::*;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::currency;
use super::provider::Provider;
use crate::ledger::Posting;
use crate::ledger::account::{self, System};
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has begun to pay.
    Initiated,
    Pending,
    Succeeded,
    Failed,
    /// Its checkout ended unpaid.
    Expired,
}

impl Status {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Initiated => "initiated",
            Status::Pending => "pending",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Expired => "expired",
        }
    }

    /// The status of that name.
    pub fn parse(text: &str) -> Option<Status> {
        [Status::Initiated, Status::Pending, Status::Succeeded, Status::Failed, Status::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether it can still be paid here.
    pub fn is_open(self) -> bool {
        matches!(self, Status::Initiated | Status::Pending)
    }
}

/// How the money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// On a page, by the payer.
    Checkout,
    /// With a saved card, without the payer.
    OffSession,
}

impl Method {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Checkout => "checkout",
            Method::OffSession => "off_session",
        }
    }
}

/// Who wanted it: `manual`, somebody asked; `auto`, an auto top-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Manual,
    Auto,
}

impl Origin {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Manual => "manual",
            Origin::Auto => "auto",
        }
    }
}

/// A payment, and the book that it belongs to.
pub struct Payment {
    pub book: Book,
    pub id: Uuid,
    /// None: the tenant's own, for its wallet.
    pub customer_id: Option<Uuid>,
    pub account_id: Uuid,
    pub account_name: String,
    pub asset: String,
    pub currency: String,
    /// What is charged, in major units of the currency.
    pub amount: Amount,
    /// What it buys, in major units of the asset.
    pub credit: Amount,
    pub exchange_rate: Amount,
    pub method: Method,
    pub origin: Origin,
    pub status: Status,
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
    pub credit_expires_at: Option<PgTimestamp>,
    pub return_url: Option<String>,
    pub failure_url: Option<String>,
    pub provider: Provider,
    pub provider_payment_id: Option<String>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub created_at: PgTimestamp,
    /// When its checkout ends.
    pub expires_at: Option<PgTimestamp>,
    /// The ledger's transaction that credited it.
    pub transaction_id: Option<Uuid>,
    /// All that the provider has reported as refunded, in the currency.
    pub refunded_reported: Amount,
}

impl Payment {
    /// Its id as clients see it.
    pub fn text_id(&self) -> String {
        text_id(self.customer_id, self.id)
    }

    /// Who pays, as clients see it; none: the tenant.
    pub fn text_customer_id(&self) -> Option<String> {
        self.customer_id.map(|id| Kind::Customer.text(id))
    }

    /// The account that is credited, as clients see it; none: the tenant's wallet.
    pub fn text_account_id(&self) -> Option<String> {
        self.customer_id.map(|_| format!("{}:{}", self.account_name, self.asset))
    }

    /// The postings that move an amount of credit from the cash account to the payment's own, or back if it
    /// is below zero.
    pub fn postings(&self, credit: Amount) -> [Posting; 2] {
        let cash = account::system_id(self.book.tenant_id, self.book.environment, System::Cash, &self.asset);
        [Posting::new(self.account_id, credit), Posting::new(cash, -credit)]
    }

    /// Whether the money that came is what was asked for, as far as the provider says. If not, the server's
    /// log does.
    pub fn is_paid_by(&self, amount_minor: Option<i64>, currency: Option<&str>) -> bool {
        // What may be charged was judged when it began.
        let asked = currency::whole_minor(self.amount, &self.currency);
        let is_right = amount_minor.is_none_or(|minor| Some(minor) == asked)
            && currency.is_none_or(|currency| currency.eq_ignore_ascii_case(&self.currency));
        if !is_right {
            warning!("{} was paid with another amount or currency, and is not credited", self.text_id());
        }
        is_right
    }

    /// The same as it stands at an instant, whether anybody has swept it or not.
    pub fn status_at(&self, now: PgTimestamp) -> Status {
        let is_over = self.expires_at.is_some_and(|expires_at| expires_at <= now);
        if self.status.is_open() && is_over { Status::Expired } else { self.status }
    }
}

/// The id of a customer's payment, or of the tenant's own.
pub fn text_id(customer_id: Option<Uuid>, payment_id: Uuid) -> String {
    let kind = if customer_id.is_some() { Kind::TopUp } else { Kind::Invoice };
    kind.text(payment_id)
}

/// A statement that [`read_payment`] reads, of a payment `p` and its book's row `e`.
macro_rules! select_payment {
    ($rest:literal) => {
        concat!(
            "select p.tenant_id, p.environment::text, e.wallet_id, p.payment_id, p.customer_id, p.account_id, p.account_name,
                    p.asset, p.currency, p.amount::text, p.credit::text, p.exchange_rate::text, p.method, p.origin, p.status,
                    p.description, p.metadata::text, p.credit_expires_at, p.return_url, p.failure_url, p.provider,
                    p.provider_payment_id, p.failure_code, p.failure_message, p.created_at, p.expires_at, p.transaction_id,
                    p.refunded_told::text
               from topup.payment p
               join topup.tenant_environment e on e.tenant_id = p.tenant_id and e.environment = p.environment ",
            $rest
        )
    };
}
pub(super) use select_payment;

/// Reads a payment from the columns of `select_payment`.
pub(super) fn read_payment(row: &Row) -> DbResult<Payment> {
    let method: String = row.get(13)?;
    let origin: String = row.get(14)?;
    Ok(Payment {
        book: row.book()?,
        id: row.uuid(4)?,
        customer_id: row.maybe_uuid(5)?,
        account_id: row.uuid(6)?,
        account_name: row.get(7)?,
        asset: row.get(8)?,
        currency: row.get(9)?,
        amount: row.amount(10)?,
        credit: row.amount(11)?,
        exchange_rate: row.amount(12)?,
        method: if method == Method::Checkout.as_str() { Method::Checkout } else { Method::OffSession },
        origin: if origin == Origin::Auto.as_str() { Origin::Auto } else { Origin::Manual },
        status: Status::parse(&row.get::<String>(15)?).ok_or(SpiError::InvalidPosition)?,
        description: row.maybe(16)?,
        metadata: row.maybe(17)?,
        credit_expires_at: row.maybe_timestamp(18)?,
        return_url: row.maybe(19)?,
        failure_url: row.maybe(20)?,
        provider: Provider::parse(&row.get::<String>(21)?).ok_or(SpiError::InvalidPosition)?,
        provider_payment_id: row.maybe(22)?,
        failure_code: row.maybe(23)?,
        failure_message: row.maybe(24)?,
        created_at: row.timestamp(25)?,
        expires_at: row.maybe_timestamp(26)?,
        transaction_id: row.maybe_uuid(27)?,
        refunded_reported: row.amount(28)?,
    })
}

const FIND: &str =
    select_payment!("where p.tenant_id = $1 and p.environment = $2::topup.environment and p.payment_id = $3");

/// A payment of the book, as it is now.
pub fn find(book: &Book, payment_id: Uuid) -> DbResult<Option<Payment>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), payment_id];
    Ok(db::write(FIND, arguments, read_payment)?.pop())
}

/// A payment of the book, as the calling statement sees it.
pub fn read(book: &Book, payment_id: Uuid) -> DbResult<Option<Payment>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), payment_id];
    Ok(db::read(FIND, arguments, read_payment)?.pop())
}

const LOCK: &str = select_payment!(
    "where p.tenant_id = $1 and p.environment in ('staging', 'live') and p.payment_id = $2 for update of p"
);

/// Locks a payment, and reads it as it is then. It comes before the lock of any account.
pub fn lock(tenant_id: Uuid, payment_id: Uuid) -> DbResult<Option<Payment>> {
    Ok(db::write(LOCK, args![tenant_id, payment_id], read_payment)?.pop())
}

const BY_TOKEN: &str = select_payment!("where p.token_hash = $1");

/// The payment whose checkout has that token. A token is as good as a key, and like one is kept as its hash.
pub fn by_token(token: &str) -> DbResult<Option<Payment>> {
    Ok(db::read(BY_TOKEN, args![token_hash(token).as_slice()], read_payment)?.pop())
}

/// What is kept of a token.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

const PAID_BY: &str = "
    select true from topup.payment
     where tenant_id = $1 and environment = $2::topup.environment and provider = $3 and provider_payment_id = $4
       and status = 'succeeded' and payment_id <> $5";

/// Whether the money that a provider knows by this id has paid for another payment.
pub fn is_spent(payment: &Payment, provider_payment_id: &str) -> DbResult<bool> {
    let (book, provider) = (&payment.book, payment.provider.as_str());
    let arguments =
        args![book.tenant_id, book.environment.as_str(), provider, provider_payment_id, payment.id];
    Ok(!db::write(PAID_BY, arguments, |_| Ok(()))?.is_empty())
}

const BY_ID: &str = "select tenant_id, payment_id from topup.payment where payment_id = $1";

const BY_PROVIDER: &str = "
    select tenant_id, payment_id from topup.payment where provider_payment_id = $1 and provider = $2";

/// Tenant and id of the payment that an outsider names: by its own id, else by the provider's.
pub fn named(text_id: Option<&str>, by_provider: Option<(&str, Provider)>) -> DbResult<Option<(Uuid, Uuid)>> {
    let ids = |row: &Row| Ok((row.uuid(1)?, row.uuid(2)?));
    if let Some(text) = text_id {
        let Some(id) = Kind::TopUp.parse(text).or_else(|| Kind::Invoice.parse(text)) else { return Ok(None) };
        return Ok(db::read(BY_ID, args![id], ids)?.pop());
    }
    match by_provider {
        Some((id, provider)) => Ok(db::read(BY_PROVIDER, args![id, provider.as_str()], ids)?.pop()),
        None => Ok(None),
    }
}
