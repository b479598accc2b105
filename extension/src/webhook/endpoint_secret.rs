//! The rotation of an endpoint's secret: a new secret signs at once, and the old one until the overlap ends.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::handler::Handler;
use crate::operation::idempotency::Shares;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::id;
use crate::value::reply::{Outcome, Refusal, Reply};
use crate::webhook::{endpoint, sign};

const OVERLAP_S_DEFAULT: i32 = 86_400;
const OVERLAP_S_MAX: i32 = 604_800;
/// Secrets that sign for an endpoint at a time: a receiver reads all their signatures.
const LIVE_SECRETS_MAX: i64 = 5;

/// Which endpoint, and how long the old secret goes on signing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The `whk_…` of an endpoint.
    pub id: String,
    /// 0 to 604,800; 86,400 if not given.
    pub overlap_seconds: Option<i32>,
}

/// The new secret: it is shown here and nowhere else.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RotateData {
    /// `whk_…`
    pub id: String,
    /// `whsec_…`: signs every delivery from now on.
    pub secret: String,
    /// Until when the old secret signs too. RFC 3339, UTC.
    pub overlap_ends_at: String,
}

pub struct Rotate;

const LIVE_SECRETS: &str = "
    select (select count(*) from topup.webhook_secret s
             where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id
               and (s.expires_at is null or s.expires_at > clock_timestamp()))
      from topup.webhook_endpoint w
     where tenant_id = $1 and environment = $2::topup.environment and endpoint_id = $3 and deleted_at is null";

const ROTATE: &str = "
    with
    -- Secrets whose overlap has ended.
    past as (
        delete from topup.webhook_secret
         where tenant_id = $1 and endpoint_id = $2 and expires_at <= clock_timestamp()),
    -- The secret that signs now goes on signing until the overlap ends.
    old as (
        update topup.webhook_secret set expires_at = clock_timestamp() + make_interval(secs => $3)
         where tenant_id = $1 and endpoint_id = $2 and expires_at is null),
    -- The secret that takes its place.
    new as (insert into topup.webhook_secret (tenant_id, endpoint_id, secret_id, secret) values ($1, $2, $4, $5))
    select topup.rfc3339(clock_timestamp() + make_interval(secs => $3))";

impl Handler for Rotate {
    const NAME: &'static str = "webhook_rotate";
    const SHARES: Shares = Shares::WithNobody;
    type Request = RotateRequest;
    type Data = RotateData;

    fn handle(caller: &Caller, request: &RotateRequest) -> Outcome<RotateData> {
        let overlap_s = request.overlap_seconds.unwrap_or(OVERLAP_S_DEFAULT);
        if !(0..=OVERLAP_S_MAX).contains(&overlap_s) {
            let message = format!("The overlap must be from 0 to {OVERLAP_S_MAX} seconds.");
            return Err(Refusal::of_field(Code::InvalidRequest, "overlap_seconds", message).into());
        }
        let endpoint_id = endpoint::parse_id(&request.id)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), endpoint_id];
        endpoint::lock_environment(caller)?;
        let live: i64 =
            db::write(LIVE_SECRETS, arguments, |row| row.get(1))?.pop().ok_or_else(endpoint::not_found)?;
        if live >= LIVE_SECRETS_MAX {
            let message = format!("{LIVE_SECRETS_MAX} secrets are live; wait until an overlap ends.");
            return Err(Refusal::new(Code::InvalidRequest, message).into());
        }
        let secret = sign::new_secret()?;
        let arguments = args![caller.tenant_id, endpoint_id, overlap_s, id::new(), secret.as_str()];
        let overlap_ends_at = db::write(ROTATE, arguments, |row| row.get(1))?.pop().unwrap_or_default();
        Ok(Reply::new(Code::Success, RotateData { id: request.id.clone(), secret, overlap_ends_at }))
    }
}
