//! Links and sessions as they are kept. Both are as good as a key, and like one are kept as hashes.

use std::time::Duration;

use uuid::Uuid;

use crate::ledger::early_release;
use crate::payment::model::token_hash as hash;
use crate::payment::start::new_token;
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::caller::Caller;
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// How long a link is good.
const LINK_S: u64 = 600;
/// How long a session lasts that nobody uses, and that somebody does.
const IDLE_S: i32 = 1800;
const SESSION_S: i32 = 43_200;
/// A session in use is written about once in so long.
const TOUCH_S: i32 = 60;

/// So many of those that have been over for a day go whenever one is made.
const PURGE_MAX: i32 = 100;

/// A link that was made.
pub struct Link {
    pub token: String,
    pub expires_at: PgTimestamp,
}

/// A customer in the portal, and the book that it belongs to.
pub struct Session {
    /// It has no key's rights: what it may do is what is called with its own customer.
    pub caller: Caller,
    pub customer_id: Uuid,
    pub return_url: String,
}

impl Session {
    /// The customer's id as requests name it.
    pub fn customer(&self) -> String {
        Kind::Customer.text(self.customer_id)
    }
}

const PURGE: &str = "
    delete from topup.portal_session s
     using (select tenant_id, environment, session_id from topup.portal_session
             where expires_at < clock_timestamp() - interval '1 day'
             order by expires_at limit $1 for update skip locked) o
     where s.tenant_id = o.tenant_id and s.environment = o.environment and s.session_id = o.session_id";

const MAKE: &str = "
    insert into topup.portal_session
           (tenant_id, environment, session_id, customer_id, link_hash, return_url, failure_url, created_at, expires_at)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8, $9)";

/// Makes a link for a customer of the book.
pub fn make(book: &Book, customer_id: Uuid, return_url: &str, failure_url: &str) -> Result<Link, Failure> {
    db::write(PURGE, args![PURGE_MAX], |_| Ok(()))?;
    let token = new_token()?;
    let hash = hash(&token);
    let created_at = PgTimestamp::now();
    let expires_at = created_at.plus(Duration::from_secs(LINK_S));
    let arguments = args![
        book.tenant_id,
        book.environment.as_str(),
        id::new(),
        customer_id,
        hash.as_slice(),
        return_url,
        failure_url,
        created_at,
        expires_at
    ];
    db::execute(MAKE, arguments)?;
    Ok(Link { token, expires_at })
}

/// Of two that come at once the second waits, and finds it used.
const ENTER: &str = "
    update topup.portal_session
       set session_hash = $2, entered_at = clock_timestamp(),
           expires_at = clock_timestamp() + make_interval(secs => $3),
           ends_at = clock_timestamp() + make_interval(secs => $4)
     where link_hash = $1 and entered_at is null and expires_at > clock_timestamp()
    returning true";

/// Exchanges a link for a new session; nothing where it is unknown, used or over.
pub fn enter(link: &str) -> Result<Option<String>, Failure> {
    let (token, link) = (new_token()?, hash(link));
    let session = hash(&token);
    let arguments = args![link.as_slice(), session.as_slice(), IDLE_S, SESSION_S];
    let entered = db::write(ENTER, arguments, |_| Ok(()))?;
    Ok((!entered.is_empty()).then_some(token))
}

/// Whose a link or a session is.
pub struct Owner {
    tenant_id: Uuid,
    environment: String,
    customer_id: Uuid,
    pub merchant: String,
    pub customer: String,
}

impl Owner {
    /// Whether both are one customer.
    pub fn is_of(&self, other: &Owner) -> bool {
        (self.tenant_id, &self.environment, self.customer_id)
            == (other.tenant_id, &other.environment, other.customer_id)
    }
}

fn read_owner(row: &Row) -> DbResult<Owner> {
    Ok(Owner {
        tenant_id: row.uuid(1)?,
        environment: row.get(2)?,
        customer_id: row.uuid(3)?,
        merchant: row.get(4)?,
        customer: row.get(5)?,
    })
}

