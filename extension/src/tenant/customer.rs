//! Customers: those who receive credit, found by e-mail address or id.

use email_address::{EmailAddress, Options};
use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use unicode_normalization::is_nfkc;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, args, from_pg};
use crate::pg::table::{self, By, Found, row};
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::reply::{Failure, Refusal};

/// Characters that nobody sees: two addresses that differ by them alone look the same.
const INVISIBLE: [std::ops::RangeInclusive<char>; 8] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
];

/// An e-mail address that could be delivered to. Of two that differ only in the case of ASCII letters each is the other.
#[derive(Clone, Debug)]
pub struct Email(EmailAddress);

impl Email {
    /// Refuses what is no address, naming the field; and what could be taken for another address: characters that stand for
    /// others (the Kelvin sign for a K, full-width letters), and those that nobody sees.
    pub fn parse(text: &str, field: &str) -> Result<Email, Refusal> {
        let is_invisible = |symbol: char| INVISIBLE.iter().any(|range| range.contains(&symbol));
        if !is_nfkc(text) || text.chars().any(is_invisible) {
            let message = "This address has characters that stand for others or are not seen; write it with plain ones.";
            return Err(Refusal::of_field(Code::InvalidRecipientEmail, field, message));
        }
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
     where tenant_id = $1 and environment = $2::topup.environment and lower(email collate \"C\") = lower($3 collate \"C\")";

const FIND_BY_EXTERNAL_ID: &str = "
    select customer_id from topup.customer
     where tenant_id = $1 and environment = $2::topup.environment and external_id = $3";

const MAKE: &str = "
    insert into topup.customer
           (tenant_id, environment, customer_id, name, external_id, email, metadata, external_accounts)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7::jsonb, $8::jsonb)
    on conflict do nothing returning customer_id";

/// A customer that is to be made.
pub struct New<'a> {
    pub name: &'a str,
    pub external_id: Option<&'a str>,
    pub email: Option<&'a Email>,
    /// A JSON object of texts.
    pub metadata: Option<String>,
    /// A JSON array.
    pub external_accounts: Option<String>,
}

/// Makes a customer. Refused where another has the external id or the address.
pub fn make(book: &Book, new: &New) -> Result<Uuid, Failure> {
    if let Some(customer_id) = insert(book, new)? {
        return Ok(customer_id);
    }
    let external_id_taken = match new.external_id {
        Some(external_id) => !by_text(book, FIND_BY_EXTERNAL_ID, external_id)?.is_empty(),
        None => false,
    };
    Err(taken(if external_id_taken { "external_id" } else { "email" }).into())
}

/// Another customer has this value already.
pub fn taken(field: &str) -> Refusal {
    let message = format!("Another customer has this {field}.");
    Refusal::of_field(Code::DuplicateTransaction, field, message)
}

fn insert(book: &Book, new: &New) -> DbResult<Option<Uuid>> {
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let email = new.email.map(Email::as_str);
    let (metadata, accounts) = (new.metadata.clone(), new.external_accounts.clone());
    let arguments =
        args![tenant_id, environment, id::new(), new.name, new.external_id, email, metadata, accounts];
    Ok(db::write(MAKE, arguments, |row| row.uuid(1))?.pop())
}

fn by_text(book: &Book, statement: &'static str, text: &str) -> DbResult<Vec<Uuid>> {
    db::write(statement, args![book.tenant_id, book.environment.as_str(), text], |row| row.uuid(1))
}

/// The customer with that address, made if absent; its address is its name then.
pub fn find_or_make(book: &Book, email: &Email) -> DbResult<Uuid> {
    if let Some(customer_id) = by_email(book, email.as_str())? {
        return Ok(customer_id);
    }
    let name = email.as_str();
    let new = New { name, external_id: None, email: Some(email), metadata: None, external_accounts: None };
    if let Some(customer_id) = insert(book, &new)? {
        return Ok(customer_id);
    }
    // Another transaction made it first: ours waited for it and made nothing.
    by_email(book, email.as_str())?.ok_or(SpiError::InvalidPosition)
}

/// The customer of an address, if there is one already.
pub fn by_email(book: &Book, email: &str) -> DbResult<Option<Uuid>> {
    let key = row![book.tenant_id, book.environment.as_str(), email.to_ascii_lowercase()];
    match table::find_latest(c"customer", By::Index(c"customer_email"), &key) {
        Found::Row(row) => Ok(Some(from_pg(row.get("customer_id")?))),
        Found::NoRow => Ok(None),
        Found::ByStatement => Ok(by_text(book, FIND_BY_EMAIL, email)?.pop()),
    }
}

const EXISTS: &str = "
    select true from topup.customer where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3";

/// Whether the caller has a customer of that id.
pub fn exists(book: &Book, customer_id: Uuid) -> DbResult<bool> {
    let rows = db::read(EXISTS, args![book.tenant_id, book.environment.as_str(), customer_id], |_| Ok(()))?;
    Ok(!rows.is_empty())
}

const LOCK: &str = "
    select true from topup.customer
     where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3 for no key update";

/// Makes those who change what the customer is subscribed to, or its meters, come one after the other. Taken before
/// any account.
pub fn lock(book: &Book, customer_id: Uuid) -> DbResult<()> {
    db::write(LOCK, args![book.tenant_id, book.environment.as_str(), customer_id], |_| Ok(())).map(drop)
}

/// The customer of that id (`cust_…`), or else of that external id.
pub fn find(book: &Book, customer_id: Option<&str>, external_id: Option<&str>) -> DbResult<Option<Uuid>> {
    match (customer_id, external_id) {
        (Some(text), _) => match Kind::Customer.parse(text) {
            Some(customer_id) => Ok(exists(book, customer_id)?.then_some(customer_id)),
            None => Ok(None),
        },
        (None, Some(external_id)) => {
            let arguments = args![book.tenant_id, book.environment.as_str(), external_id];
            Ok(db::read(FIND_BY_EXTERNAL_ID, arguments, |row| row.uuid(1))?.pop())
        }
        (None, None) => Ok(None),
    }
}

/// The customer that a request names by its id; 404 where the caller has none of that id.
pub fn require(book: &Book, customer_id: &str) -> Result<Uuid, Failure> {
    let missing = || Refusal::not_found("customer_id", "There is no such customer.");
    Ok(find(book, Some(customer_id), None)?.ok_or_else(missing)?)
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
        for lookalike in [
            "\u{212a}ate@example.com",
            "\u{ff4b}ate@example.com",
            "kate@\u{ff45}xample.com",
            "ka\u{200b}te@example.com",
            "ka\u{ad}te@example.com",
            // A u and its dots apart.
            "u\u{308}@example.com",
        ] {
            let refusal = Email::parse(lookalike, "email").unwrap_err();
            assert!(refusal.message.contains("plain"), "{lookalike}: {}", refusal.message);
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
