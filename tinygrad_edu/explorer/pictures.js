// The pictures: one SVG for each level of detail, and what is seen of it at each step.

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/* A level of detail: its boxes and links, and what each showed last: only changes are drawn. */
class View {
  constructor(place) {
    this.about = data.views[place];
    this.home = document.querySelector(`.view[data-view="${this.about.depth}"]`);
    this.svg = this.home.querySelector("svg");
    this.size = {
      width: Number(this.svg.getAttribute("width")),
      height: Number(this.svg.getAttribute("height")),
    };
    this.first = {}; // of each box, the step at which something happens in it
    this.about.steps.forEach(([key], i) => (this.first[key] ??= i + 1));
    const boxes = [...this.svg.querySelectorAll(".box")].map((box) => this.boxed(box));
    this.boxes = new Map(boxes.map((shown) => [shown.key, shown]));
    this.links = [...this.svg.querySelectorAll(".link")].map((link) => this.linked(link));
    this.frames = [...this.svg.querySelectorAll(".frame")];
    this.when = this.momentsOfLinks();
    this.stop = null; // the box that Tab goes to
  }

  /* A box, and whose numbers it shows: that of a layer what comes out, if that is one tensor. */
  boxed(box) {
    const key = box.dataset.node;
    const layer = data.calls[key];
    const [out, ...others] = layer?.out ?? [];
    const node = layer ? (others.length ? null : out) : (this.about.aliases[key] ?? key);
    const gradient = box.querySelector(".gradient");
    const shown = {
      key,
      box,
      gradient,
      node,
      state: "",
      born: layer ? this.first[key] : data.nodes[node].born,
      image: gradient?.querySelector("image"),
      number: gradient?.querySelector(".number"),
      norm: gradient?.querySelector(".norm"),
    };
    this.addImages(shown);
    shown.words = { norm: shown.norm?.textContent, number: shown.number?.textContent };
    const who = [(layer ?? data.nodes[node]).name, layer ? "layer" : data.nodes[node].kind];
    if (node) who.push(shapeText(data.nodes[node].shape));
    this.addButton(shown, who.join(", "));
    return shown;
  }

  /* Over each box lies a button that says in one line what the box says to the eye. */
  addButton(shown, label) {
    const card = shown.box.querySelector(".card");
    for (const part of shown.box.children) part.setAttribute("aria-hidden", "true");
    shown.button = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const attributes = { class: "button", role: "button", tabindex: -1, "aria-label": label };
    for (const name of ["width", "height", "rx"]) attributes[name] = card.getAttribute(name);
    for (const [name, value] of Object.entries(attributes)) shown.button.setAttribute(name, value);
    shown.box.append(shown.button);
  }

  /* Images are in one of the pictures only: in the others they are drawn here, the same. */
  addImages(shown) {
    const node = data.nodes[shown.node];
    if (!node) return;
    const value = shown.box.querySelector(".value image");
    if (value && !value.hasAttribute("href")) value.setAttribute("href", imageOf(node.value));
    if (shown.image && !shown.image.hasAttribute("href"))
      shown.image.setAttribute("href", imageOf(node.gradient));
    shown.address = shown.image?.getAttribute("href");
  }

  linked(link) {
    const { edge, source, target } = link.dataset;
    const shapeless = !link.querySelector(".shape");
    return { link, edge: Number(edge), source, target, shapeless, state: "" };
  }

  /* When each link has carried all of its gradient, and when some. */
  momentsOfLinks() {
    const moments = {};
    this.about.steps.forEach(([, edges], i) => {
      if (data.steps[i][0] !== "backward") return;
      for (const edge of edges) {
        moments[edge] ??= { first: i + 1 };
        moments[edge].last = i + 1;
      }
    });
    return moments;
  }

  // What is seen at a step.

