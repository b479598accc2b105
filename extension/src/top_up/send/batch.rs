//! Sends of one key as one piece of work: what they need is read once, each is decided in memory by what the
//! ones before it left, and what they wrote is written together. Rows and replies are those of as many single
//! sends.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::{Ending, NAME, Quote, SendRequest, Spent, open_recipient, quote};
use crate::event::Events;
use crate::ledger::account::{self, System, USD};
use crate::ledger::early_release;
use crate::ledger::{self, Header, Journal, Posting};
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::{self, Fingerprint, Namespace, Replies, Requester, Shares};
use crate::operation::request;
use crate::pg::interrupt;
use crate::tenant::caller::{Caller, Scope};
use crate::tenant::customer;
use crate::tenant::platform;
use crate::top_up::model::{self, NewTopUps, Status, TopUpData, Unshown};
use crate::top_up::voucher;
use crate::value::amount::Amount;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal, Rendered};

/// After that a staging top-up fails that asked to.
const FAILS_AFTER: Duration = Duration::from_secs(1);

/// A send as it comes in.
#[derive(Clone, Copy)]
pub struct SendCall<'a> {
    pub text: &'a str,
    pub idempotency_key: Option<&'a str>,
}

/// A send that was understood.
struct Order {
    request: SendRequest,
    /// The caller's key, and what tells the request from another under it.
    keyed: Option<(String, Fingerprint)>,
    /// Judged only where it is no repetition.
    quote: Result<Quote, Refusal>,
}

/// Runs sends in order: a reply or a refusal for each. What one refuses does not touch the others.
pub fn send_all(
    caller: &Caller,
    terms: OperationTerms,
    send_calls: &[SendCall],
) -> Result<Vec<Result<Rendered, Refusal>>, Failure> {
    let sends = early_release::Sends::begin();
    let orders = read(caller, terms, send_calls)?;
    let mut batch = Batch::begin(caller, &orders)?;
    let mut replies = Vec::with_capacity(orders.len());
    for order in orders {
        interrupt::check();
        replies.push(match order.map_err(Failure::from).and_then(|order| batch.execute(order)) {
            Ok(reply) => Ok(reply),
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(fault) => return Err(fault),
        });
    }
    let moved_wallet = batch.moved_wallet;
    batch.write(terms)?;
    sends.end(moved_wallet);
    Ok(replies)
}

/// Reads the requests, and judges of each what does not depend on the wallet.
fn read(
    caller: &Caller,
    terms: OperationTerms,
    send_calls: &[SendCall],
) -> Result<Vec<Result<Order, Refusal>>, Failure> {
    caller.require(terms.scope)?;
    let platforms = platform::all()?;
    let judge = |(request, keyed): (SendRequest, Option<String>)| {
        let keyed = match keyed {
            Some(key) => Some((key, idempotency::fingerprint(NAME, &request)?)),
            None => None,
        };
        let quote = quote(caller, &request, &platforms);
        Ok(Order { request, keyed, quote })
    };
    let read = |call| match read_one(call).map(judge) {
        Ok(order) => order.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    };
    send_calls.iter().map(read).collect()
}

fn read_one(call: &SendCall) -> Result<(SendRequest, Option<String>), Refusal> {
    let request = request::parse(call.text)?;
    let key = call.idempotency_key;
    key.map(|key| idempotency::check_key(key, "idempotency_key")).transpose()?;
    Ok((request, key.map(str::to_owned)))
}

/// Where a batch stands: what it has decided and not written.
struct Batch<'a> {
    caller: &'a Caller,
    journal: Journal,
    /// A send that costs nothing leaves the wallet as it is.
    moved_wallet: bool,
    spent: Spent,
    replies: Replies,
    /// By address as a request writes it.
    customers: HashMap<String, Uuid>,
    top_ups: NewTopUps,
    events: Events,
}

impl<'a> Batch<'a> {
    /// Locks the wallet, and with it the accounts that the batch may credit; unless all are refused anyway.
    fn begin(caller: &'a Caller, orders: &[Result<Order, Refusal>]) -> Result<Self, Failure> {
        let mut batch = Batch {
            caller,
            journal: Journal::open(Vec::new()),
            moved_wallet: false,
            spent: Spent::default(),
            // A reply shows a voucher's code.
            replies: Replies::of(Namespace::Key, Requester::of(caller, Shares::With(Scope::Vouchers))),
            customers: HashMap::new(),
            top_ups: NewTopUps::default(),
            events: Events::for_endpoints(caller.endpoints()?),
        };
        let orders: Vec<&Order> = orders.iter().flatten().collect();
        if !orders.iter().any(|order| order.keyed.is_some() || order.quote.is_ok()) {
            return Ok(batch);
        }
        let accounts = batch.find_recipients(&orders)?;
        batch.journal = Journal::open(ledger::lock_present(caller, &accounts)?);
        batch.spent = Spent::read(caller)?;
        let keys = orders.iter().filter_map(|order| order.keyed.as_ref()).map(|(key, _)| key.clone());
        batch.replies.find(caller, keys)?;
        Ok(batch)
    }

