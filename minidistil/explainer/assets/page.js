/* Draws the page from the data beside it, with the tools of minidistil/pages/assets/base.js.
   The layout of the data is described in minidistil/explainer/packing.py. */
const TRACES = DATA.traces;
const FEW = 32;         // rows of a list that are shown before "show all"
const CELLS = 64;       // tokens up to which the matrix is a table

/* ---------- numbers that are packed ---------- */

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}
const unpacked = new Map();
function once(text, make) {
  if (!unpacked.has(text)) unpacked.set(text, make(text));
  return unpacked.get(text);
}
const floats = (text) => once(text, (x) => new Float32Array(bytes(x).buffer));
const positions = (text) => once(text, (x) => new Uint16Array(bytes(x).buffer));
const shades = (text) => once(text, bytes);
const shade = (packed, i) => ((packed[i >> 1] >> (4 * (i & 1))) & 15) - 7;

// For narrow cells: no zero before the point.
const short = (x) => signed(x, Math.abs(x) < 9.95 ? 2 : 0).replace(/^([+\u2212]?)0\./, "$1.");
const percent = (x) => (x === null ? "unknown" : number(100 * x, x < 0.001 ? 4 : 2) + " %");
const subscript = (n) => String(n).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);
const token = (text) => el("bdi", { class: "token" }, visible(text));

/* ---------- state, kept in the address ---------- */

const state = { trace: 0, layer: 0, head: 0, query: 0, key: null, mask: 0, theme: null };
const NUMBERS = ["trace", "layer", "head", "query", "key", "mask"];

const trace = () => TRACES[state.trace];
const sizes = (t = trace()) => t.model.sizes;

function fit() {
  const clamp = (x, n) => Math.max(0, Math.min(Number.isInteger(x) ? x : 0, n - 1));
  state.trace = clamp(state.trace, TRACES.length);
  const { L, H, T, M } = sizes();
  state.layer = clamp(state.layer, L);
  state.head = clamp(state.head, H);
  state.query = clamp(state.query, T);
  state.key = state.key === null ? null : clamp(state.key, T);
  state.mask = clamp(state.mask, M || 1);
}

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of NUMBERS) {
    const value = given.get(name);
    if (value !== null && /^\d{1,6}$/.test(value)) state[name] = Number(value);
    else if (name === "key") state.key = null;
  }
  state.theme = themeIn(given);
  fit();
}

function writeHash() {
  const parts = NUMBERS.filter((name) => {
    if (name === "trace") return TRACES.length > 1;
    if (name === "mask") return sizes().M > 1;
    return state[name] !== null;
  }).map((name) => `${name}=${state[name]}`);
  if (state.theme) parts.push(`theme=${state.theme}`);
  try {
    history.replaceState(null, "", "#" + parts.join("&"));
  } catch {
    // A page inside a notebook's frame has no address of its own.
  }
}

const parts = []; // { id, needs, draw }
const part = (id, needs, draw) => parts.push({ id, needs, draw });

/* Draw what depends on something that changed, and give the focus back. */
function draw(changed) {
  const focus = document.activeElement && document.activeElement.dataset
    ? document.activeElement.dataset.focus : undefined;
  for (const each of parts) {
    if (changed === null || each.needs.some((name) => changed.includes(name))) {
      at(each.id).replaceChildren(...[each.draw()].flat(Infinity).filter(Boolean));
    }
  }
  mark();
  if (focus && (!document.activeElement || document.activeElement.dataset.focus !== focus)) {
    const again = document.querySelector(`[data-focus="${CSS.escape(focus)}"]`);
    if (again) again.focus({ preventScroll: true });
  }
}

function choose(changes, speak = true) {
  const before = { ...state };
  Object.assign(state, changes);
  if ("query" in changes || "head" in changes || "layer" in changes || "trace" in changes) {
    if (!("key" in changes)) state.key = null;
  }
  fit();
  const changed = Object.keys(state).filter((name) => state[name] !== before[name]);
  if (!changed.length) return;
  writeHash();
  draw(changed);
  if (speak) at("live").replaceChildren(...summary(bdi));
}

/* What is chosen is marked wherever it stands. */
function mark() {
  const chosen = NUMBERS.filter((name) => name !== "key").map((name) => [name, state[name]]);
  for (const [name, value] of chosen) {
    for (const node of document.querySelectorAll(`[data-${name}]`)) {
      const on = Number(node.dataset[name]) === value;
      node.classList.toggle("chosen", on);
      if (node.getAttribute("role") === "radio") {
        node.setAttribute("aria-checked", on);
        node.tabIndex = on ? 0 : -1;
      }
    }
  }
  for (const node of document.querySelectorAll(".tokens [role=radio].chosen")) {
    const box = node.parentElement;
    const top = node.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top + node.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top - box.clientHeight / 2;
    }
    const left = node.offsetLeft - box.offsetLeft;
    if (left < box.scrollLeft || left + node.offsetWidth > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left - box.clientWidth / 2;
    }
  }
}

/* A group of which one is chosen: one stop for Tab, arrows inside. */
function radios(name, label, options, attributes = {}) {
  const buttons = options.map(({ content, title, label: spoken }, i) =>
    el("button", {
      type: "button", role: "radio", ["data-" + name]: i, "data-focus": `${name}-${i}`,
      title, "aria-label": spoken, onclick: () => choose({ [name]: i }),
    }, content));
  const keydown = (event) => {
    // Down and up go to the next line where the buttons stand in several.
    const top = buttons[0].offsetTop;
    const columns = buttons.filter((button) => button.offsetTop === top).length;
    const below = columns < buttons.length && attributes.id === "heads" ? columns : 1;
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: below, ArrowUp: -below,
      Home: -Infinity, End: Infinity,
    };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const from = buttons.indexOf(event.target.closest("[role=radio]"));
    const to = Math.max(0, Math.min(buttons.length - 1, from + steps[event.key]));
    buttons[to].focus();
    choose({ [name]: to });
  };
  return el("div", { role: "radiogroup", "aria-label": label, ...attributes, onkeydown: keydown },
    buttons);
}

/* ---------- terms, shapes, source ---------- */

function shape(letters, t = trace()) {
  const size = (x) => (x === "L + 1" ? sizes(t).L + 1 : sizes(t)[x]);
  const numbers = letters.map(size);
  const tuple = (list) => `(${list.join(", ")}${list.length === 1 ? "," : ""})`;
  return el("span", { class: "shape", title: letters.map((x) => `${x[0]} ${LEGEND[x[0]]}`).join(", ") },
    tuple(letters), " = ", tuple(numbers));
}
const LEGEND = {
  T: "tokens", L: "layers", D: "model dimension", H: "heads", K: "dimension of a head",
  F: "inner dimension", V: "vocabulary", C: "labels", M: "masks",
};

const PARTS = {
  Reading: "The text", Word: "A word", Token: "A token", EmbeddingsTrace: "Embeddings",
  BlockTrace: "A layer", ClassifierTrace: "The head of a classifier",
  MaskedLMTrace: "The head of a masked language model", Record: "The whole trace",
  Attribution: "Attribution", Lens: "The logit lens", Ablations: "Ablations",
};

function term(name, partName = "BlockTrace") {
  const find = (of) => DATA.glossary.find((x) => x.name === name && x.part === of);
  // The head reads what the last layer returned.
  const entry = find(partName) || find("BlockTrace");
  if (!entry) return el("code", {}, name);
  return el("button", {
    type: "button", class: "term", "data-term": `${entry.part}.${name}`,
    "aria-haspopup": "dialog", onclick: () => explainTerm(entry),
  }, breakable(name));
}

/* A name that may go on in the next line after each _ where there is no room. */
const breakable = (name) =>
  name.split("_").flatMap((part, i) => (i ? ["_", el("wbr"), part] : [part]));

