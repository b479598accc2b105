//! The billing portal.

mod access;
mod browser;
mod page;
