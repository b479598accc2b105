//! What an operation is made of: its types, what it asks of a key, and the steps around its handler.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operation::idempotency::{self, Keeps, Namespace, Queue, Requester, Shares};
use crate::operation::request;
use crate::tenant::caller::{Caller, Scope};
use crate::value::reply::{Failure, Outcome, Rendered};

/// What an operation does, in types.
pub trait Handler {
    const NAME: &'static str;
    /// Who else is given the reply to a repeated request.
    const SHARES: Shares = Shares::WithAll;
    type Request: DeserializeOwned + Serialize + JsonSchema;
    type Data: Serialize + JsonSchema;
    fn handle(caller: &Caller, request: &Self::Request) -> Outcome<Self::Data>;

    /// The caller's own id of the operation, where the request itself carries one that makes it unique.
    fn own_id(_: &Self::Request) -> Option<(Namespace, &str)> {
        None
    }
}

/// On which terms an operation is run.
#[derive(Clone, Copy, Debug)]
pub struct OperationTerms {
    pub scope: Scope,
    pub keeps: Keeps,
}

/// Runs one operation for a known caller: scope, request, idempotency, handler.
pub fn run<H: Handler>(
    caller: &Caller,
    terms: OperationTerms,
    text: &str,
    idempotency_key: Option<&str>,
) -> Result<Rendered, Failure> {
    caller.require(terms.scope)?;
    let request: H::Request = request::parse(text)?;
    let handle = || H::handle(caller, &request)?.render();
    let requester = Requester::of(caller, H::SHARES);
    if let Some(own_id) = H::own_id(&request) {
        idempotency::check_key(own_id.1, "transaction_id")?;
        return idempotency::once(
            caller,
            requester,
            own_id,
            Queue::Own,
            Keeps::ForGood,
            (H::NAME, &request),
            handle,
        );
    }
    match idempotency_key {
        Some(key) if terms.keeps != Keeps::Nothing => {
            idempotency::check_key(key, "idempotency_key")?;
            // Payments are locked before accounts.
            let is_own = matches!(terms.scope, Scope::Webhooks | Scope::Funding);
            let queue = if is_own { Queue::Own } else { Queue::Wallet };
            let own_id = (Namespace::Key, key);
            idempotency::once(caller, requester, own_id, queue, terms.keeps, (H::NAME, &request), handle)
        }
        _ => handle(),
    }
}