function explainTerm(entry) {
  const dialog = at("term");
  dialog.replaceChildren(
    el("h2", { id: "term-name" }, el("code", {}, entry.name)),
    el("p", {}, entry.what),
    entry.shape ? el("p", {}, shape(entry.shape.match(/[A-Z]( \+ 1)?/g).filter((x) => x[0] in sizes()))) : null,
    el("p", { class: "quiet" }, "Computed by ", el("code", {}, entry.where)),
    el("form", { method: "dialog" },
      el("button", { type: "button", onclick: () => { dialog.close(); goTo("glossary"); } }, "All terms"),
      el("button", {}, "Close")),
  );
  dialog.showModal();
  dialog.querySelector("form button:last-child").focus();
}

function code(step) {
  const { file, function: name, lines } = DATA.source[step];
  const body = el("code", {});
  let last = null;
  for (const [place, text] of lines) {
    if (last !== null && place !== last + 1) body.append(el("span", { class: "gap" }, "⋮\n"));
    const comment = text.search(/(^|\s)# /);
    body.append(el("span", { class: "place", "aria-hidden": "true" }, String(place).padStart(3) + "  "));
    body.append(comment < 0 ? text : text.slice(0, comment));
    if (comment >= 0) body.append(el("span", { class: "comment" }, text.slice(comment)));
    body.append("\n");
    last = place;
  }
  const details = el("details", { class: "code", "data-code": step, open: isOpen(step) },
    el("summary", { onclick: () => opened.set(step, !details.open) },
      el("code", {}, file), " ", el("span", { class: "quiet" }, name)),
    el("pre", { tabindex: 0, "aria-label": `Lines of ${file}` }, body));
  return details;
}
/* Where there is room the few lines that matter most stand open, until they are closed. */
const SHORT = ["embeddings", "attention", "classifier", "softmax"];
const opened = new Map();
const isOpen = (step) => opened.has(step) ? opened.get(step)
  : SHORT.includes(step) && getComputedStyle(at("main")).display === "grid";

/* The head of a column: what its numbers are, and below how they come about. */
const column = (name, how) => el("th", { scope: "col", class: "n" }, name,
  how ? [" ", el("span", { class: "how" }, how)] : null);

function step(title, sentence, ...more) {
  return [el("h3", {}, title), el("p", { class: "what" }, sentence), ...more];
}

/* ---------- colour ---------- */

function colour(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

/* A vector as a strip of K colours: blue below 0, orange above. What is darkest is its
   own largest number, unless `strength` makes it paler to be compared with others. */
function strip(packed, start, length, label, strength = 1) {
  const canvas = el("canvas", { class: "strip", width: length, height: 1,
    role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const image = context.createImageData(length, 1);
  const [zero, plus, minus] = ["--zero", "--plus", "--minus"].map(colour);
  for (let i = 0; i < length; i++) {
    const level = shade(packed, start + i);
    const end = level < 0 ? minus : plus;
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = zero[c] + (end[c] - zero[c]) * strength * Math.abs(level) / 7;
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/* ---------- attention, computed from the products ---------- */

/* One head of one layer. Scores are the model's to the bit: the products times
   float32(1 / √K), rounded to float32; the softmax is taken here, in float64. */
const heads = new Map();
function attention(number, layer, head) {
  const id = `${number} ${layer} ${head}`;
  if (heads.has(id)) return heads.get(id);
  const t = TRACES[number];
  const { T, H, K } = t.model.sizes;
  const scale = Math.fround(1 / Math.sqrt(K));
  const packed = t.layers[layer];
  const score = (product, key) =>
    t.tokens.attend[key] ? Math.fround(product * scale) : -Infinity;
  const row = (query) => {
    let keys, products, total = null;
    if (packed.products) {
      const start = (head * T + query) * T;
      products = floats(packed.products).subarray(start, start + T);
      keys = Array.from({ length: T }, (_, i) => i);
    } else {
      const N = floats(packed.strongest.products).length / (H * T);
      const start = (head * T + query) * N;
      products = floats(packed.strongest.products).subarray(start, start + N);
      keys = Array.from(positions(packed.strongest.keys).subarray(start, start + N));
      total = floats(packed.strongest.total)[head * T + query];
    }
    const scores = keys.map((key, i) => score(products[i], key));
    const most = Math.max(...scores);
    const powers = scores.map((x) => Math.exp(x - most));
    const all = total === null ? sum(powers) : total;
    const weights = powers.map((x) => x / all);
    return { keys, products, scores, powers, weights, most, total: all,
      others: total === null ? 0 : T - keys.length,
      rest: total === null ? 0 : Math.max(0, 1 - sum(weights)) };
  };
  const rows = [];
  const found = { row: (query) => rows[query] || (rows[query] = row(query)) };
  heads.set(id, found);
  return found;
}
const chosenHead = () => attention(state.trace, state.layer, state.head);
const strongest = (row) => row.weights.indexOf(Math.max(...row.weights));

function chosenKey() {
  const row = chosenHead().row(state.query);
  return state.key !== null && row.keys.includes(state.key) ? state.key : row.keys[strongest(row)];
}

/* What is attended to most, in parts; `name` makes a piece of a token's text. */
function summary(name) {
  const t = trace();
  const row = chosenHead().row(state.query);
  const best = row.keys.map((key, i) => [row.weights[i], key])
    .sort((a, b) => b[0] - a[0]).slice(0, 3)
    .flatMap(([weight, key], i) => [i ? ", “" : "“", name(t.tokens.text[key]), `” ${number(weight)}`]);
  return [`Layer ${state.layer}, head ${state.head}: “`, name(t.tokens.text[state.query]),
    "” attends most to ", ...best, "."];
}

/* ---------- the top ---------- */

/* What the top shows: for a regression the value, not a label; for several masks the
   word for one of them. */
function answer(t, mask = 0) {
  if (t.label === null) return null;
  const answers = floats(t.head.probabilities);
  if (t.head.masks) {
    const { masks, words } = t.head;
    return { label: words[mask][0], number: answers[mask * words[mask].length],
      more: masks.length > 1 ? ` for [MASK] at ${masks[mask]}` : "" };
  }
  const kind = t.head.function;
  if (kind === "none") {
    return answers.length === 1 ? { label: "value", number: answers[0], more: "" }
      : { label: count(answers.length, "value"), number: null, more: "" };
  }
  const likely = answers.filter((x) => x >= 0.5).length;
  const more = kind !== "sigmoid" || likely === 1 ? ""
    : likely ? ` and ${likely - 1} more of .5 or above` : " is below .5";
  return { label: t.label, number: answers[t.target], more };
}
const spoken = (said) => [
  " ", said.number === null ? null : number(said.number),
  said.more ? el("span", { class: "quiet" }, said.more) : null];

const isBlank = (t) => t.readings.every(({ raw }) => !raw.trim());

part("model-name", ["trace"], () => bdi(trace().model.name));
part("sentence", ["trace"], () => {
  const t = trace();
  document.documentElement.classList.toggle("long", sizes().T > CELLS);
  document.title = `${apart(cutTo(t.readings[0].raw, 60) || "empty text")} · minidistil`;
  if (isBlank(t)) return el("span", { class: "quiet" }, "(empty text)");
  const texts = t.readings.map(({ raw }) => {
    const beginning = cutTo(raw, 140);
    return bdi(beginning === raw ? raw : beginning + "…");
  });
  return texts.length < 2 ? texts : [texts[0], el("span", { class: "quiet" }, " · "), texts[1]];
});
part("path", ["trace", "mask"], () => {
  const t = trace();
  const said = answer(t, state.mask);
  const { T, L, H, D } = sizes();
  const link = (id, name, ...what) => el("a", {
    href: "#" + id, onclick: (event) => { event.preventDefault(); goTo(id); },
  }, el("span", { class: "name" }, name), el("span", { class: "result" }, what));
  return [
    link("step-text", "1 Text", count(T, "token")),
    el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    link("step-model", "2 Model", `${count(L, "layer")} of ${count(H, "head")}, ${T} × ${D} numbers`),
    el("span", { class: "arrow", "aria-hidden": "true" }, "→"),
    link("step-head", "3 Head", said
      ? [el("b", { id: "label" }, bdi(said.label)), el("span", { id: "probability" }, spoken(said))]
      : "not shown"),
  ];
});
part("notices", ["trace"], () => {
  const t = trace();
  const { T } = sizes();
  const said = [];
  if (t.not_shown) said.push(`No answer is shown: ${t.not_shown}.`);
  if (t.tokens.word.every((word) => word === null)) {
    said.push((isBlank(t) ? "The text is empty: " : "There is no word in the text: ") +
      (t.head ? "the answer is for " : "the model reads ") +
      t.tokens.text.filter((_, i) => t.tokens.attend[i]).join(" ") + " only.");
  }
  const left = t.readings.map((reading, i) => [reading.left_out, i + 1]).filter(([n]) => n);
  if (left.length) {
    said.push(t.readings.length < 2
      ? `The text is too long for the model, which does not read its last ${count(left[0][0], "token")}.`
      : "The two texts are too long for the model, which does not read " +
        left.map(([n, place]) => `the last ${count(n, "token")} of text ${place}`).join(" and ") + ".");
  }
  if (!t.layers[0].products) {
    const N = floats(t.layers[0].strongest.products).length / (sizes().H * T);
    said.push(`This text has ${T} tokens. To stay small, the page has only the ${N} strongest keys of each ` +
      "query and the sum of the others; the numbers of q, k, v and mixed are left out.");
  }
  if (T > CELLS) said.push("With so many tokens, lines are drawn only for the chosen one, and the matrix is a picture.");
  for (const omitted of t.omitted) said.push(omitted + ".");
  if (t.model.dtype !== "float32") {
    said.push(`The model computed in ${t.model.dtype}; scores and softmax are computed on this page ` +
      `from its products, and may differ in the last digits.`);
  }
  const hidden = t.tokens.attend.filter((x) => !x).length;
  if (hidden) said.push(`${count(hidden, "padding token")} ${hidden === 1 ? "makes" : "make"} this text as long as ` +
    `the longest of its batch; the mask hides them: their scores are −∞ and their weights 0.`);
  return said.length ? el("ul", { class: "notice" }, said.map((text) => el("li", {}, text))) : null;
});

/* ---------- several texts ---------- */

part("compare", ["trace", "layer", "head", "query", "theme"], () => {
  at("compare").hidden = TRACES.length < 2;
  if (TRACES.length < 2) return null;
  const attributed = TRACES.filter((t) => t.attribution);
  const most = Math.max(...attributed.map((t) => mostOf(t.attribution)));
  const cards = TRACES.map((t, i) => {
    const said = answer(t);
    const { T, L, H } = t.model.sizes;
    const padding = t.tokens.attend.filter((x) => !x).length;
    return { label: `Text ${i + 1}: ${apart(t.readings[0].raw)}` + (said ? `, ${apart(said.label)}` : ""),
      content: [
        state.layer < L && state.head < H
          ? picture(i, state.layer, state.head, Math.min(state.query, T - 1)) : null,
        el("span", { class: "card-text" },
          el("span", { class: "said" }, said
            ? [el("b", {}, bdi(said.label)), spoken(said)] : "no answer shown",
          el("span", { class: "quiet" }, ` · ${count(T, "token")}` + (padding ? `, ${padding} of them padding` : ""))),
          t.attribution ? attributedTexts(t, most)
            : el("span", { class: "sentence", dir: "auto" }, shown(cutTo(t.readings[0].raw, 200)))),
      ] };
  });
  return [
    el("h2", {}, "Texts side by side"),
    el("p", { class: "what" }, "Choose the one that is shown below. The pictures are the attention of layer " +
      `${state.layer}, head ${state.head}: a row for each query, a column for each key, ` +
      "chequered where the mask hides padding. The line marks the chosen token’s row. " +
      (attributed.length ? "Numbers and colours of words: what each adds to the logit of the label beside it, on one scale." : "")),
    radios("trace", "Text", cards, { class: "cards" }),
  ];
});

/* ---------- 1 text ---------- */

part("text", ["trace"], () => {
  const t = trace();
  return [
    t.readings.map((reading, i) => textOf(t, reading, i)),
    tokensOf(t),
  ];
});

function textOf(t, reading, number) {
  const name = (title) => t.readings.length > 1 ? `${title} of text ${number + 1}` : title;
  const pieces = reading.words.map(() => []);
  t.tokens.text.forEach((text, i) => {
    if (t.tokens.reading[i] === number) pieces[t.tokens.word[i]].push(text);
  });
  const head = [
    el("h3", {}, name("Raw text")),
    el("p", { class: "data raw", dir: "auto" }, shown(reading.raw)),
  ];
  if (reading.note) {
    return [head, el("p", { class: "notice" }, `The steps are not shown: ${reading.note}.`)];
  }
  return [
    head,
    step(name("Cleaned"), "Invisible characters go; an uncased model takes accents and capitals away.",
      el("p", { class: "data cleaned", dir: "auto" }, shown(reading.cleaned)), code("clean")),
    step(name("Words and pieces"), ["The text is split at spaces and around punctuation: ",
      count(reading.words.length, "word"), ". Of each word the longest beginning that is in the " +
      "vocabulary is taken, then the longest piece after it, which is written with ##."],
      reading.words.length ? wordList(reading.words, pieces) : null,
      reading.left_out ? el("p", { class: "notice left-out" },
        `The last ${count(reading.left_out, "token")} of the text ${reading.left_out === 1 ? "does" : "do"} not fit into the model.`) : null,
      code("split"), code("attempts")),
  ];
}

function wordList(words, pieces) {
  const item = ([text, , , attempts], place) => {
    const letters = Array.from(text);
    const written = ([start, end]) => (start ? "##" : "") + letters.slice(start, end).join("");
    const head = [
      el("span", { class: "word", dir: "auto" }, shown(text)), el("span", { class: "quiet" }, " → "),
      pieces[place].map((piece) => [token(piece), " "]),
    ];
    // A literal, such as [MASK], is its own piece.
    const tooLong = !attempts.length && pieces[place].length && pieces[place][0] !== text;
    if (tooLong) head.push(el("span", { class: "quiet" },
      `too long to be looked up: ${letters.length} characters`));
    const last = attempts[attempts.length - 1];
    const deadEnd = last && !last[2];
    if (attempts.length < 2 && !deadEnd) return el("li", { class: "plain" }, head);
    const details = el("details", { class: "attempts" },
      el("summary", {}, head, el("span", { class: "quiet" }, count(attempts.length, "look-up"))));
    const fill = () => {
      if (details.querySelector("ol")) return;
      details.append(el("ol", {}, attempts.map((attempt) => el("li", { class: attempt[2] ? "hit" : "miss" },
        el("span", { class: "sign", "aria-label": attempt[2] ? "found" : "not found" },
          attempt[2] ? "✓" : "·"), token(written(attempt))))));
      if (deadEnd) details.append(el("p", { class: "quiet dead-end" },
        "No piece fits here, so the whole word becomes ", token(pieces[place][0] || "[UNK]"), "."));
    };
    details.addEventListener("toggle", fill);
    details.fill = fill;
    return el("li", {}, details);
  };
  const list = el("ul", { class: "words" }, words.slice(0, FEW).map(item));
  const first = list.querySelector("details");
  if (first) { first.open = true; first.fill(); }
  if (words.length <= FEW) return list;
  const more = el("button", { type: "button", class: "more", onclick: () => {
    list.append(...words.map(item).slice(FEW));
    more.remove();
  } }, `Show all ${words.length} words`);
  return [list, more];
}

function tokensOf(t) {
  const { text, id, start, end, attend } = t.tokens;
  const rows = text.map((each, i) => el("tr", {
    "data-query": i, class: attend[i] ? null : "hidden-token",
    onclick: () => choose({ query: i }),
  },
    el("td", { class: "n" }, i),
    el("th", { scope: "row" }, token(each)),
    el("td", { class: "n" }, id[i]),
    el("td", { class: "n" }, start[i] === null ? (attend[i] ? "–" : "padding") : `${start[i]}–${end[i]}`)));
  return step("Tokens", ["What the model reads: one id for each token, the special ones included, ",
    "and the characters of the raw text it stands for. ", shape(["T"])],
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Tokens" },
      el("table", { id: "token-table" },
        el("thead", {}, el("tr", {}, ["position", "token", "id", "characters"].map((x, i) =>
          el("th", { scope: "col", class: i === 1 ? null : "n" }, x)))),
        el("tbody", {}, rows))));
}

/* ---------- 2 model ---------- */

part("picker", ["trace"], () => {
  const { L } = sizes();
  const t = trace();
  return [
    el("div", { class: "pick" }, el("span", { class: "pick-name", "aria-hidden": "true" }, "layer"),
      radios("layer", "Layer", Array.from({ length: L }, (_, i) => ({ content: i, label: `layer ${i}` })),
        { class: "segments", id: "layers" })),
    el("div", { class: "pick" }, el("span", { class: "pick-name", "aria-hidden": "true" }, "token"),
      radios("query", "Query token", t.tokens.text.map((text, i) => ({
        content: token(text), label: `${apart(text)}, token ${i}` + (t.tokens.attend[i] ? "" : ", padding"),
      })), { class: "tokens", id: "tokens" })),
  ];
});

function vectorRows(packed, place, partName) {
  const { names } = packed;
  const per = floats(packed.norms).length / names.length;
  const few = floats(packed.first).length / floats(packed.norms).length;
  return names.map((name, s) => {
    const i = s * per + place;
    const first = floats(packed.first).subarray(i * few, (i + 1) * few);
    return el("tr", { "data-step": name },
      el("th", { scope: "row" }, term(name, partName)),
      el("td", { class: "n norm" }, number(floats(packed.norms)[i])),
      Array.from(first, (x) => el("td", { class: "n" }, number(x))));
  });
}

function vectorTable(packed, place, partName, label) {
  const few = floats(packed.first).length / floats(packed.norms).length;
  return el("div", { class: "scroll vector-box", tabindex: 0, role: "region", "aria-label": label },
    el("table", { class: "vectors" },
      el("caption", { class: "unseen" }, label),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "step"),
        el("th", { scope: "col", class: "n" }, "length"),
        Array.from({ length: few }, (_, i) => el("th", { scope: "col", class: "n" }, `[${i}]`)))),
      el("tbody", {}, vectorRows(packed, place, partName))));
}

part("embeddings", ["trace", "query"], () => {
  const t = trace();
  const text = t.tokens.text[state.query];
  return step("Embeddings", ["Each token’s vector from the vocabulary’s table and the vector of its position " +
    "are added and normalised. ", shape(["T", "D"])],
    el("p", { class: "of" }, token(text), ` id ${t.tokens.id[state.query]}, position ${state.query}`),
    vectorTable(t.embeddings, state.query, "EmbeddingsTrace", `The embeddings of ${apart(text)}`),
    el("p", { class: "quiet note", id: "what-is-length" }, "length: the vector’s Euclidean norm. [0], [1], …: the first of its " +
      `${sizes().D} numbers.`),
    code("embeddings"));
});

/* Shade stands for the root of a weight: a weight of .04 is a fifth as dark as 1. */
function paint(canvas, number, layer, head) {
  const t = TRACES[number];
  const { T } = t.model.sizes;
  const found = attention(number, layer, head);
  const context = canvas.getContext("2d");
  const image = context.createImageData(T, T);
  const pixels = new Uint32Array(image.data.buffer);
  const pixel = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r;
  const [paper, ink, hatch] = ["--cell", "--weight", "--hatch"].map(colour);
  const most = T > CELLS
    ? Math.max(...Array.from({ length: T }, (_, y) => Math.max(...found.row(y).weights))) : 1;
  const ramp = Array.from({ length: 256 }, (_, i) =>
    pixel(paper.map((from, c) => Math.round(from + (ink[c] - from) * i / 255))));
  pixels.fill(ramp[0]);
  t.tokens.attend.forEach((seen, x) => {
    for (let y = (x + 1) % 2; !seen && y < T; y += 2) pixels[y * T + x] = pixel(hatch);
  });
  for (let y = 0; y < T; y++) {
    const row = found.row(y);
    row.keys.forEach((x, i) => {
      if (row.weights[i] > 0) pixels[y * T + x] = ramp[Math.round(255 * Math.sqrt(row.weights[i] / most))];
    });
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function picture(number, layer, head, query) {
  const { T } = TRACES[number].model.sizes;
  const canvas = el("canvas", { class: T > CELLS ? "fine" : null, width: T, height: T, "aria-hidden": "true" });
  paint(canvas, number, layer, head);
  return el("span", { class: "picture" }, canvas, query === null ? null
    : el("span", { class: "row-mark", vars: { "--at": `${100 * query / T}%`, "--high": `${100 / T}%` } }));
}

part("attention", ["trace", "layer", "theme"], () => {
  const t = trace();
  const { H } = sizes();
  const heads = Array.from({ length: H }, (_, head) => ({
    content: [picture(state.trace, state.layer, head, null), el("span", {}, head)],
    label: `head ${head}`,
  }));
  const padded = t.tokens.attend.some((x) => !x);
  return step(["Attention ", el("span", { class: "where" }, `layer ${state.layer}`)],
    ["For every token, the weighted mean of all tokens’ values. Each head has weights of its own. ",
      shape(["H", "T", "T"])], code("attention"), padded ? code("mask") : null,
    radios("head", "Head", heads, { class: "heads", id: "heads" }));
});

part("views", ["trace", "layer", "head", "query", "key", "theme"], () => [
  el("h4", {}, `Head ${state.head}: `, el("span", { class: "quiet" },
    "queries (left, rows) and keys (right, columns)")),
  el("div", { class: "views" }, lines(), matrix()),
  el("p", { class: "quiet note", id: "what-is-drawn" }, "Thickness of a line and shade of a cell stand for the weight " +
    (sizes().T > CELLS ? "(the shade for its root, against the head’s largest). " : "(the shade for its root). ") +
    `Lines for weights below ${small(FAINT)} are not drawn` +
    (sizes().T > CELLS ? ". Choose a token or a row."
      : `, of tokens other than the chosen one below ${small(least())}. Choose a token or a cell.`)),
]);

/* Of the chosen token nearly all lines are drawn, of the others those that stand out: of
   half of an even share or more. */
const FAINT = 0.002;
const least = () => Math.min(0.05, Math.round(500 / sizes().T) / 1000);
const small = (x) => String(x).replace(/^0/, "");

function lines() {
  const t = trace();
  const { T } = sizes();
  const unit = T > 40 ? 16 : T > 12 ? 20 : 34;
  const width = 300, left = 98, right = width - 98;
  const height = T * unit + 8;
  const high = Math.min(unit, 22);
  const y = (i) => 4 + unit * (i + 0.5);
  const found = chosenHead();
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, class: "lines", role: "img",
    "aria-label": `Attention as lines. ${summary(apart).join("")}` });
  const strokes = el("g", { class: "strokes" });
  const bold = el("g", { class: "strokes bold" });
  for (let query = 0; query < T; query++) {
    const chosen = query === state.query;
    if (T > CELLS && !chosen) continue;
    const row = found.row(query);
    row.keys.forEach((key, i) => {
      const weight = row.weights[i];
      if (weight < (chosen ? FAINT : least())) return;
      (chosen ? bold : strokes).append(el("path", {
        d: `M${left} ${y(query)}C${left + 40} ${y(query)} ${right - 40} ${y(key)} ${right} ${y(key)}`,
        "stroke-width": (0.4 + 5 * weight).toFixed(2),
        "stroke-opacity": (chosen ? 0.25 + 0.75 * weight : 0.5 * Math.sqrt(weight)).toFixed(3),
        "data-from": query, "data-to": key,
      }));
    });
  }
  svg.append(strokes, bold);
  const label = (text, i, side) => {
    const cut = Array.from(text).length > 13 ? cutTo(text, 12) + "…" : text;
    const node = el("g", { class: "label " + side + (t.tokens.attend[i] ? "" : " hidden-token"),
      ["data-" + (side === "left" ? "query" : "to")]: i,
      onclick: () => choose(side === "left" ? { query: i } : { key: i }) },
      el("rect", { x: side === "left" ? 0 : right, y: y(i) - high / 2, width: 98, height: high, rx: 3 }),
      el("text", { x: side === "left" ? left - 6 : right + 6, y: y(i) + 4,
        "text-anchor": side === "left" ? "end" : "start" }, apart(cut)));
    return node;
  };
  t.tokens.text.forEach((text, i) => svg.append(label(text, i, "left"), label(text, i, "right")));
  return el("div", { class: "lines-box" + (T > CELLS ? " capped" : "") }, svg);
}

function matrix() {
  const t = trace();
  const { T } = sizes();
  if (T > CELLS) return bigMatrix();
  const found = chosenHead();
  const size = T <= 8 ? 33 : T <= 10 ? 27 : T <= 12 ? 36 : T <= 20 ? 23 : T <= 34 ? 14 : 10;
  const readout = el("p", { id: "cell", class: "readout" });
  const tell = (query, key) => {
    const row = found.row(query);
    readout.replaceChildren(token(t.tokens.text[query]), " attends to ", token(t.tokens.text[key]),
      `: score ${number(row.scores[key])}, weight ${number(row.weights[key])}`);
  };
  const pick = state.key === null ? chosenKey() : state.key;
  const cells = [];
  const rows = t.tokens.text.map((text, query) => {
    const row = found.row(query);
    return el("tr", { "data-query": query },
      el("th", { scope: "row", class: t.tokens.attend[query] ? null : "hidden-token" }, token(text)),
      row.weights.map((weight, key) => {
        const here = query === state.query && key === pick;
        const cell = el("td", {
          class: (t.tokens.attend[key] ? "" : "masked ") + depth(Math.sqrt(weight)),
          vars: { "--w": Math.sqrt(weight).toFixed(4) }, tabindex: here ? 0 : -1,
          "data-cell": `${query}-${key}`, "data-focus": `cell-${query}-${key}`,
          "aria-selected": here ? "true" : null,
          onclick: () => choose({ query, key }), onfocus: () => tell(query, key),
          onmouseenter: () => tell(query, key),
        }, number(weight, 2).replace(/^0\./, "."));
        cells.push(cell);
        return cell;
      }));
  });
  tell(state.query, pick);
  const keydown = (event) => {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const cell = event.target.closest("[data-cell]");
    if (!(event.key in steps) || !cell) return;
    event.preventDefault();
    const [query, key] = cell.dataset.cell.split("-").map(Number);
    const clamp = (x) => Math.max(0, Math.min(T - 1, x));
    const to = { query: clamp(query + steps[event.key][0]), key: clamp(key + steps[event.key][1]) };
    cells[to.query * T + to.key].focus();
    choose(to);
  };
  return el("div", { class: "matrix-box" },
    el("div", { class: "scroll" },
      el("table", { class: "matrix" + (T > 12 ? " dense" : ""), id: "matrix", role: "grid",
        vars: { "--size": size + "px" }, onkeydown: keydown },
        el("caption", { class: "unseen" }, `Attention weights of layer ${state.layer}, head ${state.head}`),
        el("thead", {}, el("tr", {}, el("td", {}), t.tokens.text.map((text, i) =>
          el("th", { scope: "col", class: t.tokens.attend[i] ? null : "hidden-token" },
            el("span", {}, token(text)))))),
        el("tbody", {}, rows))),
    readout);
}

function bigMatrix() {
  const { T } = sizes();
  const canvas = el("canvas", { class: "fine big", id: "matrix", width: T, height: T, role: "img",
    "aria-label": `Attention weights of layer ${state.layer}, head ${state.head}, the strongest of each ` +
      "row; the table below has the numbers of the chosen row",
    onclick: (event) => {
      const box = canvas.getBoundingClientRect();
      choose({ query: Math.floor((event.clientY - box.top) / box.height * T) });
    } });
  paint(canvas, state.trace, state.layer, state.head);
  return el("div", { class: "matrix-box" }, el("div", { class: "picture" }, canvas,
    el("span", { class: "row-mark", vars: { "--at": `${100 * state.query / T}%`, "--high": `${100 / T}%` } })));
}

part("query", ["trace", "layer", "head", "query", "key", "theme"], () => {
  const t = trace();
  const { K, T } = sizes();
  const text = t.tokens.text[state.query];
  const row = chosenHead().row(state.query);
  const key = chosenKey();
  const packed = t.layers[state.layer];
  const per = (state.head * T + state.query) * K;
  const whole = Boolean(packed.q);
  const scale = (vectors, place) => floats(vectors.scale)[state.head * T + place];
  // What is mixed and the mix are on one scale, so that the rows add up to the eye.
  const most = whole ? Math.max(scale(packed.mixed, state.query),
    ...row.keys.map((each, i) => row.weights[i] * scale(packed.v, each))) : 0;
  const share = (x) => (most > 0 ? x / most : 0);
  const values = (key, weight) => strip(shades(packed.v.shades), (state.head * T + key) * K, K,
    `Weight × v of ${apart(t.tokens.text[key])}`, share(weight * scale(packed.v, key)));
  const rows = row.keys.map((each, i) => el("tr", {
    "data-key": each, class: (each === key ? "picked " : "") + (t.tokens.attend[each] ? "" : "hidden-token"),
    onclick: () => choose({ key: each }),
  },
    el("th", { scope: "row" }, whole
      ? el("button", { type: "button", class: "row-pick", "data-focus": `key-${each}`,
        tabindex: each === key ? 0 : -1, "aria-pressed": each === key ? "true" : "false", "aria-label": `${apart(t.tokens.text[each])}: show its product` },
        token(t.tokens.text[each]))
      : [token(t.tokens.text[each]), el("span", { class: "quiet" }, ` ${each}`)]),
    el("td", { class: "n", "data-product": "" }, number(row.products[i])),
    el("td", { class: "n", "data-score": "" }, number(row.scores[i])),
    el("td", { class: "n", "data-power": "" }, number(row.powers[i])),
    el("td", { class: "n bar", "data-weight": "", vars: { "--w": row.weights[i].toFixed(5) } },
      number(row.weights[i])),
    whole ? el("td", { class: "value" }, values(each, row.weights[i])) : null));
  const others = row.others ? el("tr", { class: "rest" },
    el("th", { scope: "row" }, `${row.others} others`), el("td", { class: "n" }, "…"), el("td", { class: "n" }, "…"),
    el("td", { class: "n" }, number(Math.max(0, row.total - sum(row.powers)))),
    el("td", { class: "n bar", vars: { "--w": row.rest.toFixed(5) } }, number(row.rest))) : null;
  const head = el("thead", {}, el("tr", {},
    el("th", { scope: "col" }, "key"),
    column("product", "q · k"),
    column("score", `÷ √${K}`),
    column("exp", "of score − max"),
    column("weight", "÷ sum"),
    whole ? el("th", { scope: "col", class: "value" }, "mixed ", el("span", { class: "how" }, "weight × v")) : null));
  const foot = el("tfoot", {}, el("tr", {},
    el("th", { scope: "row" }, "sum"), el("td", {}),
    el("td", { class: "n quiet" }, `max ${number(row.most)}`),
    el("td", { class: "n", id: "total" }, number(row.total)),
    el("td", { class: "n" }, number(sum(row.weights) + row.rest)),
    whole ? el("td", { class: "value" }, strip(shades(packed.mixed.shades), per, K, "mixed", share(scale(packed.mixed, state.query)))) : null));
  return [
    step(["One token’s attention ", el("span", { class: "where" }, `layer ${state.layer}, head ${state.head}`)],
      ["The query ", term("q"), " of ", token(text), " is multiplied with the key ", term("k"), " of every token: the ",
        term("products"), ", divided by √K, are the ", term("scores"), "; softmax turns them into ", term("weights"),
        ", and the mean of the values ", term("v"), " with these weights is ", term("mixed"), ". ",
        shape(["H", "T", "K"])],
      el("p", { class: "summary", id: "summary" }, summary(token))),
    whole ? [vectorLine("q", packed.q, state.query),
      el("p", { class: "quiet note", id: "what-is-a-strip" }, `A strip is a vector, ${K} numbers in 15 shades: orange is above 0, ` +
        "blue below. Of q and of k the darkest shade is the vector’s own largest number. Below, all of weight × v and their " +
        `sum are on one scale, up to ±${number(most)}.`)] : null,
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Scores and weights" },
      el("table", { id: "scores" },
        el("caption", { class: "unseen" }, `What ${apart(text)} attends to`), head,
        el("tbody", { onkeydown: moveKey }, rows, others), foot)),
    whole ? product(t, packed, row, key) : null,
    whole ? mix(t, packed, row) : null,
    code("heads"),
  ];
});

/* One stop for Tab, arrows between the keys. */
function moveKey(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  const row = event.target.closest("[data-key]");
  if (!(event.key in steps) || !row) return;
  event.preventDefault();
  const { T } = sizes();
  const to = Math.max(0, Math.min(T - 1, Number(row.dataset.key) + steps[event.key]));
  row.parentElement.children[to].querySelector("button").focus();
  choose({ key: to });
}

function firstOf(packed, place) {
  const { H, T } = sizes();
  const few = floats(packed.first).length / (H * T);
  const start = (state.head * T + place) * few;
  return Array.from(floats(packed.first).subarray(start, start + few));
}

/* A query or a key: all of it as a strip, and its first numbers. */
function vectorLine(name, packed, place) {
  const t = trace();
  const { K, T } = sizes();
  const at = state.head * T + place;
  return el("div", { class: "vector-line" }, el("span", {}, `${name} of `, token(t.tokens.text[place])),
    strip(shades(packed.shades), at * K, K, `${name} of ${apart(t.tokens.text[place])}`),
    el("span", { class: "quiet" }, firstOf(packed, place).map((x) => number(x)).join("  ") + (K > 4 ? " …" : ""),
      `, up to ±${number(floats(packed.scale)[at])}`));
}

function product(t, packed, row, key) {
  const { K } = sizes();
  const q = firstOf(packed.q, state.query), k = firstOf(packed.k, key);
  const products = q.map((x, i) => x * k[i]);
  const whole = row.products[key];
  return el("div", { class: "product", id: "product" },
    el("h4", {}, "q of ", token(t.tokens.text[state.query]), " · k of ", token(t.tokens.text[key])),
    vectorLine("k", packed.k, key),
    el("p", { class: "sum-line" },
      q.map((x, i) => [el("span", { class: "addend" }, i ? "+ " : "", `${number(x)} × ${number(k[i])}`), " "]),
      K > q.length ? [el("span", { class: "addend" }, `+ ${K - q.length} more products `,
        el("span", { class: "quiet" }, `(${number(whole - sum(products))})`)), " "] : null,
      el("b", {}, "= " + number(whole))),
    t.tokens.attend[key] ? null : el("p", { class: "quiet" },
      "The mask then puts −∞ in the place of its score: exp(−∞) is 0."));
}

function mix(t, packed, row) {
  const K = sizes().K;
  const few = firstOf(packed.v, 0).length;
  const body = row.keys.map((key, i) => el("tr", { class: t.tokens.attend[key] ? null : "hidden-token" },
    el("th", { scope: "row" }, token(t.tokens.text[key])),
    el("td", { class: "n" }, number(row.weights[i])),
    firstOf(packed.v, key).map((x) => el("td", { class: "n" }, number(x)))));
  return el("details", { class: "mix", id: "mix" },
    el("summary", {}, `The mix in numbers: the first ${few} of ${K}`),
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "The mix in numbers" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "key"), el("th", { scope: "col", class: "n" }, "weight ×"),
        Array.from({ length: few }, (_, i) => el("th", { scope: "col", class: "n" }, `v[${i}]`)))),
      el("tbody", {}, body),
      el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "mixed"), el("td", { class: "n quiet" }, "sum"),
        firstOf(packed.mixed, state.query).map((x) => el("td", { class: "n" }, number(x))))))),
    el("p", { class: "quiet note" }, `${few < 2 ? "The number is" : "The numbers are"} rounded to four decimals. The coloured strips show all ${K}.`));
}

