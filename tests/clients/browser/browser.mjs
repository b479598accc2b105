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
const press = (name) => page.getByRole("button", { name, exact: true }).click();
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

// Whether the window shows the whole alert, as somebody sees it who has not moved the page.
async function inView() {
    const box = await page.getByRole("alert").boundingBox();
    const { width, height } = page.viewportSize();
    return box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
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
        try {
            seen[name] = await step();
        } catch (error) {
            throw new Error(`${name} at ${page.url()}: ${error.message}; ${JSON.stringify(troubles)}`);
        }
        seen[name].troubles = troubles.splice(0);
    }
    await browser.close();
    console.log(JSON.stringify(seen));
}
