//! Shares of a pool: how many of its connections one key, and one tenant with all of its keys, may hold at one time.
//! Whoever waits in there for a lock of their own keeps nobody else out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::limit::{self, KeyHash};
use crate::postgres::fault::Fault;

/// Calls that wait for the share of one key, at most.
const KEY_WAITING_MAX: usize = 500;
/// Calls that wait for the share of one tenant, at most, those that wait for one of its keys included.
const TENANT_WAITING_MAX: usize = 1000;
/// Keys whose tenant is remembered. A key that is forgotten is looked up again.
const OWNERS_MAX: usize = 100_000;

/// The lines before one pool.
pub struct Shares {
    lines: Mutex<HashMap<Party, Line>>,
    key_max: usize,
    tenant_max: usize,
    wait: Duration,
}

/// Who has a share. Tenants are named as keys are, by a hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Key(KeyHash),
    Tenant(KeyHash),
}

/// A party's places, and how many hold or want one. A party that nobody calls for has no line.
struct Line {
    places: Arc<Semaphore>,
    members: usize,
}

/// The right to use a connection of the pool, until it is dropped.
pub struct Place<'a> {
    _permits: Vec<OwnedSemaphorePermit>,
    _memberships: Vec<Membership<'a>>,
}

/// That one more holds or wants a place of a party.
struct Membership<'a> {
    shares: &'a Shares,
    party: Party,
}

impl Shares {
    /// Shares of so many connections, for which calls wait so long.
    pub fn new(key_max: usize, tenant_max: usize, wait: Duration) -> Self {
        Shares { lines: Mutex::default(), key_max, tenant_max, wait }
    }

    /// Waits for a place of a key and of its tenant; refused at once where too many wait already.
    pub async fn enter(&self, key: KeyHash, tenant: Option<KeyHash>) -> Result<Place<'_>, Fault> {
        let mut place = Place { _permits: Vec::new(), _memberships: Vec::new() };
        let mut queues = Vec::new();
        // Whoever waits for the key counts for the tenant as well.
        for party in std::iter::once(Party::Key(key)).chain(tenant.map(Party::Tenant)) {
            let (places, membership) = self.join(party)?;
            place._memberships.push(membership);
            queues.push((party, places));
        }
        let deadline = Instant::now() + self.wait;
        for (party, places) in queues {
            match timeout_at(deadline, places.acquire_owned()).await {
                Ok(Ok(permit)) => place._permits.push(permit),
                _ => return Err(refused(party, "no place within the time")),
            }
        }
        Ok(place)
    }

    fn join(&self, party: Party) -> Result<(Arc<Semaphore>, Membership<'_>), Fault> {
        let (places, waiting_max) = match party {
            Party::Key(_) => (self.key_max, KEY_WAITING_MAX),
            Party::Tenant(_) => (self.tenant_max, TENANT_WAITING_MAX),
        };
        let mut lines = self.lines();
        let line = lines
            .entry(party)
            .or_insert_with(|| Line { places: Arc::new(Semaphore::new(places)), members: 0 });
        if line.members >= places + waiting_max {
            return Err(refused(party, "too many wait already"));
        }
        line.members += 1;
        Ok((line.places.clone(), Membership { shares: self, party }))
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Party, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let mut lines = self.shares.lines();
        if let Some(line) = lines.get_mut(&self.party) {
            line.members -= 1;
            if line.members == 0 {
                lines.remove(&self.party);
            }
        }
    }
}

fn refused(party: Party, why: &str) -> Fault {
    let whose = match party {
        Party::Key(_) => "key",
        Party::Tenant(_) => "tenant",
    };
    counter!("topup_share_refused_total", "share" => whose).increment(1);
    Fault::Busy(format!("{why} in the share of a {whose}"))
}

/// Whose keys are whose, as far as it was asked. A key never changes hands, so that what is known stays true.
#[derive(Default)]
pub struct Owners(Mutex<HashMap<KeyHash, KeyHash>>);

impl Owners {
    pub fn tenant_of(&self, key: &KeyHash) -> Option<KeyHash> {
        self.owners().get(key).copied()
    }

    pub fn learn(&self, key: KeyHash, tenant: KeyHash) {
        let mut owners = self.owners();
        if owners.len() >= OWNERS_MAX {
            owners.clear();
        }
        owners.insert(key, tenant);
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<KeyHash, KeyHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant of a key, out of what the door says of it.
pub fn owner(body: &str) -> Option<KeyHash> {
    #[derive(Deserialize)]
    struct Envelope {
        data: KeyOwner,
    }
    #[derive(Deserialize)]
    struct KeyOwner {
        tenant_id: String,
    }
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    Some(limit::hash(&envelope.data.tenant_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: KeyHash = [9; 32];
    const WAIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_key_and_a_tenant_hold_their_shares_and_no_more() {
        let shares = Shares::new(2, 3, WAIT);
        let first = shares.enter([1; 32], Some(TENANT)).await.unwrap();
        let _second = shares.enter([1; 32], Some(TENANT)).await.unwrap();
        assert!(matches!(shares.enter([1; 32], Some(TENANT)).await, Err(Fault::Busy(_))), "the key has two");
        let _third = shares.enter([2; 32], Some(TENANT)).await.unwrap();
        assert!(shares.enter([3; 32], Some(TENANT)).await.is_err(), "the tenant has three");
        assert!(shares.enter([4; 32], Some([8; 32])).await.is_ok(), "another tenant has its own");
        drop(first);
        assert!(shares.enter([3; 32], Some(TENANT)).await.is_ok());
    }

    #[tokio::test]
    async fn nothing_is_left_of_who_has_left_or_was_refused() {
        let shares = Shares::new(1, 1, WAIT);
        let place = shares.enter([1; 32], Some(TENANT)).await.unwrap();
        assert!(shares.enter([1; 32], Some(TENANT)).await.is_err());
        assert!(shares.enter([2; 32], Some(TENANT)).await.is_err());
        drop(place);
        assert!(shares.lines().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let owners = Owners::default();
        for n in 0..=OWNERS_MAX {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            owners.learn(key, TENANT);
        }
        assert_eq!(owners.owners().len(), 1);
    }
}