part("rest", ["trace", "layer", "query"], () => {
  const t = trace();
  const text = t.tokens.text[state.query];
  return step(["The rest of the layer ", el("span", { class: "where" }, `layer ${state.layer}`)],
    ["The heads’ results, side by side again, go through ", term("out_lin"), " and are added to x; " +
      "then each token goes by itself through a wider layer and back. LayerNorm normalises both sums. ", shape(["T", "D"]), ", inside the wider layer ", shape(["T", "F"])],
    el("p", { class: "of" }, token(text)),
    vectorTable(t.layers[state.layer], state.query, "BlockTrace",
      `${apart(text)} through layer ${state.layer}`),
    code("block"), code("ffn"));
});

part("norms", ["trace"], () => {
  const t = trace();
  const { T, L } = sizes();
  const norms = floats(t.norms);
  const low = Math.min(...norms), high = Math.max(...norms);
  const share = (x) => (high > low ? (x - low) / (high - low) : 0);
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "token"),
    Array.from({ length: L + 1 }, (_, i) => el("th", { scope: "col", class: "n", "data-layer": i - 1 },
      i ? `layer ${i - 1}` : ["em", el("wbr"), "bed", el("wbr"), "ded"]))));
  const rows = t.tokens.text.map((text, i) => el("tr", { "data-query": i, onclick: () => choose({ query: i }),
    class: t.tokens.attend[i] ? null : "hidden-token" },
    el("th", { scope: "row" }, token(text)),
    Array.from({ length: L + 1 }, (_, l) => {
      const x = norms[l * T + i];
      return el("td", { class: `n heat ${depth(0.75 * share(x))}`,
        vars: { "--w": (0.75 * share(x)).toFixed(3) } }, number(x, 2));
    })));
  return step("Lengths, layer by layer", ["How long each token’s vector is (its Euclidean norm) after the " +
    "embeddings and after every layer. ", shape(["T", "L + 1"])],
    el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Lengths" },
      el("table", { class: "norms", id: "norm-table" }, head, el("tbody", {}, rows))));
});