  show(step, selected) {
    const [phase] = step ? data.steps[step - 1] : ["overview"];
    const [now, hot] = step ? this.about.steps[step - 1] : [null, []];
    this.svg.setAttribute("data-phase", phase);
    const near = new Set(this.touchedAt(step).slice(1));
    for (const shown of this.boxes.values()) {
      const marks = [];
      if (!reached(shown.born, step)) marks.push("later");
      if (shown.key === now) marks.push("now");
      if (near.has(shown)) marks.push("near");
      if (selected !== null && this.isOf(shown, selected)) marks.push("selected");
      this.showBox(shown, step, marks);
    }
    for (const link of this.links) this.showLink(link, step, hot.includes(link.edge));
    for (const frame of this.frames)
      frame.classList.toggle("selected", frame.dataset.call === selected);
  }

  /* The box where something happens at a step, then those that take part, an alias for its tensor. */
  touchedAt(step) {
    if (!step) return [];
    const [now, hot] = this.about.steps[step - 1];
    const sources = this.links.filter(({ edge }) => hot.includes(edge)).map(({ source }) => source);
    const keys = [now, ...new Set(sources)];
    return keys.map((key) => this.boxes.get(key)).filter((shown) => shown);
  }

  isOf(shown, selected) {
    return (
      shown.key === selected ||
      this.about.aliases[shown.key] === selected ||
      this.boxOf(selected) === shown
    );
  }

  /* The box that shows a tensor or a layer at this level: itself, or the layer around it. */
  boxOf(key) {
    return [key, ...around(key)].map((one) => this.boxes.get(one)).find((box) => box);
  }

  showBox(shown, step, marks) {
    const node = data.nodes[shown.node];
    const gradient = node && shown.gradient ? gradientAt(node, step) : null;
    if (gradient && gradient.array === null) marks.push("without-gradient");
    if (gradient && gradient.array !== null && !gradient.complete) marks.push("partial");
    if (node && !reached(node.born, step)) marks.push("without-value");
    const value = node && data.arrays[node.value].alarm;
    const wrong = gradient && gradient.array !== null && data.arrays[gradient.array].alarm;
    if (wrong || (value && reached(node.born, step))) marks.push("alarm");
    const state = `${marks.join(" ")} ${gradient?.array}`;
    if (state === shown.state) return;
    shown.state = state;
    const kept = [...shown.box.classList].filter((name) => !MARKS.includes(name));
    shown.box.setAttribute("class", [...kept, ...marks].join(" "));
    if (gradient && gradient.array !== null) this.showGradient(shown, gradient);
    if (gradient) shown.gradient.classList.toggle("alarm", Boolean(wrong));
  }

  /* The sum so far, or the whole gradient as it was drawn. */
  showGradient(shown, { array, complete }) {
    const packed = data.arrays[array];
    if (shown.image) shown.image.setAttribute("href", complete ? shown.address : imageOf(array));
    if (shown.norm)
      shown.norm.textContent = complete
        ? shown.words.norm
        : shown.words.norm.replace(/[^‖∇ ]+$/, packed.norm.replaceAll("‖", ""));
    if (shown.number) shown.number.textContent = complete ? shown.words.number : packed.norm;
  }

  showLink(link, step, hot) {
    const moments = this.when[link.edge];
    const marks = [];
    if (hot) marks.push("hot");
    if (!reached(this.boxes.get(link.target)?.born ?? 0, step)) marks.push("later");
    if (!moments || !reached(moments.first, step)) marks.push("not-back");
    else if (!reached(moments.last, step)) marks.push("partly-back");
    if (link.shapeless && (!moments || !reached(moments.last, step))) marks.push("unsaid");
    const state = marks.join(" ");
    if (state === link.state) return;
    link.state = state;
    const kept = [...link.link.classList].filter((name) => !MARKS.includes(name));
    link.link.setAttribute("class", [...kept, ...marks].join(" "));
  }
}

/* The calls of layers around a tensor or a layer, innermost first. */
function around(key) {
  if (data.nodes[key]) return [...data.nodes[key].calls].reverse();
  const outside = data.calls[key].outside;
  return outside === null ? [] : [outside, ...around(outside)];
}

