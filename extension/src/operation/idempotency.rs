//! A repeated request is one request: the first reply is kept under the caller's key and given again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ledger;
use crate::pg::db::{self, DbResult, Row, args, from_pg};
use crate::pg::name_lock;
use crate::pg::table::{self, By, Found, Table, row};
use crate::tenant::caller::{Caller, Scope};
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal, Rendered};

const KEY_LENGTH_MAX: usize = 255;
/// How long replies are kept that are not kept for good.
const KEPT: Duration = Duration::from_hours(24);

/// How long the reply to a keyed request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The operation takes no key.
    Nothing,
    ADay,
    ForGood,
}

/// Whose ids the keys are.
#[derive(Clone, Copy, Debug)]
pub enum Namespace {
    /// The Idempotency-Key of any operation.
    Key,
    /// The transaction_id of `fund`.
    Fund,
    /// The transaction_id of `adjust` and of `charge`.
    Adjust,
    /// The transaction_id of `hold`.
    Hold,
    /// The transaction_id of `refund`.
    Refund,
}

impl Namespace {
    fn as_str(self) -> &'static str {
        match self {
            Namespace::Key => "key",
            Namespace::Fund => "fund",
            Namespace::Adjust => "adjust",
            Namespace::Hold => "hold",
            Namespace::Refund => "refund",
        }
    }
}

/// Which other keys of the environment are given a key's first reply again.
#[derive(Clone, Copy, Debug)]
pub enum Shares {
    /// All that may run the operation.
    WithAll,
    /// Those that have this scope besides, since the reply shows or does what takes it.
    With(Scope),
    /// None: the reply holds a secret.
    WithNobody,
}

/// Who asks for a reply.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// None: an administrator.
    key_id: Option<Uuid>,
    /// Whether it is given the replies of other keys too.
    sees_others: bool,
}

impl Requester {
    pub const ADMINISTRATOR: Requester = Requester { key_id: None, sees_others: true };

    /// A key that asks for replies of an operation.
    pub fn of(caller: &Caller, shares: Shares) -> Requester {
        let sees_others = match shares {
            Shares::WithAll => true,
            Shares::With(scope) => caller.has(scope),
            Shares::WithNobody => false,
        };
        Requester { key_id: Some(caller.key.id), sees_others }
    }
}

const FIND: &str = "
    select request_hash, key_id, http_status, reply from topup.idempotency
     where tenant_id = $1 and environment = $2::topup.environment and namespace = $3 and key = $4
       and (expires_at is null or expires_at > now())";

const REPLIES: Table<9> = Table {
    name: c"idempotency",
    columns: [
        "tenant_id",
        "environment",
        "namespace",
        "key",
        "request_hash",
        "http_status",
        "reply",
        "expires_at",
        "key_id",
    ],
};

const REPLACE: &str = "
    insert into topup.idempotency
           (tenant_id, environment, namespace, key, request_hash, http_status, reply, expires_at, key_id)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8, $9)
    on conflict (tenant_id, environment, namespace, key) do update
       set request_hash = excluded.request_hash, http_status = excluded.http_status, reply = excluded.reply,
           expires_at = excluded.expires_at, key_id = excluded.key_id
     where topup.idempotency.expires_at <= now()
    returning true";

/// What tells a request from another.
pub type Fingerprint = [u8; 32];

/// A first reply, what tells its request from another, and the API key that asked.
struct StoredReply {
    hash: Vec<u8>,
    key_id: Option<Uuid>,
    reply: Rendered,
}

/// The first replies under keys of one namespace: those that are kept, and those that are to be.
pub struct Replies {
    namespace: Namespace,
    requester: Requester,
    stored: HashMap<String, StoredReply>,
    /// Keys that are not written yet, in order.
    new: Vec<String>,
    /// Keys that may have a row whose time is over.
    used: HashSet<String>,
}

impl Replies {
    /// None yet.
    pub fn of(namespace: Namespace, requester: Requester) -> Replies {
        Replies { namespace, requester, stored: HashMap::new(), new: Vec::new(), used: HashSet::new() }
    }

    /// Reads what is kept under keys. Whoever asks holds the lock in which they queue up.
    pub fn find(&mut self, book: &Book, keys: impl Iterator<Item = String>) -> DbResult<()> {
        for key in keys {
            let (environment, namespace) = (book.environment.as_str(), self.namespace.as_str());
            let place = row![book.tenant_id, environment, namespace, key.clone()];
            let kept = match table::find_latest(REPLIES.name, By::PrimaryKey, &place) {
                Found::NoRow => continue,
                Found::Row(row) => stored_reply(&row)?,
                Found::ByStatement => {
                    let arguments = args![book.tenant_id, environment, namespace, key.as_str()];
                    let kept = |row: &Row| {
                        let reply = replayed(row.get(3)?, row.get(4)?);
                        Ok(StoredReply { hash: row.get(1)?, key_id: row.maybe_uuid(2)?, reply })
                    };
                    db::write(FIND, arguments, kept)?.pop()
                }
            };
            match kept {
                Some(kept) => drop(self.stored.insert(key, kept)),
                None => drop(self.used.insert(key)),
            }
        }
        Ok(())
    }

    /// The first reply to the same request; a refusal where another was asked for under the key, or by an API key whose
    /// replies are not for this one.
    pub fn first(&self, key: &str, hash: &Fingerprint) -> Result<Option<Rendered>, Refusal> {
        match self.stored.get(key) {
            None => Ok(None),
            Some(kept) if kept.hash == hash && self.is_for_requester(kept) => Ok(Some(kept.reply.clone())),
            Some(_) => {
                let message = "This id or key was used before for another request.";
                Err(Refusal::new(Code::DuplicateTransaction, message))
            }
        }
    }

