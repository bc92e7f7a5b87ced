// Looks at the page with a real browser, as a person with eyes, a keyboard, a
// phone or no script would. Exits 0 when nothing is wrong; says what is.
//
// usage: node look.js URL '{"mode": "usual" | "hostile", "pictures": DIR?, "corpus": [...]}'
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const axe = require("axe-core");
const { chromium } = require("playwright-core");

const [base, given] = process.argv.slice(2);
const { mode, pictures, corpus } = JSON.parse(given);
const DESK = { width: 1180, height: 800 };
const PHONE = { width: 360, height: 740 };
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

// Every view, and a name for its picture.
const VIEWS = {
  usual: [
    ["overview", "/"],
    ["hosts", "/hosts"],
    ["host", "/hosts/i-00000001"],
    ["host-week", "/hosts/i-00000001?span=7d"],
    ["owned-host", "/hosts/demo_i-1000"],
    ["removed-host", "/hosts/i-00000014"],
    ["hosts-in-trouble", "/hosts?state=trouble"],
    ["usage", "/usage"],
    ["usage-by-flavor", "/usage?by=flavor&from=90d"],
    ["user", "/usage?by=day&user=amelia"],
    ["clouds", "/clouds"],
    ["held", "/held"],
    ["generations", "/generations"],
    ["generation", "/generations/2"],
    ["problem", "/hosts/none"],
  ],
  hostile: [
    ["overview", "/"],
    ["hosts", "/hosts"],
    ["host", "/hosts/i-00000001"],
    ["owned-host", "/hosts/north_i-1000"],
    ["usage", "/usage"],
    ["usage-by-day", "/usage?by=day"],
    ["clouds", "/clouds"],
    ["held", "/held"],
    ["generation", "/generations/1"],
  ],
};
const PICTURED = ["overview", "hosts", "host", "usage", "user", "clouds", "held", "generation"];

/** What went wrong in a page while it was looked at. */
function watched(page) {
  const faults = [];
  page.on("console", (said) => {
    if (["error", "warning"].includes(said.type())) faults.push(`console: ${said.text()} ${said.location().url}`);
  });
  page.on("pageerror", (fault) => faults.push(`script: ${fault}`));
  page.on("dialog", async (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) faults.push(`left the origin: ${request.url()}`);
  });
  return faults;
}

async function open(browser, options, work) {
  const context = await browser.newContext({ viewport: DESK, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const faults = watched(page);
  await work(page, faults);
  await context.close();
  return faults;
}

/** A browser says that a page which is answered by 404 failed to load. */
function meant(view, faults) {
  return faults.filter((fault) => !(view === "problem" && fault.includes("404")));
}

async function accessible(page, where) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const grave = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
  const told = grave.map((one) => `${one.id}: ${one.help}\n  ${one.nodes.map((node) => node.html).join("\n  ")}`);
  assert.deepEqual(told, [], where);
}

async function fits(page, where) {
  const [whole, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(whole <= seen, `${where} is ${whole} wide on a screen of ${seen}`);
}

async function everyView(browser, options, name) {
  await open(browser, options, async (page, faults) => {
    for (const [view, place] of VIEWS[mode]) {
      const where = `${view} (${name})`;
      await page.goto(base + place);
      assert.equal(await page.locator("h1").count(), 1, where);
      await fits(page, where);
      await accessible(page, where);
      if (mode === "hostile") await nothingMade(page, where);
      if (pictures && name === "desk" && PICTURED.includes(view)) await picture(page, view);
      if (pictures && name === "desk, dark" && view === "overview") await picture(page, "overview-dark");
      if (pictures && name === "phone, dark" && view === "host") await picture(page, "host-phone");
      assert.deepEqual(meant(view, faults.splice(0)), [], where);
    }
  });
}

async function picture(page, name) {
  // The charts of a host stand below what Nagios says of it.
  await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: name === "host" });
}

/** No element that our templates do not make, and no handler on any. */
async function nothingMade(page, where) {
  const strange = await page.evaluate(() => {
    const made = [...document.querySelectorAll("script:not([src^='/assets/']), img, iframe, b, i, object, embed")];
    for (const one of document.querySelectorAll("*")) {
      for (const { name, value } of one.attributes) {
        if (/^on/i.test(name) || name === "style" || /^\s*javascript:/i.test(value) && ["href", "src", "action"].includes(name)) made.push(one);
      }
    }
    return made.map((one) => one.outerHTML.slice(0, 200));
  });
  assert.deepEqual(strange, [], where);
}

