/* What every page needs: elements, numbers, texts, the theme, paper. Everything of a text
   goes through textContent, so that nothing in it can be markup. A page's own script
   follows in the same function. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const MINUS = "\u2212";

/* ---------- elements ---------- */

const at = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const svg = ["svg", "g", "text", "line", "path", "rect", "title"].includes(tag);
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "vars") {
      for (const [key, number] of Object.entries(value)) {
        node.style.setProperty(key, number);
      }
    } else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((x) => x !== null && x !== undefined));
  return node;
}

function goTo(id) {
  const node = at(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  node.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
  node.focus({ preventScroll: true });
}

/* ---------- numbers ---------- */

function number(x, digits = 4) {
  if (x === null || Number.isNaN(x)) return "not a number";
  if (!Number.isFinite(x)) return (x < 0 ? MINUS : "") + "∞";
  const text = Math.abs(x).toFixed(digits);
  return (x < 0 && Number(text) !== 0 ? MINUS : "") + text;
}
const signed = (x, digits = 4) =>
  (x > 0 && Number(x.toFixed(digits)) !== 0 ? "+" : "") + number(x, digits);
const count = (n, one, many) => `${n} ${n === 1 ? one : many || one + "s"}`;
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

/* ---------- texts ---------- */

/* A text with visible pictures for its control characters. */
function visible(text) {
  return Array.from(text, (char) => {
    const code = char.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "␡";
    return char;
  }).join("");
}
const isControl = (char) => {
  const code = char.codePointAt(0);
  return (code < 0x20 && !"\t\n\r".includes(char)) || code === 0x7f;
};
const codeOf = (char) => "U+" + char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
function shown(text) {
  const parts = [];
  let plain = "";
  for (const char of text) {
    if (!isControl(char)) plain += char;
    else {
      if (plain) parts.push(plain);
      plain = "";
      parts.push(el("span", { class: "control", title: codeOf(char) }, visible(char)));
    }
  }
  if (plain) parts.push(plain);
  return parts;
}
const cutTo = (text, length) => Array.from(text).slice(0, length).join("");
/* Where there are no elements, as in names and the title: what writes from right to
   left does not turn its surroundings round. */
const apart = (text) =>
  "\u2068" + visible(text).replace(/[\u202a-\u202e\u2066-\u2069]/g, "") + "\u2069";
const bdi = (text) => el("bdi", {}, shown(text));

/* ---------- light, dark, and on paper ---------- */

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = (theme) => (theme || (system.matches ? "dark" : "light")) === "dark";

/* The theme that an address asks for; null is the system's. */
function themeIn(given) {
  const theme = given.get("theme");
  return theme === "dark" || theme === "light" ? theme : null;
}

/* How dark a cell is decides whether black or white is read better on it; in the
   middle that is another one in each theme. */
const depth = (share) => (share >= 0.7 ? "deep" : share >= 0.52 ? "middle" : "");

/* Paint the page in a theme; what the button says then. */
function showTheme(theme) {
  const root = document.documentElement;
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  const other = isDark(theme) ? "Light" : "Dark";
  at("theme").setAttribute("aria-label", `${other} theme`);
  return other;
}

/* Let the button choose a theme, and follow the system's. On paper everything is open and
   light; pictures are drawn with their colours. `state.theme` is "light", "dark" or null,
   for the system's; `keep` takes another one, `draw` paints what depends on it. */
function themes(state, keep, draw) {
  at("theme").addEventListener("click", () => keep(isDark(state.theme) ? "light" : "dark"));
  system.addEventListener("change", draw);
  let onScreen = null;
  addEventListener("beforeprint", () => {
    if (!onScreen) onScreen = { theme: state.theme };
    state.theme = "light";
    draw();
    onScreen.closed = Array.from(document.querySelectorAll("details:not([open])"));
    for (const details of onScreen.closed) {
      if (details.fill) details.fill();
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    if (!onScreen) return;
    for (const details of onScreen.closed) details.open = false;
    state.theme = onScreen.theme;
    onScreen = null;
    draw();
  });
}

/* Called when all is drawn. */
function isReady() {
  at("skip").addEventListener("click", (event) => { event.preventDefault(); goTo("main"); });
  document.documentElement.dataset.ready = "";
}
