//! What a customer does in the portal: the handlers that keys call too, for the session's customer and no other.

use pg_topup_contract::Code;
use pgrx::prelude::*;
use serde::Deserialize;

use super::session::{self, Session};
use super::typed;
use crate::ledger::account::customer_account_id;
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::operation::request;
use crate::payment::auto::change::{self, AccountRequest, SetRequest};
use crate::payment::card;
use crate::payment::create::{self, Destination, TopUpRequest};
use crate::pg::jsonb::JsonbText;
use crate::pg::settings;
use crate::top_up::redeem::{Redeem, RedeemRequest};
use crate::value::reply::{self, Failure, Refusal, Rendered, Reply, or_error};

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_act(session: &str, action: &str, request: JsonbText) -> Option<JsonbText> {
    let answer = |session: &Session| Ok(reply::finish(act(session, action, &request.0)));
    or_error(session::answer(session, answer)).map(|reply| JsonbText(reply.body))
}

fn act(session: &Session, action: &str, text: &str) -> Result<Rendered, Failure> {
    match action {
        "top_up" => top_up(session, request::parse(text)?),
        "redeem" => redeem(session, request::parse(text)?),
        "remove_card" => remove_card(session),
        "set_auto_top_up" => set_auto_top_up(session, request::parse(text)?),
        "remove_auto_top_up" => remove_auto_top_up(session, request::parse(text)?),
        _ => Err(Refusal::new(Code::UnknownEndpoint, "The portal cannot do this.").into()),
    }
}

fn handled<H: Handler>(session: &Session, request: &H::Request) -> Result<Rendered, Failure> {
    H::handle(&session.caller, request)?.render()
}

/// Which of the customer's accounts, by its id.
fn parts(account_id: &str) -> Result<(&str, &str), Refusal> {
    let missing = || Refusal::of_field(Code::InvalidRequest, "account_id", "There is no such account.");
    account_id.rsplit_once(':').ok_or_else(missing)
}

#[derive(Deserialize)]
struct TopUpAsked {
    account_id: String,
    currency: String,
    amount: String,
}

/// Begins a checkout that leads back to the portal.
fn top_up(session: &Session, asked: TopUpAsked) -> Result<Rendered, Failure> {
    let (account_name, asset) = parts(&asked.account_id)?;
    let back = format!("{}/portal", settings::public_url());
    let request = TopUpRequest {
        customer_id: session.customer(),
        amount: typed::amount(&asked.amount, "amount", &asked.currency)?,
        currency: asked.currency,
        description: None,
        destination: Some(Destination {
            account_name: Some(account_name.to_owned()),
            asset: asset.to_owned(),
            exchange_rate: None,
        }),
        credit_expires_at: None,
        return_url: back.clone(),
        failure_url: back,
        metadata: None,
    };
    handled::<create::Create>(session, &request)
}

#[derive(Deserialize)]
struct AutoAsked {
    account_id: String,
    currency: String,
    amount: String,
    threshold: String,
}

fn set_auto_top_up(session: &Session, asked: AutoAsked) -> Result<Rendered, Failure> {
    let (account_name, asset) = parts(&asked.account_id)?;
    let account_id = customer_account_id(session.customer_id, account_name, asset);
    let limit = change::limit_of(&session.caller, account_id)?;
    let request = SetRequest {
        amount: typed::amount(&asked.amount, "amount", &asked.currency)?,
        threshold: typed::amount(&asked.threshold, "threshold", asset)?,
        customer_id: Some(session.customer()),
        account_name: Some(account_name.to_owned()),
        asset: Some(asset.to_owned()),
        currency: Some(asked.currency),
        max_purchases: limit.map(|(purchases, _)| purchases),
        window_s: limit.map(|(_, window_s)| window_s),
    };
    handled::<change::Set>(session, &request)
}

#[derive(Deserialize)]
struct AccountAsked {
    account_id: String,
}

fn remove_auto_top_up(session: &Session, asked: AccountAsked) -> Result<Rendered, Failure> {
    let (account_name, asset) = parts(&asked.account_id)?;
    let request = AccountRequest {
        customer_id: Some(session.customer()),
        account_name: Some(account_name.to_owned()),
        asset: Some(asset.to_owned()),
    };
    handled::<change::Remove>(session, &request)
}

#[derive(Deserialize)]
struct RedeemAsked {
    voucher_code: String,
}

fn redeem(session: &Session, asked: RedeemAsked) -> Result<Rendered, Failure> {
    let customer_id = Some(session.customer());
    let request = RedeemRequest { voucher_code: asked.voucher_code, customer_id, email: None };
    handled::<Redeem>(session, &request)
}

/// Without a card twice is fine.
fn remove_card(session: &Session) -> Result<Rendered, Failure> {
    card::remove(&session.caller, Some(session.customer_id), None)?;
    Reply::new(Code::Success, Nothing {}).render()
}
