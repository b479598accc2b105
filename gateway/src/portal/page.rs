//! The portal's pages: server-rendered, without scripts, and of use to eyes, keyboards and screen readers.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::form::Form;
use super::store::Link;
use super::view::{AccountLines, Names, Payment, View};
use super::{PATH, auth};
use crate::app::App;
use crate::html::{self, Pages};
use crate::payment::view::Status;
use crate::postgres::database::Fault;
use crate::request_id;

const STYLE: &str =
    concat!(include_str!("../../templates/checkout.css"), include_str!("../../templates/portal/portal.css"));

/// Their forms lead back here. What leads elsewhere, to a checkout or back to the shop, is a page of ours first: a
/// redirect after a form would have to be allowed here, with all that a provider redirects to.
static PAGES: Pages = Pages {
    operation: "portal",
    policy: LazyLock::new(|| html::policy(STYLE, "form-action 'self'; img-src data:")),
};

/// Something to say first.
pub struct Notice {
    text: String,
    is_bad: bool,
    /// The form that it is about, and the field.
    form: &'static str,
    field: Option<String>,
}

impl Notice {
    pub fn good(text: impl Into<String>) -> Notice {
        Notice { text: text.into(), is_bad: false, form: "", field: None }
    }

    pub fn bad(text: impl Into<String>, field: Option<String>) -> Notice {
        Notice::of_form(text, "", field)
    }

    /// What is wrong with a form.
    pub fn of_form(text: impl Into<String>, form: &'static str, field: Option<String>) -> Notice {
        Notice { text: text.into(), is_bad: true, form, field }
    }
}

/// The fields that say themselves what is wrong with them.
const FIELDS: [(&str, &str); 5] = [
    ("top-up", "currency"),
    ("top-up", "amount"),
    ("redeem", "voucher_code"),
    ("set-auto-top-up", "threshold"),
    ("set-auto-top-up", "amount"),
];

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct Overview<'a> {
    style: &'static str,
    view: &'a View,
    names: &'a Names,
    csrf: String,
    notice: Option<&'a Notice>,
    typed: &'a Form,
}

impl Overview<'_> {
    /// What is wrong with this field of this form.
    fn mistake(&self, form: &str, field: &str) -> Option<&str> {
        let notice = self.notice.filter(|notice| notice.is_bad && notice.form == form)?;
        // A form of one field is about that.
        let named = if form == "redeem" { Some("voucher_code") } else { notice.field.as_deref() };
        (named == Some(field)).then_some(notice.text.as_str())
    }

    /// What is said first on the page: all that is not said at a field, where somebody on a phone sees it.
    fn said(&self) -> Option<&Notice> {
        let is_at_a_field = |notice: &&Notice| {
            FIELDS.iter().any(|(form, field)| notice.form == *form && self.mistake(form, field).is_some())
        };
        self.notice.filter(|notice| !is_at_a_field(notice))
    }

    /// What was typed into a field of a form that did not go through.
    fn typed(&self, form: &str, field: &str) -> &str {
        if self.notice.is_some_and(|notice| notice.form == form) { self.typed.get(field) } else { "" }
    }
}

#[derive(Template)]
#[template(path = "portal/history.html")]
struct HistoryPage<'a> {
    style: &'static str,
    names: &'a Names,
    account: &'a AccountLines,
    /// Whether newer lines were left out.
    is_later: bool,
    notice: Option<&'a Notice>,
}

/// What a link opens, before anybody has pressed the button.
#[derive(Template)]
#[template(path = "portal/enter.html")]
struct EnterPage<'a> {
    style: &'static str,
    link: &'a Link,
    /// What shows that the page told of the session that is closed.
    instead_of: String,
}

/// What there is to say when there is nothing to show.
#[derive(Template)]
#[template(path = "portal/notice.html")]
struct NoticePage<'a> {
    style: &'static str,
    title: &'a str,
    message: &'a str,
    link: Option<(&'a str, &'a str)>,
    /// The link is followed by itself.
    follow: bool,
}

/// The session that the browser says it is in; else the page that says why it does not get further.
pub fn admitted(app: &App, headers: &HeaderMap) -> Result<String, Box<Response<Body>>> {
    let session = auth::session(headers).ok_or_else(|| Box::new(session_over()))?;
    match app.limiter.as_ref().map(|limiter| limiter.admit(&session)) {
        Some(Err(wait)) => Err(Box::new(too_often(wait))),
        _ => Ok(session),
    }
}

/// Everything, with what was typed before and what was wrong with it.
pub fn overview(view: &View, session: &str, notice: Option<&Notice>, typed: &Form) -> Response<Body> {
    let csrf = auth::form_token(session);
    PAGES.html(StatusCode::OK, Overview { style: STYLE, view, names: &view.names, csrf, notice, typed })
}

pub fn history(
    names: &Names,
    account: &AccountLines,
    is_later: bool,
    notice: Option<&Notice>,
) -> Response<Body> {
    PAGES.html(StatusCode::OK, HistoryPage { style: STYLE, names, account, is_later, notice })
}

