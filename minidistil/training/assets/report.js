/* Draws the report of a training, with the tools of minidistil/pages/assets/base.js. The
   layout of the data is described in minidistil/training/report.py. */
const FEW = 60;      // lines of a table of numbers
const BEGINNING = 300; // characters of a long text that are seen before it is opened
const SECONDS = 10;  // between two looks at a training that is followed

/* ---------- numbers ---------- */

const value = (x) => (x === null || x === undefined ? null : Number(x));
const thousands = (x) => {
  const [before, ...after] = String(x).split(".");
  return [before.replace(/\B(?=(\d{3})+$)/g, ","), ...after].join(".");
};
const power = (text) => text.replace("e+", "e").replaceAll("-", MINUS);

/* A measured number: four decimals, as far as they say something. */
function figure(x) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (!Number.isFinite(x)) return number(x);
  if (x === 0) return "0";
  if (size < 0.0009995 || size >= 1e12) return power(x.toExponential(3));
  if (size >= 9999.5) return (x < 0 ? MINUS : "") + thousands(Math.round(size));
  return number(x, size < 9.99995 ? 4 : 2);
}
const whole = (x) => (x === null || x === undefined ? "–" : thousands(x));
const share = (part, all) => (all ? number(100 * part / all, part / all < 0.01 ? 2 : 1) + " %" : "–");
/* A figure of a label or a mistake: a number, or a text as it stands. */
const said = (x) => (x === null ? "–" : typeof x === "string" ? bdi(x)
  : Number.isInteger(x.number) ? whole(x.number) : figure(value(x.number)));
const NAMES = {
  learning_rate: "learning rate", gradient: "gradient norm", tokens_per_second: "tokens a second",
};
const named = (name) => NAMES[name] || name.replaceAll("_", " ");

function time(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return count(Math.round(seconds), "second");
  if (minutes < 90) return count(minutes, "minute");
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/* ---------- tables ---------- */

const head = (...cells) => el("thead", {}, el("tr", {}, cells.map((cell, i) =>
  el("th", { scope: "col", class: i ? "n" : null }, cell))));
const row = (name, cells, attributes) => el("tr", attributes || {},
  el("th", { scope: "row" }, name), cells.map((cell) => el("td", { class: "n" }, cell)));
/* A table that is scrolled where there is no room for it. */
const table = (caption, attributes, ...parts) => el("div", {
  class: "scroll tall", tabindex: 0, role: "region", "aria-label": caption },
  el("table", attributes, el("caption", { class: "unseen" }, caption), parts));
const terms = (pairs, attributes) => el("dl", { class: "pairs", ...attributes }, pairs.filter(Boolean).map(
  ([name, what, kind]) => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, what))));

/* ---------- curves ---------- */

/* Lines of a log, or evaluations. Their curves share one cursor, which is `at` a line. */
function series({ count, columns }) {
  const found = {};
  for (const [name, column] of Object.entries(columns)) found[name] = column.map(value);
  const steps = found.step || [];
  return { count, columns: found, steps, at: 0, moved: false, curves: [] };
}

function ticksOf(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  const first = Math.ceil(low / size - 1e-9), last = Math.floor(high / size + 1e-9);
  return { size, all: Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * size) };
}

/* What a number at an axis says: as short as it can be. */
function mark(x) {
  const short = Number(x.toPrecision(3)), size = Math.abs(short);
  if (short && (size < 0.001 || size >= 1e7)) return power(short.toExponential());
  return (short < 0 ? MINUS : "") + thousands(size);
}

