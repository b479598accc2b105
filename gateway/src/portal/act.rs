//! What is done: each form leads to one action of the session's customer, and back to the page by GET.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, header};
use serde_json::{Value, json};

use super::auth;
use super::form::Form;
use super::page::{self, Notice};
use crate::app::App;
use crate::body;
use crate::client_address;
use crate::postgres::database::Fault;

const FORM_BYTES_MAX: usize = 16 * 1024;

/// What a form wants, as Postgres names it.
struct Wanted {
    action: &'static str,
    request: Value,
    /// What the page says afterwards.
    done: &'static str,
}

pub async fn top_up(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let wanted = |form: &Form| Wanted { action: "top_up", request: form.top_up(), done: "top-up" };
    act(&app, request, wanted).await
}

pub async fn redeem(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let wanted = |form: &Form| Wanted { action: "redeem", request: form.voucher(), done: "redeem" };
    act(&app, request, wanted).await
}

pub async fn remove_card(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let wanted = |_: &Form| Wanted { action: "remove_card", request: json!({}), done: "remove-card" };
    act(&app, request, wanted).await
}

pub async fn auto_top_up(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let wanted = |form: &Form| match form.get("action") {
        "remove" => Wanted {
            action: "remove_auto_top_up",
            request: json!({"account_id": form.get("account")}),
            done: "remove-auto-top-up",
        },
        _ => Wanted { action: "set_auto_top_up", request: form.auto_top_up(), done: "set-auto-top-up" },
    };
    act(&app, request, wanted).await
}

/// Ends the session here and in the browser.
pub async fn leave(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let (session, _) = match received(&app, request).await {
        Ok(received) => received,
        Err(response) => return *response,
    };
    let left = async {
        let public_url = app.database.public_url().await?;
        let return_url = app.database.portal_leave(&session).await?;
        Ok(page::left(return_url.as_deref(), auth::cookie(None, &public_url)))
    };
    page::or_failed(left.await)
}

async fn act(app: &App, request: Request, wanted: impl FnOnce(&Form) -> Wanted) -> Response<Body> {
    let (session, form) = match received(app, request).await {
        Ok(received) => received,
        Err(response) => return *response,
    };
    let wanted = wanted(&form);
    page::or_failed(acted(app, &session, &form, &wanted).await)
}

async fn acted(app: &App, session: &str, form: &Form, wanted: &Wanted) -> Result<Response<Body>, Fault> {
    let Some(answer) = app.database.portal_act(session, wanted.action, &wanted.request).await? else {
        return Ok(page::session_over());
    };
    if answer.success {
        return Ok(match answer.data.redirect_url {
            Some(url) => page::onward(&url),
            None => page::done(wanted.done),
        });
    }
    let Some(view) = app.database.portal_view(session).await? else { return Ok(page::session_over()) };
    let message = answer.data.message.unwrap_or_default();
    let notice = Notice::of_form(message, wanted.done, answer.data.field);
    Ok(page::overview(&view, session, Some(&notice), form))
}

/// The fields of a form; else the page that says that it is none.
pub async fn form(app: &App, head: &Parts, body: Body) -> Result<Form, Box<Response<Body>>> {
    if !is_form(&head.headers) {
        body::discard(&head.headers, body);
        return Err(Box::new(page::not_ours()));
    }
    let mut held = app.bodies.of_address(client_address::of_head(head, &app.settings.trusted_proxies));
    let bytes = body::bytes(&head.headers, body, FORM_BYTES_MAX, &mut held).await;
    Ok(Form::parse(&bytes.map_err(|_| Box::new(page::not_ours()))?))
}

/// The session and the fields of a form of our own; else the page that says what is wrong.
async fn received(app: &App, request: Request) -> Result<(String, Form), Box<Response<Body>>> {
    let (head, body) = request.into_parts();
    let form = form(app, &head, body).await?;
    let session = page::admitted(app, &head.headers)?;
    match is_ours(app, &head, &session, &form).await {
        Ok(true) => Ok((session, form)),
        Ok(false) => Err(Box::new(page::not_ours())),
        Err(fault) => Err(Box::new(page::or_failed(Err(fault)))),
    }
}

async fn is_ours(app: &App, head: &Parts, session: &str, form: &Form) -> Result<bool, Fault> {
    if !auth::is_form_token(session, form.get("csrf")) {
        return Ok(false);
    }
    Ok(auth::is_own(&head.headers, &app.database.public_url().await?))
}

fn is_form(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
