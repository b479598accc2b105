// The API reference as a visitor with a staging key uses it; see tests/src/openapi/reference.rs. Begins where browser.mjs ends.

// The reference is five megabytes of script, and a slow machine takes its time over them.
browser.setDefaultTimeout(60_000);
const strangers = [];
page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(plan.origin) && !url.startsWith("data:") && !url.startsWith("blob:")) strangers.push(url);
});
const isPhone = plan.screen.viewport.width < 800;
const part = (name) => page.screenshot({ path: `${plan.shots}-${name}.png` });
const openMenu = () => (isPhone ? page.getByRole("button", { name: "Open Menu" }).click() : undefined);
async function closeMenu() {
    const close = page.getByRole("button", { name: "Close Menu" });
    if (isPhone && (await close.isVisible())) await close.click();
}

await tell({
    async read() {
        const status = await open("docs");
        await page.getByRole("heading", { name: "pg_topup", level: 1 }).waitFor();
        await part("top");
        const fits = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
        return { status, fits, strangers: [...strangers] };
    },
    // A group is rendered when somebody goes there.
    async groups() {
        const shown = [];
        for (const group of plan.groups) {
            await openMenu();
            await page.getByRole("complementary").getByRole("link", { name: group, exact: true }).click();
            await page.getByRole("heading", { name: new RegExp(`^${group}`), level: 2 }).waitFor();
            shown.push(group);
            await closeMenu();
        }
        return { shown };
    },
    async languages() {
        await page.goto(`${plan.links.docs}#tag/top-ups/GET/api/public/v1/topup/balance`);
        const operation = page.getByRole("region", { name: "Wallet and key cap snapshot" });
        await operation.getByRole("button", { name: /^Change code sample language/ }).click();
        await page.getByRole("combobox", { name: "Search clients" }).fill("requests");
        await page.keyboard.press("Enter");
        await operation.getByText("requests.get").waitFor();
        await part("operation");
        return { python: await operation.locator("pre").first().innerText() };
    },
    async find() {
        await openMenu();
        await page.getByRole("button", { name: /^Open Search/ }).click();
        const search = page.getByRole("dialog");
        await search.getByRole("combobox").or(search.getByRole("searchbox")).or(search.getByRole("textbox")).first().fill("key cap");
        await search.getByText("Wallet and key cap snapshot").first().waitFor();
        await part("search");
        await page.keyboard.press("Escape");
        await closeMenu();
        return { found: true };
    },
    async try() {
        await page.goto(`${plan.links.docs}#tag/top-ups/GET/api/public/v1/topup/balance`);
        await page.getByRole("button", { name: "Test Request (get /api/public/v1/topup/balance)" }).click();
        const dialog = page.getByRole("dialog").last();
        await dialog.getByLabel("Bearer Token").fill(plan.key);
        const answered = page.waitForResponse((response) => response.url().endsWith("/topup/balance"));
        await dialog.getByRole("button", { name: /^Send get request/i }).last().click();
        const answer = await answered;
        await dialog.getByText("balance_cents").first().waitFor();
        await part("tried");
        return { status: answer.status(), reply: await answer.json(), strangers: [...strangers] };
    },
});
