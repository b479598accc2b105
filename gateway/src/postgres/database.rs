//! Everything that is asked of Postgres on behalf of a request. No statement is prepared by name,
//! so that a pooler in transaction mode may stand in between.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime, Status};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::credentials::Credentials;
use crate::limit::{self, KeyHash};
use crate::operation::{CodeRow, EventRow, Operation};
use crate::postgres::catalog_row::{self, CatalogFault};
use crate::postgres::fault::Reason;
use crate::postgres::shares::{self, Owners, Place, Shares};
use crate::postgres::target::{CONNECT_TIMEOUT, Connector, Target};
use crate::reply::Answer;

pub use crate::postgres::fault::{Fault, in_words};

/// For a connection, and before that for a place in the share of whoever calls.
pub const POOL_WAIT: Duration = Duration::from_secs(3);
/// A little more than the session's statement_timeout, for when nobody is left to keep it.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);
const CONFLICT_RETRIES_MAX: u32 = 5;
const CONFLICT_PAUSE_MS: u64 = 10;
/// The webhook worker's connections are its own, so that a flood of requests does not stop deliveries.
const WORKER_CONNECTIONS: usize = 4;
const DOOR_CONNECTIONS: usize = 2;
const PAGE_CONNECTIONS: usize = 4;
const PAYMENT_CONNECTIONS: usize = 3;
const UPKEEP_CONNECTIONS: usize = 2;
/// Of the pages' connections, for one checkout or one session in the portal.
const PAGE_SHARE: usize = 1;
/// Of the payments' connections, for the payments of one tenant.
const PAYMENT_SHARE: usize = 2;
/// Connections beside those of requests: of the other pools, and the listener's.
pub const OTHER_CONNECTIONS: usize =
    WORKER_CONNECTIONS + DOOR_CONNECTIONS + PAGE_CONNECTIONS + PAYMENT_CONNECTIONS + UPKEEP_CONNECTIONS + 1;
/// Idle connections older than this go with one that leads to the wrong server: they lead there too.
const FRESH: Duration = Duration::from_secs(1);

/// The way to Postgres; cheap to clone.
#[derive(Clone)]
pub struct Database {
    requests: Pool,
    /// Judges keys, so that a key whose calls fill its share of the requests' connections shuts out nobody else.
    door: Pool,
    /// Checkouts and the portal.
    pages: Pool,
    /// What becomes of payments.
    payments: Pool,
    pub(crate) worker: Pool,
    /// Health, the catalog and settings: what waits for nobody.
    pub(crate) upkeep: Pool,
    shares: Arc<AllShares>,
}

struct AllShares {
    owners: Owners,
    requests: Shares,
    pages: Shares,
    payments: Shares,
}

/// How many connections requests have together, and how many of them are for one key and for one tenant.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    pub requests: usize,
    pub of_key: usize,
    pub of_tenant: usize,
}

