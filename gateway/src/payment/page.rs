//! The pages of a checkout: server-rendered, without scripts, and of use to eyes, keyboards and screen readers.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::card::{Expiry, Mistakes};
use super::form::Form;
use super::test_card::{CARDS, TestCard};
use super::view::{Status, View};
use crate::html::{self, Pages};

const STYLE: &str = include_str!("../../templates/checkout.css");

/// Its forms lead back here.
static PAGES: Pages =
    Pages { operation: "checkout", policy: LazyLock::new(|| html::policy(STYLE, "form-action 'self'")) };

/// The form that takes a card.
#[derive(Template)]
#[template(path = "checkout.html")]
struct PayPage<'a> {
    style: &'static str,
    view: &'a View,
    typed: &'a Form,
    mistakes: &'a Mistakes,
    test_cards: &'static [TestCard],
}

/// The step at which the payer confirms, as a bank would ask.
#[derive(Template)]
#[template(path = "checkout_confirm.html")]
struct ConfirmPage<'a> {
    style: &'static str,
    view: &'a View,
    card: &'a TestCard,
    exp: String,
    save_card: bool,
}

/// What there is to say when nothing can be paid, or no longer.
#[derive(Template)]
#[template(path = "checkout_notice.html")]
struct NoticePage<'a> {
    style: &'static str,
    view: Option<&'a View>,
    title: &'a str,
    message: String,
    link: Option<(String, String)>,
    /// The link is followed by itself.
    follow: bool,
}

/// The card form, with what was typed before and what was wrong with it.
pub fn pay(view: &View, typed: &Form, mistakes: &Mistakes) -> Response<Body> {
    PAGES.html(StatusCode::OK, PayPage { style: STYLE, view, typed, mistakes, test_cards: &CARDS })
}

/// Asks the payer to confirm. The number of the card is not on the page.
pub fn confirm(view: &View, card: &TestCard, exp: Expiry, save_card: bool) -> Response<Body> {
    let exp = format!("{:02}/{}", exp.month, exp.year);
    PAGES.html(StatusCode::OK, ConfirmPage { style: STYLE, view, card, exp, save_card })
}

/// How a payment ended. Right after the end (`done`) the way back is taken at once.
pub fn ended(view: &View, done: bool) -> Response<Body> {
    let (url, success) = match view.status {
        Status::Succeeded => (view.return_url.as_deref(), true),
        _ => (view.failure_url.as_deref(), false),
    };
    let link = url.and_then(|url| way_back(url, &view.payment_id));
    let link = link.map(|url| (url, format!("Back to {}", view.merchant_name)));
    let status = if success || done { StatusCode::OK } else { StatusCode::GONE };
    let (title, message) = match view.status {
        Status::Succeeded => {
            ("Payment received", format!("You paid {} and have got {}.", view.price(), view.purchase()))
        }
        Status::Expired => {
            ("This link has expired", "Nothing was charged. Ask for a new link to pay.".to_owned())
        }
        _ => ("Payment cancelled", "Nothing was charged.".to_owned()),
    };
    let follow = done && link.is_some();
    PAGES.html(status, NoticePage { style: STYLE, view: Some(view), title, message, link, follow })
}

/// The payer came back without having paid, and still can.
pub fn left(view: &View, token: &str) -> Response<Body> {
    let back = view.failure_url.as_deref().and_then(|url| way_back(url, &view.payment_id));
    let follow = back.is_some();
    let link = match back {
        Some(url) => (url, format!("Back to {}", view.merchant_name)),
        None => (format!("/checkout/{token}"), format!("Pay {}", view.price())),
    };
    let (title, message) = ("Not paid yet", "Nothing was charged.".to_owned());
    let (view, link) = (Some(view), Some(link));
    PAGES.html(StatusCode::OK, NoticePage { style: STYLE, view, title, message, link, follow })
}

/// It is paid, and the provider waits for the money.
pub fn waiting(view: &View) -> Response<Body> {
    let message = format!("Your payment of {} is being processed. You need not do anything.", view.price());
    let title = "Payment under way";
    PAGES.html(
        StatusCode::OK,
        NoticePage { style: STYLE, view: Some(view), title, message, link: None, follow: false },
    )
}

