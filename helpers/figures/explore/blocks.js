// Blocks of 32 weights as bytes: Q8_0, Q4_0, and the super-blocks of Q4_K. f = round to FP32, as the C code computes.
const f = Math.fround;

function packQ8(x) {
  const d = f(Math.max(...x.map(Math.abs)) / 127), inverse = d ? f(1 / d) : 0;
  const codes = x.map((each) => {
    const scaled = f(each * inverse);
    return Math.trunc(f(scaled + (scaled < 0 ? -0.5 : 0.5)));
  });
  return [...halfBytes(d), ...codes.map((code) => code & 255)];
}

function packQ4(x) {
  const d = f(x.reduce((most, each) => (Math.abs(each) > Math.abs(most) ? each : most), 0) / -8), inverse = d ? f(1 / d) : 0;
  const codes = x.map((each) => Math.min(15, Math.trunc(f(f(each * inverse) + 8.5))));
  return [...halfBytes(d), ...codes.slice(0, 16).map((code, j) => code | (codes[j + 16] << 4))];
}

function halfBytes(x) {
  const code = toHalf(x);
  return [code & 255, code >> 8];
}

// The search of Q4_K for one sub-block: 21 trials, the best scale and minimum for the codes of each.
function fitWithMinimum(x) {
  const total = (value) => f(x.reduce((sum, _, i) => sum + value(i), 0));
  const rms = f(Math.sqrt(f(total((i) => x[i] * x[i]) / x.length))), weight = x.map((each) => f(Math.abs(each) + rms));
  const high = Math.max(...x), low = Math.max(0, -Math.min(...x)), range = f(high + low);
  if (range <= 0) return [0, low];
  const codesFor = (minimum, inverse) => x.map((each) => Math.min(15, Math.max(0, roundEven(f(f(each + minimum) * inverse)))));
  const rest = (codes, scale, minimum, i) => f(f(f(codes[i] * scale) - minimum) - x[i]);
  const errorOf = (codes, scale, minimum) => total((i) => f(weight[i] * rest(codes, scale, minimum, i)) * rest(codes, scale, minimum, i));
  let best = [f(range / 15), low], codes = codesFor(low, f(1 / f(range / 15))), least = errorOf(codes, ...best);
  const w = total((i) => weight[i]), wx = total((i) => f(weight[i] * x[i]));
  for (let trial = -10; trial <= 10; trial++) {
    codes = codesFor(best[1], f(f(15 + f(trial / 10)) / f(high + best[1])));
    const l = total((i) => weight[i] * codes[i]), ll = total((i) => f(weight[i] * codes[i]) * codes[i]);
    const lx = total((i) => f(weight[i] * x[i]) * codes[i]), determinant = f(f(w * ll) - f(l * l));
    if (!(determinant > 0)) continue;
    let scale = f(f(f(w * lx) - f(wx * l)) / determinant), minimum = f(f(f(l * lx) - f(ll * wx)) / determinant);
    if (minimum < 0) [scale, minimum] = [f(lx / ll), 0];
    const error = errorOf(codes, scale, minimum);
    if (error < least) [least, best] = [error, [scale, minimum]];
  }
  return best;
}

function packQ4K(x) {
  const subs = Array.from({ length: 8 }, (_, i) => x.slice(32 * i, 32 * i + 32)), fits = subs.map(fitWithMinimum);
  const sixBits = (values) => {
    const most = Math.max(...values), step = most / 63;
    return [halfBytes(f(step)), values.map((value) => (most > 0 ? Math.min(63, roundEven(f(f(63 / most) * value))) : 0))];
  };
  const [d, scales] = sixBits(fits.map((fit) => fit[0])), [dmin, minima] = sixBits(fits.map((fit) => fit[1]));
  const step = fromHalf(d[0] | (d[1] << 8)), offset = fromHalf(dmin[0] | (dmin[1] << 8));
  const codes = subs.map((sub, i) => {
    const size = step * scales[i];
    return sub.map((each) => (size > 0 ? Math.min(15, Math.max(0, roundEven(f(f(each + f(offset * minima[i])) / f(size))))) : 0));
  });
  const packed = [];
  for (let i = 0; i < 4; i++) packed[i] = scales[i] | ((scales[4 + i] >> 4) << 6);
  for (let i = 0; i < 4; i++) packed[4 + i] = minima[i] | ((minima[4 + i] >> 4) << 6);
  for (let i = 0; i < 4; i++) packed[8 + i] = (scales[4 + i] & 15) | ((minima[4 + i] & 15) << 4);
  const nibbles = [0, 2, 4, 6].flatMap((i) => codes[i].map((code, j) => code | (codes[i + 1][j] << 4)));
  return [...d, ...dmin, ...packed, ...nibbles];
}

