// The panel: what is to be said about one box at one step.
// At step 0 everything is visible; else what was computed up to and with this step.

const total = data.steps.length;
const seedStep = data.steps.findIndex(([phase]) => phase === "seed") + 1;
const backwardStep = {}; // of each op: when it hands its gradient on
data.steps.forEach(([phase, key], i) => {
  if (phase === "backward") backwardStep[key] = i + 1;
});
const usesOf = {}; // of each tensor: the edges to what was made from it
const madeFrom = {}; // and the edges from what it was made of
data.edges.forEach((edge, i) => {
  (usesOf[edge.source] ??= []).push(i);
  (madeFrom[edge.target] ??= []).push(i);
});

function reached(when, step) {
  return step === 0 || when <= step;
}

/* A tensor's gradient at a step: which array, and how many of its terms are in it. */
function gradientAt(node, step) {
  if (node.gradient === null) return { array: null, arrived: 0, complete: false };
  const arrived = node.terms.filter(([, when]) => reached(when, step)).length;
  if (arrived === node.terms.length) {
    const begun = arrived > 0 || reached(seedStep, step);
    return { array: begun ? node.gradient : null, arrived, complete: begun };
  }
  return { array: arrived ? node.terms[arrived - 1][2] : null, arrived, complete: false };
}

function describe(key, step) {
  if (data.calls[key]) return describeLayer(key, step);
  const node = data.nodes[key];
  const parts = [heading(node.name, node.title), facts(node)];
  if (node.where !== undefined) parts.push(...lineOf(node.where));
  const forward = section(
    "forward",
    node.op === undefined ? "Value" : "Forward",
    forwardParts(key, step),
  );
  const backward = section(
    "backward",
    node.op === undefined ? "Gradient" : "Backward",
    backwardParts(key, step),
  );
  const forwardFirst =
    node.op !== undefined && (step === 0 || data.steps[step - 1][0] === "forward");
  parts.push(...(forwardFirst ? [forward, backward] : [backward, forward]));
  return parts;
}

/* A box in one line: its name, its shape and its formula. */
function inOneLine(key) {
  const call = data.calls[key];
  if (call) return `${call.name}: ${call.title}`;
  const { name, shape, rule } = data.nodes[key];
  return `${rule ? `${name} = ${rule}` : name}  ·  ${shapeText(shape)}`;
}

function section(kind, title, parts) {
  return element("section", { class: kind }, element("h3", {}, title), ...parts);
}

function paragraph(text, kind) {
  return element("p", { class: kind }, text);
}

/* A link to a box, which works as any link does: it can be opened, copied, gone back from. */
function link(key, text) {
  const name = text ?? (data.nodes[key] ?? data.calls[key]).name;
  return element("a", { href: addressOf({ node: key }) }, named(name));
}

/* A name, which can be broken after its dots. */
function named(name) {
  const parts = name.split(/(?<=\.)/);
  return element("bdi", {}, ...parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part])));
}

function listed(keys, between = ", ") {
  return keys.flatMap((key, i) => (i ? [between, link(key)] : [link(key)]));
}

// ---------------------------------------------------------------- who it is

function heading(name, title) {
  const made = element("h2", {}, named(name));
  const said = name.split(".").pop().replace(/_\d+$/, "");
  if (title && title !== name && title !== said)
    made.append(element("span", { class: "title" }, ` = ${title}`));
  return made;
}

function facts(node) {
  const made = element("p", { class: "facts" });
  made.append(
    element("span", { class: `chip ${node.kind}` }, node.kind === "op" ? "operation" : node.kind),
    shapeText(node.shape),
    " ",
    node.dtype,
  );
  if (node.calls.length) made.append(" in ", ...listed(node.calls, " › "));
  return made;
}

function code(pieces, label) {
  const made = element("code");
  for (const [kind, text] of pieces)
    made.append(kind ? element("span", { class: kind }, text) : text);
  return element("pre", { tabindex: 0, role: "region", "aria-label": label }, made);
}

function lineOf(where) {
  if (where === null) {
    const advice =
      "Which line made it? Compute the loss inside trace_lines(), or give explore the function.";
    return [paragraph(advice, "quiet")];
  }
  const place =
    `${where.file}, line ${where.line}` +
    (where.function.startsWith("<") ? "" : `, in ${where.function}`);
  return [where.text.length ? code(where.text, "your line") : null, paragraph(place, "quiet")];
}