pub fn unknown() -> Response<Body> {
    let message = "Check that the address is complete, or ask for a new link.".to_owned();
    PAGES.html(StatusCode::NOT_FOUND, notice("There is no such checkout", message))
}

/// The form did not arrive as the page sends it.
pub fn malformed() -> Response<Body> {
    PAGES.html(StatusCode::BAD_REQUEST, notice("That did not work", "Go back and try again.".to_owned()))
}

/// Postgres or the provider is out of reach.
pub fn unavailable() -> Response<Body> {
    let message = "Try again in a moment; nothing is paid twice.".to_owned();
    PAGES.for_now(StatusCode::SERVICE_UNAVAILABLE, notice("Not available for the moment", message))
}

/// To the address by GET.
pub fn redirect(url: &str) -> Response<Body> {
    PAGES.redirect(url)
}

fn notice(title: &str, message: String) -> NoticePage<'_> {
    NoticePage { style: STYLE, view: None, title, message, link: None, follow: false }
}

/// The payer's way back, with the id of the top-up.
fn way_back(url: &str, payment_id: &str) -> Option<String> {
    let mut url = html::way(url)?;
    url.query_pairs_mut().append_pair("top_up", payment_id);
    Some(url.into())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use axum::http::header;
    use serde_json::{Value, json};

    /// A view with these fields changed.
    pub fn view(changes: Value) -> View {
        let mut view = json!({
            "payment_id": "top_1", "status": "initiated", "amount": 25.5, "amount_minor": 2550, "currency": "USD", "decimals": 2,
            "credit": 2550000, "asset": "TOK", "description": "Video <credits>", "customer_id": "cust_1",
            "customer_name": "Ann", "customer_email": null, "merchant_name": "Acme & Co", "tenant_id": "acct_1",
            "environment": "staging", "provider": "test", "provider_payment_id": null,
            "provider_customer_id": null, "expires_at": "2026-11-22T08:16:44.000Z",
            "return_url": "https://shop.example/back?a=1", "failure_url": "https://shop.example/no",
            "card": null, "failure": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            view[name] = value.clone();
        }
        serde_json::from_str(&view.to_string()).unwrap()
    }

    async fn text(response: Response<Body>) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_form_says_what_is_paid_for_and_labels_every_field() {
        let view = view(json!({"failure": {"code": "card_declined", "message": "Your card was declined."}}));
        let mistakes = Mistakes { cvc: Some("Three digits."), ..Mistakes::default() };
        let typed = Form { number: "4242424242424242".into(), cvc: "12".into(), ..Form::default() };
        let response = pay(&view, &typed, &mistakes);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let page = text(response).await;
        for part in
            ["Pay 25.50 USD", "2,550,000 TOK", "Video &#60;credits&#62;", "Acme &#38; Co", "Three digits."]
        {
            assert!(page.contains(part), "{part} is missing: {page}");
        }
        // What is wrong with the form goes before what was wrong with the last attempt.
        let alert = "role=\"alert\" id=\"failure\">Your card was declined.";
        assert!(!page.contains(alert));
        assert!(text(pay(&view, &typed, &Mistakes::default())).await.contains(alert));
        for field in ["number", "exp", "cvc", "name", "save_card"] {
            assert!(page.contains(&format!("<label for=\"{field}\"")), "{field}");
        }
        // Neither number nor security code is sent back.
        assert!(!page.contains("value=\"4242") && !page.contains("value=\"12\""));
        assert!(!page.contains("<script") && !page.contains("style="));
    }

    #[tokio::test]
    async fn an_end_leads_back_with_the_id_of_the_top_up() {
        let paid = ended(&view(json!({"status": "succeeded"})), true);
        assert_eq!(paid.status(), StatusCode::OK);
        let page = text(paid).await;
        let way = "https://shop.example/back?a=1&#38;top_up=top_1";
        assert!(
            page.contains(&format!("content=\"0; url={way}\"")) && page.contains(&format!("href=\"{way}\"")),
            "{page}"
        );
        let later = ended(&view(json!({"status": "succeeded"})), false);
        assert!(!text(later).await.contains("http-equiv"));
        assert_eq!(ended(&view(json!({"status": "expired"})), false).status(), StatusCode::GONE);
        assert_eq!(way_back("javascript:alert(1)", "top_1"), None);
    }
}
