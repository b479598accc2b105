// A tenant fills its wallet, told by the official Cloudflare client from npm. Prints what it saw, as one JSON object.
//
// Arguments: the gateway's URL, and the tenant's account. The API key is in API_KEY.
import Cloudflare from "cloudflare";

const [url, account_id] = process.argv.slice(1);
// Long enough for a worker that sleeps.
const LIMIT_MS = 20_000;

const client = (apiToken) => new Cloudflare({ apiToken, baseURL: `${url}/client/v4` });
const { billing } = client(process.env.API_KEY).aiGateway;
const seen = {};

// What a browser sends from the checkout's page.
async function pay(secret, number) {
    const body = new URLSearchParams({ action: "pay", number, exp: "12/34", cvc: "123", save_card: "1" });
    const answer = await fetch(`${url}/checkout/${secret}`, { method: "POST", body, redirect: "manual" });
    if (answer.status !== 303) throw new Error(`the checkout answered ${answer.status}`);
}

async function completed(payment_intent_id) {
    const deadline = Date.now() + LIMIT_MS;
    while (Date.now() < deadline) {
        const { status } = await billing.topup.status({ account_id, payment_intent_id });
        if (status === "completed") return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
}

async function refusal(call) {
    try {
        await call();
    } catch (error) {
        if (!(error instanceof Cloudflare.APIError)) throw error;
        return [error.constructor.name, error.status, error.errors[0].code];
    }
    throw new Error("no refusal");
}

const before = await billing.creditBalance({ account_id });
seen.before = [before.balance, before.has_default_payment_method, before.payment_method, before.first_topup_success];

const first = await billing.topup.create({ account_id, amount: 2000 });
seen.first = [first.payment_intent_id.slice(0, 3), Boolean(first.client_secret), first.onboarding];
seen.unpaid = (await billing.topup.status({ account_id, payment_intent_id: first.payment_intent_id })).status;
await pay(first.client_secret, "4242424242424242");
seen["first completed"] = await completed(first.payment_intent_id);

const second = await billing.topup.create({ account_id, amount: 1500 });
seen.second = [second.client_secret, second.onboarding, second.brand, second.last4];
seen["second completed"] = await completed(second.payment_intent_id);

const after = await billing.creditBalance({ account_id });
seen.after = [after.balance, after.has_default_payment_method, after.payment_method.last4, after.first_topup_success];

const setUp = await billing.topup.config.create({ account_id, amount: 3000, threshold: 500 });
seen.config = [setUp.amount, setUp.threshold];
let config = await billing.topup.config.get({ account_id });
seen["config got"] = [config.amount, config.threshold, config.disabledReason, config.error, config.lastFailedAt];
for (let n = 0; n < 2; n++) await billing.topup.config.delete({ account_id });
config = await billing.topup.config.get({ account_id });
seen["config gone"] = [config.amount, config.threshold];

const history = await billing.invoiceHistory({ account_id, type: "all" });
seen.invoices = history.invoices.map((invoice) => [invoice.amount_paid, invoice.status, invoice.invoice_origin]);
seen.pagination = [history.pagination.total_count, history.pagination.has_more];
seen["auto invoices"] = (await billing.invoiceHistory({ account_id, type: "auto" })).invoices.length;
const { history: usage } = await billing.usageHistory({ account_id, value_grouping_window: "hour" });
seen.usage = [usage.reduce((sum, window) => sum + window.aggregated_value, 0), [24, 25].includes(usage.length)];
const preview = await billing.invoicePreview({ account_id });
seen.preview = [
    preview.amount_due,
    preview.invoice_lines.map((line) => [line.description, line.quantity]),
    preview.status,
];

await billing.spendingLimit.create({ account_id, amount: 5000, duration: "monthly", strategy: "fixed" });
let limit = await billing.spendingLimit.get({ account_id });
seen.limit = [limit.enabled, limit.config.amount, limit.config.duration, limit.config.strategy];
for (let n = 0; n < 2; n++) await billing.spendingLimit.delete({ account_id });
limit = await billing.spendingLimit.get({ account_id });
seen["limit gone"] = [limit.enabled, limit.config.amount];

const stranger = client("ak_staging_wrong").aiGateway.billing;
const topUp = (more) => billing.topup.create({ account_id, amount: 1000, ...more });
seen.refusals = {
    "too little": await refusal(() => topUp({ amount: 999 })),
    "no such card": await refusal(() => topUp({ payment_method_id: "pm_other" })),
    "another's account": await refusal(() => topUp({ account_id: "acct_00000000000000000000000000" })),
    "wrong key": await refusal(() => stranger.topup.create({ account_id, amount: 1000 })),
    "no such top-up": await refusal(() => billing.topup.status({ account_id, payment_intent_id: "in_nothing" })),
    "low threshold": await refusal(() => billing.topup.config.create({ account_id, amount: 1000, threshold: 499 })),
    "low limit": await refusal(() =>
        billing.spendingLimit.create({ account_id, amount: 99, duration: "daily", strategy: "sliding" }),
    ),
};
console.log(JSON.stringify(seen));