/* ---------- 3 head ---------- */

part("head", ["trace", "mask"], () => {
  const t = trace();
  if (!t.head) return el("p", { class: "notice", id: "not-shown" }, `No answer is shown: ${t.not_shown}.`);
  return t.head.masks ? maskedHead(t) : classifierHead(t);
});

function classifierHead(t) {
  const { D, C } = sizes();
  return [
    step(["The token read ", el("span", { class: "where" }, "[CLS]")],
      ["The answer is computed from the last layer’s vector of the first token only, by two linear layers with ",
        "ReLU between. ", shape(["D"]), ` → `, shape(["C"])],
      vectorTable(t.head, 0, "ClassifierTrace", "The head’s vectors"),
      el("p", { class: "quiet note" }, `ReLU keeps ${t.head.above} of ${D} numbers; the others become 0.`),
      code("classifier")),
    step(t.head.function === "none" ? `From the vector to the ${C > 1 ? "values" : "value"}` : "From logits to the label", {
      softmax: "Softmax turns the logits into probabilities that add up to 1; the largest is that of the label.",
      sigmoid: "Each label has a sigmoid of its own: several may be right, or none. Those of .5 or above are marked.",
      none: "A regression: each logit is an answer as it is.",
    }[t.head.function],
    labelTable(t), t.head.function === "softmax" ? code("softmax") : null, C > FEW ? el("p", { class: "quiet note" }, `The ${FEW} with the largest logits, of ${C}.`) : null),
  ];
}

