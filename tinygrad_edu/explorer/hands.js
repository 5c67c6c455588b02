// What hands do: keys, the mouse, buttons; and the beginning of it all.

// ---------------------------------------------------------------- keys

const KEYS = {
  ArrowRight: () => go(state.step === total ? 0 : state.step + 1),
  ArrowLeft: () => go(state.step - 1),
  Home: () => go(0),
  End: () => go(total),
  b: () => go(seedStep),
  v: () => level(state.view + 1),
  d: () => theme(),
  "+": () => zoom.by(view(), 1.25),
  "=": () => zoom.by(view(), 1.25),
  "-": () => zoom.by(view(), 0.8),
  0: () => fit(),
  "?": () => find("help").showModal(),
  Escape: () => hold(null),
};

let roving = null; // the box that Tab goes to

function rove(shown, focus = false) {
  const before = view().boxes.get(view().stop);
  if (before && before !== shown) before.button.setAttribute("tabindex", "-1");
  if (before !== shown) shown.button.setAttribute("tabindex", "0");
  roving = view().stop = shown.key;
  if (!focus) return;
  shown.button.focus({ preventScroll: true });
  zoom.bring(shown.box);
}

/* The keys that work on a box of the graph. */
function onBox(event, shown) {
  const links = view().links;
  const found = {
    ArrowUp: () => view().boxes.get(links.find(({ target }) => target === shown.key)?.source),
    ArrowDown: () => view().boxes.get(links.find(({ source }) => source === shown.key)?.target),
    ShiftArrowLeft: () => beside(shown, -1),
    ShiftArrowRight: () => beside(shown, 1),
  }[(event.shiftKey ? "Shift" : "") + event.key];
  if (found) {
    const next = found();
    if (next) rove(next, true);
    return true;
  }
  if (event.key !== "Enter" && event.key !== " ") return false;
  clicked(shown.key);
  return true;
}

/* The nearest box to the left or to the right that is at least partly at the same height. */
function beside(shown, direction) {
  const here = shown.box.getBoundingClientRect();
  let best = null;
  for (const other of view().boxes.values()) {
    const there = other.box.getBoundingClientRect();
    const dx = (there.left + there.right - here.left - here.right) * direction;
    const distance = Math.hypot(dx, there.top + there.bottom - here.top - here.bottom);
    const level = there.top < here.bottom && there.bottom > here.top;
    if (level && dx > 0 && (!best || distance < best.distance)) best = { other, distance };
  }
  return best?.other ?? null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
  const box = event.target.closest?.(".box");
  const onControl = event.target.closest?.("input, a, button, .table, pre");
  if (box && onBox(event, view().boxes.get(box.dataset.node))) {
    event.preventDefault();
    return;
  }
  if (event.shiftKey && event.key.startsWith("Arrow")) return;
  if (event.target.type === "range" && event.key !== "Escape") return;
  if (onControl && onControl.matches(".table, pre") && event.key.startsWith("Arrow")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// ---------------------------------------------------------------- the mouse

let dragged = null;

graph.addEventListener("pointerdown", (event) => {
  if (event.button || event.pointerType === "touch") return; // a finger scrolls by itself
  dragged = {
    x: event.clientX,
    y: event.clientY,
    left: graph.scrollLeft,
    top: graph.scrollTop,
    far: false,
  };
});
window.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const dx = event.clientX - dragged.x;
  const dy = event.clientY - dragged.y;
  dragged.far ||= Math.hypot(dx, dy) > 4;
  graph.classList.toggle("dragged", dragged.far);
  if (!dragged.far) return;
  graph.scrollLeft = dragged.left - dx;
  graph.scrollTop = dragged.top - dy;
});
window.addEventListener("pointerup", () =>
  setTimeout(() => ((dragged = null), graph.classList.remove("dragged"))),
);

graph.addEventListener("click", (event) => {
  if (dragged?.far) return;
  const box = event.target.closest(".box");
  const frame = event.target.closest(".frame, .heading");
  if (box) {
    roving = box.dataset.node;
    clicked(box.dataset.node);
  } else if (frame) hold(frame.dataset.call);
});

/* What the panel would say in more words is a tooltip, made when a box is first pointed at. */
graph.addEventListener("pointerover", (event) => {
  const key = event.target.closest(".box")?.dataset.node;
  const shown = view().boxes.get(key);
  if (!shown || shown.told) return;
  shown.told = document.createElementNS("http://www.w3.org/2000/svg", "title");
  shown.told.textContent = inOneLine(view().about.aliases[key] ?? key);
  shown.button.append(shown.told);
});

graph.addEventListener(
  "wheel",
  (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const { left, top } = graph.getBoundingClientRect();
    zoom.by(view(), Math.exp(-event.deltaY / 300), event.clientX - left, event.clientY - top);
  },
  { passive: false },
);

// ---------------------------------------------------------------- at the beginning

function makeLevels() {
  data.views.forEach((about, place) => {
    const button = element(
      "button",
      { type: "button", title: about.about },
      element("bdi", {}, about.name),
    );
    button.addEventListener("click", () => level(place));
    find("levels").append(button);
  });
}

function counts() {
  const left = data.levels - data.views.length;
  const parts = [
    many(data.operations, "operation"),
    many(data.parameters, "parameter"),
    `layout: ${data.engine}`,
  ];
  if (left)
    parts.push(
      `left out, too many boxes: ${left === 1 ? "all operations" : `the ${left} finest levels`}`,
    );
  return parts.join(" · ");
}

function begin() {
  for (const part of document.querySelectorAll(".live")) part.hidden = false;
  find("counts").textContent = counts();
  makeLevels();
  makeRail();
  const clicks = {
    first: KEYS.Home,
    back: KEYS.ArrowLeft,
    next: KEYS.ArrowRight,
    backward: KEYS.b,
    last: KEYS.End,
    smaller: KEYS["-"],
    larger: KEYS["+"],
    fit: KEYS["0"],
    theme,
    ask: KEYS["?"],
  };
  for (const [id, act] of Object.entries(clicks)) find(id).addEventListener("click", () => act());
  window.addEventListener("hashchange", () => {
    follow(location.hash);
    show();
  });
  window.addEventListener("resize", () => zoom.fitted && fit());
  follow(location.hash);
  show();
}

begin();
