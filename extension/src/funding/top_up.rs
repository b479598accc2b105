//! Top-ups of the tenant's own wallet: with the saved card, or as a checkout.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{check_account, check_least};
use crate::ledger::account::USD;
use crate::operation::handler::Handler;
use crate::payment::card::{self, Card};
use crate::payment::model::{self, Method, Origin, Payment, Status};
use crate::payment::provider;
use crate::payment::start::{self, NewPayment};
use crate::pg::db::{self, args};
use crate::pg::name_lock;
use crate::tenant::caller::Caller;
use crate::value::amount::{Amount, Cents};
use crate::value::book::Book;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

pub const LEAST: Cents = Cents(1000);
/// As much as providers charge at once.
const MOST: Cents = Cents(99_999_999);
/// How long after a request its repetition is looked for: official clients wait a minute for each of three answers, and
/// may be told to wait longer.
const REPEATED_WITHIN_S: i32 = 900;

/// How much to fill the wallet with.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TopUpRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// US cents, 1,000 to 99,999,999.
    pub amount: Cents,
    /// The provider's id of the saved card; the saved card, if there is one, if not given.
    pub payment_method_id: Option<String>,
    /// How many times the client sent this before, as its header says.
    pub retry_count: Option<i64>,
}

/// A top-up under way.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpStarted {
    /// `in_…`
    pub payment_intent_id: String,
    /// The secret part of the checkout's address; null where the saved card is charged. A saved card that only its holder
    /// can use again leads to a checkout too.
    pub client_secret: Option<String>,
    /// Where to pay; null where the saved card is charged.
    pub checkout_url: Option<String>,
    /// Whether there is a saved card already.
    pub onboarding: bool,
    /// Of the saved card.
    pub brand: Option<String>,
    /// The last four digits of the saved card; null where there is none.
    pub last4: Option<String>,
}

pub struct TopUp;

impl Handler for TopUp {
    const NAME: &'static str = "funding_top_up";
    type Request = TopUpRequest;
    type Data = TopUpStarted;

    fn handle(caller: &Caller, request: &TopUpRequest) -> Outcome<TopUpStarted> {
        check_account(caller, request.account_id.as_deref())?;
        check_amount(request.amount)?;
        let provider = provider::require(caller)?;
        let card = card::current(caller, None, provider)?;
        let wanted = request.payment_method_id.as_deref();
        if wanted.is_some_and(|wanted| card.as_ref().is_none_or(|card| card.provider_method_id != wanted)) {
            let message = "There is no such saved payment method.";
            return Err(Refusal::of_field(Code::InvalidRequest, "payment_method_id", message).into());
        }
        lock(caller);
        if request.retry_count.is_some_and(|count| count > 0)
            && let Some(before) = repeated(caller, request.amount, card.as_ref())?
        {
            return Ok(Reply::new(Code::Success, started(before, None, card.as_ref())));
        }
        let needs_holder = match &card {
            Some(card) => card::needs_holder(caller, card)?,
            None => false,
        };
        let charged = card.as_ref().filter(|_| !needs_holder);
        Ok(Reply::new(Code::Success, begin(caller, request.amount, charged, card.as_ref())?))
    }
}

/// Begins a top-up of the wallet: charges a card, or opens a checkout where there is none to charge.
pub fn begin(
    caller: &Caller,
    cents: Cents,
    charged: Option<&Card>,
    saved: Option<&Card>,
) -> Result<TopUpStarted, Failure> {
    let amount = Amount::from_cents(cents);
    let new = NewPayment {
        customer_id: None,
        account_id: caller.wallet_id,
        account_name: "wallet",
        asset: USD,
        currency: USD,
        amount,
        credit: amount,
        exchange_rate: Amount::from_cents(Cents(100)),
        card: charged,
        origin: Origin::Manual,
        description: Some("Wallet top-up"),
        metadata: None,
        credit_expires_at: None,
        return_url: None,
        failure_url: None,
    };
    let begun = start::start(caller, &new)?;
    let id = begun.payment.text_id();
    Ok(started(id, begun.redirect_url, saved))
}