    /// The wallet, and the accounts of recipients whom the tenant knows already.
    fn find_recipients(&mut self, orders: &[&Order]) -> Result<Vec<Uuid>, Failure> {
        let credits = orders.iter().filter_map(|order| {
            let quote = order.quote.as_ref().ok().filter(|quote| quote.ending == Ending::Delivered)?;
            Some((quote.recipient.as_ref()?.as_str(), order.request.platform.as_str()))
        });
        let credits: Vec<(&str, &str)> = credits.collect();
        for (email, _) in &credits {
            if !self.customers.contains_key(*email)
                && let Some(customer_id) = customer::by_email(self.caller, email)?
            {
                self.customers.insert((*email).to_owned(), customer_id);
            }
        }
        let account_of = |(email, platform): &(&str, &str)| {
            self.customers.get(*email).map(|id| account::customer_account_id(*id, platform, USD))
        };
        let mut accounts: Vec<Uuid> = credits.iter().filter_map(account_of).collect();
        accounts.push(self.caller.wallet_id);
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }

    fn execute(&mut self, order: Order) -> Result<Rendered, Failure> {
        if let Some((key, hash)) = &order.keyed
            && let Some(first) = self.replies.first(key, hash)?
        {
            return Ok(first);
        }
        let quote = order.quote?;
        let wallet = self.journal.account(self.caller.wallet_id);
        let wallet = wallet.ok_or_else(|| Failure::Fault("the wallet does not exist".to_owned()))?;
        self.spent.afford(self.caller, &quote, wallet.covers(Amount::from_cents(quote.cost)))?;
        let reply = self.send(order.request, &quote)?;
        if let Some((key, hash)) = order.keyed {
            self.replies.keep(key, hash, &reply);
        }
        Ok(reply)
    }

    fn send(&mut self, request: SendRequest, quote: &Quote) -> Result<Rendered, Failure> {
        let caller = self.caller;
        let transaction_id = id::new();
        let status = if quote.ending == Ending::Delivered { Status::Delivered } else { Status::Pending };
        let account_id = match (&quote.recipient, status) {
            (Some(_), Status::Delivered) => Some(self.open_account(quote, &request.platform)?),
            _ => None,
        };
        self.post(transaction_id, status, account_id, &request, quote)?;
        let created_at = PgTimestamp::now();
        let data = TopUpData {
            voucher_code: (status == Status::Delivered).then(voucher::new_code).transpose()?,
            platform: request.platform,
            amount_cents: request.amount_cents,
            new_balance_cents: self.journal.balance(caller.wallet_id).floor_cents(),
            cost_cents: quote.cost,
            discount_bps: caller.key.discount,
            recipient_email: quote.recipient.as_ref().map(|email| email.as_str().to_owned()),
            failure_reason: None,
        };
        let fails_at = (quote.ending == Ending::Failing).then(|| created_at.plus(FAILS_AFTER));
        let metadata = request.metadata.as_ref().map(|metadata| metadata.as_str());
        let unshown = Unshown { metadata, account_id, created_at, fails_at };
        self.top_ups.add(caller, transaction_id, status, &data, &unshown);
        self.spent.add(quote.cost);
        self.events.add_send(
            caller,
            status.event_type(),
            transaction_id,
            created_at,
            data.new_balance_cents,
        )?;
        model::reply(created_at, status, transaction_id, data).render()
    }

    /// The recipient's account, locked.
    fn open_account(&mut self, quote: &Quote, platform: &str) -> Result<Uuid, Failure> {
        let email = quote.recipient.as_ref().ok_or_else(|| Failure::Fault("no recipient".to_owned()))?;
        let known = self.customers.get(email.as_str());
        let known = known.map(|id| account::customer_account_id(*id, platform, USD));
        if let Some(account_id) = known.filter(|id| self.journal.account(*id).is_some()) {
            return Ok(account_id);
        }
        let (customer_id, account_id) = open_recipient(self.caller, email, platform)?;
        self.customers.insert(email.as_str().to_owned(), customer_id);
        if self.journal.account(account_id).is_none() {
            for account in ledger::lock(self.caller, &[account_id])? {
                self.journal.add(account);
            }
        }
        Ok(account_id)
    }

    fn post(
        &mut self,
        transaction_id: Uuid,
        status: Status,
        account_id: Option<Uuid>,
        request: &SendRequest,
        quote: &Quote,
    ) -> Result<(), Failure> {
        let caller = self.caller;
        let system = |system| account::system_id(caller.tenant_id, caller.environment, system, USD);
        let waiting = if status == Status::Delivered { System::Voucher } else { System::Pending };
        let receiving = account_id.unwrap_or_else(|| system(waiting));
        let (list, cost) = (Amount::from_cents(request.amount_cents), Amount::from_cents(quote.cost));
        let discount =
            list.plus(-cost).ok_or_else(|| Failure::Fault("a discount that cannot be".to_owned()))?;
        let postings = [
            Posting::new(caller.wallet_id, -cost),
            Posting::new(system(System::Discount), -discount),
            Posting::new(receiving, list),
        ];
        let top_up_id = Some(transaction_id);
        let header = Header { transaction_id, kind: NAME, top_up_id, reference: None, detail: None };
        self.journal.post(caller, header, &postings, &mut self.events)?;
        self.moved_wallet |= cost != Amount::ZERO;
        Ok(())
    }

    fn write(mut self, terms: OperationTerms) -> Result<(), Failure> {
        self.journal.write(self.caller)?;
        self.top_ups.write(self.caller)?;
        self.events.write()?;
        self.replies.write(self.caller, terms.keeps)
    }
}
