//! The checkout page: shows a payment, takes the card where the provider is ours, and leads to the provider's
//! page where it is not. The token in the path is the right to pay; nobody signs in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};

use super::card::{Card, Expiry, Mistakes};
use super::form::Form;
use super::outcome::{CardFacts, Report, Told};
use super::test::{self, Answer};
use super::test_card::{Decline, REFUSED, TestCard};
use super::view::View;
use super::{Step, page};
use crate::app::App;
use crate::body;
use crate::client_address;
use crate::postgres::database::Fault;
use crate::request_id;

const TOKEN_LENGTH_MAX: usize = 64;
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The queries of the page that follows on an end, and on leaving the provider's page without paying.
const DONE: &str = "done";
const CANCELED: &str = "canceled";
/// Another visit may have begun the provider's checkout meanwhile; then that one is taken.
const BEGIN_ROUNDS_MAX: usize = 3;

/// GET: the payment as it stands.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    match shown(&app, &token, query.as_deref()).await {
        Ok(response) => response,
        Err(fault) => failed(&fault),
    }
}

/// POST: what somebody typed or chose.
pub async fn submit(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    if !is_form(&head.headers) {
        body::discard(&head.headers, body);
        return page::malformed();
    }
    let mut held = app.bodies.of_address(client_address::of_head(&head, &app.settings.trusted_proxies));
    let Ok(body) = body::bytes(&head.headers, body, FORM_BYTES_MAX, &mut held).await else {
        return page::malformed();
    };
    match submitted(&app, &token, &Form::parse(&body)).await {
        Ok(response) => response,
        Err(fault) => failed(&fault),
    }
}

async fn shown(app: &App, token: &str, query: Option<&str>) -> Result<Response<Body>, Fault> {
    let Some(mut view) = find(app, token).await? else { return Ok(page::unknown()) };
    let address = format!("{}/checkout/{token}", app.database.public_url().await?.trim_end_matches('/'));
    for _ in 0..BEGIN_ROUNDS_MAX {
        if !view.is_open() {
            return Ok(page::ended(&view, query == Some(DONE)));
        }
        if query == Some(CANCELED) {
            return Ok(page::left(&view, token));
        }
        let Some(provider) = app.payments.get(&view.provider, &view.environment) else {
            tracing::error!(provider = view.provider, "no gateway setting for this payment provider");
            return Ok(page::unavailable());
        };
        match provider.checkout(&view, &address).await {
            Ok(Step::Page) => return Ok(page::pay(&view, &Form::default(), &Mistakes::default())),
            Ok(Step::Wait) => return Ok(page::waiting(&view)),
            Ok(Step::Redirect { provider_payment_id: id, provider_customer_id: payer, url }) => {
                if view.provider_payment_id.as_ref() == Some(&id) {
                    return Ok(page::redirect(&url));
                }
                let Some(begun) = app.database.checkout_begin(token, Some(&id), payer.as_deref()).await?
                else {
                    break;
                };
                view = begun;
                if view.begun && view.provider_payment_id.as_ref() == Some(&id) {
                    return Ok(page::redirect(&url));
                }
            }
            Ok(Step::Over(report)) => {
                let Some(told) = app.database.report_payment(&report).await? else { break };
                view = told;
            }
            Ok(Step::Refused(report)) => {
                no_checkout(&view, report.message.as_deref().unwrap_or_default());
                app.database.report_payment(&report).await?;
                return Ok(page::unavailable());
            }
            Err(message) => {
                no_checkout(&view, &message);
                return Ok(page::unavailable());
            }
        }
    }
    Ok(page::unavailable())
}

fn no_checkout(view: &View, message: &str) {
    let (request_id, payment_id) = (request_id::current(), &view.payment_id);
    tracing::warn!(request_id, payment_id, message, "no checkout at the provider");
}

async fn submitted(app: &App, token: &str, form: &Form) -> Result<Response<Body>, Fault> {
    let Some(view) = find(app, token).await? else { return Ok(page::unknown()) };
    if !view.is_open() {
        return Ok(page::ended(&view, false));
    }
    // Only the built-in provider has forms on our page.
    if (view.provider.as_str(), view.environment.as_str()) != ("test", "staging") {
        return Ok(page::malformed());
    }
    if form.action == "cancel" {
        let report = report(&view, Told::Canceled);
        app.database.report_payment(&report).await?;
        return Ok(again(token, true));
    }
    let choice = match choose(&view, form) {
        Ok(choice) => choice,
        Err(Refused::Mistakes(mistakes)) => return Ok(page::pay(&view, form, &mistakes)),
        Err(Refused::Decline(decline)) => return decline_it(app, token, decline).await,
        Err(Refused::Malformed) => return Ok(page::malformed()),
    };
    match test::pay(choice.card, &view, form.action == "confirm") {
        Answer::Approved { provider_payment_id } => {
            let Some(view) = begin(app, token).await? else { return Ok(again(token, false)) };
            let paid = paid(&view, &choice, provider_payment_id);
            app.database.report_payment(&paid).await?;
            for report in choice.card.afterwards(&view.payment_id, &view.environment, view.amount_minor) {
                app.database.report_payment(&report).await?;
            }
            Ok(again(token, true))
        }
        Answer::Confirm => Ok(page::confirm(&view, choice.card, choice.exp, choice.save)),
        Answer::Declined(decline) => decline_it(app, token, decline).await,
    }
}

/// A card to be charged, typed or saved.
struct Choice {
    card: &'static TestCard,
    exp: Expiry,
    save: bool,
}

