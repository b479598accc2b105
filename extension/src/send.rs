//! Send: prices a top-up, debits the wallet, and delivers, all in the caller's transaction.

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::{self, System, USD};
use crate::amount::{Amount, Cents};
use crate::book::{Book, Environment};
use crate::caller::Caller;
use crate::customer::{self, Email};
use crate::db::{self, args};
use crate::event;
use crate::handler::Handler;
use crate::id;
use crate::ledger::{self, Header, Locked, Posting};
use crate::limit;
use crate::price;
use crate::reply::{Failure, Outcome, Refusal};
use crate::request::Metadata;
use crate::top_up::{self, Status, TopUpData};
use crate::usage;
use crate::voucher;

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

pub struct Send;

impl Handler for Send {
    const NAME: &'static str = "send";
    type Request = SendRequest;
    type Data = TopUpData;

    fn handle(caller: &Caller, request: &SendRequest) -> Outcome<TopUpData> {
        let quote = quote(caller, request)?;
        let wallet = ledger::lock_wallet(caller)?;
        afford(caller, &quote, wallet.covers(Amount::from_cents(quote.cost)))?;
        write(caller, request, &quote, wallet)
    }
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

const PLATFORM: &str = "select min_cents, max_cents, delivery from topup.platform where platform = $1";

/// Judges everything that does not depend on the wallet. Writes nothing.
pub fn quote(caller: &Caller, request: &SendRequest) -> Result<Quote, Failure> {
    let found = db::read(PLATFORM, args![request.platform.as_str()], |row| {
        Ok((Cents(row.get(1)?), Cents(row.get(2)?), row.get::<String>(3)?))
    })?;
    let (min, max, delivery) = found
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::of_field(Code::InvalidPlatform, "platform", "There is no such platform."))?;
    if request.amount_cents < min || request.amount_cents > max {
        let message = format!("The amount must be from {} to {} cents.", min.0, max.0);
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount_cents", message).into());
    }
    let recipient =
        request.recipient_email.as_deref().map(|email| Email::parse(email, "recipient_email")).transpose()?;
    let staging = caller.environment == Environment::Staging;
    let marked = |marker| staging && recipient.as_ref().is_some_and(|email| email.has_marker(marker));
    let ending = match delivery.as_str() {
        _ if marked("+fail") => Ending::Failing,
        _ if marked("+pending") => Ending::Pending,
        "instant" => Ending::Delivered,
        _ => Ending::Pending,
    };
    Ok(Quote { cost: price::cost(request.amount_cents, caller.key.discount), recipient, ending })
}

/// Judges what the wallet and the key's cap allow.
pub fn afford(caller: &Caller, quote: &Quote, covered: bool) -> Result<(), Failure> {
    usage::check_cap(caller, quote.cost)?;
    limit::check(caller, caller.spending_limit.as_ref(), quote.cost)?;
    if covered {
        return Ok(());
    }
    let message = format!("The wallet does not cover the cost of {} cents.", quote.cost.0);
    Err(Refusal::new(Code::InsufficientBalance, message).into())
}

fn write(caller: &Caller, request: &SendRequest, quote: &Quote, wallet: Locked) -> Outcome<TopUpData> {
    let transaction_id = id::new();
    let status = if quote.ending == Ending::Delivered { Status::Delivered } else { Status::Pending };
    let system = |system| account::system_id(caller.tenant_id, caller.environment, system, USD);
    let mut locked = vec![wallet];
    let receiving = match (&quote.recipient, status) {
        (Some(email), Status::Delivered) => {
            let recipient = open_recipient(caller, email, &request.platform)?;
            locked.extend(ledger::lock(caller, &[recipient])?);
            recipient
        }
        (None, Status::Delivered) => system(System::Voucher),
        _ => system(System::Pending),
    };
    let account_id = (locked.len() > 1).then_some(receiving);
    let (list, cost) = (Amount::from_cents(request.amount_cents), Amount::from_cents(quote.cost));
    let discount = list.plus(-cost).ok_or_else(|| Failure::Fault("a discount that cannot be".to_owned()))?;
    let postings = [
        Posting::new(caller.wallet_id, -cost),
        Posting::new(system(System::Discount), -discount),
        Posting::new(receiving, list),
    ];
    let header = Header {
        transaction_id,
        kind: "send",
        top_up_id: Some(transaction_id),
        reference: None,
        detail: None,
    };
    let after = ledger::post(caller, header, &locked, &postings)?;
    let data = TopUpData {
        voucher_code: (status == Status::Delivered).then(voucher::new_code).transpose()?,
        platform: request.platform.clone(),
        amount_cents: request.amount_cents,
        new_balance_cents: after.first().map_or(Cents(0), |balance| balance.floor_cents()),
        cost_cents: quote.cost,
        discount_bps: caller.key.discount,
        recipient_email: quote.recipient.as_ref().map(|email| email.as_str().to_owned()),
        failure_reason: None,
    };
    let created_at = insert(caller, transaction_id, status, request, quote, account_id, &data)?;
    usage::add(caller, caller.key.id, created_at, quote.cost, request.amount_cents)?;
    let reply = top_up::reply(status, transaction_id, data);
    event::emit(caller, status.event_type(), transaction_id, &reply.envelope)?;
    Ok(reply)
}

/// The account in which a recipient holds credit of a platform.
pub fn open_recipient(book: &Book, email: &Email, platform: &str) -> Result<Uuid, Failure> {
    let customer_id = customer::find_or_make(book, email)?;
    Ok(account::open_for_customer(book, customer_id, platform, USD)?)
}

const INSERT: &str = "
    insert into topup.top_up (tenant_id, environment, transaction_id, key_id, status, platform, amount_cents, cost_cents,
                              discount_bps, recipient_email, metadata, voucher_code, account_id, fails_at, ended_at)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13,
            case when $14 then clock_timestamp() + interval '1 second' end,
            case when $5 = 'delivered' then clock_timestamp() end)
    returning created_at";

fn insert(
    caller: &Caller,
    transaction_id: Uuid,
    status: Status,
    request: &SendRequest,
    quote: &Quote,
    account_id: Option<Uuid>,
    data: &TopUpData,
) -> Result<TimestampWithTimeZone, Failure> {
    let arguments = args![
        caller.tenant_id,
        caller.environment.as_str(),
        transaction_id,
        caller.key.id,
        status.as_str(),
        data.platform.as_str(),
        data.amount_cents.0,
        data.cost_cents.0,
        data.discount_bps.0,
        data.recipient_email.as_deref(),
        request.metadata.as_ref().map(|metadata| metadata.as_str()),
        data.voucher_code.as_deref(),
        account_id,
        quote.ending == Ending::Failing,
    ];
    let created = db::write(INSERT, arguments, |row| row.get(1))?;
    created.into_iter().next().ok_or_else(|| Failure::Fault("the top-up was not written".to_owned()))
}
