//! What the gateway reports of a payment: from the checkout page, and from the provider's signed messages, in
//! whatever order and however often they come.

use pgrx::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::auto;
use super::card::{self, Card};
use super::checkout::View;
use super::dispute;
use super::ending;
use super::fault::PaymentFault;
use super::model::{self, Method, Payment, Status};
use super::provider::Provider;
use super::refund;
use crate::pg::db::{self, args};
use crate::pg::jsonb::JsonbText;
use crate::value::reply::{Failure, or_error};

/// What became of a payment, or of an attempt at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentOutcome {
    Succeeded,
    /// An attempt; on a checkout another may follow.
    Declined,
    /// By the payer.
    Canceled,
    /// The provider's session ended unpaid.
    Expired,
    /// At the provider, all or in part.
    Refunded,
    /// A refund did not arrive: the provider has its money again.
    RefundFailed,
    /// How a dispute stands.
    Disputed,
}

impl PaymentOutcome {
    /// Whether it reports a state and not a change: then it may as well be applied twice.
    fn is_state(self) -> bool {
        matches!(self, PaymentOutcome::Refunded | PaymentOutcome::RefundFailed | PaymentOutcome::Disputed)
    }
}

#[derive(Debug, Deserialize)]
struct Report {
    payment_id: Option<String>,
    /// Whose report it is, and of which mode: with test keys and live keys in one gateway, play money must
    /// not pay.
    provider: Option<String>,
    environment: Option<String>,
    provider_payment_id: Option<String>,
    result: PaymentOutcome,
    amount_minor: Option<i64>,
    currency: Option<String>,
    /// All that stands refunded by now.
    refunded_minor: Option<i64>,
    refund_id: Option<Uuid>,
    /// The provider's id of a dispute, how that stands, and how much is disputed.
    dispute_id: Option<String>,
    dispute_status: Option<dispute::Status>,
    disputed_minor: Option<i64>,
    save_card: Option<bool>,
    provider_customer_id: Option<String>,
    provider_method_id: Option<String>,
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<i32>,
    exp_year: Option<i32>,
    code: Option<String>,
    message: Option<String>,
    event_id: Option<String>,
}

/// Null where no such payment is known.
#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn report_payment(report: JsonbText) -> Option<JsonbText> {
    or_error(settle(&report.0))
}

fn settle(text: &str) -> Result<Option<JsonbText>, Failure> {
    let report: Report = serde_json::from_str(text)?;
    let provider = report.provider.as_deref().and_then(Provider::parse);
    let by_provider = report.provider_payment_id.as_deref().zip(provider);
    let Some((tenant_id, payment_id)) = model::named(report.payment_id.as_deref(), by_provider)? else {
        return Ok(None);
    };
    let Some(payment) = model::lock(tenant_id, payment_id)? else { return Ok(None) };
    let is_of = |named: Option<&str>, own: &str| named.is_none_or(|named| named == own);
    if !is_of(report.environment.as_deref(), payment.book.environment.as_str())
        || !is_of(report.provider.as_deref(), payment.provider.as_str())
    {
        warning!("a report from elsewhere names {}, and is not believed", payment.text_id());
        return Ok(None);
    }
    let is_news = is_news(&payment, &report)?;
    let changed = (is_news || report.result.is_state()) && apply(&payment, &report)?;
    let no_payment = || Failure::Fault("the payment is gone".to_owned());
    let payment = model::find(&payment.book, payment_id)?.ok_or_else(no_payment)?;
    View::of(payment)?.changed(changed).json().map(Some)
}

const RECORD_EVENT: &str = "
    insert into topup.provider_event (tenant_id, environment, provider, event_id, payment_id)
    values ($1, $2::topup.environment, $3, $4, $5) on conflict do nothing returning true";

/// Records the provider's event; returns whether it is new.
fn is_news(payment: &Payment, report: &Report) -> Result<bool, Failure> {
    let Some(event_id) = report.event_id.as_deref() else { return Ok(true) };
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let arguments = args![tenant_id, environment, payment.provider.as_str(), event_id, payment.id];
    Ok(!db::write(RECORD_EVENT, arguments, |_| Ok(()))?.is_empty())
}

