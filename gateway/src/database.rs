//! Everything that is asked of Postgres on behalf of a request. No statement is prepared by name,
//! so that a pooler in transaction mode may stand in between.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod, Runtime, Status,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, Row};

use crate::credentials::Credentials;
use crate::operation::{CodeRow, EventRow, Operation, Surface};
use crate::reply::Answer;
use crate::target::{CONNECT_TIMEOUT, Target};

pub const POOL_WAIT: Duration = Duration::from_secs(3);
/// A little more than the session's statement_timeout, for when nobody is left to keep it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
const CONFLICT_RETRIES_MAX: u32 = 5;
const CONFLICT_PAUSE_MS: u64 = 10;
/// The worker's connections are its own, so that a flood of requests does not stop deliveries.
const WORKER_CONNECTIONS: usize = 4;
const DOOR_CONNECTIONS: usize = 2;

/// The way to Postgres; cheap to clone.
#[derive(Clone)]
pub struct Database {
    requests: Pool,
    /// Judges keys, so that a key whose calls fill the pool of requests shuts out nobody else.
    door: Pool,
    pub(crate) worker: Pool,
}

/// One call of an operation.
pub struct Call<'a> {
    pub api_key: &'a str,
    pub operation: &'a str,
    pub request: &'a str,
    pub idempotency_key: Option<&'a str>,
    pub client_ip: IpAddr,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Postgres is away, overloaded or shutting down: trying again may help.
    Unavailable(String),
    /// It took too long for Postgres, which then did nothing of it (57014).
    TimedOut(String),
    /// The transaction lost against another (40001, 40P01), or would have waited for it (55P03): trying again will help.
    Conflict(String),
    Internal {
        sqlstate: String,
        message: String,
    },
}

const CALL: &str = "select status, body, replayed from topup.call_many($1, $2, $3, $4, $5)";

/// Calls as `topup.call_many` takes them.
struct Columns<'a> {
    api_keys: Vec<&'a str>,
    operations: Vec<&'a str>,
    requests: Vec<&'a str>,
    idempotency_keys: Vec<Option<&'a str>>,
    client_ips: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(calls: &'a [Call<'_>]) -> Self {
        Columns {
            api_keys: calls.iter().map(|call| call.api_key).collect(),
            operations: calls.iter().map(|call| call.operation).collect(),
            requests: calls.iter().map(|call| call.request).collect(),
            idempotency_keys: calls.iter().map(|call| call.idempotency_key).collect(),
            client_ips: calls.iter().map(|call| call.client_ip.to_string()).collect(),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 5] {
        [
            (&self.api_keys, Type::TEXT_ARRAY),
            (&self.operations, Type::TEXT_ARRAY),
            (&self.requests, Type::TEXT_ARRAY),
            (&self.idempotency_keys, Type::TEXT_ARRAY),
            (&self.client_ips, Type::TEXT_ARRAY),
        ]
    }
}

fn answer(row: &Row) -> Result<Answer, Error> {
    Ok(Answer {
        status: u16::try_from(row.try_get::<_, i16>(0)?).unwrap_or(500),
        body: row.try_get(1)?,
        replayed: row.try_get::<_, Option<bool>>(2)?.unwrap_or(false),
    })
}

pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Database {
    /// Makes the pools. Nothing is connected yet.
    pub fn new(target: Arc<Target>, connections: usize) -> Result<Self, String> {
        let pool = |size| {
            let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_connect(target.config().clone(), Connector(target.clone()), config);
            Pool::builder(manager)
                .max_size(size)
                // The one used last: its server process has everything at hand, and the others' memory is left alone.
                .queue_mode(QueueMode::Lifo)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(POOL_WAIT))
                .create_timeout(Some(CONNECT_TIMEOUT))
                .build()
                .map_err(|error| error.to_string())
        };
        Ok(Database {
            requests: pool(connections)?,
            door: pool(DOOR_CONNECTIONS)?,
            worker: pool(WORKER_CONNECTIONS)?,
        })
    }

    /// Calls an operation.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let columns = Columns::of(std::slice::from_ref(call));
        let row = one(self.repeated(CALL, &columns.parameters()).await?)?;
        Ok(answer(&row)?)
    }

    /// Calls operations in one transaction; gives an answer for each, in order. A fault of one is a fault of all.
    pub async fn call_many(&self, calls: &[Call<'_>]) -> Result<Vec<Answer>, Fault> {
        let columns = Columns::of(calls);
        let rows = query(&self.requests, CALL, &columns.parameters()).await?;
        if rows.len() != calls.len() {
            return Err(Fault::internal(format!("{} answers for {} calls", rows.len(), calls.len())));
        }
        rows.iter().map(|row| Ok(answer(row)?)).collect()
    }

    /// Runs one statement for a request; a transaction that lost against another is repeated.
    pub async fn repeated(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Fault> {
        let mut retries = 0;
        loop {
            match query(&self.requests, sql, parameters).await {
                Err(Fault::Conflict(_)) if retries < CONFLICT_RETRIES_MAX => retries += 1,
                result => return result,
            }
            let pause_ms = CONFLICT_PAUSE_MS << retries;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(pause_ms / 2..=pause_ms))).await;
        }
    }

    /// Judges a key and the address that it comes from: 200, or the refusal.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Answer, Fault> {
        let sql = "select status, body from topup.authenticate($1, $2::text::inet)";
        let parameters: [Parameter; 2] =
            [(&credentials.api_key, Type::TEXT), (&credentials.client_ip.to_string(), Type::TEXT)];
        let row = one(query(&self.door, sql, &parameters).await?)?;
        let status: i16 = row.try_get(0)?;
        Ok(Answer { status: u16::try_from(status).unwrap_or(500), body: row.try_get(1)?, replayed: false })
    }

    /// The installed version of the extension.
    pub async fn extension_version(&self) -> Result<String, Fault> {
        Ok(one(query(&self.worker, "select topup.version()", &[]).await?)?.try_get(0)?)
    }

    pub async fn operations(&self) -> Result<Vec<Operation>, Fault> {
        let sql = "select name, method, path, scope, idempotent, resolves, completes_with, summary, description, \
                   request_schema, reply_schema, mcp_tool, surface, success_status, media_type, section, \
                   section_description, refusal_statuses, request_example, reply_example from topup.operations()";
        query(&self.worker, sql, &[]).await?.iter().map(|row| Ok(operation(row)?)).collect()
    }

    pub async fn codes(&self) -> Result<Vec<CodeRow>, Fault> {
        let sql = "select code, meaning, http_status, success from topup.codes() order by code";
        let rows = query(&self.worker, sql, &[]).await?;
        let code = |row: &Row| -> Result<CodeRow, Error> {
            Ok(CodeRow {
                code: row.try_get(0)?,
                meaning: row.try_get(1)?,
                http_status: row.try_get(2)?,
                success: row.try_get(3)?,
            })
        };
        rows.iter().map(|row| Ok(code(row)?)).collect()
    }

    /// How many usage events that nothing prices were recorded within the last hour, through whatever door.
    pub async fn unpriced_last_hour(&self) -> Result<i64, Fault> {
        Ok(one(query(&self.worker, "select topup.unpriced_last_hour()", &[]).await?)?.try_get(0)?)
    }

    pub async fn event_types(&self) -> Result<Vec<EventRow>, Fault> {
        let sql = "select name, meaning, data_schema, example from topup.event_types()";
        let rows = query(&self.worker, sql, &[]).await?;
        let event = |row: &Row| -> Result<EventRow, Error> {
            Ok(EventRow {
                name: row.try_get(0)?,
                meaning: row.try_get(1)?,
                data_schema: row.try_get(2)?,
                example: example(row.try_get(3)?),
            })
        };
        rows.iter().map(|row| Ok(event(row)?)).collect()
    }

    /// Whether Postgres answers within `limit`.
    pub async fn answers(&self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, query(&self.worker, "select 1", &[])).await, Ok(Ok(_)))
    }

    /// The state of the pools, by name.
    pub fn pools(&self) -> [(&'static str, Status); 3] {
        [("requests", self.requests.status()), ("door", self.door.status()), ("worker", self.worker.status())]
    }
}