/* Where a value stands between 0, at the bottom, and 1; and the numbers at the axis. */
function scaleOf(values, mayBeLog) {
  const finite = values.filter((x) => Number.isFinite(x) && Math.abs(x) < 1e300);
  if (!finite.length) return { place: () => 0, ticks: [], log: false };
  let low = Math.min(...finite), high = Math.max(...finite);
  // A few high peaks would press all the rest to the ground.
  const middle = finite.sort((a, b) => a - b)[finite.length >> 1];
  if (mayBeLog && low > 0 && high / low > 10 && middle - low < (high - low) / 10) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const step = Math.ceil((last - first) / 4);
    const all = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => 10 ** (first + i * step));
    return { place: (x) => (Math.log10(x) - first) / (last - first), ticks: all, log: true };
  }
  if (low >= 0 && low < high / 2) low = 0;
  if (low === high) {
    const room = Math.abs(low) / 10 || 1;
    low -= room;
    if (high !== 1) high += room; // of what measures count in shares, 1 is the most
  }
  const { size, all } = ticksOf(low, high, 4);
  const bottom = Math.min(low, Math.floor(low / size + 1e-9) * size);
  const top = Math.max(high, Math.ceil(high / size - 1e-9) * size);
  const ticks = all.concat(bottom, top).filter((x, i, list) => list.findIndex((y) => Math.abs(x - y) < size / 2) === i);
  return { place: (x) => (x - bottom) / (top - bottom), ticks, log: false };
}

const short = (x) => Number(x.toFixed(4));

/* A line through the finite values; where one is not, there is a gap, and where nothing
   was measured the line goes on. */
function pathOf(values, x, y) {
  let d = "", drawing = false;
  values.forEach((each, i) => {
    if (Number.isFinite(each) && each !== null) {
      d += `${drawing ? "L" : "M"}${short(1000 * x(i))} ${short(1000 - 1000 * y(each))}`;
      drawing = true;
    } else if (each !== null) drawing = false;
  });
  return d;
}

/* One curve in a frame. The line is stretched to whatever room there is; everything else,
   which must not be, stands around it and above it. */
function curve(data, name, { id, title, mayBeLog, best, wide, note }) {
  const { steps } = data, values = data.columns[name];
  const first = steps[0], last = steps[steps.length - 1];
  const clamp = (share) => Math.max(0, Math.min(1, share));
  const x = (i) => (last > first ? short((steps[i] - first) / (last - first)) : 0.5);
  const scale = scaleOf(values, mayBeLog);
  const y = (each) => short(clamp(scale.place(each)));
  const measured = values.flatMap((each, i) => (each === null ? [] : [i]));
  const finite = measured.filter((i) => Number.isFinite(values[i]));
  // What is no finite number has no place of its own: it is marked at the top.
  const odd = new Map(measured.filter((i) => !Number.isFinite(values[i])).map((i) => [Math.round(100 * x(i)), i]));
  const dots = finite.length <= 40 && data === evaluations || finite.length === 1 ? finite : [];
  const cursor = el("span", { class: "cursor", hidden: true });
  const where = el("span", { class: "quiet", "data-at": "" }), what = el("b", { "data-value": name });
  const plot = el("div", {
    class: "plot", role: "slider", tabindex: 0, "aria-label": `${title}: choose a step`, "aria-valuemin": 0,
    "aria-valuemax": steps.length - 1, onpointermove: point, onpointerdown: point,
    onkeydown: (event) => {
      const far = Math.max(1, Math.round(steps.length / 10));
      const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far,
        Home: -Infinity, End: Infinity };
      if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move(data, data.at + moves[event.key]);
    },
  },
  scale.ticks.map((tick) => el("span", { class: "grid-line", vars: { "--y": y(tick) } })),
  el("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" },
    el("path", { d: pathOf(values, x, y) })),
  dots.map((i) => el("span", { class: "dot", "data-dot": steps[i], vars: { "--x": x(i), "--y": y(values[i]) } })),
  finite.includes(best) ? el("span", { class: "dot best", vars: { "--x": x(best), "--y": y(values[best]) } }) : null,
  [...odd.values()].map((i) => el("span", { class: "odd", vars: { "--x": x(i) } })), cursor);
  function point(event) {
    const box = plot.getBoundingClientRect();
    const wanted = first + clamp((event.clientX - box.left) / box.width) * (last - first);
    const off = (i) => Math.abs(steps[i] - wanted);
    move(data, measured.reduce((nearest, i) => (off(i) < off(nearest) ? i : nearest), measured[0]));
  }
  data.curves.push(() => {
    const i = data.at, { epoch } = data.columns;
    cursor.hidden = !data.moved;
    cursor.style.setProperty("--x", x(i));
    where.textContent = `step ${whole(steps[i])}` + (epoch && Number.isFinite(epoch[i]) ? `, epoch ${number(epoch[i], 2)}` : "");
    what.textContent = figure(values[i]);
    plot.setAttribute("aria-valuenow", i);
    plot.setAttribute("aria-valuetext", `${where.textContent}: ${what.textContent}`);
  });
  return el("figure", { class: wide ? "curve wide" : "curve", id },
    el("figcaption", {}, el("h3", {}, bdi(title), scale.log ? el("span", { class: "quiet" }, " logarithmic") : null),
      el("p", { class: "readout" }, where, what)),
    el("div", { class: "frame" },
      el("div", { class: "axis", "aria-hidden": "true" }, scale.ticks.map((tick) => el("span", { vars: { "--y": y(tick) } }, mark(tick)))),
      plot,
      el("div", { class: "steps quiet", "aria-hidden": "true" }, [steps.length > 1 ? whole(first) : "", "step", whole(last)].map((text) => el("span", {}, text)))),
    odd.size ? el("p", { class: "note" }, el("span", { class: "odd-key" }), "not a finite number") : null,
    note ? el("p", { class: "note quiet" }, note) : null);
}

