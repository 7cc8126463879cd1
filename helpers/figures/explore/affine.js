// The affine map: real numbers above, codes below. Drag the ends of the range; slide zero and bits.
function gridOf(low, high, bits, symmetric) {
  const steps = 2 ** bits - 1, first = -(2 ** (bits - 1));
  if (symmetric) {
    const limit = Math.max(Math.abs(low), Math.abs(high)), most = 2 ** (bits - 1) - 1;
    return { scale: Math.fround(limit / most), zero: 0, first: -most, last: most };
  }
  low = Math.min(low, 0);
  high = Math.max(high, 0);
  const zero = roundEven(first - (low * steps) / (high - low));
  const clipped = Math.min(first + steps, Math.max(first, zero));
  return { scale: Math.fround((high - low) / steps), zero: clipped, first, last: first + steps };
}

function quantize(grid, values) {
  const codes = values.map((x) => Math.min(grid.last, Math.max(grid.first, roundEven(x / grid.scale) + grid.zero)));
  return { codes, back: codes.map((code) => (code - grid.zero) * grid.scale) };
}

function build(live, data) {
  const values = data.values, edge = 1.25 * Math.max(...values.map(Math.abs));
  let low = Math.min(...values), high = Math.max(...values), bits = data.bits, symmetric = false;
  const picture = make("svg", { viewBox: "0 0 640 190", role: "img", "aria-label": "real numbers, codes, and which goes to which" });
  const told = make("div", { class: "told" }), x = (value) => 320 + (300 * value) / edge;
  const width = slider("bits", 2, 8, 1, bits, (value) => draw((bits = value)));
  const move = slider("move the range", -1, 1, 0.01, 0, (value) => {
    const middle = value * edge * 0.6, half = (high - low) / 2;
    [low, high] = [Math.max(-edge, middle - half), Math.min(edge, middle + half)];
    draw();
  });
  const scheme = choice(["affine", "symmetric"], ["affine", "symmetric"], "affine", (name) => draw((symmetric = name === "symmetric")));
  const fit = make("button", { type: "button", onclick: () => draw(([low, high] = [Math.min(...values), Math.max(...values)])) }, "fit to the numbers");
  let end = null;
  draggable(picture, (px, _, begins) => {
    if (begins) {
      const near = [Math.abs(px - x(low)), Math.abs(px - x(high))];
      if (Math.min(...near) > 24) return false;
      end = near[0] < near[1] ? "low" : "high";
    }
    const value = Math.min(edge, Math.max(-edge, ((px - 320) / 300) * edge));
    if (end === "low") low = Math.min(value, high - edge / 50);
    else high = Math.max(value, low + edge / 50);
    draw();
  });

  function draw() {
    const grid = gridOf(low, high, bits, symmetric), { codes, back } = quantize(grid, values);
    const errors = back.map((each, i) => each - values[i]);
    const reach = [grid.first, grid.last].map((code) => (code - grid.zero) * grid.scale);
    const outside = values.filter((each) => each < reach[0] - grid.scale / 2 || each > reach[1] + grid.scale / 2).length;
    const rms = Math.sqrt(errors.reduce((sum, each) => sum + each * each, 0) / errors.length);
    picture.replaceChildren();
    const add = (...parts) => picture.append(make(...parts));
    add("rect", { x: x(reach[0]), width: Math.max(1, x(reach[1]) - x(reach[0])), y: 38, height: 14, fill: "var(--sky)", opacity: 0.35 });
    add("line", { x1: 10, x2: 630, y1: 45, y2: 45, stroke: "currentColor" });
    add("line", { x1: 10, x2: 630, y1: 150, y2: 150, stroke: "currentColor" });
    for (let code = grid.first; code <= grid.last; code++) {
      const at = x((code - grid.zero) * grid.scale), isZero = code === grid.zero;
      add("line", { x1: at, x2: at, y1: isZero ? 138 : 144, y2: isZero ? 162 : 156, stroke: isZero ? "var(--green)" : "currentColor", "stroke-width": isZero ? 3 : 1 });
      if (grid.last - grid.first < 20) add("text", { x: at, y: 175, "text-anchor": "middle" }, number(code));
    }
    if (grid.last - grid.first >= 20) for (const code of [grid.first, grid.zero, grid.last]) add("text", { x: x((code - grid.zero) * grid.scale), y: 175, "text-anchor": "middle" }, number(code));
    values.forEach((value, i) => {
      add("line", { x1: x(value), y1: 45, x2: x(back[i]), y2: 150, stroke: "var(--blue)", opacity: 0.7 });
      add("g", { fill: "var(--blue)" }, make("rect", { x: x(value) - 3.5, y: 41.5, width: 7, height: 7 }));
    });
    for (const [value, text] of [[low, "lowest"], [high, "highest"]]) {
      add("polygon", { points: `${x(value)},38 ${x(value) - 9},20 ${x(value) + 9},20`, fill: "var(--red)", style: "cursor: ew-resize" });
      add("text", { x: x(value), y: 14, "text-anchor": "middle" }, text);
    }
    width.shown.textContent = `${bits} bits`;
    move.shown.textContent = `${number(low, 3)} to ${number(high, 3)}`;
    told.textContent = `step ${number(grid.scale, 4)}, zero point ${number(grid.zero)}; root mean square error ${number(rms, 3)}, largest ${number(Math.max(...errors.map(Math.abs)), 3)}; ${outside} of ${values.length} cut off`;
  }

  live.append(make("div", { class: "choice" }, scheme, fit), width.row, move.row, picture, told);
  draw();
  return { grid: gridOf, quantize: (low, high, bits, symmetric, values) => quantize(gridOf(low, high, bits, symmetric), values) };
}
