//! Random sequences of calls, played by the database and by a plain model in memory: after every step the code
//! of the reply, the wallet, the cap and every customer's balance are the same.

use crate::support::play::{self, DEFERRED, MILLS_IN_A_CENT, Step, UNKNOWN, dollars, typed_call};
use crate::support::{Database, call};
use proptest::collection::vec;
use proptest::prelude::{Just, any, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_postgres::Client as Session;

const CASES: u32 = 16;
const STEPS: std::ops::Range<usize> = 20..50;
const WALLET_CENTS: i64 = 4000;
const CAP_CENTS: i64 = 2500;
const NO_VOUCHER: &str = "ATU-0000-0000-0000-0000";
const NO_CUSTOMER: &str = "cust_00000000000000000000000000";

/// Everything that is known about a tenant's staging, in thousandths of a cent where it is not in cents.
struct Model {
    wallet: i64,
    /// Cost of the standing top-ups of each key.
    used_cents: [i64; 2],
    top_ups: Vec<TopUp>,
    /// By address in lower case, and platform.
    accounts: BTreeMap<(String, String), i64>,
    customers: Vec<String>,
}

#[derive(Clone)]
struct TopUp {
    key: usize,
    state: State,
    platform: &'static str,
    amount_cents: i64,
    cost_cents: i64,
    recipient: Option<String>,
    redeemed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Pending,
    Delivered,
    Failed,
    Cancelled,
}

/// The key of a step: a plain one, and one of tier gold with a cap, which cancels only what it sent itself.
const DISCOUNTS_BPS: [i64; 2] = [0, 1700];

impl Model {
    /// What the reply's code must be; the model then is as the database must be.
    fn play(&mut self, key: usize, step: &Step) -> i64 {
        match step {
            Step::Send { platform, amount_cents, recipient } => {
                self.send(key, platform, *amount_cents, *recipient)
            }
            Step::Cancel(index) => self.cancel(key, index),
            Step::Deliver(index) => self.end(index, State::Delivered),
            Step::Fail(index) => self.end(index, State::Failed),
            Step::Redeem { top_up, email } => self.redeem(top_up, email),
            Step::AdjustWallet { mills } => {
                let after = self.wallet + mills;
                adjusted(*mills, after).inspect(|_| self.wallet = after).unwrap_or_else(|code| code)
            }
            Step::AdjustCustomer { email, platform, mills } => self.adjust_customer(email, platform, *mills),
        }
    }

    fn send(&mut self, key: usize, platform: &'static str, amount_cents: i64, to: Option<&str>) -> i64 {
        let cost_cents = cost(amount_cents, DISCOUNTS_BPS[key]);
        if platform == UNKNOWN {
            return 2003;
        }
        if !(100..=100_000).contains(&amount_cents) {
            return 2005;
        }
        if key == 1 && self.used_cents[key] + cost_cents > CAP_CENTS {
            return 2007;
        }
        if self.wallet < cost_cents * MILLS_IN_A_CENT {
            return 2002;
        }
        self.wallet -= cost_cents * MILLS_IN_A_CENT;
        self.used_cents[key] += cost_cents;
        let waits = platform == DEFERRED || to.is_some_and(|to| to.contains("+pending@"));
        let recipient = to.map(str::to_lowercase);
        let state = State::Pending;
        self.top_ups.push(TopUp {
            key,
            state,
            platform,
            amount_cents,
            cost_cents,
            recipient,
            redeemed: false,
        });
        if waits { 1002 } else { self.deliver(self.top_ups.len() - 1) }
    }

    fn deliver(&mut self, number: usize) -> i64 {
        self.top_ups[number].state = State::Delivered;
        if let Some(recipient) = self.top_ups[number].recipient.clone() {
            self.credit(number, &recipient);
        }
        1001
    }

    fn credit(&mut self, number: usize, email: &str) {
        self.top_ups[number].redeemed = true;
        if !self.customers.iter().any(|customer| customer == email) {
            self.customers.push(email.to_owned());
        }
        let account = (email.to_owned(), self.top_ups[number].platform.to_owned());
        *self.accounts.entry(account).or_default() += self.top_ups[number].amount_cents * MILLS_IN_A_CENT;
    }

    fn cancel(&mut self, key: usize, index: &Index) -> i64 {
        let is_others = !self.top_ups.is_empty() && self.top_ups[index.index(self.top_ups.len())].key != key;
        if is_others && key == 1 { 2008 } else { self.end(index, State::Cancelled) }
    }

    fn end(&mut self, index: &Index, wanted: State) -> i64 {
        if self.top_ups.is_empty() {
            return 3003;
        }
        let number = index.index(self.top_ups.len());
        let top_up = self.top_ups[number].clone();
        match (top_up.state, wanted) {
            (State::Pending, State::Delivered) => return self.deliver(number),
            (State::Pending, _) => {
                self.top_ups[number].state = wanted;
                self.wallet += top_up.cost_cents * MILLS_IN_A_CENT;
                self.used_cents[top_up.key] -= top_up.cost_cents;
            }
            (state, wanted) if state == wanted => {}
            (State::Delivered, _) => return 3002,
            (State::Failed, _) => return 3004,
            (State::Cancelled, _) => return 3003,
        }
        match wanted {
            State::Cancelled => 3001,
            State::Failed => 1003,
            State::Delivered | State::Pending => 1001,
        }
    }

    fn redeem(&mut self, index: &Index, email: &str) -> i64 {
        if self.top_ups.is_empty() {
            return 3005;
        }
        let number = index.index(self.top_ups.len());
        if self.top_ups[number].state != State::Delivered {
            return 3005;
        }
        if self.top_ups[number].redeemed {
            return 3006;
        }
        self.credit(number, &email.to_lowercase());
        1000
    }

    fn adjust_customer(&mut self, email: &str, platform: &str, mills: i64) -> i64 {
        let account = (email.to_lowercase(), platform.to_owned());
        let before = self.accounts.get(&account).copied().unwrap_or_default();
        if mills != 0 && !self.customers.contains(&account.0) {
            return 2000;
        }
        match adjusted(mills, before + mills) {
            Ok(code) => {
                self.accounts.insert(account, before + mills);
                code
            }
            Err(code) => code,
        }
    }
}

fn adjusted(mills: i64, after: i64) -> Result<i64, i64> {
    match (mills, after) {
        (0, _) => Err(2005),
        (..0, ..0) => Err(2002),
        _ => Ok(1000),
    }
}

/// The whole cent nearest to the price; of two that are equally near, the even one.
fn cost(amount_cents: i64, discount_bps: i64) -> i64 {
    let exact = amount_cents * (10_000 - discount_bps);
    let below = exact / 10_000;
    [below, below + 1].into_iter().min_by_key(|cents| ((cents * 10_000 - exact).abs(), cents % 2)).unwrap()
}

/// A new tenant in a database, with the ids of what it sent.
struct Real {
    tenant_id: String,
    admin: Session,
    apps: [Session; 2],
    /// Id and voucher.
    sent: Vec<(String, Option<String>)>,
    adjustments: usize,
}

impl Real {
    async fn open(database: &Database) -> Real {
        let tenant = database.tenant("Acme").await;
        const SCOPES: &str = "send,read,cancel,vouchers,redeem,wallets,fulfil";
        let (_, plain) = tenant.key("staging", &format!("scopes => '{{{SCOPES},cancel_any}}'")).await;
        let capped = format!(
            "scopes => '{{{SCOPES}}}', tier => 'gold', cap_cents => {CAP_CENTS}, cap_period => 'total'"
        );
        let (_, capped) = tenant.key("staging", &capped).await;
        let apps = [database.app(&plain).await, database.app(&capped).await];
        let spend = dollars((WALLET_CENTS - 100_000) * MILLS_IN_A_CENT);
        call(&apps[0], &format!("topup.adjust('start', 'USD', {spend}, 'other')")).await;
        let (admin, tenant_id) = (database.admin().await, tenant.id);
        Real { tenant_id, admin, apps, sent: Vec::new(), adjustments: 0 }
    }

    /// Plays a step; `repeated` makes it twice under one key where the call takes one, and the replies are one.
    async fn play(&mut self, key: usize, step: &Step, repeated: bool) -> Value {
        let (operation, request) = self.request(step).await;
        let keyed = repeated && matches!(operation, "send" | "cancel" | "redeem");
        let id = format!("{operation}-{}", self.adjustments);
        let function_call = typed_call(operation, &request, keyed.then_some(id.as_str()));
        let reply = call(&self.apps[key], &function_call).await;
        if reply["success"] == true && (keyed || operation == "adjust") {
            assert_eq!(call(&self.apps[key], &function_call).await, reply, "{function_call}");
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match (operation, text(&reply["transaction_id"])) {
            ("send", Some(id)) => self.sent.push((id, text(&reply["data"]["voucher_code"]))),
            ("deliver", Some(id)) if reply["success"] == true => {
                let sent = self.sent.iter_mut().find(|sent| sent.0 == id).unwrap();
                sent.1 = text(&reply["data"]["voucher_code"]);
            }
            _ => {}
        }
        reply
    }

    async fn request(&mut self, step: &Step) -> (&'static str, Value) {
        let sent = |index: &Index| self.sent.get(index.index(self.sent.len().max(1)));
        let id = |index| sent(index).map_or("txn_00000000000000000000000000", |sent| sent.0.as_str());
        self.adjustments += 1;
        match step {
            Step::Send { platform, amount_cents, recipient: None } => {
                ("send", json!({"platform": platform, "amount_cents": amount_cents}))
            }
            Step::Send { platform, amount_cents, recipient: Some(email) } => (
                "send",
                json!({"platform": platform, "amount_cents": amount_cents, "recipient_email": email}),
            ),
            Step::Cancel(index) => ("cancel", json!({"transaction_id": id(index)})),
            Step::Deliver(index) => ("deliver", json!({"transaction_id": id(index)})),
            Step::Fail(index) => ("fail", json!({"transaction_id": id(index), "reason": "broken"})),
            Step::Redeem { top_up, email } => {
                let voucher = sent(top_up).and_then(|sent| sent.1.as_deref()).unwrap_or(NO_VOUCHER);
                ("redeem", json!({"voucher_code": voucher, "email": email}))
            }
            Step::AdjustWallet { mills } => ("adjust", self.adjustment(*mills)),
            Step::AdjustCustomer { email, platform, mills } => {
                let mut request = self.adjustment(*mills);
                request["customer_id"] = json!(self.customer_id(email).await);
                request["account_name"] = json!(platform);
                ("adjust", request)
            }
        }
    }

    fn adjustment(&self, mills: i64) -> Value {
        let amount: Value = serde_json::from_str(&dollars(mills)).unwrap();
        json!({"transaction_id": format!("a{}", self.adjustments), "asset": "USD", "amount": amount, "reason": "gift"})
    }

    async fn customer_id(&self, email: &str) -> String {
        let query =
            "select customer_id from topup.customers where tenant_id = $1 and lower(email) = lower($2)";
        let found = self.admin.query_opt(query, &[&self.tenant_id, &email]).await.unwrap();
        found.map_or_else(|| NO_CUSTOMER.to_owned(), |row| row.get(0))
    }

    /// The wallet in cents, the costs that count towards each key's cap, and what customers hold.
    async fn state(&self) -> (i64, [i64; 2], BTreeMap<(String, String), i64>) {
        let mut used_cents = [0; 2];
        let mut wallet_cents = [0; 2];
        for (key, app) in self.apps.iter().enumerate() {
            let balance = call(app, "topup.balance()").await;
            wallet_cents[key] = balance["data"]["balance_cents"].as_i64().unwrap();
            used_cents[key] = balance["data"]["key"]["cap_used_cents"].as_i64().unwrap();
        }
        assert_eq!(wallet_cents[0], wallet_cents[1]);
        let query = "select lower(c.email), a.name, (a.balance * 100000)::bigint
                       from topup.accounts a join topup.customers c using (tenant_id, customer_id)
                      where a.tenant_id = $1 and a.balance <> 0";
        let rows = self.admin.query(query, &[&self.tenant_id]).await.unwrap();
        let accounts = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2)));
        (wallet_cents[0], used_cents, accounts.collect())
    }
}

