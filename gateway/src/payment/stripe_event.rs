//! Stripe's webhook. An event is a hint that something has happened: what has, is asked anew, so that events may come
//! late, twice and in any order.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, Mac};
use pg_topup_contract::Code;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use super::outcome::Report;
use super::stripe::Stripe;
use super::stripe_api::Trouble;
use crate::app::App;
use crate::body;
use crate::client_address;
use crate::postgres::fault;
use crate::reply::{self, Refusal, Subject};

/// How old, or how early, an event may be.
const TOLERANCE: Duration = Duration::from_secs(300);
const BODY_BYTES_MAX: usize = 1024 * 1024;
const OPERATION: &str = "stripe_webhook";

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    livemode: bool,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// POST: an event. Anything but 2xx has Stripe send it again.
pub async fn receive(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let mut response = match received(&app, request).await {
        Ok(()) => reply::json(200, r#"{"received":true}"#.to_owned()),
        Err(refusal) => refusal.into_response(),
    };
    let code = response.extensions().get::<Subject>().and_then(|subject| subject.code);
    response.extensions_mut().insert(Subject { operation: OPERATION.to_owned(), code });
    response
}

async fn received(app: &App, request: Request) -> Result<(), Refusal> {
    let (head, body) = request.into_parts();
    let secrets = &app.settings.stripe.webhook_secrets;
    if secrets.is_empty() {
        body::discard(&head.headers, body);
        return Err(Refusal::new(Code::UnknownEndpoint, "No secret for Stripe's webhooks is configured."));
    }
    let mut held = app.bodies.of_address(client_address::of_head(&head, &app.settings.trusted_proxies));
    let body = body::bytes(&head.headers, body, BODY_BYTES_MAX, &mut held).await?;
    let invalid = |message: &str| Refusal::new(Code::InvalidRequest, message);
    verify(&head.headers, &body, secrets, SystemTime::now()).map_err(invalid)?;
    let event: Event = serde_json::from_slice(&body).map_err(|_| invalid("This is no event."))?;
    let environment = if event.livemode { "live" } else { "staging" };
    // Stripe sends it again for three days: whoever configures the key within them loses nothing.
    let Some(stripe) = app.payments.stripe(environment) else {
        let event_id = event.id;
        tracing::warn!(event_id, environment, "an event of a mode for which there is no Stripe key");
        return Err(Refusal::unavailable());
    };
    let reports = told(stripe, &event).await.map_err(|trouble| {
        tracing::warn!(event_id = event.id, kind = event.kind, %trouble, "an event cannot be followed up now");
        Refusal::unavailable()
    })?;
    for report in reports.into_iter().flatten() {
        let told = app.database.report_payment(&report).await;
        if told.map_err(|fault| fault::refusal(OPERATION, &fault))?.is_none() {
            tracing::info!(event_id = event.id, "an event about a payment that is not ours");
        }
    }
    Ok(())
}

/// What an event is about, as it stands now.
async fn told(stripe: &Stripe, event: &Event) -> Result<[Option<Report>; 3], Trouble> {
    let object = &event.data.object;
    let id = |field: &str| object[field].as_str().unwrap_or_default();
    let heard = |report| Report { event_id: Some(event.id.clone()), ..report };
    match event.kind.as_str() {
        "checkout.session.completed"
        | "checkout.session.async_payment_succeeded"
        | "checkout.session.expired"
        | "payment_intent.succeeded"
        | "payment_intent.payment_failed" => Ok([stripe.told(id("id")).await?.map(heard), None, None]),
        // What is given back was paid before, whether or not that was heard.
        "charge.refunded" if !id("payment_intent").is_empty() => {
            let intent_id = id("payment_intent");
            let paid = stripe.told(intent_id).await?;
            Ok([paid, stripe.told_refunds(intent_id).await?.map(heard), None])
        }
        // What is disputed was paid before, and may have been given back in part.
        kind if kind.starts_with("charge.dispute.") && !id("payment_intent").is_empty() => {
            let intent_id = id("payment_intent");
            let (paid, refunded) = (stripe.told(intent_id).await?, stripe.told_refunds(intent_id).await?);
            Ok([paid, refunded, stripe.told_dispute(id("id")).await?.map(heard)])
        }
        "radar.early_fraud_warning.created" => {
            let (event_id, intent_id) = (&event.id, id("payment_intent"));
            tracing::warn!(
                event_id,
                intent_id,
                "a payer's bank warns of fraud; a refund may spare a dispute"
            );
            Ok([None, None, None])
        }
        "refund.failed" | "refund.updated" | "charge.refund.updated"
            if matches!(id("status"), "failed" | "canceled") =>
        {
            Ok([stripe.told_refund(id("id")).await?.map(heard), None, None])
        }
        _ => Ok([None, None, None]),
    }
}

/// Whether one of our secrets signed this, not long ago.
fn verify(headers: &HeaderMap, body: &[u8], secrets: &[String], now: SystemTime) -> Result<(), &'static str> {
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let header = header.ok_or("The Stripe-Signature is missing.")?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let at = parts().find_map(|(name, value)| (name == "t").then_some(value)).unwrap_or_default();
    let at_s: u64 = at.parse().map_err(|_| "The Stripe-Signature has no time.")?;
    let signed = parts()
        .filter(|(name, _)| *name == "v1")
        .filter_map(|(_, signature)| HEXLOWER_PERMISSIVE.decode(signature.as_bytes()).ok());
    let is_signed = signed.into_iter().any(|signature| {
        secrets.iter().any(|secret| {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
            mac.update(at.as_bytes());
            mac.update(b".");
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        })
    });
    if !is_signed {
        return Err("The Stripe-Signature does not fit.");
    }
    let now_s = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match now_s.abs_diff(at_s) <= TOLERANCE.as_secs() {
        true => Ok(()),
        false => Err("The Stripe-Signature is too old."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    const NOW_S: u64 = 1_800_000_000;

    fn sign(secret: &str, at_s: u64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at_s}.{body}").as_bytes());
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    fn judge(header: &str, body: &str) -> Result<(), &'static str> {
        let headers = HeaderMap::from_iter([("stripe-signature".parse().unwrap(), header.parse().unwrap())]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S);
        verify(&headers, body.as_bytes(), &["whsec_new".to_owned(), "whsec_old".to_owned()], now)
    }

    #[test]
    fn any_of_our_secrets_may_have_signed() {
        let good = sign("whsec_old", NOW_S, "{}");
        assert_eq!(judge(&format!("t={NOW_S},v1={good}"), "{}"), Ok(()));
        assert_eq!(judge(&format!("t={NOW_S},v1=00,v0=1,v1={good}"), "{}"), Ok(()));
        assert!(judge(&format!("t={NOW_S},v1={good}"), "{ }").is_err());
        assert!(judge(&format!("t={NOW_S},v0={good}"), "{}").is_err());
        let other = sign("whsec_other", NOW_S, "{}");
        assert!(judge(&format!("t={NOW_S},v1={other}"), "{}").is_err());
        assert!(judge(&format!("v1={good}"), "{}").is_err() && judge("", "{}").is_err());
    }

    #[test]
    fn an_event_is_good_for_five_minutes() {
        for (at_s, is_good) in
            [(NOW_S - 300, true), (NOW_S + 300, true), (NOW_S - 301, false), (NOW_S + 301, false)]
        {
            let signature = sign("whsec_new", at_s, "{}");
            assert_eq!(judge(&format!("t={at_s},v1={signature}"), "{}").is_ok(), is_good, "{at_s}");
        }
    }
}
