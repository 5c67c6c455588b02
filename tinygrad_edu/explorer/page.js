// The page: where we are in the replay, what is seen there, and what one can do about it.

const find = (id) => document.getElementById(id);
const opened = new Map(); // the views seen so far
const zoom = new Zoom();
const state = { step: 0, view: data.opening, held: null };

function view() {
  if (!opened.has(state.view)) opened.set(state.view, new View(state.view));
  return opened.get(state.view);
}

/* The box that the panel is about: the one held on to, else the one of the step. */
function current() {
  if (state.held !== null) return state.held;
  return state.step ? data.steps[state.step - 1][1] : data.result;
}

// ---------------------------------------------------------------- addresses
//
// #step=17&node=n9&view=2 is step 17, the box n9 held on to, and level of detail 2.

function addressOf(change) {
  const { step, held, view: place } = { ...state, held: change.node ?? state.held };
  const parts = [`step=${step}`];
  if (held !== null) parts.push(`node=${held}`);
  parts.push(`view=${data.views[place].depth}`);
  return `#${parts.join("&")}`;
}

/* Go where the address says; what makes no sense in it is passed over. */
function follow(address) {
  const said = new URLSearchParams(address.replace(/^#/, ""));
  const step = said.get("step") ?? "";
  if (/^\d{1,9}$/.test(step)) state.step = Math.min(Number(step), total);
  const place = data.views.findIndex(({ depth }) => String(depth) === said.get("view"));
  if (place >= 0) state.view = place;
  const key = said.get("node");
  if (key === null) state.held = null;
  else if (Object.hasOwn(data.nodes, key) || Object.hasOwn(data.calls, key)) state.held = key;
}

// ---------------------------------------------------------------- what is seen

let seen = null; // the view that was shown last
let told = null; // the box that the panel was about last

function show() {
  if (location.hash !== addressOf({})) history.replaceState(null, "", addressOf({}));
  const fitted = showViews();
  view().show(state.step, current());
  showSentence();
  showRail();
  const boxes = inSight(fitted).map(({ box }) => box);
  if (boxes.length) zoom.bring(...boxes);
  rove(view().boxes.get(roving) ?? view().boxOf(current()) ?? [...view().boxes.values()][0]);
  showPanel();
}

/* What must not be out of the window: a box that was chosen now, else those of the step. */
function inSight(fitted) {
  const held = state.held !== null && state.held !== told && view().boxOf(state.held);
  if (held) return [held];
  if (state.step) return view().touchedAt(state.step);
  return fitted ? [...view().boxes.values()].slice(0, 1) : [];
}

/* Show the level of detail that was asked for; was it fitted into the window anew? */
function showViews() {
  const same = seen === state.view;
  const overview = state.step === 0;
  if (same && (!zoom.fitted || zoom.overview === overview)) return false;
  if (!same) showView();
  zoom.fit(view(), overview);
  return true;
}

function showView() {
  seen = state.view;
  for (const home of document.querySelectorAll(".view"))
    home.hidden = home.dataset.view !== String(data.views[state.view].depth);
  const buttons = find("levels").querySelectorAll("button");
  buttons.forEach((button, place) =>
    button.setAttribute("aria-pressed", String(place === state.view)),
  );
  buttons[state.view].scrollIntoView({ block: "nearest", inline: "nearest" });
}

function phaseText(step) {
  if (!step) return ["overview", "Overview"];
  const [phase] = data.steps[step - 1];
  if (phase === "seed") return ["seed", "Backward begins"];
  const same = data.steps.map(([other], i) => (other === phase ? i + 1 : 0)).filter((i) => i);
  const title = phase === "forward" ? "Forward" : "Backward";
  return [phase, `${title} ${same.indexOf(step) + 1} of ${same.length}`];
}

function sentenceText(step) {
  if (step) return data.steps[step - 1][2];
  return "Everything at once: all values and all gradients. Step → replays how they came about.";
}

function showSentence() {
  const [phase, title] = phaseText(state.step);
  find("sentence").replaceChildren(
    element("strong", { class: `badge ${phase}` }, title),
    " ",
    element("span", {}, sentenceText(state.step)),
  );
  const said = find("said");
  said.tabIndex = said.scrollHeight > said.clientHeight ? 0 : -1; // only what scrolls is a stop
  find("back").disabled = find("first").disabled = state.step === 0;
  find("last").disabled = state.step === total;
  find("next").textContent = state.step === total ? "Overview" : "Step →";
}

function showPanel() {
  const panel = find("panel");
  const parts = describe(current(), state.step).filter((part) => part !== null);
  const inside = panel.contains(document.activeElement);
  panel.replaceChildren(holding(), ...parts);
  if (inside) panel.focus({ preventScroll: true }); // the link that was followed is gone
  if (told !== current()) panel.scrollTop = 0;
  told = current();
}

/* Whether the panel follows the steps, and the way to change that. */
function holding() {
  const made = element("p", { class: "holding quiet" });
  if (state.held === null) {
    made.append(state.step ? "this step's box" : "the result", " · click a box to hold on to it");
    return made;
  }
  const button = element("button", { type: "button" }, "follow the steps");
  button.addEventListener("click", () => hold(null));
  made.append("held: ", button);
  if (data.calls[state.held] && deeper(state.held) !== null) made.append(" ", opener());
  return made;
}

function opener() {
  const button = element("button", { type: "button" }, "open this layer");
  button.addEventListener("click", () => openLayer(state.held));
  return button;
}

// ---------------------------------------------------------------- the rail of steps

const FINEST = 300; // steps that have a piece of the rail each

function makeRail() {
  const rail = find("rail");
  if (total > FINEST) {
    const slider = element("input", {
      type: "range",
      min: 0,
      max: total,
      value: 0,
      "aria-label": "Step",
    });
    slider.addEventListener("input", () => go(Number(slider.value)));
    rail.append(slider);
    return;
  }
  rail.classList.add("fine");
  for (const [name, value] of [
    ["role", "slider"],
    ["tabindex", 0],
    ["aria-label", "Step"],
    ["aria-valuemin", 0],
    ["aria-valuemax", total],
  ])
    rail.setAttribute(name, value);
  for (let i = 0; i <= total; i++) {
    const [phase, text] = phaseText(i);
    const title = i ? `${text} · ${data.nodes[data.steps[i - 1][1]].name}` : text;
    rail.append(element("i", { class: phase, title }));
  }
  rail.addEventListener("pointerdown", (event) => {
    rail.setPointerCapture(event.pointerId);
    slide(event);
  });
  rail.addEventListener(
    "pointermove",
    (event) => rail.hasPointerCapture(event.pointerId) && slide(event),
  );
}

function slide(event) {
  const { left, width } = find("rail").getBoundingClientRect();
  const place = Math.floor(((event.clientX - left) / width) * (total + 1));
  go(Math.min(total, Math.max(0, place)));
}

function showRail() {
  const rail = find("rail");
  const slider = rail.querySelector("input") ?? rail;
  slider.setAttribute("aria-valuenow", state.step);
  slider.setAttribute("aria-valuetext", phaseText(state.step)[1]);
  if (slider !== rail) {
    slider.value = state.step;
    return;
  }
  [...rail.children].forEach((piece, i) => {
    piece.classList.toggle("done", state.step === 0 || i <= state.step);
    piece.classList.toggle("here", i === state.step);
  });
}

// ---------------------------------------------------------------- what one does

function go(step) {
  state.step = Math.min(total, Math.max(0, step));
  show();
}

function hold(key) {
  state.held = key;
  show();
}

function level(place) {
  const inGraph = document.activeElement?.closest(".box");
  state.view = place % data.views.length;
  roving = null;
  show();
  if (inGraph) view().boxes.get(roving).button.focus({ preventScroll: true });
}

/* The view in which a layer's box is open, if there is one. */
function deeper(key) {
  const depth = around(key).length + 1;
  const place = data.views.findIndex((other) => other.depth > depth);
  return place >= 0 && data.views[state.view].depth <= depth ? place : null;
}

function openLayer(key) {
  const place = deeper(key);
  state.held = key;
  if (place === null) show();
  else level(place);
}

function clicked(key) {
  const node = view().about.aliases[key] ?? key;
  if (data.calls[node] && view().boxes.has(node)) openLayer(node);
  else hold(state.held === node ? null : node);
}

/* Fit the picture into the window, and stay where something happens. */
function fit() {
  zoom.fit(view(), state.step === 0);
  const boxes = inSight(true).map(({ box }) => box);
  if (boxes.length) zoom.bring(...boxes);
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");

/* First what the screen is not: so a press is always seen; then what it is; then as it is. */
function theme() {
  const root = document.documentElement;
  const themes = ["automatic", ...(dark.matches ? ["light", "dark"] : ["dark", "light"])];
  const next = themes[(themes.indexOf(root.dataset.theme ?? "automatic") + 1) % themes.length];
  root.dataset.theme = next;
  find("theme").setAttribute("aria-label", `Theme: ${next}`);
  find("theme").textContent = { automatic: "◐", light: "☀", dark: "☾" }[next];
}