type Turn = (usize, bool, Step);

async fn play_out(database: &Database, turns: &[Turn]) -> Result<(), TestCaseError> {
    let mut real = Real::open(database).await;
    let mut model = Model {
        wallet: WALLET_CENTS * MILLS_IN_A_CENT,
        used_cents: [0; 2],
        top_ups: Vec::new(),
        accounts: BTreeMap::new(),
        customers: Vec::new(),
    };
    for (number, (key, repeated, step)) in turns.iter().enumerate() {
        let wanted = model.play(*key, step);
        let reply = real.play(*key, step, *repeated).await;
        proptest::prop_assert_eq!(
            &reply["code"],
            &json!(wanted),
            "step {}: {:?} gave {}",
            number,
            step,
            reply
        );
        let (wallet_cents, used_cents, accounts) = real.state().await;
        proptest::prop_assert_eq!(
            wallet_cents,
            model.wallet.div_euclid(MILLS_IN_A_CENT),
            "step {}: {:?}",
            number,
            step
        );
        proptest::prop_assert_eq!(used_cents, model.used_cents, "step {}: {:?}", number, step);
        let mut held = model.accounts.clone();
        held.retain(|_, mills| *mills != 0);
        proptest::prop_assert_eq!(accounts, held, "step {}: {:?}", number, step);
    }
    database.check().await;
    Ok(())
}

#[test]
fn the_database_does_what_a_plain_model_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let database = runtime.block_on(Database::new());
    runtime
        .block_on(async {
            database.admin().await.batch_execute(&format!("select {}", play::SET_PLATFORM)).await
        })
        .unwrap();
    let key = prop_oneof![Just(0_usize), Just(1_usize)];
    let turns = vec((key, any::<bool>(), play::step()), STEPS);
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = TestRunner::new(config)
        .run(&turns, |turns| runtime.block_on(async { play_out(&database, &turns).await }));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
