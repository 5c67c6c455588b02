// Drives a headless Chromium: reads a plan as JSON from standard input, writes what was seen as JSON.
//
// The plan is a list of visits: { page, hash, width, height, dark, calm, script, actions }. Actions
// are done in order: { press: key }, { click: selector }, { go: hash }, { wheel: dy },
// { drag: [from, to] }, { print: true }, { wait: milliseconds }, { shot: file }, { see: expression },
// { axe: true }; the last two add to what is seen. Environment: TINYGRAD_EDU_BROWSER_MODULES (a
// folder node_modules), CHROMIUM (the program).

import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const modules = process.env.TINYGRAD_EDU_BROWSER_MODULES;
const need = createRequire(modules ? join(modules, "x.js") : import.meta.url);
const { chromium } = need("playwright-core");

/* The browser: where the environment says, else the first one on the path. */
function program() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = process.env.PATH.split(delimiter);
  const names = ["chromium", "google-chrome"];
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

async function visit(browser, plan) {
  const context = await browser.newContext({
    viewport: { width: plan.width ?? 1440, height: plan.height ?? 900 },
    colorScheme: plan.dark ? "dark" : "light",
    reducedMotion: plan.calm === false ? "no-preference" : "reduce",
    javaScriptEnabled: plan.script !== false,
  });
  const page = await context.newPage();
  const report = { seen: [], errors: [], requests: [] };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) report.errors.push(message.text());
  });
  page.on("pageerror", (error) => report.errors.push(String(error)));
  page.on("dialog", (dialog) => {
    report.errors.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!/^(file|data):/.test(request.url())) report.requests.push(request.url());
  });
  await page.goto(plan.page + (plan.hash ?? ""));
  for (const action of plan.actions ?? []) await act(page, action, report);
  await context.close();
  return report;
}

async function act(page, action, report) {
  if (action.press) await page.keyboard.press(action.press);
  if (action.click) await page.locator(action.click).first().click();
  if (action.go !== undefined) await page.evaluate((hash) => (location.hash = hash), action.go);
  if (action.wheel) {
    await page.mouse.move(400, 300);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, action.wheel);
    await page.keyboard.up("Control");
  }
  if (action.drag) {
    const [from, to] = action.drag;
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 4 });
    await page.mouse.up();
  }
  if (action.print) await page.emulateMedia({ media: "print" });
  if (action.wait) await page.waitForTimeout(action.wait);
  if (action.see) report.seen.push(await page.evaluate(action.see));
  if (action.shot) await page.screenshot({ path: action.shot });
  if (action.axe) {
    await page.evaluate(readFileSync(need.resolve("axe-core/axe.min.js"), "utf8"));
    const found = await page.evaluate("axe.run()");
    report.seen.push(
      found.violations.map(
        ({ id, nodes }) =>
          `${id}: ${nodes
            .map((node) => node.html)
            .join(" | ")
            .slice(0, 600)}`,
      ),
    );
  }
}

const plans = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath: program(),
  args: ["--no-sandbox"],
});
const reports = [];
for (const plan of plans) reports.push(await visit(browser, plan));
await browser.close();
process.stdout.write(JSON.stringify(reports));