/// One call of an operation.
pub struct Call<'a> {
    pub api_key: &'a str,
    pub operation: &'a str,
    pub request: &'a str,
    pub idempotency_key: Option<&'a str>,
    pub client_ip: IpAddr,
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
    pub fn new(target: Arc<Target>, connections: Connections) -> Result<Self, String> {
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
        let Connections { requests, of_key, of_tenant } = connections;
        let shares = AllShares {
            owners: Owners::default(),
            requests: Shares::new(of_key, of_tenant, POOL_WAIT),
            pages: Shares::new(PAGE_SHARE, PAGE_SHARE, POOL_WAIT),
            payments: Shares::new(PAYMENT_SHARE, PAYMENT_SHARE, POOL_WAIT),
        };
        Ok(Database {
            requests: pool(requests)?,
            door: pool(DOOR_CONNECTIONS)?,
            pages: pool(PAGE_CONNECTIONS)?,
            payments: pool(PAYMENT_CONNECTIONS)?,
            worker: pool(WORKER_CONNECTIONS)?,
            upkeep: pool(UPKEEP_CONNECTIONS)?,
            shares: Arc::new(shares),
        })
    }

    /// Calls an operation.
    pub async fn call(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let columns = Columns::of(std::slice::from_ref(call));
        let _place = self.place(call).await?;
        let row = one(repeated(&self.requests, CALL, &columns.parameters(), lost).await?)?;
        Ok(answer(&row)?)
    }

    /// Calls operations of one key in one transaction; gives an answer for each, in order. A fault of one is a fault of all.
    pub async fn call_many(&self, calls: &[Call<'_>]) -> Result<Vec<Answer>, Fault> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let columns = Columns::of(calls);
        let _place = self.place(first).await?;
        let rows = query(&self.requests, CALL, &columns.parameters()).await?;
        if rows.len() != calls.len() {
            return Err(Fault::internal(format!("{} answers for {} calls", rows.len(), calls.len())));
        }
        rows.iter().map(|row| Ok(answer(row)?)).collect()
    }

    /// A place among the requests' connections for whoever makes this call.
    async fn place(&self, call: &Call<'_>) -> Result<Place<'_>, Fault> {
        let (key, tenant) = self.parties(call.api_key, call.client_ip).await?;
        self.shares.requests.enter(key, tenant).await
    }

    /// The key and its tenant, as shares know them. Whose key it is, is asked once; a key that is refused has no tenant, and
    /// hears why from its operation.
    pub async fn parties(
        &self,
        api_key: &str,
        client_ip: IpAddr,
    ) -> Result<(KeyHash, Option<KeyHash>), Fault> {
        let key = limit::hash(api_key);
        let owners = &self.shares.owners;
        if owners.tenant_of(&key).is_none() {
            self.judge(api_key, client_ip).await?;
        }
        Ok((key, owners.tenant_of(&key)))
    }

    /// A place among the payments' connections for a tenant's payments.
    pub async fn place_of_payment(&self, tenant_id: Uuid) -> Result<Place<'_>, Fault> {
        self.shares.payments.enter(limit::hash(&tenant_id.to_string()), None).await
    }

    /// Runs one statement of a page; the token that admits to it has a share.
    pub async fn page(
        &self,
        token: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let _place = self.shares.pages.enter(limit::hash(token), None).await?;
        repeated(&self.pages, sql, parameters, lost).await
    }

    /// Runs one statement about what became of a payment.
    pub async fn payment(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Fault> {
        repeated(&self.payments, sql, parameters, lost_or_locked).await
    }

    /// Judges a key and the address that it comes from: 200, or the refusal.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Answer, Fault> {
        self.judge(&credentials.api_key, credentials.client_ip).await
    }

    async fn judge(&self, api_key: &str, client_ip: IpAddr) -> Result<Answer, Fault> {
        let sql = "select status, body from topup.authenticate($1, $2::text::inet)";
        let parameters: [Parameter; 2] = [(&api_key, Type::TEXT), (&client_ip.to_string(), Type::TEXT)];
        let row = one(query(&self.door, sql, &parameters).await?)?;
        let status: i16 = row.try_get(0)?;
        let answer =
            Answer { status: u16::try_from(status).unwrap_or(500), body: row.try_get(1)?, replayed: false };
        if let Some(tenant) = shares::owner(&answer.body) {
            self.shares.owners.learn(limit::hash(api_key), tenant);
        }
        Ok(answer)
    }

    /// The installed version of the extension.
    pub async fn extension_version(&self) -> Result<String, Fault> {
        Ok(one(query(&self.upkeep, "select topup.version()", &[]).await?)?.try_get(0)?)
    }

    /// The operations that the extension publishes; an error where one of them has a value that this gateway does not know.
    pub async fn operations(&self) -> Result<Vec<Operation>, CatalogFault> {
        query(&self.upkeep, catalog_row::OPERATIONS, &[]).await?.iter().map(catalog_row::operation).collect()
    }

    pub async fn codes(&self) -> Result<Vec<CodeRow>, Fault> {
        query(&self.upkeep, catalog_row::CODES, &[])
            .await?
            .iter()
            .map(|row| Ok(catalog_row::code(row)?))
            .collect()
    }

    /// How many usage events that nothing prices were recorded within the last hour, through whatever door.
    pub async fn unpriced_last_hour(&self) -> Result<i64, Fault> {
        Ok(one(query(&self.worker, "select topup.unpriced_last_hour()", &[]).await?)?.try_get(0)?)
    }

    pub async fn event_types(&self) -> Result<Vec<EventRow>, Fault> {
        query(&self.upkeep, catalog_row::EVENTS, &[])
            .await?
            .iter()
            .map(|row| Ok(catalog_row::event(row)?))
            .collect()
    }

    /// Whether Postgres answers within `limit`.
    pub async fn answers(&self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, query(&self.upkeep, "select 1", &[])).await, Ok(Ok(_)))
    }

    /// The state of the pools, by name.
    pub fn pools(&self) -> [(&'static str, Status); 6] {
        [
            ("requests", self.requests.status()),
            ("door", self.door.status()),
            ("pages", self.pages.status()),
            ("payments", self.payments.status()),
            ("worker", self.worker.status()),
            ("upkeep", self.upkeep.status()),
        ]
    }
}

/// Runs one statement, and once more after a fault that says so of itself.
async fn repeated(
    pool: &Pool,
    sql: &str,
    parameters: &[Parameter<'_>],
    is_repeated: fn(&Fault) -> bool,
) -> Result<Vec<Row>, Fault> {
    let mut retries = 0;
    loop {
        match query(pool, sql, parameters).await {
            Err(fault) if is_repeated(&fault) && retries < CONFLICT_RETRIES_MAX => retries += 1,
            result => return result,
        }
        let pause_ms = CONFLICT_PAUSE_MS << retries;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(pause_ms / 2..=pause_ms))).await;
    }
}

/// Whether the transaction lost against another.
fn lost(fault: &Fault) -> bool {
    matches!(fault, Fault::Conflict(_))
}

/// The same of what waits for locks but a moment.
fn lost_or_locked(fault: &Fault) -> bool {
    lost(fault) || matches!(fault, Fault::NotNow(Reason::Locked, _))
}

/// Runs one statement on a connection of the pool. A connection that does not answer in time is thrown away, and so is
/// one that is lost or leads to a server that cannot do its work: the pool may hear of that only when the next has it already.
pub async fn query(pool: &Pool, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Fault> {
    let client = pool.get().await?;
    let fault = match tokio::time::timeout(ANSWER_TIMEOUT, client.query_typed(sql, parameters)).await {
        Ok(Ok(rows)) => return Ok(rows),
        Ok(Err(error)) => Fault::from(error),
        Err(_) => Fault::Unavailable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    };
    if fault.is_of_the_connection() {
        drop(Object::take(client));
    }
    if matches!(fault, Fault::NotNow(Reason::ReadOnly, _)) {
        drop(pool.retain(|_, metrics| metrics.age() < FRESH));
    }
    Err(fault)
}

/// The only row of a result.
pub fn one(rows: Vec<Row>) -> Result<Row, Fault> {
    rows.into_iter().next().ok_or_else(|| Fault::internal("no row came back".to_owned()))
}