function move(data, to, by = true) {
  data.moved = by;
  data.at = Math.max(0, Math.min(data.steps.length - 1, to));
  for (const update of data.curves) update();
}

/* The numbers behind curves, for who cannot see these; made when they are asked for. */
function numbersOf(data, title, id, always) {
  const total = data.steps.length;
  const shown = new Set([always, total - 1].filter((i) => i >= 0));
  for (let i = 0; i < Math.min(FEW, total); i++) shown.add(Math.floor(i * total / Math.min(FEW, total)));
  const names = Object.keys(data.columns).filter((name) => name !== "step");
  const integer = (name) => data.columns[name].every((x) => x === null || Number.isInteger(x));
  const forms = names.map((name) => (name === "tokens" && integer(name) ? whole : figure));
  const details = el("details", { class: "numbers" }, el("summary", {}, `The numbers`,
    shown.size < data.count ? el("span", { class: "quiet" }, `: ${shown.size} of ${whole(data.count)} lines; metrics.jsonl has all`) : null));
  details.fill = () => {
    if (details.querySelector("table")) return;
    details.append(table(title, { id }, head("step", ...names.map((name) => bdi(named(name)))),
      el("tbody", {}, [...shown].sort((a, b) => a - b).map((i) => row(whole(data.steps[i]),
        names.map((name, j) => forms[j](data.columns[name][i])))))));
  };
  details.addEventListener("toggle", () => { if (details.open) details.fill(); });
  return details;
}

/* ---------- the parts ---------- */

const log = series(DATA.log), evaluations = series(DATA.evaluations);
const { best } = DATA;
const bestAt = best ? evaluations.steps.lastIndexOf(best.step) : -1;
const OTHER = ["step", "epoch", "tokens", "loss", "learning_rate", "gradient", "tokens_per_second"];

function learning() {
  if (!log.steps.length) return el("p", { class: "quiet" }, "No step has been logged yet.");
  const has = (name) => name in log.columns;
  const parts = Object.keys(log.columns).filter((name) => !OTHER.includes(name));
  // A single term of weight 1 is the loss itself.
  const same = parts.length === 1 && has("loss") && log.columns[parts[0]].every((x, i) => Object.is(x, log.columns.loss[i]));
  const clip = DATA.recipe.find(([name]) => name === "largest_gradient");
  const frame = (name, title, more) => (has(name) ? curve(log, name, { id: `curve-${name}`, title, ...more }) : null);
  return [
    el("div", { class: "frames" },
      frame("loss", "Loss", { mayBeLog: true, wide: true, note: parts.length > 1
        ? "The sum of its terms, each times its weight in the recipe." : null }),
      same ? null : parts.map((name) => frame(name, named(name), { mayBeLog: true })),
      frame("learning_rate", "Learning rate"),
      frame("gradient", "Gradient norm", { mayBeLog: true, note: clip ? `Before it is clipped to ${clip[1]}.` : null }),
      frame("tokens_per_second", "Tokens a second")),
    numbersOf(log, "The numbers of the log", "log-table", -1),
  ];
}