/// Refuses what is too little for a top-up, or more than a card is charged at once.
pub fn check_amount(amount: Cents) -> Result<(), Refusal> {
    check_least(amount, LEAST, "amount")?;
    check_most(amount)
}

/// Refuses what no card is charged at once.
pub fn check_most(amount: Cents) -> Result<(), Refusal> {
    if amount <= MOST {
        return Ok(());
    }
    let message = format!("This must be at most {} cents.", MOST.0);
    Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message))
}

fn started(payment_intent_id: String, checkout_url: Option<String>, card: Option<&Card>) -> TopUpStarted {
    let secret =
        checkout_url.as_deref().and_then(|url| url.rsplit_once('/')).map(|(_, token)| token.to_owned());
    TopUpStarted {
        payment_intent_id,
        client_secret: secret,
        checkout_url,
        onboarding: card.is_some(),
        brand: card.and_then(|card| card.brand.clone()),
        last4: card.and_then(|card| card.last4.clone()),
    }
}

/// One top-up after the other: a repetition must see what it repeats.
fn lock(book: &Book) {
    name_lock::lock(&format!("{}/{}/funding", book.tenant_id, book.environment.as_str()));
}

const REPEATED: &str = "
    select payment_id from topup.payment
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is null and origin = 'manual'
       and method = 'off_session' and amount = $3::numeric and method_id is not distinct from $4
       and created_at > clock_timestamp() - make_interval(secs => $5)
     order by payment_id desc limit 1";

/// The charge that a request repeats, if its client says that it does: a client whose connection broke sends the
/// same again and has no key by which that would be known. A checkout may begin twice, since nothing is taken by it.
fn repeated(book: &Book, amount: Cents, card: Option<&Card>) -> Result<Option<String>, Failure> {
    let Some(card) = card else { return Ok(None) };
    let amount = Amount::from_cents(amount).to_string();
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let arguments = args![tenant_id, environment, amount, card.method_id, REPEATED_WITHIN_S];
    let found: Vec<Uuid> = db::write_range(REPEATED, arguments, |row| row.uuid(1))?;
    Ok(found.into_iter().next().map(|id| model::text_id(None, id)))
}

/// Which top-up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StatusRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// `in_…`
    pub payment_intent_id: String,
}

/// Whether the money is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopUpState {
    /// `in_…`
    pub payment_intent_id: String,
    /// `completed` once the wallet is credited.
    pub status: State,
}

/// Whether the wallet is credited.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Completed,
}

pub struct TopUpStatus;

impl Handler for TopUpStatus {
    const NAME: &'static str = "funding_top_up_status";
    type Request = StatusRequest;
    type Data = TopUpState;

    fn handle(caller: &Caller, request: &StatusRequest) -> Outcome<TopUpState> {
        check_account(caller, request.account_id.as_deref())?;
        let no_payment = || Refusal::not_found("payment_intent_id", "There is no such top-up.");
        let id = Kind::Invoice.parse(&request.payment_intent_id).ok_or_else(no_payment)?;
        let payment = model::read(caller, id)?
            .filter(|payment| payment.customer_id.is_none())
            .ok_or_else(no_payment)?;
        let status = match payment.status_at(PgTimestamp::now()) {
            Status::Succeeded => State::Completed,
            Status::Initiated | Status::Pending => State::Pending,
            Status::Failed | Status::Expired => return Err(ended(&payment).into()),
        };
        let payment_intent_id = payment.text_id();
        Ok(Reply::new(Code::Success, TopUpState { payment_intent_id, status }))
    }
}

/// There is no state for a top-up that will never be paid: it is a refusal that says why.
fn ended(payment: &Payment) -> Refusal {
    let unpaid = match payment.method {
        Method::Checkout => "The checkout ended unpaid.",
        Method::OffSession => "The card was not charged.",
    };
    let why = payment.failure_message.as_deref().unwrap_or(unpaid);
    let code = payment.failure_code.as_deref().unwrap_or_default();
    let way_out = match payment.method {
        Method::OffSession if card::is_for_holder(code) => " Another top-up opens a checkout.",
        _ => "",
    };
    let message = format!("The top-up failed: {why}{way_out}");
    Refusal::of_field(Code::InvalidRequest, "payment_intent_id", message)
}
