"use strict";
// What the page knows, and its numbers: from the text in the page to arrays, pictures and tables.
// Every text is put into the page as text: `element` makes nodes, and nothing here reads HTML.

const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/* The numbers of an array, or null where only a picture is kept. */
function numbersOf(array) {
  if (!array.numbers) return null;
  const raw = bytes(array.numbers).buffer;
  return array.kind === "f4" ? new Float32Array(raw) : new Float64Array(raw);
}

function shapeText(shape) {
  return shape.join("×") || "scalar";
}

/* Three digits, so that a table can be read. */
function short(x) {
  if (!Number.isFinite(x)) return String(x).toLowerCase().replace("infinity", "inf");
  return x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(3)));
}

// ---------------------------------------------------------------- pictures

const { negative: NEGATIVE, positive: POSITIVE, alarm: NOT_FINITE, levels: LEVELS } = data.colours;

/* The colour of a pixel's place in the palette: 0 nothing, 17 zero, 34 no number. */
function colour(place) {
  if (place === 0) return [0, 0, 0, 0];
  if (place === 2 * LEVELS + 2) return [...NOT_FINITE, 255];
  const level = place - LEVELS - 1;
  return [...(level < 0 ? NEGATIVE : POSITIVE), Math.floor((255 * Math.abs(level)) / LEVELS)];
}

function canvas(array) {
  const places = bytes(array.pixels);
  const columns = places.length / array.rows;
  const made = element("canvas", { width: columns, height: array.rows });
  const picture = new ImageData(columns, array.rows);
  picture.data.set([...places].flatMap(colour));
  made.getContext("2d").putImageData(picture, 0, 0);
  return made;
}

const drawn = new Map();

/* An array as the address of an image, drawn once. */
function imageOf(place) {
  if (!drawn.has(place)) drawn.set(place, canvas(data.arrays[place]).toDataURL());
  return drawn.get(place);
}

/* An array as a small picture that fits into so many pixels. */
function thumbnail(array, label, width = 96, height = 64) {
  if (!array.pixels) return element("span", { class: "number" }, array.norm ?? "empty");
  const made = canvas(array);
  const side = Math.min(width / made.width, height / made.height, 14);
  made.style.width = `${Math.max(made.width * side, 4)}px`;
  made.style.height = `${Math.max(made.height * side, 4)}px`;
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}

// ---------------------------------------------------------------- tables

/* An array in full if it makes a small table, else as a picture; and in words. */
function numbers(place, label) {
  const array = data.arrays[place];
  if (array.shape.length === 0) return element("p", { class: "number" }, array.norm);
  const values = numbersOf(array);
  const shown = values ? table(array, values, label) : thumbnail(array, label, 300, 240);
  return element("div", { class: "numbers" }, shown, inWords(array));
}

function table(array, values, label) {
  const columns = array.shape[array.shape.length - 1];
  const largest = values.reduce(
    (most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most),
    0,
  );
  const made = element("table", { "aria-label": label });
  const header = element("tr", {}, element("td"));
  for (let j = 0; j < columns; j++) header.append(element("th", { scope: "col" }, String(j)));
  made.append(element("thead", {}, header));
  const body = element("tbody");
  for (let i = 0; i * columns < values.length; i++) {
    const row = element("tr", {}, rowName(array.shape, i));
    values.slice(i * columns, (i + 1) * columns).forEach((x) => row.append(cell(x, largest)));
    body.append(row);
  }
  made.append(body);
  return element("div", { class: "table", role: "region", tabindex: 0, "aria-label": label }, made);
}

function cell(x, largest) {
  const made = element("td", {}, short(x));
  const [r, g, b] = Number.isFinite(x) ? (x < 0 ? NEGATIVE : POSITIVE) : NOT_FINITE;
  const solid = Number.isFinite(x) ? (largest ? Math.abs(x) / largest : 0) : 1;
  made.style.backgroundColor = `rgba(${r}, ${g}, ${b}, ${(0.45 * solid).toFixed(3)})`;
  return made;
}

/* Which row it is: of more than two axes the places along all but the last. */
function rowName(shape, row) {
  if (shape.length === 1) return element("td");
  const places = [];
  for (const length of shape.slice(0, -1).reverse()) {
    places.unshift(row % length);
    row = Math.floor(row / length);
  }
  return element("th", { scope: "row" }, places.join(","));
}

function inWords(array) {
  const parts = array.norm && array.shape.length ? [array.norm] : [];
  for (const word of ["min", "mean", "max"]) {
    if (array[word] !== undefined) parts.push(`${word} ${array[word]}`);
  }
  if (array.alarm) parts.push(array.alarm);
  if (!array.numbers && array.pixels) parts.push("each pixel the largest of its block");
  return element("p", { class: "words" }, parts.join("  ·  ") || "empty");
}
