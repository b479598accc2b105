// Debian's Chromium on one size of window, and what every story needs of it. A story that follows fills `story`; what
// each of its steps saw is printed as JSON, with what the console said meanwhile. Anything unforeseen ends it with an error.
//
// Argument: {profile, shots, screen, links: {name: address}, …}
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
// Documents that are no success: the browser says so of each on the console, a moment later.
let refusals = 0;
page.on("response", (response) => {
    if (response.request().isNavigationRequest() && response.status() >= 400) refusals += 1;
});
page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) troubles.push(`${message.type()}: ${message.text()}`);
});
page.on("pageerror", (error) => troubles.push(`page: ${error.message}`));
// A download ends the page's own request.
page.on("requestfailed", (request) => {
    const { errorText } = request.failure();
    if (errorText !== "net::ERR_ABORTED") troubles.push(`failed: ${request.url()} ${errorText}`);
});

const heading = () => page.getByRole("heading", { level: 1 }).innerText();
const alert = () => page.getByRole("alert").innerText();
const said = () => page.getByRole("status").innerText();
// What leads to another page is over when that page is there: the old one would answer as well.
const leads = (locator) => Promise.all([page.waitForEvent("load"), locator.click()]);
const press = (name) => leads(page.getByRole("button", { name, exact: true }));
const follow = (name) => leads(page.getByRole("link", { name }));
const open = async (name) => (await page.goto(plan.links[name])).status();
const atShop = () => page.waitForURL((url) => url.pathname.startsWith("/hook"));

async function type(number) {
    await page.getByLabel("Card number").fill(number);
    await page.getByLabel("Expiry date").fill("12 / 34");
    await page.getByLabel("Security code").fill("123");
}

async function shot(name) {
    if (plan.shots) await page.screenshot({ path: `${plan.shots}-${name}.png`, fullPage: true });
}

// What the window shows, and no more of the page.
async function window(name) {
    if (plan.shots) await page.screenshot({ path: `${plan.shots}-${name}-window.png` });
}

// Asks until it is so, for `limit_s` seconds at most, and says whether it is.
async function becomes(isSo, limit_s) {
    for (const end = Date.now() + limit_s * 1000; Date.now() < end; ) {
        if (await isSo()) return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return isSo();
}

// Whether the window shows the whole alert, as somebody sees it who has not moved the page. The browser goes to what has
// the focus a moment after the page is there.
async function inView() {
    const { width, height } = page.viewportSize();
    return becomes(async () => {
        const box = await page.getByRole("alert").boundingBox();
        return box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
    }, 10);
}

// What is too small to touch, and whether anything is wider than the window.
async function measures() {
    const small = [];
    for (const control of await page.locator("form button, .field input, .field select, summary, .links a").all()) {
        const box = await control.boundingBox();
        if (box && box.height < 44) small.push(`${await control.innerText()}: ${box.height}`);
    }
    const { width } = page.viewportSize();
    const widest = Math.max(...(await Promise.all(
        (await page.locator("body *:visible").all()).map(async (element) => {
            const box = await element.boundingBox();
            return box ? box.x + box.width : 0;
        }))));
    return { small, fits: widest <= width + 0.5 };
}

async function tell(story) {
    const seen = {};
    for (const [name, step] of Object.entries(story)) {
        refusals = 0;
        try {
            seen[name] = await step();
        } catch (error) {
            throw new Error(`${name} at ${page.url()}: ${error.message}; ${JSON.stringify(troubles)}`);
        }
        await becomes(() => troubles.length >= refusals, 10);
        seen[name].troubles = troubles.splice(0);
    }
    await browser.close();
    console.log(JSON.stringify(seen));
}
