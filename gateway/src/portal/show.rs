//! What is looked at: the overview, and the history of an account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};

use super::form::Form;
use super::page::{self, Notice};
use super::store::Csv;
use super::view;
use crate::app::App;
use crate::postgres::database::Fault;

/// The session that the browser is in, and what the address asks for.
pub struct Visit {
    session: String,
    query: Form,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Response<Body>;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Visit, Response<Body>> {
        let session = page::admitted(app, &head.headers).map_err(|response| *response)?;
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes());
        Ok(Visit { session, query })
    }
}

/// Whoever opens the address of a form is led to the page that it is on.
pub async fn home() -> Response<Body> {
    page::home()
}

/// The page that everything is on.
pub async fn overview(State(app): State<Arc<App>>, visit: Visit) -> Response<Body> {
    page::or_failed(overviewed(&app, &visit).await)
}

async fn overviewed(app: &App, visit: &Visit) -> Result<Response<Body>, Fault> {
    let Visit { session, query } = visit;
    let Some(view) = app.database.portal_view(session).await? else { return Ok(page::session_over()) };
    let notice = notice(&view, query);
    Ok(page::overview(&view, session, notice.as_ref(), &Form::default()))
}

/// What to say of what was just done. What is in the address only chooses among our own words.
fn notice(view: &view::View, query: &Form) -> Option<Notice> {
    let done = match query.get("done") {
        "redeem" => "The voucher is redeemed: its credit is in your balance.",
        "remove-card" => "The card is removed.",
        "set-auto-top-up" => "Auto top-up is on.",
        "remove-auto-top-up" => "Auto top-up is off.",
        _ => {
            let id = query.maybe("top_up")?;
            return page::of_payment(view.payments.iter().find(|payment| payment.id == id)?);
        }
    };
    Some(Notice::good(done))
}

/// What moved an account, newest first.
pub async fn history(State(app): State<Arc<App>>, visit: Visit) -> Response<Body> {
    page::or_failed(lines(&app, &visit, None).await)
}

async fn lines(app: &App, visit: &Visit, notice: Option<Notice>) -> Result<Response<Body>, Fault> {
    let Visit { session, query } = visit;
    let before = query.maybe("before").and_then(|number| number.parse().ok());
    let found = app.database.portal_history(session, query.get("account"), before).await?;
    let Some(history) = found else { return Ok(page::session_over()) };
    Ok(match &history.account {
        Some(account) => page::history(&history.names, account, before.is_some(), notice.as_ref()),
        None => page::no_account(),
    })
}

/// The same as a file.
pub async fn csv(State(app): State<Arc<App>>, visit: Visit) -> Response<Body> {
    page::or_failed(file(&app, &visit).await)
}

async fn file(app: &App, visit: &Visit) -> Result<Response<Body>, Fault> {
    let Visit { session, query } = visit;
    let Some(answer) = app.database.portal_csv(session, &query.period()).await? else {
        return Ok(page::session_over());
    };
    match answer.data {
        Csv::File(text) if answer.success => Ok(page::file(query.get("account"), &text)),
        Csv::Refused(why) => {
            let message = why.message.unwrap_or_default();
            let mut response = lines(app, visit, Some(Notice::bad(message, why.field))).await?;
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            Ok(response)
        }
        Csv::File(_) => Ok(page::no_account()),
    }
}
