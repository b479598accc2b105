//! Who calls, and what administrators do.

mod admin_arguments;
mod administration;
mod pooler;
mod roles;
