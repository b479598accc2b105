//! The wallets of customers.

mod account;
mod adjustment;
mod asset;
mod charge;
mod credyt;
mod customer;
mod grant;
mod hold;
mod hold_race;
mod statement;