function measured() {
  if (!evaluations.steps.length) return null;
  const names = Object.keys(evaluations.columns).filter((name) => name !== "step");
  const first = best && names.includes(best.metric) ? [best.metric] : [];
  const ordered = [...first, ...names.filter((name) => !first.includes(name))];
  const rows = Array.from(evaluations.steps, (_, i) => i);
  const few = rows.length <= FEW;
  return [
    best ? el("p", { class: "what" }, "The weights that are kept are those of step ", el("b", { id: "best-step" }, whole(best.step)),
      ", whose ", bdi(named(best.metric)), " is the best: ", el("b", { id: "best-value" }, figure(value(best.value))), ".") : null,
    el("div", { class: "frames" }, ordered.map((name) =>
      curve(evaluations, name, { id: `evaluated-${ordered.indexOf(name)}`, title: named(name), best: bestAt }))),
    few ? table("Figures of the evaluations", { id: "evaluation-table" }, head("step", ...ordered.map((name) => bdi(named(name)))),
      el("tbody", {}, rows.map((i) => row([whole(evaluations.steps[i]), i === bestAt ? " best" : null],
        ordered.map((name) => figure(evaluations.columns[name][i])), { class: i === bestAt ? "winner" : null }))))
      : numbersOf(evaluations, "Figures of the evaluations", "evaluation-table", bestAt),
  ];
}

function confusion() {
  if (DATA.confused) {
    const { pairs, count: all } = DATA.confused;
    return [el("h3", {}, "What is confused most"),
      pairs.length ? table("What is confused most", { id: "confused" },
        el("thead", {}, el("tr", {}, ["true", "predicted"].map((x) => el("th", { scope: "col" }, x)),
          el("th", { scope: "col", class: "n" }, "rows"))),
        el("tbody", {}, pairs.map(([right, predicted, n]) => el("tr", {}, el("th", { scope: "row" }, bdi(right)),
          el("td", { class: "name" }, bdi(predicted)), el("td", { class: "n" }, whole(n)))))) : el("p", {}, "Nothing."),
      pairs.length < all ? el("p", { class: "note quiet" }, `The ${pairs.length} most frequent of ${whole(all)} pairs of labels.`) : null];
  }
  if (!DATA.confusion) return null;
  const { labels, counts } = DATA.confusion;
  return [el("h3", {}, "Confusion matrix"),
    el("p", { class: "what" }, "In rows the true labels, in columns the predicted ones; shades are shares of a row."),
    table("Confusion matrix", { id: "matrix", class: "confusion" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "true ↓ predicted →"), labels.map((name) =>
        el("th", { scope: "col", class: "n" }, bdi(name))))),
      el("tbody", {}, counts.map((each, i) => el("tr", {}, el("th", { scope: "row" }, bdi(labels[i])), each.map((n, j) => {
        const all = sum(each), part = all ? n / all : 0;
        return el("td", { class: `n heat ${depth(part)}${i === j ? " right" : ""}`, vars: { "--w": part.toFixed(3) } }, whole(n));
      })))))];
}

/* Figures of each label, or of each group of rows. */
function figuresOf(rows, title, kind, id) {
  if (!rows.length) return null;
  const names = [...new Set(rows.flatMap((each) => Object.keys(each)))].filter((name) => name !== "label");
  return [el("h3", {}, title),
    table(title, { id }, head(kind, ...names.map((name) => bdi(named(name)))),
      el("tbody", {}, rows.map((each) => row(said(each.label ?? null), names.map((name) => said(each[name] ?? null))))))];
}

function longText(whole) {
  const beginning = cutTo(whole, BEGINNING);
  if (!whole.trim()) return el("p", { class: "quiet" }, "(empty text)");
  if (beginning.length === whole.length) return el("p", { class: "data", dir: "auto" }, shown(whole));
  return el("details", { class: "data" }, el("summary", { dir: "auto" }, shown(beginning), "…"),
    el("p", { dir: "auto" }, shown(whole)));
}

