//! The README and the pages of docs/ hold: every example runs, every table is what the code says, every link leads
//! somewhere.

mod examples;
mod guide;
mod page;
mod style;
mod tables;