fn apply(payment: &Payment, report: &Report) -> Result<bool, Failure> {
    match report.result {
        PaymentOutcome::Succeeded => succeed(payment, report),
        PaymentOutcome::Declined if payment.method == Method::OffSession => {
            ending::fail(payment, &report.fault(), report.provider_payment_id.as_deref())
        }
        PaymentOutcome::Declined => decline(payment, &report.fault()),
        PaymentOutcome::Canceled => {
            ending::fail(payment, &PaymentFault::reported(Some("canceled"), Some("The payer gave up.")), None)
        }
        PaymentOutcome::Expired => ending::expire(payment),
        PaymentOutcome::Refunded => {
            refund::reported(payment, report.refunded_minor.unwrap_or_default(), report.refund_id)
        }
        PaymentOutcome::RefundFailed => {
            refund::failed(payment, report.refunded_minor, report.refund_id, &report.fault())
        }
        PaymentOutcome::Disputed => match report.dispute() {
            Some(dispute) => dispute::reported(payment, &dispute),
            None => Err(Failure::Fault("a dispute is reported without its id or status".to_owned())),
        },
    }
}

fn succeed(payment: &Payment, report: &Report) -> Result<bool, Failure> {
    let id = report.provider_payment_id.as_deref();
    if payment.status == Status::Succeeded {
        if id.is_some_and(|id| payment.provider_payment_id.as_deref().is_some_and(|kept| kept != id)) {
            warning!("{} was paid twice at the provider: {}", payment.text_id(), id.unwrap_or_default());
        }
        return Ok(false);
    }
    if !payment.is_paid_by(report.amount_minor, report.currency.as_deref()) {
        return Ok(false);
    }
    if let Some(id) = id
        && model::is_spent(payment, id)?
    {
        warning!("{} is reported as paid by {id}, which has paid for another", payment.text_id());
        return Ok(false);
    }
    let (book, customer_id) = (&payment.book, payment.customer_id);
    let card = report.card().map(|card| card::save(book, customer_id, payment.provider, &card));
    ending::succeed(payment, id)?;
    if card.transpose()?.is_some() {
        auto::arm_payer(book, customer_id)?;
    }
    refund::catch_up(book, payment.id)?;
    dispute::catch_up(book, payment.id)?;
    Ok(true)
}

const DECLINED: &str = "
    update topup.payment set status = 'pending', failure_code = $4, failure_message = $5
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3
       and status in ('initiated', 'pending')
    returning true";

/// An attempt failed; the payer may try again.
fn decline(payment: &Payment, fault: &PaymentFault) -> Result<bool, Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let arguments = args![tenant_id, environment, payment.id, fault.code.as_str(), fault.message.as_str()];
    Ok(!db::write(DECLINED, arguments, |_| Ok(()))?.is_empty())
}

impl Report {
    fn card(&self) -> Option<Card> {
        let ids = self.provider_customer_id.clone().zip(self.provider_method_id.clone());
        let (provider_customer_id, provider_method_id) = ids.filter(|_| self.save_card == Some(true))?;
        Some(Card {
            method_id: Uuid::nil(),
            brand: self.brand.clone(),
            last4: self.last4.clone(),
            exp_month: self.exp_month,
            exp_year: self.exp_year,
            provider_customer_id,
            provider_method_id,
        })
    }

    fn dispute(&self) -> Option<dispute::ReportedDispute<'_>> {
        Some(dispute::ReportedDispute {
            provider_dispute_id: self.dispute_id.as_deref()?,
            status: self.dispute_status?,
            amount_minor: self.disputed_minor,
            currency: self.currency.as_deref(),
            reason: self.code.as_deref(),
        })
    }

    fn fault(&self) -> PaymentFault {
        PaymentFault::reported(self.code.as_deref(), self.message.as_deref())
    }
}