/// Runs one statement on a connection of the pool. A connection that does not answer in time is thrown away, and so is
/// one that is lost: the pool may hear of that only when the next has it already.
pub async fn query(pool: &Pool, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Fault> {
    let client = pool.get().await?;
    let fault = match tokio::time::timeout(ANSWER_TIMEOUT, client.query_typed(sql, parameters)).await {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(error)) => Fault::from(error),
        Err(_) => Fault::Unavailable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    };
    if matches!(fault, Fault::Unavailable(_)) {
        drop(Object::take(client));
    }
    Err(fault)
}

/// The only row of a result.
pub fn one(rows: Vec<Row>) -> Result<Row, Fault> {
    rows.into_iter().next().ok_or_else(|| Fault::internal("no row came back".to_owned()))
}

fn operation(row: &Row) -> Result<Operation, Error> {
    let method: Option<String> = row.try_get(1)?;
    let operation = Operation {
        name: row.try_get(0)?,
        method: method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()),
        path: row.try_get(2)?,
        scope: row.try_get(3)?,
        idempotent: row.try_get(4)?,
        resolves: row.try_get(5)?,
        completes_with: row.try_get(6)?,
        summary: row.try_get::<_, Option<String>>(7)?.unwrap_or_default(),
        description: row.try_get::<_, Option<String>>(8)?.unwrap_or_default(),
        request_schema: row.try_get::<_, Option<_>>(9)?.unwrap_or_default(),
        reply_schema: row.try_get::<_, Option<_>>(10)?.unwrap_or_default(),
        mcp_tool: row.try_get(11)?,
        surface: Surface::of(row.try_get(12)?),
        success_status: u16::try_from(row.try_get::<_, i16>(13)?).unwrap_or(200),
        media_type: row.try_get(14)?,
        section: row.try_get(15)?,
        section_description: row.try_get(16)?,
        refusal_statuses: row.try_get(17)?,
        request_example: example(row.try_get(18)?),
        reply_example: example(row.try_get(19)?),
        ..Operation::default()
    };
    Ok(operation.with_kinds())
}

/// An example as the catalog has it: JSON, or a text that is none.
fn example(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
}

struct Connector(Arc<Target>);

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async move {
            let (client, connection) = self.0.connect().await?;
            // How a connection ends is seen by whoever uses it.
            let driver = tokio::spawn(async move { drop(connection.await) });
            Ok((client, driver))
        })
    }
}

impl Fault {
    pub fn internal(message: String) -> Self {
        Fault::Internal { sqlstate: String::new(), message }
    }

    /// Whether Postgres itself has said that nothing was done. Without its word, all may have been.
    pub fn is_undone(&self) -> bool {
        match self {
            Fault::Unavailable(_) => false,
            Fault::TimedOut(_) | Fault::Conflict(_) => true,
            Fault::Internal { sqlstate, .. } => !sqlstate.is_empty(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unavailable(message) | Fault::TimedOut(message) | Fault::Conflict(message) => {
                f.write_str(message)
            }
            Fault::Internal { sqlstate, message } => write!(f, "{message} ({sqlstate})"),
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Fault::Unavailable(in_words(&error)),
            other => Fault::Unavailable(other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = in_words(&error);
        let Some(state) = error.code().map(|state| state.code()) else {
            let cause = std::error::Error::source(&error);
            let is_io = cause.is_some_and(|cause| cause.is::<std::io::Error>());
            let is_lost = error.is_closed() || is_io;
            return if is_lost { Fault::Unavailable(message) } else { Fault::internal(message) };
        };
        match state {
            "40001" | "40P01" | "55P03" => Fault::Conflict(message),
            "57014" => Fault::TimedOut(message),
            _ if ["08", "53", "57P0"].iter().any(|class| state.starts_with(class)) => {
                Fault::Unavailable(message)
            }
            _ => Fault::Internal { sqlstate: state.to_owned(), message },
        }
    }
}

/// The server's own sentence where there is one, else the driver's with its cause.
pub fn in_words(error: &Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return refused.message().to_owned();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