function labelTable(t) {
  const logits = Array.from(floats(t.head.logits)), answers = floats(t.head.probabilities);
  const most = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - most));
  const order = logits.map((_, i) => i);
  if (order.length > FEW) order.sort((a, b) => logits[b] - logits[a]).splice(FEW);
  const soft = t.head.function === "softmax", sigmoid = t.head.function === "sigmoid";
  const wins = (i) => (soft ? i === t.target : sigmoid && answers[i] >= 0.5);
  return el("div", { class: "scroll" }, el("table", { id: "labels" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "label"), column("logit"),
      soft ? column("exp", "of logit − max") : null,
      soft || sigmoid ? column("probability", soft ? "÷ sum" : "1 / (1 + exp(−logit))") : null)),
    el("tbody", {}, order.map((i) => el("tr", { class: wins(i) ? "winner" : null, "data-label": i },
      el("th", { scope: "row" }, bdi(t.head.labels[i])),
      el("td", { class: "n", "data-logit": "" }, number(logits[i])),
      soft ? el("td", { class: "n" }, number(powers[i])) : null,
      soft || sigmoid ? el("td", { class: "n bar", "data-probability": "", vars: { "--w": answers[i].toFixed(5) } },
        number(answers[i])) : null))),
    soft ? el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, order.length < logits.length
      ? `sum of all ${logits.length}` : "sum"), el("td", { class: "n quiet" }, `max ${number(most)}`),
      el("td", { class: "n" }, number(sum(powers))), el("td", { class: "n" }, number(sum(Array.from(answers)))))) : null));
}

