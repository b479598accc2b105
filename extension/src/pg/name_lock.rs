//! Locks by name, held until the transaction ends, which no SQL function can take: what SQL calls advisory locks are of two
//! classes, and these are of a third one. Who may connect and guesses a name holds up nobody.
//!
//! Read against PostgreSQL 15, 16 and 17 (`src/backend/utils/adt/lockfuncs.c`): `pg_advisory_lock` and its kin set the fourth
//! field of their tag to 1 or 2.

use pgrx::pg_sys;
use sha2::{Digest, Sha256};

/// The fourth field of the tag, shown as `objsubid` in `pg_locks`.
const CLASS: u16 = 0x7455;

/// Waits until no other transaction holds the lock of that name, and takes it.
pub fn lock(name: &str) {
    let hash = Sha256::digest(name.as_bytes());
    let word = |n: usize| hash.iter().skip(n * 4).take(4).fold(0, |word, byte| word << 8 | u32::from(*byte));
    let tag = pg_sys::LOCKTAG {
        // SAFETY: a variable of the session that does not change once it is connected.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: word(0),
        locktag_field3: word(1),
        locktag_field4: CLASS,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    };
    // SAFETY: inside a transaction, which gives back at its end what it holds of this method.
    unsafe { pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false, false) };
}