/// A statement that [`read_owner`] reads, of a session `s`.
macro_rules! select_owner {
    ($rest:literal) => {
        concat!(
            "select s.tenant_id, s.environment::text, s.customer_id, t.name, c.name,
                    s.entered_at is null and s.expires_at > clock_timestamp(), s.failure_url
               from topup.portal_session s
               join topup.tenant t on t.tenant_id = s.tenant_id
               join topup.customer c on c.tenant_id = s.tenant_id and c.environment = s.environment
                    and c.customer_id = s.customer_id ",
            $rest
        )
    };
}

/// A link that was made, whether or not it is over.
pub struct LinkFacts {
    pub owner: Owner,
    pub is_open: bool,
    pub failure_url: String,
}

const OF_LINK: &str = select_owner!("where s.link_hash = $1");

/// What a link is; nothing where it is unknown.
pub fn of_link(link: &str) -> DbResult<Option<LinkFacts>> {
    let read =
        |row: &Row| Ok(LinkFacts { owner: read_owner(row)?, is_open: row.get(6)?, failure_url: row.get(7)? });
    Ok(db::read(OF_LINK, args![hash(link).as_slice()], read)?.pop())
}

const WHOSE: &str = select_owner!("where s.session_hash = $1 and s.expires_at > clock_timestamp()");

/// Whose session the token of a cookie is; nothing where it is unknown or over.
pub fn whose(token: &str) -> DbResult<Option<Owner>> {
    Ok(db::read(WHOSE, args![hash(token).as_slice()], read_owner)?.pop())
}

const FAILURE_URL: &str = "select failure_url from topup.portal_session where link_hash = $1";

/// Where a link leads that is over; nothing where it is unknown.
pub fn failure_url(link: &str) -> DbResult<Option<String>> {
    Ok(db::write(FAILURE_URL, args![hash(link).as_slice()], |row| row.get(1))?.pop())
}

const FIND: &str = "
    select s.tenant_id, s.environment::text, e.wallet_id, s.customer_id, s.return_url,
           s.expires_at < least(clock_timestamp() + make_interval(secs => $2 - $3), s.ends_at)
      from topup.portal_session s
      join topup.tenant_environment e on e.tenant_id = s.tenant_id and e.environment = s.environment
     where s.session_hash = $1 and s.expires_at > clock_timestamp()";

const TOUCH: &str = "
    update topup.portal_session
       set expires_at = least(clock_timestamp() + make_interval(secs => $2), ends_at)
     where session_hash = $1 and expires_at > clock_timestamp()";

/// Answers for the session of a cookie; nothing where it is unknown or over.
pub fn answer<T>(
    token: &str,
    answer: impl FnOnce(&Session) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let Some(session) = find(token)? else { return Ok(None) };
    let answered = answer(&session);
    early_release::before_reply(&session.caller)?;
    answered.map(Some)
}

/// The session of a cookie, which lasts anew from now on; nothing where it is unknown or over.
fn find(token: &str) -> Result<Option<Session>, Failure> {
    let hash = hash(token);
    let read = |row: &Row| {
        let caller = Caller::without_key(row.book()?);
        Ok((Session { caller, customer_id: row.uuid(4)?, return_url: row.get(5)? }, row.get::<bool>(6)?))
    };
    let found = db::write(FIND, args![hash.as_slice(), IDLE_S, TOUCH_S], read)?;
    let Some((session, is_stale)) = found.into_iter().next() else { return Ok(None) };
    if is_stale {
        db::execute(TOUCH, args![hash.as_slice(), IDLE_S])?;
    }
    Ok(Some(session))
}

const LEAVE: &str = "
    update topup.portal_session set expires_at = clock_timestamp()
     where session_hash = $1 and expires_at > clock_timestamp()
    returning return_url";

/// Ends a session; tells where the portal leads back.
pub fn leave(token: &str) -> DbResult<Option<String>> {
    Ok(db::write(LEAVE, args![hash(token).as_slice()], |row| row.get(1))?.pop())
}
