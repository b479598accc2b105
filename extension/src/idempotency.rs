//! A repeated request is one request: the first reply is kept under the caller's key and given again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::book::Book;
use crate::db::{self, DbResult, Row, args};
use crate::instant::Instant;
use crate::ledger;
use crate::reply::{Failure, Refusal, Rendered};
use crate::table::{self, By, Found, Table, row};

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

const FIND: &str = "
    select request_hash, http_status, reply from topup.idempotency
     where tenant_id = $1 and environment = $2::topup.environment and namespace = $3 and key = $4
       and (expires_at is null or expires_at > now())";

const REPLIES: Table<8> = Table {
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
    ],
};

const REPLACE: &str = "
    insert into topup.idempotency (tenant_id, environment, namespace, key, request_hash, http_status, reply, expires_at)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8)
    on conflict (tenant_id, environment, namespace, key) do update
       set request_hash = excluded.request_hash, http_status = excluded.http_status, reply = excluded.reply,
           expires_at = excluded.expires_at
     where topup.idempotency.expires_at <= now()
    returning true";

/// What tells a request from another.
pub type Fingerprint = [u8; 32];

/// The first replies under keys of one namespace: those that are kept, and those that are to be.
pub struct Replies {
    namespace: Namespace,
    known: HashMap<String, (Vec<u8>, Rendered)>,
    /// Keys that are not written yet, in order.
    new: Vec<String>,
    /// Keys that may have a row whose time is over.
    used: HashSet<String>,
}

impl Replies {
    /// None yet.
    pub fn of(namespace: Namespace) -> Replies {
        Replies { namespace, known: HashMap::new(), new: Vec::new(), used: HashSet::new() }
    }

    /// Reads what is kept under keys. Whoever asks holds the lock in which they queue up.
    pub fn find(&mut self, book: &Book, keys: impl Iterator<Item = String>) -> DbResult<()> {
        for key in keys {
            let (environment, namespace) = (book.environment.as_str(), self.namespace.as_str());
            let place = row![book.tenant_id, environment, namespace, key.clone()];
            let kept = match table::find_latest(REPLIES.name, By::PrimaryKey, &place) {
                Found::NoRow => continue,
                Found::Row(row) => kept(&row)?,
                Found::ByStatement => {
                    let arguments = args![book.tenant_id, environment, namespace, key.as_str()];
                    let kept = |row: &Row| Ok((row.get(1)?, replayed(row.get(2)?, row.get(3)?)));
                    db::write(FIND, arguments, kept)?.pop()
                }
            };
            match kept {
                Some(kept) => drop(self.known.insert(key, kept)),
                None => drop(self.used.insert(key)),
            }
        }
        Ok(())
    }

    /// The first reply to the same request; a refusal where another was asked for under the key.
    pub fn first(&self, key: &str, hash: &Fingerprint) -> Result<Option<Rendered>, Refusal> {
        match self.known.get(key) {
            None => Ok(None),
            Some((kept, reply)) if kept == hash => Ok(Some(reply.clone())),
            Some(_) => {
                let message = "This id or key was used before for another request.";
                Err(Refusal::new(Code::DuplicateTransaction, message))
            }
        }
    }

    /// Keeps the first reply under a key.
    pub fn keep(&mut self, key: String, hash: Fingerprint, reply: &Rendered) {
        self.known.insert(key.clone(), (hash.to_vec(), replayed(reply.http_status, reply.body.clone())));
        self.new.push(key);
    }

    /// Writes those that are new.
    pub fn write(&mut self, book: &Book, keeps: Keeps) -> Result<(), Failure> {
        let expires_at = (keeps == Keeps::ADay).then(|| Instant::of_transaction().plus(KEPT));
        let (tenant_id, environment, namespace) =
            (book.tenant_id, book.environment.as_str(), self.namespace.as_str());
        let mut rows = Vec::with_capacity(self.new.len());
        for key in std::mem::take(&mut self.new) {
            let Some((hash, reply)) = self.known.get(&key) else { continue };
            let (hash, status, body) = (hash.clone(), reply.http_status, reply.body.clone());
            if !self.used.contains(&key) {
                rows.push(row![tenant_id, environment, namespace, key, hash, status, body, expires_at]);
                continue;
            }
            let hash = hash.as_slice();
            let arguments = args![tenant_id, environment, namespace, key, hash, status, body, expires_at];
            if db::write(REPLACE, arguments, |_| Ok(()))?.is_empty() {
                return Err(Failure::Fault("a reply is kept under this key already".to_owned()));
            }
        }
        Ok(REPLIES.insert(&rows)?)
    }
}

/// A kept reply and what tells its request from another; none if its time is over.
fn kept(row: &table::Row) -> DbResult<Option<(Vec<u8>, Rendered)>> {
    let expires_at = row.maybe::<TimestampWithTimeZone>("expires_at")?.map(Instant::from);
    if expires_at.is_some_and(|at| at <= Instant::of_transaction()) {
        return Ok(None);
    }
    Ok(Some((row.get("request_hash")?, replayed(row.get("http_status")?, row.get("reply")?))))
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

const LOCK_NAME: &str = "select pg_advisory_xact_lock(hashtextextended($1, 0))::text";

/// Runs a request unless it was run before under the same key. A lock makes those that come at once
/// queue up: each looks only when the one before it is done. A refusal is not kept.
pub fn once<R: Serialize>(
    book: &Book,
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
            let name = format!("{}/{environment}/{}/{key}", book.tenant_id, namespace.as_str());
            db::execute(LOCK_NAME, args![name])?;
        }
    }
    let mut replies = Replies::of(namespace);
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
         where expires_at <= now() limit $1 for update skip locked) old
     where i.tenant_id = old.tenant_id and i.environment = old.environment
       and i.namespace = old.namespace and i.key = old.key
    returning true";

/// Forgets replies that are past their time; returns how many.
pub fn purge(batch_max: i32) -> Result<i32, Failure> {
    let purged = db::write_range(PURGE, args![batch_max], |_| Ok(()))?;
    Ok(i32::try_from(purged.len()).unwrap_or(i32::MAX))
}