const MARKS = [
  "later",
  "now",
  "near",
  "selected",
  "without-gradient",
  "without-value",
  "partial",
  "alarm",
  "hot",
  "not-back",
  "partly-back",
  "unsaid",
];

// ---------------------------------------------------------------- how large it is seen

const graph = document.getElementById("graph");
const LARGEST = 3;
const SMALLEST = 0.05;
const WHOLE = 0.35; // an overview is not smaller than this,
const READABLE = 0.7; // nor is what has to be read: on a narrow screen everything is
const SCROLLED = 0.8; // the least while stepping through a picture that has to be scrolled anyway
const narrow = window.matchMedia("(max-width: 900px)");

class Zoom {
  constructor() {
    this.scale = 1;
    this.fitted = true; // by itself, not by hand
    this.overview = true;
  }

  /* All of the picture as an overview; while stepping, if that were too small, as wide as fits. */
  fit(view, overview) {
    this.overview = overview;
    const wide = (graph.clientWidth - 16) / view.size.width;
    const high = (graph.clientHeight - 16) / view.size.height;
    const all = Math.min(wide, high, 1.25);
    const least = overview && !narrow.matches ? WHOLE : READABLE;
    const scrolled = narrow.matches ? READABLE : SCROLLED;
    const larger = overview ? least : Math.max(scrolled, Math.min(wide, 1));
    this.set(view, all >= least ? all : larger);
    this.fitted = true;
  }

  set(view, scale) {
    this.scale = Math.min(LARGEST, Math.max(SMALLEST, scale));
    view.svg.style.width = `${view.size.width * this.scale}px`;
    view.svg.style.height = `${view.size.height * this.scale}px`;
  }

  /* Larger or smaller, while what is at this point of the window stays there. */
  by(view, factor, x = graph.clientWidth / 2, y = graph.clientHeight / 2) {
    const before = this.scale;
    this.set(view, before * factor);
    this.fitted = false;
    const ratio = this.scale / before;
    graph.scrollLeft = (graph.scrollLeft + x) * ratio - x;
    graph.scrollTop = (graph.scrollTop + y) * ratio - y;
  }

  /* Scroll until the first box is well inside of the window, and as many others as fit with it. */
  bring(first, ...others) {
    const home = graph.getBoundingClientRect();
    const most = { width: graph.clientWidth - 2 * BORDER, height: graph.clientHeight - 2 * BORDER };
    let place = placeOf(first);
    for (const other of nearestTo(place, others.map(placeOf))) {
      const both = union(place, other);
      if (both.right - both.left <= most.width && both.bottom - both.top <= most.height)
        place = both;
    }
    const dx = beyond(place.left, place.right, home.left, graph.clientWidth, 0.08);
    const dy = beyond(place.top, place.bottom, home.top, graph.clientHeight, 0.3);
    if (dx || dy) graph.scrollBy({ left: dx, top: dy, behavior: calm.matches ? "auto" : "smooth" });
  }
}

const BORDER = 10; // pixels between a box and the border of the window

function placeOf(box) {
  const { left, right, top, bottom } = box.getBoundingClientRect();
  return { left, right, top, bottom };
}

function nearestTo(place, others) {
  const far = (other) => Math.hypot(other.left - place.left, other.top - place.top);
  return others.sort((a, b) => far(a) - far(b));
}

function union(a, b) {
  return {
    left: Math.min(a.left, b.left),
    right: Math.max(a.right, b.right),
    top: Math.min(a.top, b.top),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

/* How far to move so that a stretch lies in a window, this share of it away from both its ends. */
function beyond(from, to, start, length, share) {
  const margin = Math.max(0, Math.min(length * share, (length - (to - from)) / 2));
  const [least, most] = [start + margin, start + length - margin];
  if (from < least) return from - least;
  return to > most ? Math.min(to - most, from - least) : 0;
}
