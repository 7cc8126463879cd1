// What all explorable figures share: elements, controls, colours that work on light and on dark, where they are put.
const NS = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "rect", "line", "circle", "text", "path", "title", "polygon"].includes(tag);
  const element = drawn ? document.createElementNS(NS, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function slider(label, low, high, step, value, changed) {
  const shown = make("output", {}, "");
  const input = make("input", { type: "range", min: low, max: high, step, value, "aria-label": label });
  input.addEventListener("input", () => changed(Number(input.value)));
  return { input, shown, row: make("label", { class: "row" }, make("span", {}, label), input, shown) };
}

function choice(names, titles, chosen, changed) {
  const buttons = names.map((name, i) =>
    make("button", { type: "button", "aria-pressed": name === chosen, onclick: () => pick(name) }, titles[i])
  );
  function pick(name) {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", names[i] === name));
    changed(name);
  }
  return make("div", { class: "choice", role: "group" }, ...buttons);
}

// A point of an SVG under the pointer, in the SVG's own units.
function pointIn(svg, event) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  return [((event.clientX - box.left) / box.width) * view.width, ((event.clientY - box.top) / box.height) * view.height];
}

function draggable(svg, moved) {
  svg.style.touchAction = "pan-y";
  let held = false;
  svg.addEventListener("pointerdown", (event) => {
    held = moved(...pointIn(svg, event), true) !== false;
    if (held) svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => held && moved(...pointIn(svg, event), false));
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (held = false));
}

// Numbers as the course writes them.
function number(x, digits = 6) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  const text = size !== 0 && (size < 1e-4 || size >= 1e9) ? x.toExponential(digits - 1) : String(Number(x.toPrecision(digits)));
  return text.replace("e+", "e").replace(/-/g, "−");
}

const hex = (byte) => byte.toString(16).padStart(2, "0");

function roundEven(x) {
  const low = Math.floor(x), rest = x - low;
  return rest < 0.5 ? low : rest > 0.5 ? low + 1 : low % 2 === 0 ? low : low + 1;
}

function powerBelow(x) {
  let power = Math.floor(Math.log2(x));
  while (2 ** power > x) power--;
  while (2 ** (power + 1) <= x) power++;
  return power;
}

// FP16 as two bytes and back; scales of blocks are stored so.
function toHalf(x) {
  const sign = x < 0 || Object.is(x, -0) ? 32768 : 0, size = Math.abs(x);
  if (size === 0) return sign;
  const power = Math.max(powerBelow(size), -14);
  const units = roundEven(size / 2 ** (power - 10)); // 1024 of them are the power itself
  const code = power === -14 && units < 1024 ? units : (power + 15) * 1024 + units - 1024;
  return sign + Math.min(code, 31744);
}

function fromHalf(code) {
  const sign = code & 32768 ? -1 : 1, exponent = (code >> 10) & 31, fraction = code & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14);
}

// Put a figure beside its still picture, which stays for printing.
function mount(id, style, build) {
  const host = [...document.querySelectorAll(`.explorable[data-id="${id}"]`)].find((each) => !each.shadowRoot);
  if (!host) return;
  const root = host.attachShadow({ mode: "open" }), live = make("div", { class: "live" });
  root.append(make("style", {}, style), live, make("div", { class: "still" }, make("slot")));
  const look = () => {
    const ink = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
    live.classList.toggle("dark", ink[0] + ink[1] + ink[2] > 384); // light letters stand on a dark page
  };
  look();
  const fit = () => live.style.setProperty("--scale", Math.max(1, 640 / (live.clientWidth || 640)));
  new ResizeObserver(fit).observe(live);
  fit();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(look, 50));
  new MutationObserver(look).observe(document.body, { attributes: true });
  new MutationObserver(look).observe(document.documentElement, { attributes: true });
  host.arithmetic = build(live);
}
