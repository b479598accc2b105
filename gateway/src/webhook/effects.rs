//! What the worker asks of Postgres: claims, outcomes, and when there is work again.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::postgres::database::{Database, Fault, one, query};
use crate::webhook::concurrency::Room;

/// One webhook to send, signed and complete, ours until its lease ends.
#[derive(Debug)]
pub struct Effect {
    pub tenant_id: Uuid,
    pub effect_id: Uuid,
    pub fence: i64,
    /// What is delivered side by side only up to a limit: the endpoint.
    pub lane: Uuid,
    pub url: String,
    pub body: String,
    pub headers: BTreeMap<String, String>,
}

/// What became of an attempt, as `topup.settle_effects` wants it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub tenant_id: Uuid,
    pub effect_id: Uuid,
    pub fence: i64,
    pub started_at: String,
    pub duration_ms: u64,
    pub http_status: Option<u16>,
    pub error: Option<String>,
    pub response: Option<String>,
}

/// What was recorded of outcomes.
pub struct Settled {
    /// How many still held their lease.
    pub held: i32,
    /// Those that were not taken, counted from 1: somebody has locked what they change, and they are to be told again.
    pub skipped: Vec<i32>,
}

impl Database {
    /// Leases what there is room for, at most `batch_max`.
    pub async fn claim(&self, room: &Room, batch_max: usize, lease_s: u64) -> Result<Vec<Effect>, Fault> {
        let sql = "select tenant_id, effect_id, fence, lane, url, body, headers \
                   from topup.claim_effects($1, $2, $3, $4, $5, $6, $7)";
        let (batch_max, lane_max, lease_s) =
            (small(batch_max), small(room.lane_max), small(lease_s as usize));
        let tenant_max = small(room.tenant_max);
        let (tenants, rooms): (Vec<Uuid>, Vec<i32>) =
            room.tenants.iter().map(|(tenant_id, room)| (*tenant_id, small(*room))).unzip();
        let rows = query(
            &self.worker,
            sql,
            &[
                (&batch_max, Type::INT4),
                (&lane_max, Type::INT4),
                (&room.busy_lanes, Type::UUID_ARRAY),
                (&lease_s, Type::INT4),
                (&tenant_max, Type::INT4),
                (&tenants, Type::UUID_ARRAY),
                (&rooms, Type::INT4_ARRAY),
            ],
        )
        .await?;
        rows.iter().map(|row| Ok(effect(row)?)).collect()
    }

    /// Records outcomes.
    pub async fn settle(&self, outcomes: &[Outcome]) -> Result<Settled, Fault> {
        let sql = "select held, skipped from topup.settle_effects($1)";
        let row = one(query(&self.worker, sql, &[(&Json(outcomes), Type::JSONB)]).await?)?;
        Ok(Settled { held: row.try_get(0)?, skipped: row.try_get(1)? })
    }

    /// Does what is due inside the database; gives how much was done.
    pub async fn run_due(&self, batch_max: usize) -> Result<i32, Fault> {
        let sql = "select topup.run_due($1)";
        Ok(one(query(&self.worker, sql, &[(&small(batch_max), Type::INT4)]).await?)?.try_get(0)?)
    }

    /// Seconds until something is due; nothing while nothing is open.
    pub async fn next_due_s(&self) -> Result<Option<f64>, Fault> {
        Ok(one(query(&self.worker, "select topup.next_due()", &[]).await?)?.try_get(0)?)
    }

    /// From now on, for so many seconds, what becomes due is announced.
    pub async fn worker_sleep(&self, worker: Uuid, seconds: u64) -> Result<(), Fault> {
        let seconds = small(seconds as usize);
        let parameters = [(&worker as _, Type::UUID), (&seconds as _, Type::INT4)];
        query(&self.worker, "select topup.worker_sleep($1, $2)", &parameters).await.map(drop)
    }

    pub async fn worker_wake(&self, worker: Uuid) -> Result<(), Fault> {
        query(&self.worker, "select topup.worker_wake($1)", &[(&worker, Type::UUID)]).await.map(drop)
    }
}

fn effect(row: &Row) -> Result<Effect, Error> {
    let Json(headers) = row.try_get::<_, Json<BTreeMap<String, Value>>>(6)?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(Effect {
        tenant_id: row.try_get(0)?,
        effect_id: row.try_get(1)?,
        fence: row.try_get(2)?,
        lane: row.try_get(3)?,
        url: row.try_get(4)?,
        body: row.try_get(5)?,
        headers: headers.into_iter().map(|(name, value)| (name, text(value))).collect(),
    })
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
