//! Who is calling: the key in hand, the tenant and environment it speaks for, and what it may do.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use pg_topup_contract::{Code, WRONG_API_KEY};
use pgrx::prelude::*;
use pgrx::spi::SpiError;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::event::Endpoint;
use crate::pg::cache::Cache;
use crate::pg::db::{self, Row, args, from_pg};
use crate::pg::settings::{self, KeyLifetime};
use crate::pg::table::{self, By, Found, row};
use crate::tenant::spending_limit::SpendingLimit;
use crate::value::amount::{Bps, Cents};
use crate::value::book::{Book, Environment};
use crate::value::reply::{Failure, Refusal};

/// A key, judged and known, and the book it opens.
pub struct Caller {
    book: Book,
    pub key: Key,
    pub spending_limit: Option<SpendingLimit>,
    /// Whether its key may be used from every address.
    pub from_anywhere: bool,
    /// Whether its environment refuses usage that nothing prices.
    pub refuses_unpriced_usage: bool,
    /// Who is told of what happens in its environment, as the environment keeps it.
    webhooks: Option<String>,
}

/// How a caller is known.
#[derive(PartialEq, Eq, Hash)]
enum CallerKey {
    ByKey([u8; 32]),
    ByRole(pg_sys::Oid),
}

thread_local! {
    static CALLERS: RefCell<Cache<CallerKey, Caller>> = RefCell::default();
    /// Of roles, bound or not.
    static BINDINGS: RefCell<Cache<pg_sys::Oid, Option<(Uuid, Environment)>>> = RefCell::default();
    /// Whether the session was told that its key may be another client's.
    static IS_WARNED: Cell<bool> = const { Cell::new(false) };
    /// By tier.
    static DISCOUNTS: RefCell<Cache<String, Bps>> = RefCell::default();
}

/// What a key must be allowed to.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    Send,
    Read,
    Cancel,
    /// Cancelling what another key sent.
    CancelAny,
    /// Seeing the voucher codes of what another key sent.
    Vouchers,
    Redeem,
    Webhooks,
    Wallets,
    Funding,
    Fulfil,
}

impl Scope {
    /// As keys carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Send => "send",
            Scope::Read => "read",
            Scope::Cancel => "cancel",
            Scope::CancelAny => "cancel_any",
            Scope::Vouchers => "vouchers",
            Scope::Redeem => "redeem",
            Scope::Webhooks => "webhooks",
            Scope::Wallets => "wallets",
            Scope::Funding => "funding",
            Scope::Fulfil => "fulfil",
        }
    }
}

impl Deref for Caller {
    type Target = Book;
    fn deref(&self) -> &Book {
        &self.book
    }
}

/// What the key itself says.
pub struct Key {
    pub id: Uuid,
    pub name: String,
    pub tier: String,
    pub discount: Bps,
    pub cap: Option<Cents>,
    pub cap_period: String,
    scopes: Vec<String>,
}

/// The columns that [`read_caller`] expects, of a key `k`.
macro_rules! select_caller {
    ($address_allowed:literal, $from_where:literal) => {
        concat!(
            "select k.tenant_id, k.environment::text, e.wallet_id, k.key_id, k.name, k.tier, t.discount_bps,
                    k.cap_cents, k.cap_period, k.scopes, e.spending_limit_cents, e.spending_limit_duration,
                    e.spending_limit_strategy, ",
            $address_allowed,
            ", k.allowed_ips is null, e.webhooks, e.refuses_unpriced_usage
              from topup.key k
              join topup.tenant_environment e on e.tenant_id = k.tenant_id and e.environment = k.environment
              join topup.tier t on t.tier = k.tier ",
            $from_where
        )
    };
}

/// Whom a role calls for is believed of the gateway alone; of others it is known from where they are connected.
const BY_KEY: &str = select_caller!(
    "k.allowed_ips is null or coalesce(
         case when pg_catalog.pg_has_role($3, 'topup_gateway', 'member') then $2::inet
              else pg_catalog.inet_client_addr() end <<= any (k.allowed_ips), false)",
    "where k.secret_hash = $1 and k.revoked_at is null"
);

const BY_ROLE: &str = select_caller!(
    "true",
    "join topup.role_binding b on b.key_id = k.key_id
     where b.role_name = pg_catalog.pg_get_userbyid($1) and k.revoked_at is null"
);

/// From where this session is connected.
const BY_KEY_HERE: &str = select_caller!(
    "k.allowed_ips is null or coalesce(pg_catalog.inet_client_addr() <<= any (k.allowed_ips), false)",
    "where k.secret_hash = $1 and k.revoked_at is null"
);