function mistakes() {
  if (!DATA.mistakes.length) return null;
  return [el("p", { class: "what" }, "Of the best evaluation: where the loss is highest."),
    el("ol", { class: "mistakes" }, DATA.mistakes.map((each) => el("li", {},
      longText(each.text),
      terms([
        ["true", said(each.true ?? null)],
        ["predicted", said(each.predicted ?? null)],
        each.score ? ["surety", said(each.score)] : null,
        each.loss ? ["loss", said(each.loss)] : null,
        each.row !== undefined ? ["row", said(each.row)] : null,
      ]))))];
}

function sides() {
  if (!DATA.sides.length) return null;
  const [teacher, student] = DATA.sides;
  const ratio = (a, b) => (a && b !== null && b !== undefined && Number.isFinite(b / a) ? share(b, a) : "–");
  const line = (name, form, of) => {
    const [a, b] = [value(of(teacher)), value(of(student))];
    return a === null && b === null ? null : row(name, [form(a), form(b), ratio(a, b)]);
  };
  const metrics = [...new Set(DATA.sides.flatMap((side) => Object.keys(side.results)))];
  return [
    terms(DATA.sides.filter((side) => side.name).map((side) => [side.role, bdi(side.name)])),
    table("Teacher beside student", { id: "side-table" }, head("", "teacher", "student", "student / teacher"), el("tbody", {},
      metrics.map((name) => line(bdi(named(name)), figure, (side) => side.results[name])),
      line("parameters", whole, (side) => side.parameters))),
  ];
}

function roles() {
  const entries = Object.entries(DATA.data);
  if (!entries.length) return null;
  const labels = [...new Set(entries.flatMap(([, rows]) => rows.labels.map(([name]) => name)))];
  const counts = entries.map(([, rows]) => new Map(rows.labels));
  const totals = counts.map((each) => sum([...each.values()]));
  return [
    entries.map(([name, rows]) => [el("h3", {}, bdi(name)), terms([
      rows.rows === null ? null : ["rows", whole(rows.rows)],
      ...rows.skipped.map(([reason, n]) => [["left out: ", bdi(reason)], whole(n)]),
      rows.truncated ? ["longer than the model reads", [whole(rows.truncated), rows.rows ? ` (${share(rows.truncated, rows.rows)})` : ""]] : null,
    ], { "data-role": name }),
    el("ul", { class: "files" }, rows.files.map((file) => el("li", {}, el("code", {}, bdi(file)))),
      rows.more_files ? el("li", { class: "quiet" }, `and ${count(rows.more_files, "more file")}`) : null)]),
    labels.length ? [el("h3", {}, "Labels"), table("Labels of the data", { id: "data-labels" },
      head("label", ...entries.flatMap(([name]) => [bdi(name), "share"])),
      el("tbody", {}, labels.map((label) => el("tr", {}, el("th", { scope: "row" }, bdi(label)),
        counts.map((each, i) => {
          const n = each.get(label) || 0;
          return [el("td", { class: "n" }, whole(n)),
            el("td", { class: "n bar", vars: { "--w": totals[i] ? (n / totals[i]).toFixed(4) : 0 } }, share(n, totals[i]))];
        })))))] : null,
  ];
}

const unset = () => el("span", { class: "quiet" }, "not set");
function settings() {
  if (!DATA.recipe.length) return null;
  return [
    DATA.recipe.some(([, , other]) => other) ? el("p", { class: "what" }, "What differs from the default is bold.") : null,
    terms(DATA.recipe.map(([name, text, other, standard]) => [bdi(named(name)), [
      text === null ? unset() : other ? el("b", {}, bdi(text)) : bdi(text),
      other ? el("span", { class: "quiet" }, " default: ", standard === null ? "not set" : bdi(standard)) : null,
    ], other ? "other" : null]), { id: "recipe-list" }),
  ];
}

function repeat() {
  if (!DATA.command && !DATA.environment.length) return null;
  return [
    DATA.command ? el("pre", {}, el("code", { id: "command" }, shown(DATA.command))) : null,
    terms(DATA.environment.map(([name, text]) => [bdi(named(name)), text === null ? unset() : bdi(text)]), { id: "environment" }),
  ];
}

/* ---------- the top ---------- */

