// Any number in any format: what is stored, bits that flip, and the neighbours.
function biasOf(form) {
  return 2 ** (form.exponent - 1) - 1;
}

function largestOf(form) {
  if (form.whole) return 2 ** (form.width - form.signed) - 1;
  const top = 2 ** form.exponent - 1 - biasOf(form), epsilon = 2 ** -form.fraction;
  if (form.specials === "ieee") return (2 - epsilon) * 2 ** (top - 1);
  return (form.specials === "none" ? 2 - epsilon : 2 - 2 * epsilon) * 2 ** top;
}

function roundTo(form, x) {
  const most = largestOf(form);
  if (form.whole) return Math.min(most, Math.max(form.signed ? -most - 1 : 0, roundEven(x)));
  if (Number.isNaN(x)) return form.specials === "none" ? 0 : NaN;
  const size = Math.abs(x), sign = x < 0 || Object.is(x, -0) ? -1 : 1;
  if (size === 0) return x;
  let rounded = size;
  if (Number.isFinite(size)) {
    const gap = 2 ** (Math.max(powerBelow(size), 1 - biasOf(form)) - form.fraction);
    rounded = roundEven(size / gap) * gap;
  }
  if (rounded > most) rounded = { ieee: Infinity, nan: NaN, none: most }[form.specials];
  return sign * rounded;
}

function encode(form, x) {
  const value = roundTo(form, x);
  if (form.whole) return value < 0 ? value + 2 ** form.width : value;
  const sign = x < 0 || Object.is(x, -0) ? 2 ** (form.width - 1) : 0, size = Math.abs(value);
  const unit = 2 ** form.fraction, top = (2 ** form.exponent - 1) * unit;
  if (Number.isNaN(value)) return sign + (form.specials === "ieee" ? top + unit / 2 : top + unit - 1);
  if (size === Infinity) return sign + top;
  if (size < 2 ** (1 - biasOf(form))) return sign + size / 2 ** (1 - biasOf(form) - form.fraction);
  const power = powerBelow(size);
  return sign + (power + biasOf(form)) * unit + (size / 2 ** power - 1) * unit;
}

function decode(form, code) {
  if (form.whole) return code > largestOf(form) ? code - 2 ** form.width : code;
  const half = 2 ** (form.width - 1), sign = code >= half ? -1 : 1, rest = code % half, unit = 2 ** form.fraction;
  const exponent = Math.floor(rest / unit), fraction = rest % unit, top = 2 ** form.exponent - 1;
  if (form.specials === "ieee" && exponent === top) return fraction ? NaN : sign * Infinity;
  if (form.specials === "nan" && rest === top * unit + unit - 1) return NaN;
  const significand = (exponent ? 1 : 0) + fraction / unit;
  return sign * significand * 2 ** ((exponent || 1) - biasOf(form));
}

// The codes on both sides of a number that is stored, in the order of their values.
function step(form, code, direction) {
  if (form.whole) {
    const next = decode(form, code) + direction;
    return encode(form, next);
  }
  const half = 2 ** (form.width - 1);
  let place = code >= half ? -(code - half) : code; // −0 and 0 share a place
  place += direction;
  if (Math.abs(place) >= half) return code;
  const next = place < 0 ? half - place : place;
  return Number.isFinite(decode(form, next)) ? next : code;
}

