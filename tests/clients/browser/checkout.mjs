// The checkout page as somebody meets it in Debian's Chromium, on one size of window. Prints what was seen as JSON.
// Anything unforeseen ends it with an error.
//
// Argument: {profile, shots, screen, links: {name: address}}; see checkout_browser.rs.
import { chromium } from "playwright-core";

const plan = JSON.parse(process.argv[1]);
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
const browser = await chromium.launchPersistentContext(plan.profile, {
    executablePath: "/usr/bin/chromium", headless: true, args: flags, ...plan.screen,
});
browser.setDefaultTimeout(20_000);
const page = browser.pages()[0] ?? (await browser.newPage());
const troubles = [];
page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(`${message.type()}: ${message.text()}`);
});
page.on("pageerror", (error) => troubles.push(`page: ${error.message}`));
page.on("requestfailed", (request) => troubles.push(`failed: ${request.url()} ${request.failure().errorText}`));

const heading = () => page.getByRole("heading", { level: 1 }).innerText();
const alert = () => page.getByRole("alert").innerText();
const press = (name) => page.getByRole("button", { name, exact: true }).click();
const atShop = () => page.waitForURL((url) => url.pathname.startsWith("/hook"));

async function open(name) {
    const response = await page.goto(plan.links[name]);
    return response.status();
}

async function type(number) {
    await page.getByLabel("Card number").fill(number);
    await page.getByLabel("Expiry date").fill("12 / 34");
    await page.getByLabel("Security code").fill("123");
}

async function shot(name) {
    if (plan.shots) await page.screenshot({ path: `${plan.shots}-${name}.png`, fullPage: true });
}

// What is too small to touch, and whether anything is wider than the window.
async function measures() {
    const small = [];
    for (const control of await page.locator("form button, .field input").all()) {
        const { height } = await control.boundingBox();
        if (height < 44) small.push(`${await control.getAttribute("name")}: ${height}`);
    }
    const { width } = page.viewportSize();
    const widest = Math.max(...(await Promise.all(
        (await page.locator("body *:visible").all()).map(async (element) => {
            const box = await element.boundingBox();
            return box ? box.x + box.width : 0;
        }))));
    return { small, fits: widest <= width + 0.5 };
}

const story = {
    async pay() {
        const status = await open("pay");
        await shot("pay");
        const seen = { status, heading: await heading(), ...(await measures()) };
        seen.tree = await page.locator("main").ariaSnapshot();
        await type("4242 4242 4242 4242");
        await press("Pay 25.50 USD");
        await atShop();
        seen.landed = page.url();
        await page.goBack();
        seen.back = await heading();
        seen.forms = await page.locator("form").count();
        return seen;
    },
    async declineAndRetry() {
        await open("decline");
        await type("4000000000000002");
        await press("Pay 25.50 USD");
        await page.getByRole("alert").waitFor();
        await shot("declined");
        const seen = { alert: await alert() };
        await page.goBack();
        seen.back = await heading();
        await type("4000000000009995");
        await press("Pay 25.50 USD");
        await page.getByRole("alert").filter({ hasText: "insufficient funds" }).waitFor();
        await page.reload();
        seen.reloaded = await alert();
        await type("4242424242424242");
        await press("Pay 25.50 USD");
        await atShop();
        return { ...seen, landed: page.url() };
    },
    async mistakes() {
        await open("mistakes");
        await page.getByLabel("Card number").fill("4242424242424241");
        await page.getByLabel("Expiry date").fill("01/20");
        await page.getByLabel("Security code").fill("12");
        await press("Pay 25.50 USD");
        await page.locator("#number-mistake").waitFor();
        await shot("mistakes");
        return { mistakes: await page.locator(".mistake").allInnerTexts(), described: await page.locator("[aria-invalid]").count(),
            focused: await page.locator("*:focus").getAttribute("id") };
    },
    async keyboard() {
        await open("keyboard");
        const order = [];
        for (const text of ["4242424242424242", "12/34", "123", "Ann", " "]) {
            await page.keyboard.press("Tab");
            order.push(await page.locator("*:focus").getAttribute("id"));
            await page.keyboard.type(text);
        }
        const saved = await page.getByLabel("Save this card").isChecked();
        await page.keyboard.press("Enter");
        await atShop();
        return { order, saved, landed: page.url() };
    },
    async saveCard() {
        await open("save");
        await type("5555555555554444");
        await page.getByLabel("Save this card").check();
        await press("Pay 25.50 USD");
        await atShop();
        await open("saved");
        await shot("saved");
        const note = await page.locator("form .note").innerText();
        await press("Pay 25.50 USD with the saved card");
        await atShop();
        return { note, landed: page.url() };
    },
    async confirm() {
        await open("confirm");
        await type("4000002760003184");
        await press("Pay 25.50 USD");
        await page.getByRole("heading", { name: "Confirm your payment" }).waitFor();
        await shot("confirm");
        await press("Confirm");
        await atShop();
        return { landed: page.url() };
    },
    async cancel() {
        await open("cancel");
        await press("Cancel");
        await atShop();
        return { landed: page.url() };
    },
    // These two pages are no success, and the console says so by itself.
    async expired() {
        const status = await open("expired");
        await shot("expired");
        return { status, heading: await heading() };
    },
    async unknown() {
        return { status: await open("unknown"), heading: await heading() };
    },
};

const seen = {};
for (const [name, step] of Object.entries(story)) {
    try {
        seen[name] = await step();
    } catch (error) {
        throw new Error(`${name} at ${page.url()}: ${error.message}; ${JSON.stringify(troubles)}`);
    }
    seen[name].troubles = troubles.splice(0);
}
await browser.close();
console.log(JSON.stringify(seen));
