// Two roofs over the speed: reading the weights (memory) and multiplying them (arithmetic), against tokens read at once.
function limits(model, tokens) {
  const bytes = (model.billions * 1e9 * model.bits) / 8;
  return {
    reading: (tokens * model.bandwidth * 1e9) / bytes, // the weights are read once for all tokens of a batch
    arithmetic: (model.gigaflops * 1e9) / (2 * model.billions * 1e9), // a multiplication and an addition for each weight and token
    gigabytes: bytes / 1e9,
  };
}

function build(live, data) {
  const model = { ...data.model }, names = Object.keys(data.bits);
  const picture = make("svg", { viewBox: "0 0 640 300", role: "img", "aria-label": "tokens per second against tokens read at once" });
  const told = make("div", { class: "told" });
  const logarithmic = (label, key, low, high, unit) => {
    const made = slider(label, Math.log10(low), Math.log10(high), 0.01, Math.log10(model[key]), (value) => draw((model[key] = 10 ** value)));
    return { ...made, show: () => (made.shown.textContent = `${number(model[key], 3)} ${unit}`) };
  };
  const rows = [
    logarithmic("weights", "billions", 0.01, 500, "billion"),
    logarithmic("memory", "bandwidth", 1, 4000, "GB/s"),
    logarithmic("arithmetic", "gigaflops", 5, 1e6, "GFLOP/s"),
  ];
  const kind = choice(names, names, data.kind, (name) => draw((model.bits = data.bits[name])));
  const [low, high] = [1, 512], x = (tokens) => 60 + (560 * Math.log(tokens / low)) / Math.log(high / low);

  function draw() {
    rows.forEach((row) => row.show());
    const one = limits(model, 1), crossing = one.arithmetic / one.reading, measured = data.measured.map((each) => each.speed);
    const seen = [Math.min(one.reading, one.arithmetic), one.arithmetic, ...measured];
    const bottom = Math.min(...seen) / 3, top = Math.max(...seen) * 3, y = (speed) => 260 - (240 * Math.log(speed / bottom)) / Math.log(top / bottom);
    picture.replaceChildren();
    const add = (...parts) => picture.append(make(...parts));
    for (let power = Math.ceil(Math.log10(bottom)); 10 ** power <= top; power++) {
      add("line", { x1: 60, x2: 620, y1: y(10 ** power), y2: y(10 ** power), stroke: "currentColor", opacity: 0.15 });
      add("text", { x: 54, y: y(10 ** power) + 4, "text-anchor": "end" }, number(10 ** power));
    }
    for (const tokens of [1, 4, 16, 64, 256]) add("text", { x: x(tokens), y: 280, "text-anchor": "middle" }, tokens);
    add("text", { x: 620, y: 296, "text-anchor": "end" }, "tokens read at once");
    add("text", { x: 60, y: 14 }, "tokens per second");
    const bend = Math.min(high, Math.max(low, crossing)), at = (tokens) => Math.min(limits(model, tokens).reading, one.arithmetic);
    add("path", { d: `M${x(low)},${y(at(low))} L${x(bend)},${y(at(bend))} L${x(high)},${y(at(high))}`, fill: "none", stroke: "var(--red)", "stroke-width": 3 });
    for (const each of data.measured) {
      add("g", { fill: "var(--blue)" }, make("rect", { x: x(each.tokens) - 4, y: y(each.speed) - 4, width: 8, height: 8 }), make("title", {}, each.name));
      add("text", { x: x(each.tokens) + 8, y: y(each.speed) + 4 }, each.name);
    }
    const first = Math.min(one.reading, one.arithmetic);
    told.textContent = `${number(one.gigabytes, 3)} GB to read: at most ${number(first, 3)} tokens per second one by one, ${number(one.arithmetic, 3)} however many at once` + (crossing > 1 ? `; up to ${number(crossing, 2)} tokens at once, memory sets the limit.` : "; arithmetic sets the limit from the first token.");
  }

  live.append(kind, ...rows.map((row) => row.row), picture, told);
  draw();
  return { limits };
}
