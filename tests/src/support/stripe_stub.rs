//! What localstripe lacks of Stripe, in front of it: Checkout Sessions, idempotent replay, authentication_required,
//! lists by customer, and answers that are lost. Everything else it hands on to localstripe.

use super::localstripe::{Localstripe, id};
use super::payer::form;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A server on a free port of 127.0.0.1; it ends with this value.
pub struct StripeStub {
    pub url: String,
    pub peer: Arc<Localstripe>,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Inner {
    url: String,
    peer: Arc<Localstripe>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Value>,
    /// The form and the answer under each idempotency key; while the first request is under way, no answer.
    replies: HashMap<String, (String, Option<(u16, Value)>)>,
    /// Requests that were carried out, replays not counted.
    carried_out: Vec<String>,
    /// Answers that were given again under their key.
    replayed: usize,
    /// So many answers are lost, after what was asked is done.
    lose: usize,
    /// So many answers never come, after what was asked is done.
    hang: usize,
    /// Answers that do not come, though what was asked is done.
    hanging: usize,
    /// So many requests are refused with 500, before anything is done.
    fail: usize,
    /// Before and after each thing that is done.
    delay_ms: u64,
    /// What the next request of a kind is refused with: such as `POST /v1/customers`, status and error.
    refusals: Vec<(String, u16, Value)>,
    disputes: HashMap<String, Value>,
}

struct Ask {
    method: String,
    path: String,
    query: String,
    body: String,
    key: Option<String>,
}

impl StripeStub {
    pub async fn start() -> StripeStub {
        let peer = Arc::new(Localstripe::start().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let inner = Inner { url: url.clone(), peer: peer.clone(), state: state.clone() };
        let server = tokio::spawn(serve(listener, inner));
        StripeStub { url, peer, state, server }
    }

    /// The next answers are lost.
    pub fn lose(&self, count: usize) {
        self.state.lock().unwrap().lose = count;
    }

    /// The next answers never come.
    pub fn hang(&self, count: usize) {
        self.state.lock().unwrap().hang = count;
    }

    /// How many answers do not come, though what was asked is done and kept under its key.
    pub fn hanging(&self) -> usize {
        self.state.lock().unwrap().hanging
    }

    /// From now on it takes its time, before and after what it does.
    pub fn delay_ms(&self, delay_ms: u64) {
        self.state.lock().unwrap().delay_ms = delay_ms;
    }

    /// The next requests are answered with 500 and not carried out.
    pub fn fail(&self, count: usize) {
        self.state.lock().unwrap().fail = count;
    }

    /// The next request of a kind, such as `POST /v1/customers`, is answered with this error.
    pub fn refuse(&self, what: &str, status: u16, error: Value) {
        self.state.lock().unwrap().refusals.push((what.to_owned(), status, json!({ "error": error })));
    }

    /// Forgets a session, as if it had never been.
    pub fn forget(&self, session: &Value) {
        self.state.lock().unwrap().sessions.remove(&id(session));
    }

    /// Has a dispute as it is told here.
    pub fn dispute(&self, dispute: Value) {
        self.state.lock().unwrap().disputes.insert(id(&dispute), dispute);
    }

    /// What was done, such as `POST /v1/payment_intents`, replays not counted.
    pub fn carried_out(&self, what: &str) -> usize {
        self.state.lock().unwrap().carried_out.iter().filter(|done| *done == what).count()
    }

    /// How often an answer was given again under its key.
    pub fn replayed(&self) -> usize {
        self.state.lock().unwrap().replayed
    }

    /// Forgets all idempotency keys, as Stripe does after a day.
    pub fn forget_keys(&self) {
        self.state.lock().unwrap().replies.clear();
    }

    /// Forgets the keys of what was refused, as Stripe does where it has not begun.
    pub fn forget_refusals(&self) {
        let is_refused =
            |reply: &Option<(u16, Value)>| reply.as_ref().is_some_and(|(status, _)| *status != 200);
        self.state.lock().unwrap().replies.retain(|_, (_, reply)| !is_refused(reply));
    }

    /// The sessions that were made.
    pub fn sessions(&self) -> Vec<Value> {
        self.state.lock().unwrap().sessions.values().cloned().collect()
    }

    /// Changes fields of a session.
    pub fn change(&self, session: &Value, changes: Value) {
        let mut state = self.state.lock().unwrap();
        let session = state.sessions.get_mut(&id(session)).unwrap().as_object_mut().unwrap();
        session.extend(changes.as_object().unwrap().clone());
    }

    /// The payer pays on Stripe's page, and ticks the box that has the card kept.
    pub async fn pay(&self, session: &Value, number: &str) {
        self.pay_with_box(session, number, true).await;
    }

    /// The payer pays on Stripe's page; whether with the box ticked that has the card kept.
    pub async fn pay_with_box(&self, session: &Value, number: &str, is_ticked: bool) {
        let word = |field: &str| session[field].as_str().unwrap().to_owned();
        let card = self.peer.card(number).await;
        let attach = form(&[("customer", &word("customer"))]);
        self.peer.made(&format!("/v1/payment_methods/{card}/attach"), &attach).await;
        let amount = session["amount_total"].to_string();
        let intent =
            form(&[("amount", amount.as_str()), ("currency", &word("currency")), ("confirm", "true")]);
        let more = form(&[("customer", &word("customer")), ("payment_method", &card)]);
        let payment_id = session["metadata"]["payment_id"].as_str().unwrap();
        let intent = format!("{intent}&{more}&metadata[payment_id]={payment_id}");
        let intent = id(&self.peer.made("/v1/payment_intents", &intent).await);
        self.change(
            session,
            json!({"status": "complete", "payment_status": "paid", "payment_intent": intent, "url": null,
                   "allow_redisplay": if is_ticked { "always" } else { "limited" }}),
        );
    }
}

impl Drop for StripeStub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, stub: Inner) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let stub = stub.clone();
        connections.spawn(async move {
            let service = service_fn(|request| respond(request, stub.clone()));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn respond(request: hyper::Request<Incoming>, stub: Inner) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let ask = Ask {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        key: head.headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned()),
    };
    if take(&mut stub.state().fail) {
        return reply(500, &json!({"error": {"type": "api_error", "message": "down"}}));
    }
    // What was asked is done to its end, whether or not anybody waits for the answer.
    let doing = stub.clone();
    let (status, object) = tokio::spawn(async move { doing.answer(&ask).await }).await.unwrap();
    if take(&mut stub.state().hang) {
        stub.state().hanging += 1;
        std::future::pending::<()>().await;
    }
    if take(&mut stub.state().lose) {
        return Err(io::Error::other("lost"));
    }
    reply(status, &object)
}

fn take(count: &mut usize) -> bool {
    let is_some = *count > 0;
    *count = count.saturating_sub(1);
    is_some
}

fn reply(status: u16, object: &Value) -> io::Result<Response<Full<Bytes>>> {
    let body = Full::new(Bytes::from(object.to_string()));
    Ok(Response::builder().status(status).header("content-type", "application/json").body(body).unwrap())
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The first answer again where the key is known; another form under it is refused, and so is a key whose
    /// first request is still under way.
    async fn answer(&self, ask: &Ask) -> (u16, Value) {
        let Some(key) = &ask.key else { return self.carry_out(ask).await };
        let known = self.state().replies.get(key).cloned();
        let error = |kind: &str| json!({"error": {"type": kind, "message": "the key is taken"}});
        match known {
            Some((body, _)) if body != ask.body => return (400, error("idempotency_error")),
            Some((_, Some(reply))) => {
                self.state().replayed += 1;
                return reply;
            }
            Some((_, None)) => return (409, error("idempotency_key_in_use")),
            None => {}
        }
        self.state().replies.insert(key.clone(), (ask.body.clone(), None));
        let reply = self.carry_out(ask).await;
        self.state().replies.insert(key.clone(), (ask.body.clone(), Some(reply.clone())));
        reply
    }

    async fn carry_out(&self, ask: &Ask) -> (u16, Value) {
        let pause = Duration::from_millis(self.state().delay_ms);
        tokio::time::sleep(pause).await;
        self.state().carried_out.push(format!("{} {}", ask.method, ask.path));
        let reply = carried_out(ask, &self.url, &self.peer, &self.state).await;
        tokio::time::sleep(pause).await;
        reply
    }
}

async fn carried_out(ask: &Ask, url: &str, peer: &Localstripe, state: &Mutex<State>) -> (u16, Value) {
    let with_query =
        |query: &str| if query.is_empty() { ask.path.clone() } else { format!("{}?{query}", ask.path) };
    let what = format!("{} {}", ask.method, ask.path);
    let refused = {
        let mut state = state.lock().unwrap();
        let place = state.refusals.iter().position(|(kind, ..)| *kind == what);
        place.map(|place| state.refusals.remove(place))
    };
    if let Some((_, status, error)) = refused {
        return (status, error);
    }
    if let Some(dispute_id) = ask.path.strip_prefix("/v1/disputes/") {
        let found = state.lock().unwrap().disputes.get(dispute_id).cloned();
        return found.map_or_else(|| missing("dispute", 404), |dispute| (200, dispute));
    }
    if ask.path == "/v1/checkout/sessions" {
        let customer = fields(&ask.body)["customer"].clone();
        let (status, known) = peer.ask("GET", &format!("/v1/customers/{customer}"), "").await;
        if status != 200 || known["deleted"] == true {
            return missing("customer", 400);
        }
        return (200, new_session(&ask.body, url, &mut state.lock().unwrap()));
    }
    if let Some(session_id) = ask.path.strip_prefix("/v1/checkout/sessions/") {
        let found = state.lock().unwrap().sessions.get(session_id).cloned();
        return found.map_or_else(|| missing("session", 404), |session| (200, session));
    }
    if ask.path == "/v1/payment_intents" && ask.method == "GET" {
        let customer = fields(&ask.query)["customer"].clone();
        let mut intents = peer.intents().await;
        intents.retain(|intent| intent["customer"] == customer.as_str());
        return (200, json!({"object": "list", "has_more": false, "data": intents}));
    }
    let (status, mut object) = peer.ask(&ask.method, &with_query(&ask.query), &ask.body).await;
    if ask.path == "/v1/payment_intents" && object["status"] == "requires_action" {
        let path = format!("/v1/payment_intents/{}/cancel", id(&object));
        peer.ask("POST", &path, "").await;
        let message = "Your card was declined. This transaction requires authentication.";
        let error = json!({"type": "card_error", "code": "authentication_required", "message": message,
            "decline_code": "authentication_required", "payment_intent": {"id": object["id"]}});
        return (402, json!({ "error": error }));
    }
    if ask.path.starts_with("/v1/payment_intents/") && ask.method == "GET" {
        // An intent of a session says whether its payer wanted the card kept.
        let state = state.lock().unwrap();
        let of_session = state.sessions.values().find(|session| session["payment_intent"] == object["id"]);
        object["setup_future_usage"] = if of_session.is_some() { json!("off_session") } else { Value::Null };
        if let Some(session) = of_session
            && object["payment_method"].is_object()
        {
            object["payment_method"]["allow_redisplay"] = session["allow_redisplay"].clone();
        }
    }
    (status, object)
}

fn missing(param: &str, status: u16) -> (u16, Value) {
    let error = json!({"type": "invalid_request_error", "code": "resource_missing", "param": param,
                       "message": format!("No such {param}")});
    (status, json!({ "error": error }))
}

fn new_session(body: &str, url: &str, state: &mut State) -> Value {
    let told = fields(body);
    let number = state.sessions.len() + 1;
    let session_id = format!("cs_test_{number}");
    let session = json!({
        "id": session_id, "object": "checkout.session", "status": "open", "payment_status": "unpaid",
        "url": format!("{url}/pay/{session_id}"), "mode": told["mode"], "customer": told["customer"],
        "client_reference_id": told["client_reference_id"], "metadata": {"payment_id": told["metadata[payment_id]"]},
        "amount_total": told["line_items[0][price_data][unit_amount]"].parse::<i64>().unwrap(),
        "currency": told["line_items[0][price_data][currency]"], "payment_intent": null,
        "success_url": told["success_url"], "cancel_url": told["cancel_url"],
        "expires_at": told["expires_at"].parse::<i64>().unwrap(),
        "setup_future_usage": told["payment_intent_data[setup_future_usage]"],
        "adaptive_pricing": told["adaptive_pricing[enabled]"],
        "box": told["saved_payment_method_options[payment_method_save]"],
        "intent_payment_id": told["payment_intent_data[metadata][payment_id]"],
        "product": told["line_items[0][price_data][product_data][name]"],
    });
    state.sessions.insert(session_id, session.clone());
    session
}

/// The fields of a form; one that is missing panics where it is asked for.
fn fields(form: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}