impl Caller {
    /// The owner of an API key that calls from an address, which only the gateway can tell. A key with allowed addresses is
    /// refused where the address is unknown.
    pub fn by_key(api_key: &str, client_ip: Option<&str>) -> Result<Rc<Caller>, Failure> {
        let role = session_role();
        kept_by_key(api_key, |hash| {
            db::read_by_key(BY_KEY, &[hash.into(), client_ip.into(), role.into()], read_caller)
        })
    }

    /// Who calls the typed SQL functions: the key in `topup.api_key`, else the key bound to the role.
    pub fn of_session() -> Result<Rc<Caller>, Failure> {
        let role = session_role();
        if let Some(api_key) = settings::api_key() {
            judge_lifetime()?;
            let look_up = |hash: &[u8]| db::read_by_key(BY_KEY_HERE, args![hash], read_caller);
            let caller = kept_by_key(&api_key, look_up)?;
            caller.require_own(role)?;
            return Ok(caller);
        }
        let read = || {
            let found = db::read_by_key(BY_ROLE, &[role.into()], read_caller)?;
            found.into_iter().next().map(|(caller, _)| caller).ok_or_else(no_bound_key)
        };
        Cache::get(&CALLERS, CallerKey::ByRole(role), read, |_| true)
    }

    /// Refuses a key in `topup.api_key` of another environment than the one that the session's roles are bound to.
    fn require_own(&self, role: pg_sys::Oid) -> Result<(), Failure> {
        // SAFETY: reads a backend-local variable.
        let login = unsafe { pg_sys::GetSessionUserId() };
        for role in [role, login] {
            let bound = Cache::get(&BINDINGS, role, || read_binding(role), |_| true)?;
            if bound.is_some_and(|home| home != (self.tenant_id, self.environment)) {
                let message = "The role of this session is bound to a key of another tenant or environment than that of the \
                               key in topup.api_key: reset topup.api_key.";
                return Err(Refusal::new(Code::KeyNotPermitted, message).into());
            }
            if role == login {
                break;
            }
        }
        Ok(())
    }

    /// Somebody who was let in without a key, and has no scope: it gets no further than to the handlers that it is
    /// led to.
    pub fn without_key(book: Book) -> Caller {
        let key = Key {
            id: Uuid::nil(),
            name: String::new(),
            tier: String::new(),
            discount: Bps(0),
            cap: None,
            cap_period: String::new(),
            scopes: Vec::new(),
        };
        Caller {
            book,
            key,
            spending_limit: None,
            from_anywhere: true,
            refuses_unpriced_usage: false,
            webhooks: None,
        }
    }

    /// The endpoints of its environment that are switched on.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, Failure> {
        Ok(Endpoint::parse_all(self.webhooks.as_deref())?)
    }

    /// Whether the key has a scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.key.scopes.iter().any(|held| held == scope.as_str())
    }

    /// Whether the voucher codes of what a key sent may be shown.
    pub fn sees_vouchers_of(&self, key_id: Uuid) -> bool {
        self.key.id == key_id || self.has(Scope::Vouchers)
    }

    /// Refuses what the key's scopes leave out.
    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.has(scope) {
            return Ok(());
        }
        let message = format!("This key does not have the scope '{}'.", scope.as_str());
        Err(Refusal::new(Code::KeyNotPermitted, message))
    }
}

const BINDING: &str = "
    select k.tenant_id, k.environment::text
      from topup.role_binding b join topup.key k on k.key_id = b.key_id
     where b.role_name = pg_catalog.pg_get_userbyid($1)";

/// Whose key a role is bound to, revoked or not.
fn read_binding(role: pg_sys::Oid) -> db::DbResult<Option<(Uuid, Environment)>> {
    let read = |row: &Row| {
        let environment = Environment::parse(&row.get::<String>(2)?).ok_or(SpiError::InvalidPosition)?;
        Ok((row.uuid(1)?, environment))
    };
    Ok(db::read_by_key(BINDING, &[role.into()], read)?.pop())
}

/// Refuses a key that another transaction has set, or warns of it: behind a pooler that may have been another client's.
fn judge_lifetime() -> Result<(), Refusal> {
    let lifetime = settings::api_key_lifetime();
    if lifetime == KeyLifetime::Session || settings::is_api_key_of_transaction() {
        return Ok(());
    }
    const WAY: &str = "Set it in each transaction: SET LOCAL topup.api_key = '…', or \
                       select set_config('topup.api_key', '…', true).";
    if lifetime == KeyLifetime::Transaction {
        let message = format!("The key in topup.api_key was set before this transaction. {WAY}");
        return Err(Refusal::new(Code::KeyNotPermitted, message));
    }
    if !IS_WARNED.replace(true) {
        warning!(
            "the key in topup.api_key was set before this transaction: behind a pooler it may be another client's. {WAY} \
             Setting topup.api_key_lifetime decides."
        );
    }
    Ok(())
}

