// The checkout page as a payer meets it, from the shop's link and back to the shop; see tests/src/payment/checkout_browser.rs. Begins where
// browser.mjs ends.

await tell({
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
});
