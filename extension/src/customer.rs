//! Customers: those who receive credit, found by e-mail address or id.

use email_address::{EmailAddress, Options};
use pg_topup_contract::Code;
use uuid::Uuid;

use crate::book::Book;
use crate::db::{self, DbResult, args};
use crate::id;
use crate::reply::Refusal;

/// An e-mail address that could be delivered to.
#[derive(Clone, Debug)]
pub struct Email(EmailAddress);

impl Email {
    /// Refuses what is no address, naming the field.
    pub fn parse(text: &str, field: &str) -> Result<Email, Refusal> {
        let strict = Options::default().without_display_text().without_domain_literal().with_required_tld();
        EmailAddress::parse_with_options(text, strict)
            .ok()
            .filter(|email| !email.as_str().contains(['\0', '"', ' ']))
            .map(Email)
            .ok_or_else(|| {
                Refusal::of_field(Code::InvalidRecipientEmail, field, "This is not an e-mail address.")
            })
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the part before the `@` ends in a marker such as `+pending`.
    pub fn has_marker(&self, marker: &str) -> bool {
        self.0.local_part().ends_with(marker)
    }
}

const FIND_BY_EMAIL: &str = "
    select customer_id from topup.customer
     where tenant_id = $1 and environment = $2::topup.environment and lower(email) = lower($3)";

const MAKE: &str = "
    insert into topup.customer (tenant_id, environment, customer_id, email)
    values ($1, $2::topup.environment, $4, $3) on conflict do nothing";

/// The customer with that address, made if absent.
pub fn find_or_make(book: &Book, email: &Email) -> DbResult<Uuid> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let find = || db::write(FIND_BY_EMAIL, args![tenant_id, environment, email.as_str()], |row| row.uuid(1));
    if let Some(customer_id) = find()?.pop() {
        return Ok(customer_id);
    }
    db::execute(MAKE, args![tenant_id, environment, email.as_str(), id::new()])?;
    // Where another transaction made it first, ours waited for it and made nothing.
    find()?.pop().ok_or(pgrx::spi::SpiError::InvalidPosition)
}

const EXISTS: &str = "
    select true from topup.customer where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3";

/// Whether the caller has a customer of that id.
pub fn exists(book: &Book, customer_id: Uuid) -> DbResult<bool> {
    let rows = db::read(EXISTS, args![book.tenant_id, book.environment.as_str(), customer_id], |_| Ok(()))?;
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in ["user@example.com", "a.b+pending@sub.example.co", "ü@exämple.com"] {
            assert!(Email::parse(good, "email").is_ok(), "{good}");
        }
        for bad in [
            "",
            "user",
            "user@",
            "@example.com",
            "a b@example.com",
            "user@localhost",
            "A <a@example.com>",
            "a@[127.0.0.1]",
            "a@b..com",
            "a@example.com\n",
        ] {
            assert!(Email::parse(bad, "email").is_err(), "{bad}");
        }
        let long = format!("{}@example.com", "a".repeat(300));
        assert!(Email::parse(&long, "email").is_err());
    }

    #[test]
    fn a_marker_stands_right_before_the_at() {
        let email = Email::parse("user+pending@example.com", "email").unwrap();
        assert!(email.has_marker("+pending") && !email.has_marker("+fail"));
        assert!(!Email::parse("user@pending.example.com", "email").unwrap().has_marker("+pending"));
    }
}