/// The role that the session acts as: what SET ROLE chose, else who logged in. A SECURITY DEFINER
/// function around us does not change it.
pub fn session_role() -> pg_sys::Oid {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::GetOuterUserId() }
}

const IS_ADMIN: &str = "select pg_catalog.pg_has_role($1, 'topup_admin', 'member')";

/// Whether the session acts as an administrator.
pub fn is_admin() -> db::DbResult<bool> {
    Ok(db::read(IS_ADMIN, &[session_role().into()], |row| row.get(1))?.contains(&true))
}

fn read_caller(row: &Row) -> db::DbResult<(Caller, bool)> {
    let caller = Caller {
        book: row.book()?,
        key: Key {
            id: row.uuid(4)?,
            name: row.get(5)?,
            tier: row.get(6)?,
            discount: Bps(row.get(7)?),
            cap: row.maybe(8)?.map(Cents),
            cap_period: row.get(9)?,
            scopes: row.get(10)?,
        },
        spending_limit: SpendingLimit::read(row, 11)?,
        from_anywhere: row.get(15)?,
        refuses_unpriced_usage: row.get(17)?,
        webhooks: row.maybe(16)?,
    };
    Ok((caller, row.get(14)?))
}

/// The caller of a key that any address may use, in an environment without a limit: most callers, found without a
/// statement. Whoever is not found so may be found by one, which alone refuses.
fn find_plain(hash: [u8; 32]) -> Result<Option<Caller>, Failure> {
    let is_plain = |key: &table::Row, home: &table::Row| {
        key.is_null("revoked_at") && key.is_null("allowed_ips") && home.is_null("spending_limit_cents")
    };
    let Found::Row(key) = table::find(c"key", By::Index(c"key_secret_hash_key"), &row![hash]) else {
        return Ok(None);
    };
    let (tenant_id, environment) = (from_pg(key.get("tenant_id")?), key.text("environment"));
    let place = row![tenant_id, environment.clone()];
    let home = match table::find(c"tenant_environment", By::PrimaryKey, &place) {
        Found::Row(home) if is_plain(&key, &home) => home,
        _ => return Ok(None),
    };
    let environment = environment.as_deref().and_then(Environment::parse);
    let tier: String = key.get("tier")?;
    Ok(Some(Caller {
        book: Book {
            tenant_id,
            environment: environment.ok_or(SpiError::InvalidPosition)?,
            wallet_id: from_pg(home.get("wallet_id")?),
        },
        key: Key {
            id: from_pg(key.get("key_id")?),
            name: key.get("name")?,
            discount: discount(&tier)?,
            tier,
            cap: key.maybe("cap_cents")?.map(Cents),
            cap_period: key.get("cap_period")?,
            scopes: key.get("scopes")?,
        },
        spending_limit: None,
        from_anywhere: true,
        refuses_unpriced_usage: home.get("refuses_unpriced_usage")?,
        webhooks: home.maybe("webhooks")?,
    }))
}

const DISCOUNT: &str = "select discount_bps from topup.tier where tier = $1";

fn discount(tier: &str) -> Result<Bps, Failure> {
    let read = || {
        let found = db::read_by_key(DISCOUNT, args![tier], |row| row.get(1))?.pop();
        found.map(Bps).ok_or_else(|| Failure::Fault(format!("there is no tier {tier}")))
    };
    Cache::get(&DISCOUNTS, tier.to_owned(), read, |_| true).map(|discount| *discount)
}

/// The caller of a key, looked up if it is not known. Where the key is bound to addresses, each call is judged anew.
fn kept_by_key(
    api_key: &str,
    look_up: impl FnOnce(&[u8]) -> db::DbResult<Vec<(Caller, bool)>>,
) -> Result<Rc<Caller>, Failure> {
    let hash: [u8; 32] = Sha256::digest(api_key.as_bytes()).into();
    let read = || match find_plain(hash)? {
        Some(caller) => Ok(caller),
        None => judge(look_up(&hash)?),
    };
    Cache::get(&CALLERS, CallerKey::ByKey(hash), read, |caller| caller.from_anywhere)
}

fn judge(found: Vec<(Caller, bool)>) -> Result<Caller, Failure> {
    let (caller, address_allowed) = found.into_iter().next().ok_or_else(no_such_key)?;
    if !address_allowed {
        let message = "This key may not be used from this address.";
        return Err(Refusal::new(Code::IpNotWhitelisted, message).into());
    }
    Ok(caller)
}

fn no_such_key() -> Failure {
    Refusal::new(Code::InvalidApiKey, WRONG_API_KEY).into()
}

fn no_bound_key() -> Failure {
    let message = "No API key: set topup.api_key in this session, or have an administrator bind a key to this role \
                   with topup.bind_role().";
    Refusal::new(Code::InvalidApiKey, message).into()
}
