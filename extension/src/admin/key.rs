//! New API keys, their hashes, and the play money of a staging wallet.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use crate::pg::settings;

const SECRET_BYTES: usize = 32;
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[pg_extern(schema = "topup", volatile, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn new_api_key(environment: &str) -> String {
    let mut random = [0; SECRET_BYTES];
    if let Err(fault) = getrandom::fill(&mut random) {
        error!("{fault}");
    }
    format!("ak_{environment}_{}", base_x::encode(BASE62, &random))
}

#[pg_extern(schema = "topup", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn hash_api_key(api_key: &str) -> Vec<u8> {
    Sha256::digest(api_key.as_bytes()).to_vec()
}

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn staging_credit_cents() -> i64 {
    settings::staging_credit_cents()
}