async function search(page) {
  await page.goto(`${base}/hosts`);
  const all = await page.locator("tbody tr").count();
  assert.equal(all, 100, "a page of hosts");
  await page.getByRole("link", { name: "Next page" }).click();
  assert.ok(await page.locator("tbody tr").count() < 100, "the last page of hosts");
  await page.getByLabel("Part of a name").fill("GENOME");
  await page.keyboard.press("Enter");
  await page.waitForURL(/search=GENOME/);
  const found = await page.locator("tbody tr").allInnerTexts();
  assert.ok(found.length >= 2 && found.every((row) => row.includes("Genome browser")), found.join("\n"));
  await page.getByLabel("Part of a name").fill("");
  await page.getByLabel("Source").selectOption("cloud:west");
  await page.getByRole("button", { name: "Find" }).click();
  await page.waitForURL(/west/);
  assert.equal(await page.locator("tbody tr").count(), 31);
  await page.getByLabel("Source").selectOption("");
  await page.getByLabel("Owner").fill("AMELIA");
  await page.getByRole("button", { name: "Find" }).click();
  await page.waitForURL(/owner=AMELIA/);
  const owned = await page.locator("tbody tr td:nth-child(3)").allInnerTexts();
  assert.ok(owned.length > 10 && owned.every((owner) => owner === "amelia"), owned.join());
  await page.getByLabel("State").selectOption("down");
  await page.getByRole("button", { name: "Find" }).click();
  await page.waitForURL(/state=down/);
  const down = await page.locator("tbody tr td:nth-child(4)").allInnerTexts();
  assert.ok(down.length > 0 && down.length < owned.length && down.every((state) => state === "down"), down.join());
}

/** What Nagios says of a host, whose it is, and what became of it. */
async function trail(page) {
  await page.goto(`${base}/hosts/i-00000001`);
  assert.equal(await page.locator("#services ~ .scroll tbody tr").count(), 8, "services");
  assert.match(await page.locator("td.output").nth(3).innerText(), /load average/);
  assert.match(await page.locator("#trail ~ .timeline").innerText(), /Generation 1 of rpc brought it/);
  await page.goto(`${base}/hosts/i-00000014`);
  assert.match(await page.locator("main").innerText(), /No source has it any more/);
  const steps = await page.locator("#trail ~ .timeline li").allInnerTexts();
  assert.equal(steps.length, 2, steps.join());
  assert.ok(/Generation 3 of rpc removed it/.test(steps[0]) && /Generation 2 of rpc brought it/.test(steps[1]), steps.join());
  await page.goto(`${base}/hosts/demo_i-1000`);
  await page.getByRole("link", { name: "amelia" }).click();
  await page.waitForURL(/user=amelia/);
  assert.match(await page.locator("h1").innerText(), /amelia/);
}

async function pickers(page) {
  await page.goto(`${base}/usage`);
  const hours = () => page.locator("tbody tr").first().locator("td.number").first().innerText();
  const month = await hours();
  await page.getByRole("link", { name: "7 days" }).click();
  await page.waitForURL(/from=7d/);
  assert.equal(await page.locator(".picker [aria-current]").innerText(), "7 days");
  assert.notEqual(await hours(), month);
  await page.locator("tbody th a").first().click();
  await page.waitForURL(/by=day/);
  assert.ok(await page.locator("svg rect.fill").count() > 7, "bars of the days");
  await page.getByLabel("By", { exact: true }).selectOption("flavor");
  await page.getByLabel("User").fill("");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/by=flavor/);
  assert.match(await page.locator("tbody th").first().innerText(), /^m\d$/);
  await page.goto(`${base}/hosts/i-00000001`);
  await page.getByRole("link", { name: "90 days" }).click();
  await page.waitForURL(/span=90d/);
  assert.match(await page.locator("#measured").innerText(), /90 days/);
}

