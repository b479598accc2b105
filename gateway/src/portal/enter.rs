//! The way in. Programs that look into mails follow links, so a link alone opens nothing: its page has a button, and only
//! what that sends uses the link up.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response};

use super::store::Link;
use super::{act, auth, page};
use crate::app::App;
use crate::postgres::database::Fault;

/// GET: whose credit the link opens, and a button.
pub async fn show(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    page::or_failed(shown(&app, &token, auth::session(&headers).as_deref()).await)
}

/// POST: the button. Of another site it is none, and another customer's session is closed only for whoever was asked.
pub async fn submit(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let form = match act::form(&app, &head, body).await {
        Ok(form) => form,
        Err(response) => return *response,
    };
    let session = auth::session(&head.headers);
    let was_asked = session.as_deref().is_some_and(|it| auth::is_form_token(it, form.get("instead_of")));
    let entered = async {
        if !auth::is_own(&head.headers, &app.database.public_url().await?) {
            return Ok(page::not_ours());
        }
        entered(&app, &token, session.as_deref(), was_asked).await
    };
    page::or_failed(entered.await)
}

async fn shown(app: &App, token: &str, session: Option<&str>) -> Result<Response<Body>, Fault> {
    Ok(match look(app, token, session).await? {
        Ok(link) => page::enter(&link, session),
        Err(response) => *response,
    })
}

async fn entered(
    app: &App,
    token: &str,
    session: Option<&str>,
    was_asked: bool,
) -> Result<Response<Body>, Fault> {
    let link = match look(app, token, session).await? {
        Ok(link) => link,
        Err(response) => return Ok(*response),
    };
    if link.instead_of.is_some() && !was_asked {
        return Ok(page::enter(&link, session));
    }
    let entered = app.database.portal_enter(token).await?.and_then(|entered| entered.session);
    let Some(begun) = entered else { return Ok(page::link_over(Some(&link.failure_url))) };
    if let Some(before) = session {
        app.database.portal_leave(before).await?;
    }
    let public_url = app.database.public_url().await?;
    Ok(page::inside(auth::cookie(Some(&begun), &public_url)))
}

/// The link while it lets in; else the page that says that it does not.
async fn look(
    app: &App,
    token: &str,
    session: Option<&str>,
) -> Result<Result<Link, Box<Response<Body>>>, Fault> {
    let over = |failure_url: Option<&str>| Err(Box::new(page::link_over(failure_url)));
    if !auth::is_token(token) {
        return Ok(over(None));
    }
    Ok(match app.database.portal_link(token, session).await? {
        Some(link) if link.is_open => Ok(link),
        Some(link) => over(Some(&link.failure_url)),
        None => over(None),
    })
}