enum Refused {
    Mistakes(Mistakes),
    Decline(Decline),
    Malformed,
}

fn choose(view: &View, form: &Form) -> Result<Choice, Refused> {
    match form.action.as_str() {
        "pay" => {
            let now = Expiry::now();
            let card = Card::parse(&form.number, &form.exp, &form.cvc, now).map_err(Refused::Mistakes)?;
            let known = test::recognize(&card).map_err(Refused::Decline)?;
            Ok(Choice { card: known, exp: card.exp, save: form.save_card })
        }
        "pay_saved" => {
            let saved = view.card.as_ref().ok_or(Refused::Malformed)?;
            let card = TestCard::of_method(&saved.provider_method_id).ok_or(Refused::Malformed)?;
            let (month, year) = saved.expiry().ok_or(Refused::Malformed)?;
            Ok(Choice { card, exp: Expiry { year, month }, save: false })
        }
        "confirm" | "refuse" => {
            let card = TestCard::of_method(&form.method).ok_or(Refused::Malformed)?;
            let exp = Expiry::parse(&form.exp).map_err(|_| Refused::Malformed)?;
            match form.action.as_str() {
                "confirm" => Ok(Choice { card, exp, save: form.save_card }),
                _ => Err(Refused::Decline(REFUSED)),
            }
        }
        _ => Err(Refused::Malformed),
    }
}

async fn decline_it(app: &App, token: &str, decline: Decline) -> Result<Response<Body>, Fault> {
    if let Some(view) = begin(app, token).await? {
        let (code, message) = (Some(decline.code.to_owned()), Some(decline.message.to_owned()));
        let declined = Report { code, message, ..report(&view, Told::Declined) };
        app.database.report_payment(&declined).await?;
    }
    Ok(again(token, false))
}

fn paid(view: &View, choice: &Choice, provider_payment_id: String) -> Report {
    let known = view.provider_customer_id.clone();
    let card = CardFacts {
        provider_customer_id: Some(known.unwrap_or_else(|| test::customer_id(view))),
        provider_method_id: Some(choice.card.method.to_owned()),
        brand: Some(choice.card.brand().to_owned()),
        last4: Some(choice.card.last4().to_owned()),
        exp_month: Some(choice.exp.month),
        exp_year: Some(choice.exp.year),
    };
    Report {
        provider_payment_id: Some(provider_payment_id),
        amount_minor: Some(view.amount_minor),
        currency: Some(view.currency.clone()),
        save_card: choice.save,
        card,
        ..report(view, Told::Succeeded)
    }
}

fn report(view: &View, result: Told) -> Report {
    Report {
        payment_id: Some(view.payment_id.clone()),
        provider: view.provider.clone(),
        environment: view.environment.clone(),
        result,
        ..Report::default()
    }
}

/// The payment, opened; nothing where it has ended meanwhile.
async fn begin(app: &App, token: &str) -> Result<Option<View>, Fault> {
    Ok(app.database.checkout_begin(token, None, None).await?.filter(|view| view.begun))
}

/// What cannot be a token is not asked for.
async fn find(app: &App, token: &str) -> Result<Option<View>, Fault> {
    let is_token = (1..=TOKEN_LENGTH_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_token { app.database.checkout_view(token).await } else { Ok(None) }
}

/// To the page by GET, so that neither reload nor the back button pays again.
fn again(token: &str, done: bool) -> Response<Body> {
    let query = if done { format!("?{DONE}") } else { String::new() };
    page::redirect(&format!("/checkout/{token}{query}"))
}

fn is_form(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn failed(fault: &Fault) -> Response<Body> {
    let request_id = request_id::current();
    match fault {
        Fault::Internal { sqlstate, message } => {
            tracing::error!(request_id, sqlstate, message, "the checkout failed");
        }
        _ => tracing::warn!(request_id, message = %fault, "postgres cannot answer the checkout now"),
    }
    let mut response = page::unavailable();
    if matches!(fault, Fault::Internal { .. }) {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::page::tests::view;
    use serde_json::json;

    fn form(pairs: &str) -> Form {
        Form::parse(pairs.as_bytes())
    }

    #[test]
    fn a_confirmed_card_is_the_one_that_was_typed() {
        let view = view(json!({}));
        let typed = form("action=pay&number=4000002760003184&exp=12/34&cvc=123&save_card=1");
        let choice = choose(&view, &typed).ok().unwrap();
        assert_eq!(test::pay(choice.card, &view, false), Answer::Confirm);
        let confirmed =
            form(&format!("action=confirm&method={}&exp=12/2034&save_card=1", choice.card.method));
        let choice = choose(&view, &confirmed).ok().unwrap();
        let Answer::Approved { provider_payment_id } = test::pay(choice.card, &view, true) else { panic!() };
        let paid = paid(&view, &choice, provider_payment_id);
        assert_eq!((paid.result, paid.amount_minor, paid.save_card), (Told::Succeeded, Some(2550), true));
        assert_eq!((paid.card.last4.as_deref(), paid.card.exp_year), (Some("3184"), Some(2034)));
    }

    #[test]
    fn what_the_page_never_sends_is_malformed() {
        let view = view(json!({}));
        for odd in ["", "action=steal", "action=confirm&method=pm_1&exp=12/34", "action=pay_saved"] {
            assert!(matches!(choose(&view, &form(odd)), Err(Refused::Malformed)), "{odd}");
        }
        assert!(matches!(choose(&view, &form("action=pay")), Err(Refused::Mistakes(_))));
    }
}