const SIGNS = { running: "▶", finished: "✓", "stopped by patience": "✓", diverged: "✕", interrupted: "‖" };
function stateOf() {
  const { step, steps } = DATA;
  return [el("b", { class: "state" }, SIGNS[DATA.state] ? el("span", { "aria-hidden": "true" }, SIGNS[DATA.state] + " ") : null, bdi(DATA.state)),
    step === null || step === undefined ? null : el("span", {}, ` · step ${whole(step)}`,
      steps ? [` of ${whole(steps)}`, el("span", { class: "done", "aria-hidden": "true", vars: { "--w": Math.min(1, step / steps).toFixed(4) } })] : null),
    DATA.seconds === null ? null : el("span", { class: "quiet" }, ` · ${time(value(DATA.seconds))}`)];
}

function facts() {
  const end = (name) => {
    const column = log.columns[name] || [];
    return column.length ? column[column.length - 1] : null;
  };
  const fact = (name, what, kind) => [name, el("b", { id: `fact-${kind}` }, what)];
  return [
    best ? fact(["best ", bdi(named(best.metric))], figure(value(best.value)), "best") : null,
    end("loss") === null ? null : fact("loss", figure(end("loss")), "loss"),
    end("tokens") === null ? null : fact("tokens read", whole(end("tokens")), "tokens"),
    end("tokens_per_second") === null ? null : fact("tokens a second", figure(end("tokens_per_second")), "speed"),
  ].filter(Boolean).map(([name, what]) => el("div", {}, el("dt", {}, name), el("dd", {}, what)));
}

function fill(id, parts, section) {
  const found = [parts].flat(Infinity).filter((x) => x !== null && x !== undefined);
  at(id).replaceChildren(...found);
  if (section) at(section).hidden = !found.length;
  return found.length > 0;
}

document.title = `${apart(DATA.title)} · minidistil`;
at("title").replaceChildren(bdi(DATA.title));
fill("state", stateOf());
fill("notices", DATA.note ? el("p", { class: "notice" }, bdi(DATA.note)) : null);
fill("facts", facts());
fill("learning-curves", learning());
fill("evaluation-curves", measured(), "evaluations");
const answered = [
  fill("confusion", confusion()),
  fill("per-label", figuresOf(DATA.per_label, "Label by label", "label", "label-table")),
  fill("groups", figuresOf(DATA.groups, "Group by group", "rows", "group-table")),
];
at("answers").hidden = !answered.includes(true);
fill("mistake-list", mistakes(), "mistakes");
fill("sides", sides(), "teacher");
fill("roles", roles(), "data-rows");
fill("settings", settings(), "recipe");
fill("repeat", repeat(), "again");
fill("path", Array.from(document.querySelectorAll("main section:not([hidden])"), (section) => el("a", {
  href: "#" + section.id, onclick: (event) => { event.preventDefault(); goTo(section.id); },
}, el("span", { class: "name" }, section.querySelector("h2").textContent))));
for (const data of [log, evaluations]) move(data, data.steps.length - 1, false);

/* ---------- what is chosen, kept in the address ---------- */

const state = { theme: null, follow: false };
function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  state.theme = themeIn(given);
  state.follow = given.has("follow");
}
function keep(changes) {
  Object.assign(state, changes);
  const parts = [state.theme ? `theme=${state.theme}` : null, state.follow ? "follow" : null].filter(Boolean);
  try {
    history.replaceState(null, "", "#" + parts.join("&"));
  } catch {
    // A page inside a notebook's frame has no address of its own.
  }
  show();
}
let waiting = null;
function show() {
  at("theme").textContent = showTheme(state.theme);
  const running = DATA.state === "running";
  at("follow").hidden = !running;
  at("follow").setAttribute("aria-pressed", state.follow);
  clearTimeout(waiting);
  if (running && state.follow) waiting = setTimeout(() => location.reload(), 1000 * SECONDS);
}
at("follow").title = `Read this page again every ${SECONDS} seconds`;
at("follow").addEventListener("click", () => keep({ follow: !state.follow }));
addEventListener("hashchange", () => { readHash(); show(); });
themes(state, (theme) => keep({ theme }), show);
readHash();
show();
isReady();
