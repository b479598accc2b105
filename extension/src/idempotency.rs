//! A repeated request is one request: the first reply is kept under the caller's key and given again.

use std::collections::HashMap;

use pg_topup_contract::Code;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::book::Book;
use crate::db::{self, DbResult, args};
use crate::ledger;
use crate::reply::{Failure, Refusal, Rendered};

const KEY_LENGTH_MAX: usize = 255;
/// How long replies are kept that are not kept for good: 24 hours.
const KEPT_S: i32 = 86_400;

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
    select asked.key, kept.request_hash, kept.http_status, kept.reply
      from unnest($4::text[]) as asked (key)
     cross join lateral (
           select i.request_hash, i.http_status, i.reply from topup.idempotency i
            where i.tenant_id = $1 and i.environment = $2::topup.environment and i.namespace = $3 and i.key = asked.key
              and (i.expires_at is null or i.expires_at > now()) limit 1) kept";

const KEEP: &str = "
    insert into topup.idempotency (tenant_id, environment, namespace, key, request_hash, http_status, reply, expires_at)
    select $1, $2::topup.environment, $3, k.key, k.request_hash, k.http_status, k.reply, now() + make_interval(secs => $8)
      from unnest($4::text[], $5::bytea[], $6::smallint[], $7::text[]) as k (key, request_hash, http_status, reply)
    on conflict (tenant_id, environment, namespace, key) do update
       set request_hash = excluded.request_hash, http_status = excluded.http_status, reply = excluded.reply,
           expires_at = excluded.expires_at
     where topup.idempotency.expires_at <= now()
    returning true";

/// The first replies under keys of one namespace: those that are kept, and those that are to be.
pub struct Replies {
    namespace: Namespace,
    known: HashMap<String, (Vec<u8>, Rendered)>,
    /// Keys that are not written yet, in order.
    new: Vec<String>,
}

impl Replies {
    /// None yet.
    pub fn of(namespace: Namespace) -> Replies {
        Replies { namespace, known: HashMap::new(), new: Vec::new() }
    }

    /// Reads what is kept under keys. Whoever asks holds the lock in which they queue up.
    pub fn find(&mut self, book: &Book, keys: Vec<String>) -> DbResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let namespace = self.namespace.as_str();
        let arguments = args![book.tenant_id, book.environment.as_str(), namespace, keys];
        let kept = db::write(FIND, arguments, |row| {
            let reply = Rendered { http_status: row.get(3)?, body: row.get(4)?, replayed: true };
            Ok((row.get(1)?, (row.get(2)?, reply)))
        })?;
        self.known.extend(kept);
        Ok(())
    }

    /// The first reply to the same request; a refusal where another was asked for under the key.
    pub fn first(&self, key: &str, hash: &[u8]) -> Result<Option<Rendered>, Refusal> {
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
    pub fn keep(&mut self, key: String, hash: Vec<u8>, reply: &Rendered) {
        self.known.insert(key.clone(), (hash, Rendered { replayed: true, ..reply.clone() }));
        self.new.push(key);
    }

    /// Writes those that are new.
    pub fn write(&mut self, book: &Book, keeps: Keeps) -> Result<(), Failure> {
        if self.new.is_empty() {
            return Ok(());
        }
        let keys = std::mem::take(&mut self.new);
        let (count, mut hashes, mut statuses, mut bodies) = (keys.len(), Vec::new(), Vec::new(), Vec::new());
        for (hash, reply) in keys.iter().filter_map(|key| self.known.get(key)) {
            hashes.push(hash.clone());
            statuses.push(reply.http_status);
            bodies.push(reply.body.clone());
        }
        let (tenant_id, environment, namespace) =
            (book.tenant_id, book.environment.as_str(), self.namespace.as_str());
        let kept_s = (keeps == Keeps::ADay).then_some(KEPT_S);
        let arguments = args![tenant_id, environment, namespace, keys, hashes, statuses, bodies, kept_s];
        if db::write(KEEP, arguments, |_| Ok(()))?.len() != count {
            return Err(Failure::Fault("a reply is kept under this key already".to_owned()));
        }
        Ok(())
    }
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
    replies.find(book, vec![key.to_owned()])?;
    if let Some(first) = replies.first(key, &hash)? {
        return Ok(first);
    }
    let reply = run()?;
    replies.keep(key.to_owned(), hash, &reply);
    replies.write(book, keeps)?;
    Ok(reply)
}

/// What tells a request from another.
pub fn fingerprint<R: Serialize>(operation: &str, request: &R) -> Result<Vec<u8>, Failure> {
    let mut hash = Sha256::new();
    hash.update(operation.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(request)?);
    Ok(hash.finalize().to_vec())
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