function build(live, data) {
  const packers = { Q8_0: packQ8, Q4_0: packQ4, Q4_K: packQ4K }, types = data.types;
  let type = data.type, x = data.weights.map(f), lit = new Set();
  const shown = Math.min(x.length, data.drag ? 32 : 256), edge = 1.15 * Math.max(...x.slice(0, shown).map(Math.abs), 1e-6), wide = 640 / shown;
  const picture = make("svg", { viewBox: "0 0 640 170", role: "img", "aria-label": "weights as bars, what is read back as lines" });
  const grid = make("div", { class: "bytes" }), told = make("div", { class: "told" }), about = make("div", { class: "told" });
  const y = (value) => 85 - (78 * value) / edge;
  const pick = choice(types, types, type, (name) => draw((type = name)));
  let held = 0;
  if (data.drag) draggable(picture, (px, py, begins) => {
    if (begins) held = Math.min(shown - 1, Math.max(0, Math.floor(px / wide)));
    x[held] = f(Math.min(1, Math.max(-1, (85 - py) / 78)) * edge);
    draw();
  });
  const bytesOf = () => packers[type](type === "Q4_K" ? x.slice(0, 256) : x.slice(0, 32));

  function draw() {
    const bytes = bytesOf(), back = unpack(type, bytes), fields = layout(type);
    picture.replaceChildren(make("line", { x1: 0, x2: 640, y1: 85, y2: 85, stroke: "currentColor", opacity: 0.5 }));
    for (let i = 0; i < Math.min(shown, back.length); i++) {
      const top = Math.min(y(x[i]), 85), colour = lit.has(i) ? "var(--gold)" : "var(--blue)";
      picture.append(make("rect", { x: i * wide + 0.15 * wide, width: 0.7 * wide, y: top, height: Math.max(1, Math.abs(y(x[i]) - 85)), fill: colour, opacity: 0.75 }));
      picture.append(make("line", { x1: i * wide, x2: (i + 1) * wide, y1: y(back[i]), y2: y(back[i]), stroke: "var(--red)", "stroke-width": 2 }));
    }
    grid.replaceChildren(...bytes.map((byte, i) => make("span", { style: `--kind: var(--${fields[i][0]})`, title: fields[i][1], tabindex: 0, onmouseenter: () => point(fields[i]), onfocus: () => point(fields[i]), onmouseleave: () => point(null) }, hex(byte))));
    const squares = back.slice(0, shown).map((each, i) => [(each - x[i]) ** 2, x[i] ** 2]), sum = (k) => squares.reduce((all, pair) => all + pair[k], 0);
    const error = sum(1) ? 100 * Math.sqrt(sum(0) / sum(1)) : 0;
    told.textContent = `${bytes.length} bytes for ${back.length} weights, ${number((8 * bytes.length) / back.length)} bits each; error of those shown ${number(error, 3)} %`;
  }

  function point(field) {
    about.textContent = field ? field[1] : "Point at a byte to see what it holds.";
    lit = new Set(field ? field[2] : []);
    [...picture.querySelectorAll("rect")].forEach((bar, i) => bar.setAttribute("fill", lit.has(i) ? "var(--gold)" : "var(--blue)"));
  }

  if (types.length > 1) live.append(pick);
  live.append(picture, told, grid, about);
  draw();
  point(null);
  return { pack: (name, weights) => packers[name](weights.map(f)), unpack, layout };
}
