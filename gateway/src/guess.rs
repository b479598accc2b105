//! Pages whose address or cookie is a secret: whoever guesses at them waits before Postgres is asked again.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::middleware::Next;

use crate::app::App;
use crate::body;
use crate::client_address;
use crate::portal;

/// The paths that end in a secret: of a payment, and of a link that works once.
const CHECKOUT: &str = "/checkout/";
const LINK: &str = "/portal/enter/";

/// Lets in who brings a secret that was good before, and others as long as not too many wrong ones came from there.
pub async fn limit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(secret) = secret(&request) else { return next.run(request).await };
    let address = client_address::of(peer.ip(), request.headers(), &app.settings.trusted_proxies);
    if let Err(wait) = app.admission.admit_secret(&secret, address) {
        body::discard_of(request);
        return portal::too_often(wait);
    }
    // Only a page that is shown says that its secret is one; forms and links are answered without showing any.
    let shows = request.method() == Method::GET && !request.uri().path().starts_with(LINK);
    let response = next.run(request).await;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
            app.admission.hear_secret(&secret, address, false);
        }
        StatusCode::OK if shows => app.admission.hear_secret(&secret, address, true),
        _ => {}
    }
    response
}

fn secret(request: &Request) -> Option<String> {
    let path = request.uri().path();
    let token = [CHECKOUT, LINK].iter().find_map(|lead| path.strip_prefix(lead));
    token.map(str::to_owned).or_else(|| portal::session(request.headers()))
}