function maskedHead(t) {
  const { V, M } = sizes();
  const W = t.head.words[0].length;
  const m = state.mask;
  const logits = floats(t.head.logits).subarray(m * W, (m + 1) * W);
  const answers = floats(t.head.probabilities).subarray(m * W, (m + 1) * W);
  const total = floats(t.head.total)[m];
  return [
    M > 1 ? radios("mask", "Mask", t.head.masks.map((place) => ({ content: `[MASK] at ${place}` })),
      { class: "segments", id: "masks" }) : null,
    step(["The token read ", el("span", { class: "where" }, `[MASK] at ${t.head.masks[m]}`)],
      ["The last layer’s vector of the mask is transformed and compared with the vector of every word. ",
        shape(["M", "D"]), " → ", shape(["M", "V"])],
      vectorTable(t.head, m, "MaskedLMTrace", "The head’s vectors"), code("masked_lm")),
    step("The most probable words", `Softmax over all ${V} words: exp(logit − largest) divided by the sum.`,
      el("div", { class: "scroll" }, el("table", { id: "labels" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "word"), column("logit"),
          column("exp", "of logit − max"), column("probability", "÷ sum"))),
        el("tbody", {}, t.head.words[m].map((word, i) => el("tr", { class: i ? null : "winner", "data-label": i },
          el("th", { scope: "row" }, token(word)), el("td", { class: "n", "data-logit": "" }, number(logits[i])),
          el("td", { class: "n" }, number(Math.exp(logits[i] - logits[0]))),
          el("td", { class: "n bar", "data-probability": "", vars: { "--w": answers[i].toFixed(5) } }, number(answers[i]))))),
        el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, `all ${V}`), el("td", { class: "n quiet" }, `max ${number(logits[0])}`),
          el("td", { class: "n" }, number(total)), el("td", {}))))), code("softmax")),
  ];
}