    fn is_for_requester(&self, kept: &StoredReply) -> bool {
        self.requester.sees_others || (kept.key_id.is_some() && kept.key_id == self.requester.key_id)
    }

    /// Keeps the first reply under a key.
    pub fn keep(&mut self, key: String, hash: Fingerprint, reply: &Rendered) {
        let (hash, key_id) = (hash.to_vec(), self.requester.key_id);
        let reply = replayed(reply.http_status, reply.body.clone());
        self.stored.insert(key.clone(), StoredReply { hash, key_id, reply });
        self.new.push(key);
    }

    /// Writes those that are new.
    pub fn write(&mut self, book: &Book, keeps: Keeps) -> Result<(), Failure> {
        let expires_at = (keeps == Keeps::ADay).then(|| PgTimestamp::of_transaction().plus(KEPT));
        let (tenant_id, environment, namespace) =
            (book.tenant_id, book.environment.as_str(), self.namespace.as_str());
        let mut rows = Vec::with_capacity(self.new.len());
        for key in std::mem::take(&mut self.new) {
            let Some(StoredReply { hash, key_id, reply }) = self.stored.get(&key) else { continue };
            let (hash, by, status, body) = (hash.clone(), *key_id, reply.http_status, reply.body.clone());
            if !self.used.contains(&key) {
                rows.push(row![tenant_id, environment, namespace, key, hash, status, body, expires_at, by]);
                continue;
            }
            let hash = hash.as_slice();
            let arguments = args![tenant_id, environment, namespace, key, hash, status, body, expires_at, by];
            if db::write(REPLACE, arguments, |_| Ok(()))?.is_empty() {
                return Err(Failure::Fault("a reply is kept under this key already".to_owned()));
            }
        }
        Ok(REPLIES.insert(&rows)?)
    }
}

/// A kept reply; none if its time is over.
fn stored_reply(row: &table::Row) -> DbResult<Option<StoredReply>> {
    let expires_at = row.maybe::<TimestampWithTimeZone>("expires_at")?.map(PgTimestamp::from);
    if expires_at.is_some_and(|at| at <= PgTimestamp::of_transaction()) {
        return Ok(None);
    }
    let key_id = row.maybe::<pgrx::Uuid>("key_id")?.map(from_pg);
    let reply = replayed(row.get("http_status")?, row.get("reply")?);
    Ok(Some(StoredReply { hash: row.get("request_hash")?, key_id, reply }))
}

fn replayed(http_status: i16, body: String) -> Rendered {
    Rendered { http_status, body, replayed: true }
}

/// What makes repetitions that come at once queue up.
#[derive(Clone, Copy, Debug)]
pub enum Queue {
    /// The wallet's lock, for what locks it anyway: a lock taken before it could only lead to deadlocks.
    Wallet,
    /// A lock of their own, for what must not wait until somebody's transaction lets go of the wallet.
    Own,
}

/// Runs a request unless it was run before under the same key. A lock makes those that come at once
/// queue up: each looks only when the one before it is done. A refusal is not kept.
pub fn once<R: Serialize>(
    book: &Book,
    requester: Requester,
    (namespace, key): (Namespace, &str),
    queue: Queue,
    keeps: Keeps,
    (operation, request): (&str, &R),
    run: impl FnOnce() -> Result<Rendered, Failure>,
) -> Result<Rendered, Failure> {
    let hash = fingerprint(operation, request)?;
    match queue {
        Queue::Wallet => {
            ledger::lock_wallet(book)?;
        }
        Queue::Own => {
            let environment = book.environment.as_str();
            name_lock::lock(&format!("{}/{environment}/{}/{key}", book.tenant_id, namespace.as_str()));
        }
    }
    let mut replies = Replies::of(namespace, requester);
    replies.find(book, std::iter::once(key.to_owned()))?;
    if let Some(first) = replies.first(key, &hash)? {
        return Ok(first);
    }
    let reply = run()?;
    replies.keep(key.to_owned(), hash, &reply);
    replies.write(book, keeps)?;
    Ok(reply)
}

/// The fingerprint of an operation's request.
pub fn fingerprint<R: Serialize>(operation: &str, request: &R) -> Result<Fingerprint, Failure> {
    let mut hash = Sha256::new();
    hash.update(operation.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(request)?);
    Ok(hash.finalize().into())
}

/// Refuses a key that is not 1 to 255 visible ASCII characters.
pub fn check_key(key: &str, field: &str) -> Result<(), Refusal> {
    if (1..=KEY_LENGTH_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let message = "This must be 1 to 255 visible ASCII characters.";
    Err(Refusal::of_field(Code::InvalidRequest, field, message))
}

const PURGE: &str = "
    delete from topup.idempotency i using (
        select tenant_id, environment, namespace, key from topup.idempotency
         where expires_at <= now() order by expires_at limit $1 for update skip locked) old
     where i.tenant_id = old.tenant_id and i.environment = old.environment
       and i.namespace = old.namespace and i.key = old.key
    returning true";

/// Forgets replies that are past their time; returns how many.
pub fn purge(batch_max: i32) -> Result<i32, Failure> {
    let purged = db::write(PURGE, args![batch_max], |_| Ok(()))?;
    Ok(i32::try_from(purged.len()).unwrap_or(i32::MAX))
}
