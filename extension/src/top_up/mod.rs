//! Top-ups that a tenant sends: their price, their states, their vouchers.

pub mod balance;
pub mod cancel;
pub mod fulfil;
pub mod history;
pub mod model;
pub mod price;
pub mod redeem;
pub mod reversal;
pub mod send;
pub mod validate;
pub mod voucher;
