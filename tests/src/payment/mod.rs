//! Credit that is paid for, by customers and by tenants.

pub mod auto_top_up;
mod auto_top_up_trouble;
mod checkout;
mod checkout_browser;
mod crash;
mod dispute;
mod funding;
mod funding_card;
mod refund;
mod stripe;
mod stripe_event;
mod stripe_gone;
mod top_up;
mod work;