// ---------------------------------------------------------------- forward

function forwardParts(key, step) {
  const node = data.nodes[key];
  const parts = [];
  if (node.op !== undefined) {
    const op = data.ops[node.op];
    parts.push(formula(op.forward), paragraph(`${node.name} = ${node.rule}`, "rule"));
    if (node.settings.length) parts.push(paragraph(`with ${node.settings.join(", ")}`, "quiet"));
    parts.push(inputsOf(key));
  }
  if (reached(node.born, step)) parts.push(numbers(node.value, `value of ${node.name}`));
  else parts.push(paragraph("Not computed yet.", "quiet"));
  const uses = [...new Set((usesOf[key] ?? []).map((i) => data.edges[i].target))];
  if (uses.length) parts.push(element("p", { class: "quiet" }, "used by ", ...listed(uses)));
  return parts;
}

/* The maths of an op in its own letters, as its docstring has it. */
function formula(text) {
  return element("p", { class: "formula" }, text || "Its docstring states no formula.");
}

function inputsOf(key) {
  const made = element("p", { class: "quiet" }, "made from ");
  (madeFrom[key] ?? []).forEach((i, place) => {
    const edge = data.edges[i];
    made.append(
      place ? ", " : "",
      `${edge.slot}: `,
      link(edge.source),
      ` ${shapeText(data.nodes[edge.source].shape)}`,
    );
  });
  return made;
}

// ---------------------------------------------------------------- backward

function backwardParts(key, step) {
  const node = data.nodes[key];
  if (node.gradient === null) return [paragraph("It needs no gradient.", "quiet")];
  const loss = data.nodes[data.result].name;
  const letter = node.op === undefined ? "" : "g = ";
  const parts = [element("p", { class: "rule" }, `${letter}∂${loss}/∂${node.name}`)];
  const { array, arrived, complete } = gradientAt(node, step);
  if (array === null)
    parts.push(paragraph("Not computed yet: backward has not come this far.", "quiet"));
  else parts.push(numbers(array, `gradient of ${node.name}`));
  if (array !== null || node.terms.length > 1) parts.push(...origin(key, step, arrived));
  if (node.hook && complete) parts.push(hooked(node.hook));
  if (node.check) parts.push(...checked(node.check));
  if (node.op !== undefined) parts.push(...handedOn(key, step));
  return parts;
}

/* Where a gradient comes from: its one term, or an equation of pictures. */
function origin(key, step, arrived) {
  const node = data.nodes[key];
  if (!node.terms.length)
    return [paragraph("Backward begins here: it changes as itself.", "quiet")];
  if (node.terms.length === 1) {
    return [
      element("p", { class: "quiet" }, "it comes from ", link(data.edges[node.terms[0][0]].target)),
    ];
  }
  const uses = `the sum of ${node.terms.length} contributions, one for each use`;
  const text = `${uses}; ${arrived} arrived so far:`;
  return [paragraph(text, "quiet"), equation(node, step, arrived)];
}

const MOST_TERMS = 12; // of an equation that are shown at once

function equation(node, step, arrived) {
  const made = element("div", { class: "equation" });
  const first = Math.max(0, Math.min(arrived - MOST_TERMS / 2, node.terms.length - MOST_TERMS));
  const last = Math.min(node.terms.length, first + MOST_TERMS);
  if (first) made.append(element("span", {}, `${first} more +`));
  node.terms.slice(first, last).forEach(([place, when], i) => {
    if (i) made.append(element("span", { class: "sign" }, "+"));
    const same = node.terms.filter(
      ([other]) => data.edges[other].target === data.edges[place].target,
    );
    made.append(term(data.edges[place], when, step, same.length > 1));
  });
  if (last < node.terms.length)
    made.append(element("span", {}, `+ ${node.terms.length - last} more`));
  made.append(
    element(
      "div",
      { class: "equals" },
      element("span", { class: "sign" }, "="),
      sumSoFar(node, arrived),
    ),
  );
  return made;
}