part("lens", ["trace", "mask", "layer"], () => {
  const t = trace();
  if (!t.lens) return null;
  const { L } = sizes();
  const lens = t.lens[t.head.masks ? state.mask : 0];
  const N = floats(lens.logits).length / (L + 1);
  const logits = floats(lens.logits), answers = floats(lens.probabilities);
  const name = (l) => (l ? `layer ${l - 1}` : "embedded");
  const said = N > 1 && { softmax: "prediction", sigmoid: "most probable" }[t.head.function];
  const plain = t.head.function === "none";  // its probabilities are the logits
  const rows = Array.from({ length: L + 1 }, (_, l) => {
    const attributes = { "data-layer": l - 1 };
    if (lens.words) {
      return el("tr", attributes, el("th", { scope: "row" }, name(l)),
        el("td", { class: "guesses" }, lens.words[l].map((word, i) => [el("span", { class: "guess" }, token(word), " ",
          el("span", { class: "quiet" }, number(answers[l * N + i]))), " "])));
    }
    const row = answers.subarray(l * N, (l + 1) * N), scores = logits.subarray(l * N, (l + 1) * N);
    const best = scores.indexOf(Math.max(...scores));
    return el("tr", attributes, el("th", { scope: "row" }, name(l)),
      el("td", { class: "n" }, number(logits[l * N + t.target])),
      plain ? null : el("td", { class: "n bar", vars: { "--w": row[t.target].toFixed(5) } }, number(row[t.target])),
      said ? el("td", {}, bdi(t.head.labels[best])) : null);
  });
  return step("The answer, layer by layer",
    "The logit lens: what the head would predict from its token’s vector after each layer. The head was trained " +
    "on the last layer only, so early predictions are no more than a hint.",
    el("div", { class: "scroll" }, el("table", { id: "lens-table" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "after"), lens.words
        ? el("th", { scope: "col" }, "the most probable words, each with its probability")
        : [column("logit", ["of ", bdi(t.label)]), plain ? null : column("probability", ["of ", bdi(t.label)]),
          said ? el("th", { scope: "col" }, said) : null])),
      el("tbody", {}, rows))));
});

const tint = (x, most) => ({
  class: x < 0 ? "minus" : "plus",
  share: most > 0 && Number.isFinite(x) ? Math.abs(x) / most : 0,
});

const mostOf = (found) =>
  Math.max(...found.words.flat().map((x) => Math.abs(x || 0)), Math.abs(found.specials || 0));

/* The raw text with what each word adds. */
function attributedTexts(t, most) {
  return t.readings.map((reading, r) => {
    const chars = Array.from(reading.raw);
    const parts = [];
    let place = 0;
    reading.words.forEach(([, start, end], w) => {
      if (start > place) parts.push(shown(chars.slice(place, start).join("")));
      const x = t.attribution.words[r][w];
      const { class: sign, share } = tint(x, most);
      parts.push(el("span", { class: `why ${sign}`, vars: { "--w": share.toFixed(3) }, "data-word": `${r}-${w}` },
        el("bdi", {}, shown(chars.slice(Math.max(start, place), end).join(""))),
        el("span", { class: "unseen" }, " "), el("small", {}, signed(x, 2))));
      place = Math.max(place, end);
    });
    if (place < chars.length) parts.push(el("span", { class: "quiet" }, shown(chars.slice(place).join(""))));
    return el("span", { class: "attributed", dir: "auto" }, parts);
  });
}

