// The billing portal as a customer meets it, from the shop's page and back to it; see tests/src/portal/browser.rs. Begins where
// browser.mjs ends.

const here = () => page.waitForURL((url) => url.pathname === "/portal");
const balance = () => page.locator(".balance").first().innerText();

async function payWith(number, save) {
    await type(number);
    if (save) await page.getByLabel("Save this card").check();
    await leads(page.getByRole("button", { name: /^Pay / }).last());
}

async function toCheckout(amount) {
    await page.getByLabel("Amount to pay").fill(amount);
    await press("Go to payment");
    await page.waitForURL((url) => url.pathname.startsWith("/checkout/"));
}

await tell({
    // From another site, by a redirect: a cookie that is too strict would be lost on the way.
    async enter() {
        await open("shop");
        await follow("Your credit");
        await page.waitForURL((url) => url.pathname.startsWith("/portal/enter/"));
        await shot("link");
        const link = { link: await heading(), ...(await measures()) };
        await press("Open my credit");
        await here();
        await shot("overview");
        const [cookie] = (await browser.cookies()).filter(({ name }) => name === "topup_portal");
        const tree = await page.locator("body").ariaSnapshot();
        const seen = { heading: await heading(), balance: await balance(), cookie, tree, ...(await measures()) };
        return { ...seen, link: link.link, linkSmall: link.small, linkFits: link.fits };
    },
    async pay() {
        await toCheckout("25.50");
        await payWith("4242 4242 4242 4242", true);
        await here();
        const seen = { said: await said(), balance: await balance(), card: await page.getByText("Visa ending").innerText() };
        await page.goBack();
        seen.back = await heading();
        seen.forms = await page.locator("form").count();
        await open("portal");
        return seen;
    },
    async declineAndRetry() {
        await toCheckout("10");
        await payWith("4000000000000002", false);
        const seen = { alert: await alert() };
        await payWith("4242424242424242", false);
        await here();
        return { ...seen, said: await said(), balance: await balance() };
    },
    async mistake() {
        await page.getByLabel("Amount to pay").fill("25.50.1");
        await press("Go to payment");
        const seen = { alert: await alert(), focused: await page.locator("*:focus").getAttribute("id"), seen: await inView() };
        seen.described = await page.locator("*:focus").getAttribute("aria-describedby");
        await window("mistake");
        await shot("mistake");
        await page.goBack();
        return { ...seen, back: await heading() };
    },
    // Every form far down on the page.
    async mistakes() {
        await open("portal");
        const seen = { views: [] };
        for (const [label, text, button] of [
            ["Amount to pay", "1.000", "Go to payment"], ["Pay each time", "x", "Switch on"],
            ["When the balance falls below", "-1", "Switch on"], ["Voucher code", "ATU-NONE", "Redeem"]]) {
            await page.getByLabel("When the balance falls below").fill("150");
            await page.getByLabel("Pay each time").fill("50");
            await page.getByLabel(label).fill(text);
            await press(button);
            seen.views.push([await alert(), await inView()]);
        }
        await window("mistakes");
        return seen;
    },
    async typed() {
        await toCheckout("$12,50");
        const seen = { heading: await heading() };
        await press("Cancel");
        await here();
        return seen;
    },
    async autoTopUp() {
        await open("portal");
        await page.getByLabel("When the balance falls below").fill("150");
        await page.getByLabel("Pay each time").fill("50");
        await press("Switch on");
        const seen = { said: await said(), text: await page.locator("#auto ~ .card p").first().innerText() };
        await becomes(async () => {
            await page.reload();
            return (await balance()).startsWith("185.5");
        }, 60);
        await shot("auto");
        seen.balance = await balance();
        await press("Switch off for default in USD");
        return { ...seen, off: await said(), left: await page.locator("#auto ~ .card").count() };
    },
    async voucher() {
        await page.getByLabel("Voucher code").fill("ATU-NONE");
        await press("Redeem");
        const seen = { alert: await alert(), kept: await page.getByLabel("Voucher code").inputValue() };
        await page.getByLabel("Voucher code").fill(plan.voucher);
        await press("Redeem");
        return { ...seen, said: await said(), balances: await page.locator(".balance").allInnerTexts() };
    },
    async history() {
        await follow("History of default in USD");
        await shot("history");
        const seen = { heading: await heading(), lines: await page.locator("tbody tr").allInnerTexts(), ...(await measures()) };
        const csv = page.getByRole("button", { name: "Download CSV" });
        const [download] = await Promise.all([page.waitForEvent("download"), csv.click()]);
        seen.file = download.suggestedFilename();
        await follow("Your credit");
        return { ...seen, back: await heading() };
    },
    async figures() {
        await page.locator("summary").first().click();
        return { days: await page.locator("details").first().locator("tbody tr").count() };
    },
    async keyboard() {
        await open("portal");
        await page.keyboard.press("Tab");
        const seen = { first: await page.locator("*:focus").innerText() };
        await page.getByLabel("Amount to pay").focus();
        await page.keyboard.type("30");
        await page.keyboard.press("Enter");
        await page.waitForURL((url) => url.pathname.startsWith("/checkout/"));
        await press("Cancel");
        await here();
        return { ...seen, said: await said() };
    },
    async removeCard() {
        await press("Remove the card");
        return { said: await said(), card: await page.getByText("No card is saved").count() };
    },
    // The console tells of these pages by itself that they are no success.
    async forged() {
        await page.locator("form[action='/portal/redeem'] input[name=csrf]").evaluate((input) => (input.value = "00"));
        await page.getByLabel("Voucher code").fill("ATU-X");
        await press("Redeem");
        return { heading: await heading() };
    },
    async fromElsewhere() {
        await open("evil");
        await press("Win");
        return { heading: await heading() };
    },
    async used() {
        return { status: await open("enter"), heading: await heading(), way: await page.getByRole("link").getAttribute("href") };
    },
    async old() {
        await shot("old");
        return { status: await open("old"), heading: await heading() };
    },
    async another() {
        await open("second");
        const seen = { alert: await alert(), ...(await measures()) };
        await shot("another");
        await follow("Stay with the credit of Ann");
        await here();
        seen.stayed = await page.locator("h1 + .note").innerText();
        await open("second");
        await press("Open the credit of Bob");
        await here();
        return { ...seen, went: await page.locator("h1 + .note").innerText() };
    },
    async leave() {
        await open("portal");
        await press("Leave");
        await atShop();
        return { heading: await heading() };
    },
    async left() {
        return { status: await open("portal"), heading: await heading() };
    },
});