function term(edge, when, step, slot) {
  const state = step === when ? "current" : reached(when, step) ? "" : "pale";
  const array = data.arrays[edge.gave];
  const from = data.nodes[edge.target].name;
  const made = element("div", { class: `term ${state}` });
  made.append(
    state === "pale"
      ? paragraph("not yet", "quiet")
      : thumbnail(array, `contribution from ${from}`, 66, 52),
  );
  made.append(element("span", {}, link(edge.target), slot ? ` · ${edge.slot}` : ""));
  if (state !== "pale" && array.pixels) made.append(element("span", {}, array.norm));
  return made;
}

function sumSoFar(node, arrived) {
  const made = element("div", { class: "term sum" });
  if (!arrived) return element("div", { class: "term pale" }, paragraph("not yet", "quiet"));
  const array = data.arrays[node.terms[arrived - 1][2]];
  made.append(thumbnail(array, "the sum so far", 66, 52));
  made.append(element("span", {}, arrived === node.terms.length ? "the sum" : "so far"));
  if (array.pixels) made.append(element("span", {}, array.norm));
  return made;
}

function hooked(what) {
  if (what === "kept")
    return paragraph("A hook was called with this gradient, and left it as it is.", "quiet");
  return paragraph("A hook changed this gradient: it is not the sum of what arrived.", "alarm");
}

function checked(check) {
  const sign = check.entries ? (check.agrees ? "✓ " : "✗ ") : "";
  const kind = check.entries ? (check.agrees ? "good" : "alarm") : "quiet";
  return [element("h4", {}, "Checked numerically"), paragraph(sign + check.text, kind)];
}

/* What an op does with its gradient: its rule, and what each of its inputs gets. */
function handedOn(key, step) {
  const node = data.nodes[key];
  const op = data.ops[node.op];
  const parts = [element("h4", {}, "What it hands on")];
  for (const i of madeFrom[key] ?? []) parts.push(handed(data.edges[i], key, step));
  parts.push(element("h4", {}, `The rule of ${op.name}`));
  if (op.source.length) parts.push(code(op.source, `the rule of ${op.name}`));
  parts.push(paragraph(`${op.file}, line ${op.line}`, "quiet"));
  return parts;
}

function handed(edge, key, step) {
  const made = element("div", { class: "handed" }, element("p", {}, "to ", link(edge.source)));
  if (edge.gave === null) {
    made.append(paragraph("It needs no gradient.", "quiet"));
    return made;
  }
  if (edge.letters) made.append(paragraph(`d${edge.slot} = ${edge.letters}`, "formula"));
  made.append(paragraph(`${data.nodes[edge.source].name}.grad += ${edge.names || "…"}`, "rule"));
  if (reached(backwardStep[key], step))
    made.append(numbers(edge.gave, `contribution to ${data.nodes[edge.source].name}`));
  else made.append(paragraph("Not computed yet.", "quiet"));
  return made;
}

// ---------------------------------------------------------------- layers

function describeLayer(key, step) {
  const call = data.calls[key];
  const counts = [many(call.operations, "operation"), many(call.parameters, "parameter")];
  if (call.time > 1) counts.push(`call ${call.time}`);
  const chip = element("span", { class: "chip layer" }, "layer");
  const parts = [heading(call.name, call.title)];
  parts.push(element("p", { class: "facts" }, chip, counts.join(" · ")));
  if (call.outside !== null)
    parts.push(element("p", { class: "quiet" }, "inside ", link(call.outside)));
  parts.push(section("forward", "Comes in", flow(call.into, step)));
  parts.push(section("forward", "Goes out", flow(call.out, step)));
  return parts;
}

/* What goes through the border of a layer, and what gradient has come back there. */
function flow(keys, step) {
  const parts = keys.flatMap((key) => {
    const node = data.nodes[key];
    const made = [element("p", {}, link(key), ` ${shapeText(node.shape)}`)];
    if (!reached(node.born, step)) return [...made, paragraph("Not computed yet.", "quiet")];
    made.push(numbers(node.value, `value of ${node.name}`));
    const { array, complete } = gradientAt(node, step);
    if (array === null) return made;
    made.push(element("p", { class: "back" }, complete ? "its gradient" : "its gradient so far"));
    return [...made, numbers(array, `gradient of ${node.name}`)];
  });
  return parts.length ? parts : [paragraph("Nothing.", "quiet")];
}

function many(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