/* Of several masks the reasons are those of the first. */
function maskOf(t) {
  const masks = t.head.masks || [];
  return masks.length > 1 ? el("span", { class: "where" }, `[MASK] at ${masks[0]}`) : null;
}
function otherMask(t, method) {
  if (!state.mask || !maskOf(t)) return null;
  return el("p", { class: "notice" }, `This is for the first one, [MASK] at ${t.head.masks[0]}. For the chosen ` +
    `[MASK] at ${t.head.masks[state.mask]}: `, el("code", {}, `trace.${method}(mask=${state.mask})`), ".");
}

part("attribution", ["trace", "mask"], () => {
  const t = trace();
  const found = t.attribution;
  if (!found) return null;
  const most = mostOf(found);
  const texts = attributedTexts(t, most);
  const all = sum(found.words.flat()) + found.specials;
  const tokens = floats(found.tokens);
  return [
    step(["Why ", bdi(found.name), " ", maskOf(t)], ["Integrated gradients: how much each word adds to the logit of ", bdi(found.name),
      `, from a baseline with [PAD] in place of every ${t.head.masks ? "other " : ""}word to the text itself.`],
      otherMask(t, "attribute"),
      el("p", { class: "legend" }, el("span", { class: "key minus" }, MINUS + " against"), el("span", { class: "key plus" }, "+ for")),
      texts,
      el("dl", { class: "facts", id: "completeness" }, [
        ["words", signed(sum(found.words.flat()))],
        ["special tokens (kept, so 0)", signed(found.specials)],
        ["sum", signed(all), "total"],
        ["logit of the text", number(found.logit)],
        ["minus that of the baseline", number(found.baseline)],
        ["what the sum should be", signed(found.logit - found.baseline), "total"],
      ].map(([name, value, kind]) =>
        el("div", { class: kind }, el("dt", {}, name), el("dd", {}, value)))),
      el("p", { class: found.reached ? "quiet note" : "notice" },
        `The sum is off by ${percent(found.error)} after ${found.steps} steps` +
        (found.reached ? "." : ". On parts of the path the error is larger, and more steps would take too " +
          "long for this page: read the shares with care."))),
    el("details", {}, el("summary", {}, "Token by token"),
      el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Attribution of tokens" }, el("table", { id: "attributed-tokens" },
        el("tbody", {}, t.tokens.text.map((text, i) => {
          const { class: sign, share } = tint(tokens[i], most);
          return el("tr", { "data-query": i }, el("th", { scope: "row" }, token(text)),
            el("td", { class: `n tint ${sign}`, vars: { "--w": share.toFixed(3) } }, signed(tokens[i])));
        }))))),
  ];
});

part("ablations", ["trace", "mask"], () => {
  const t = trace();
  const found = t.ablations;
  if (!found) return null;
  const { L, H, T } = sizes();
  const [inHeads, inLayers, inTokens] = [found.heads, found.layers, found.tokens].map(floats);
  const all = [inHeads, inLayers, inTokens].flatMap((list) => Array.from(list, Math.abs));
  const most = Math.max(...all.filter(Number.isFinite));
  // The root, as beside a token or a layer nothing would be seen of a head.
  const look = (x) => {
    const { class: sign, share } = tint(x, most);
    return { class: `tint ${sign}`, vars: { "--w": Math.sqrt(share).toFixed(3) } };
  };
  const cell = (x, title, data) => {
    const { class: sign, vars } = look(x);
    return el("td", { class: `n ${sign}`, vars, title: `${title}: ${signed(x)}`, ...data }, short(x));
  };
  const indices = (n) => Array.from({ length: n }, (_, i) => i);
  return step(["Without it ", el("span", { class: "where" }, "ablations"), " ", maskOf(t)],
    ["How the logit of ", bdi(t.label), " changes if one part is taken out and all the rest stays: a head’s ",
      term("mixed"), " values become 0, a layer is skipped, a token is hidden by the mask. Orange: it rises; blue: it " +
      "falls, so the part supported it. ", shape(["L", "H"])],
    otherMask(t, "ablations"),
    el("p", { class: "quiet note" }, `Heads, layers and tokens are coloured on one scale, up to ±${number(most, 2)}; the shade stands for the root.`),
    el("h4", {}, "Heads ", el("span", { class: "quiet" }, "in columns; last, the whole layer")),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ablation of heads and layers" },
      el("table", { class: "grid", id: "ablated-heads", vars: { "--heads": H } },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "layer"),
          indices(H).map((h) => el("th", { scope: "col", class: "n" }, h)), el("th", { scope: "col", class: "n" }, "all"))),
        el("tbody", {}, indices(L).map((l) => el("tr", { "data-layer": l }, el("th", { scope: "row" }, el("span", { class: "unseen" }, "layer "), l),
          indices(H).map((h) => cell(inHeads[l * H + h], `without layer ${l}, head ${h}`, { "data-ablated": `${l}-${h}` })),
          cell(inLayers[l], `without layer ${l}`, { "data-ablated": `${l}` })))))),
    el("h4", {}, "Tokens"),
    el("ul", { class: "taken", id: "ablated-tokens" }, indices(T).map((i) => {
      return el("li", { ...look(inTokens[i]), "data-ablated-token": i, title: signed(inTokens[i]) }, token(t.tokens.text[i]), " ", el("span", { class: "n" }, short(inTokens[i])));
    })));
});

/* ---------- below ---------- */

part("terms", ["trace"], () => Object.entries(PARTS).map(([name, title]) => {
  const entries = DATA.glossary.filter((entry) => entry.part === name);
  return entries.length ? [el("h3", {}, title), el("dl", { class: "glossary" }, entries.map((entry) =>
    el("div", { "data-entry": `${name}.${entry.name}` },
      el("dt", {}, el("code", {}, entry.name), entry.shape ? el("span", { class: "quiet" }, " " + entry.shape) : null),
      el("dd", {}, entry.what, " ", el("code", { class: "quiet" }, entry.where)))))] : null;
}));
part("about", ["trace"], () => {
  const t = trace();
  const reasons = [t.lens && "the lens", t.attribution && "the attribution", t.ablations && "the ablations"].filter(Boolean);
  const list = reasons.join(", ").replace(/, ([^,]*)$/, " and $1");
  return [el("p", {}, "Every step from text to answer was recorded in one run of ",
    t.head ? null : "the encoder of ", el("code", {}, t.model.class), ": products, vectors and logits are stored as " +
    "float32; scores and softmax are computed on this page from them. " +
    (list ? `${list[0].toUpperCase()}${list.slice(1)} come from further runs. ` : "") +
    "Numbers are rounded to the decimals shown. The page makes no request.")];
});
part("theme", ["theme"], () => showTheme(state.theme));

/* ---------- start ---------- */

// First the theme: canvases read its colours.
parts.sort((a, b) => (b.id === "theme") - (a.id === "theme"));
at("open-glossary").addEventListener("click", () => goTo("glossary"));
addEventListener("hashchange", () => { readHash(); draw(null); });
themes(state, (theme) => choose({ theme }, false), () => draw(["theme"]));
readHash();
if (!/query=/.test(location.hash)) {
  // A word says more than [CLS].
  state.query = Math.max(0, trace().tokens.word.findIndex((word) => word !== null));
}
draw(null);
isReady();