/// What to say of a payment that somebody comes back from.
pub fn of_payment(payment: &Payment) -> Option<Notice> {
    let price = payment.price();
    match payment.status {
        Status::Succeeded => {
            let bought = payment.purchase().unwrap_or(price.clone());
            Some(Notice::good(format!("You paid {price} and have got {bought}.")))
        }
        Status::Failed => Some(Notice::good(format!("Nothing was charged of the {price}."))),
        _ => Some(Notice::good(format!("The payment of {price} is not complete."))),
    }
}

/// By this mark Excel knows that a file is UTF-8. Programs that read statements over the API get none.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A statement, to be kept.
pub fn file(account_id: &str, text: &str) -> Response<Body> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = account_id.chars().map(plain).collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(place) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, place);
    }
    PAGES.sent((headers, format!("{BYTE_ORDER_MARK}{text}")))
}

/// Whose credit a link opens, and a button that does.
pub fn enter(link: &Link, session: Option<&str>) -> Response<Body> {
    let instead_of = session.filter(|_| link.instead_of.is_some()).map(auth::form_token).unwrap_or_default();
    PAGES.html(StatusCode::OK, EnterPage { style: STYLE, link, instead_of })
}

/// In, with a cookie, at an address without a secret.
pub fn inside(cookie: HeaderValue) -> Response<Body> {
    with_cookie(PAGES.redirect(PATH), cookie)
}

pub fn home() -> Response<Body> {
    PAGES.redirect(PATH)
}

/// Back by GET, so that neither reload nor the back button does it again.
pub fn done(done: &str) -> Response<Body> {
    PAGES.redirect(&format!("{PATH}?done={done}"))
}

/// On to a checkout.
pub fn onward(url: &str) -> Response<Body> {
    let (title, message) = ("To the payment", "You are led to the payment page.");
    PAGES.html(StatusCode::OK, leading(title, message, Some((url, "Go to the payment"))))
}

/// Out, and back to the shop.
pub fn left(return_url: Option<&str>, cookie: HeaderValue) -> Response<Body> {
    let link =
        return_url.filter(|url| html::way(url).is_some()).map(|url| (url, "Back to where you came from"));
    let page = leading("You have left", "Nobody can see your credit in this browser any more.", link);
    with_cookie(PAGES.html(StatusCode::OK, page), cookie)
}

/// A link that is unknown, used or over: which of them is not told.
pub fn link_over(failure_url: Option<&str>) -> Response<Body> {
    let link = failure_url.filter(|url| html::way(url).is_some()).map(|url| (url, "Go back"));
    let message = "Each link works once, for 10 minutes. Ask for a new one where you got this one.";
    PAGES.html(StatusCode::GONE, notice("This link no longer works", message, link))
}

/// Nobody is in, or no longer.
pub fn session_over() -> Response<Body> {
    let message =
        "You have left, or have not done anything for a while. Open this page anew from where you came.";
    PAGES.html(StatusCode::FORBIDDEN, notice("You are not signed in", message, None))
}

/// More at a time than one person does.
pub fn too_often(wait: Duration) -> Response<Body> {
    let message = "Wait a moment, then try again.";
    let mut response = PAGES.html(StatusCode::TOO_MANY_REQUESTS, notice("That was too fast", message, None));
    let wait_s = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, wait_s);
    response
}

/// The form did not arrive as the page sends it.
pub fn not_ours() -> Response<Body> {
    let message = "Nothing was changed. Go back to your credit and try again.";
    PAGES.html(StatusCode::FORBIDDEN, notice("That did not work", message, Some((PATH, "Your credit"))))
}

pub fn no_account() -> Response<Body> {
    PAGES.html(StatusCode::NOT_FOUND, notice("There is no such account", "", Some((PATH, "Your credit"))))
}

/// The page, or the one that says that it cannot be shown.
pub fn or_failed(result: Result<Response<Body>, Fault>) -> Response<Body> {
    let fault = match result {
        Ok(response) => return response,
        Err(fault) => fault,
    };
    let request_id = request_id::current();
    let status = match &fault {
        Fault::Internal { sqlstate, message } => {
            tracing::error!(request_id, sqlstate, message, "the portal failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => {
            tracing::warn!(request_id, message = %fault, "postgres cannot answer the portal now");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let message = "Try again in a moment; nothing is done twice.";
    PAGES.for_now(status, notice("Not available for the moment", message, None))
}

fn notice<'a>(title: &'a str, message: &'a str, link: Option<(&'a str, &'a str)>) -> NoticePage<'a> {
    NoticePage { style: STYLE, title, message, link, follow: false }
}

fn leading<'a>(title: &'a str, message: &'a str, link: Option<(&'a str, &'a str)>) -> NoticePage<'a> {
    NoticePage { follow: link.is_some(), ..notice(title, message, link) }
}

fn with_cookie(mut response: Response<Body>, cookie: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