function build(live, data) {
  let form = data.formats.find((each) => each.name === data.format), wanted = data.number;
  const entry = make("input", { class: "field", value: wanted, size: 14, inputmode: "decimal", "aria-label": "a number" });
  const bits = make("div", { class: "bits" }), told = make("div", { class: "told" });
  const line = make("svg", { viewBox: "0 0 640 110", role: "img", "aria-label": "the neighbours on the number line" });
  const names = data.formats.map((each) => each.name), titles = data.formats.map((each) => each.title);
  const pick = choice(names, titles, form.name, (name) => {
    form = data.formats.find((each) => each.name === name);
    draw();
  });
  entry.addEventListener("input", () => {
    const typed = Number(entry.value.replace(",", ".").replace("−", "-"));
    if (entry.value.trim() !== "" && !Number.isNaN(typed)) draw((wanted = typed));
  });

  function flip(place) {
    const code = encode(form, wanted), weight = 2 ** (form.width - 1 - place);
    const set = Math.floor(code / weight) % 2 === 1;
    wanted = decode(form, set ? code - weight : code + weight);
    entry.value = Number.isFinite(wanted) ? String(wanted) : "";
    draw();
  }

  function draw() {
    const code = encode(form, wanted), stored = decode(form, code);
    const fields = form.whole ? [["green", form.width]] : [["red", 1], ["blue", form.exponent], ["sky", form.fraction]];
    bits.replaceChildren();
    let place = 0;
    for (const [colour, count] of fields) {
      const group = make("span", { class: "group" });
      for (let i = 0; i < count; i++, place++) {
        const set = Math.floor(code / 2 ** (form.width - 1 - place)) % 2, at = place;
        const style = `--kind: var(--${colour})`;
        group.append(make("button", { type: "button", class: "bit", style, "aria-label": `bit ${form.width - 1 - at}`, onclick: () => flip(at) }, set));
      }
      bits.append(group);
    }
    const error = Math.abs(stored - wanted), share = wanted ? ` (${number((100 * error) / Math.abs(wanted), 2)} %)` : "";
    const exact = stored === wanted ? "exact" : `error ${number(error, 3)}${share}`;
    told.textContent = `${form.title} stores ${number(stored, 9)}${Number.isFinite(stored) ? `, ${exact}` : ""}`;
    neighbours(code, stored);
  }

  function neighbours(code, stored) {
    line.replaceChildren();
    if (!Number.isFinite(stored)) return;
    const codes = [code];
    for (let i = 0; i < 3; i++) codes.push(step(form, codes[codes.length - 1], 1));
    for (let i = 0; i < 3; i++) codes.unshift(step(form, codes[0], -1));
    const values = [...new Set(codes.map((each) => decode(form, each)))];
    const low = values[0], high = values[values.length - 1], x = (value) => 70 + (500 * (value - low)) / (high - low || 1);
    line.append(make("line", { x1: 20, x2: 620, y1: 55, y2: 55, stroke: "currentColor", opacity: 0.5 }));
    for (const value of values) {
      const here = value === stored;
      line.append(make("line", { x1: x(value), x2: x(value), y1: 47, y2: 63, stroke: here ? "var(--blue)" : "currentColor", "stroke-width": here ? 4 : 1.5 }));
      line.append(make("text", { x: x(value), y: values.indexOf(value) % 2 ? 24 : 96, "text-anchor": "middle" }, number(value, 5)));
    }
    if (wanted >= low && wanted <= high) line.append(make("polygon", { points: `${x(wanted)},52 ${x(wanted) - 7},34 ${x(wanted) + 7},34`, fill: "var(--red)" }));
  }

  live.append(make("style", {}, `.bits { display: flex; flex-wrap: wrap; gap: 0.5em; margin: 0.5em 0; } .group { display: flex; flex-wrap: wrap; gap: 2px; }
    .bit { width: 1.7em; padding: 0.2em 0; border-bottom: 4px solid var(--kind); font-family: ui-monospace, monospace; }`));
  live.append(make("label", { class: "row" }, make("span", {}, "a number"), entry), pick, bits, told, line);
  draw();
  const named = (name) => data.formats.find((each) => each.name === name);
  return {
    encode: (name, x) => encode(named(name), x),
    decode: (name, code) => decode(named(name), code),
    round: (name, x) => roundTo(named(name), x),
    neighbour: (name, x, direction) => decode(named(name), step(named(name), encode(named(name), x), direction)),
  };
}