async function hover(page) {
  await page.goto(`${base}/hosts/i-00000001`);
  const chart = page.locator("figure.chart").first();
  const before = await chart.locator(".reading").innerText();
  await chart.locator("svg").hover();
  await page.waitForFunction(() => document.querySelector("svg[data-shown]"));
  assert.match(await chart.locator(".reading").innerText(), /^-?[\d.]+ at \d{4}-\d\d-\d\d \d\d:\d\d UTC$/);
  assert.equal(await chart.locator(".dot").getAttribute("visibility"), "visible");
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => !document.querySelector("svg[data-shown]"));
  assert.equal(await chart.locator(".reading").innerText(), before);
  await chart.locator("svg").focus();
  await page.keyboard.press("ArrowLeft");
  const one = await chart.locator(".reading").innerText();
  await page.keyboard.press("ArrowLeft");
  const other = await chart.locator(".reading").innerText();
  assert.ok(one.endsWith("UTC") && other.endsWith("UTC") && one !== other, `${one}, ${other}`);
  // One empty slot is drawn across, the twelve are a gap.
  assert.equal((await chart.locator("path.line").getAttribute("d")).match(/M/g).length, 2);
}

async function keyboard(page) {
  await page.goto(`${base}/`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  assert.ok((await page.locator(".skip").boundingBox()).x >= 0, "the skip link is seen");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)));
}

/** A slow answer is waited for with a sign. */
async function patience(page) {
  await page.goto(`${base}/`);
  await page.evaluate(() => {
    const look = () => { window.sign = document.querySelector("progress.wait")?.ariaLabel; };
    new MutationObserver(look).observe(document.querySelector("header.top"), { childList: true });
  });
  // An answer without content leaves the page where it is, to be looked at.
  await page.route(/\/hosts$/, async (route) => {
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
    await route.fulfill({ status: 204 });
  });
  await page.getByRole("link", { name: "Hosts", exact: true }).click({ noWaitAfter: true });
  await page.waitForFunction(() => window.sign === "Waiting for the answer");
}

async function background(page) {
  await page.goto(`${base}/`);
  return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
}

async function usual(browser) {
  for (const work of [search, trail, pickers, hover, keyboard, patience]) {
    assert.deepEqual(await open(browser, {}, work), [], work.name);
  }
  const seen = {};
  for (const colorScheme of ["light", "dark"]) {
    await open(browser, { colorScheme }, async (page) => { seen[colorScheme] = await background(page); });
  }
  assert.notEqual(seen.light, seen.dark);
  await open(browser, { javaScriptEnabled: false }, async (page) => {
    for (const [view, place] of VIEWS.usual) {
      await page.goto(base + place);
      assert.ok((await page.locator("main").innerText()).length > 40, `${view} without script`);
    }
  });
}

async function hostile(browser) {
  const faults = await open(browser, {}, async (page) => {
    for (const text of corpus) {
      for (const query of [`/hosts?search=${encodeURIComponent(text)}`, `/usage?user=${encodeURIComponent(text)}`]) {
        await page.goto(base + query);
        await nothingMade(page, query);
        assert.equal(await page.locator(query.startsWith("/hosts") ? "#search" : "#user").inputValue(), text);
      }
    }
    await page.goto(`${base}/hosts/i-00000001`);
    const names = await page.locator(".metric").allTextContents();
    assert.deepEqual(names, corpus);
    // Nagios itself writes a colon for a plugin's semicolon.
    const outputs = corpus.map((text) => text.replaceAll(";", ":"));
    assert.deepEqual(await page.locator("td.output").allTextContents(), outputs);
    for (const svg of await page.locator("figure.chart svg").all()) await svg.hover();
    await nothingMade(page, "hovered charts");
    await page.goto(`${base}/hosts?source=cloud:north`);
    assert.deepEqual(await page.locator("tbody td:nth-child(3)").allTextContents(), corpus);
    await nothingMade(page, "owners");
    for (const [at, owner] of corpus.entries()) {
      await page.goto(`${base}/hosts/${await page.locator("tbody th").nth(at).innerText()}`);
      const link = page.locator(".facts a[href^='/usage?']");
      assert.equal(await link.textContent(), owner);
      await link.click();
      assert.equal(await page.locator("#user").inputValue(), owner);
      await nothingMade(page, `usage of ${owner}`);
      await page.goto(`${base}/hosts?source=cloud:north`);
    }
  });
  assert.deepEqual(faults.filter((fault) => !fault.includes("400")), []);
}

async function main() {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  try {
    await everyView(browser, {}, "desk");
    if (mode === "usual") {
      await everyView(browser, { viewport: PHONE, colorScheme: "dark" }, "phone, dark");
      if (pictures) {
        await everyView(browser, { colorScheme: "dark" }, "desk, dark");
        await everyView(browser, { viewport: PHONE }, "phone");
      }
      await usual(browser);
    } else {
      await hostile(browser);
    }
  } finally {
    await browser.close();
  }
}

main().catch((fault) => {
  console.error(fault.stack);
  process.exit(1);
});
