// A GGUF under the microscope: the header's fields on their bytes, the tensors by type, and two files side by side.
const KINDS = ["sky", "gold", "green", "pink", "red", "blue"];

function build(live, data) {
  const files = data.files, body = make("div"), tabs = ["header", "tensors", "blocks", ...(files.length > 1 ? ["compare"] : [])];
  let tab = "header", file = files[0];
  const show = { header, tensors, blocks, compare };
  if (files.length > 1) live.append(choice(files.map((_, i) => i), files.map((each) => each.name), 0, (i) => {
    file = files[i]; // two files may have one name
    show[tab]();
  }));
  live.append(choice(tabs, tabs, tab, (name) => show[(tab = name)]()), body);

  function header() {
    const about = make("div", { class: "told" }), bytes = make("div", { class: "bytes" });
    const rows = file.fields.map((field, i) => make("tr", { onmouseenter: () => point(i), "data-field": i }, make("td", { class: "narrow" }, `${field.at.toLocaleString("en")} + ${field.bytes.toLocaleString("en")}`), make("td", {}, field.name), make("td", {}, field.value), make("td", { class: "narrow" }, field.kind)));
    const start = file.head.match(/../g).map((pair) => parseInt(pair, 16));
    const owner = (at) => file.fields.findIndex((field) => at >= field.at && at < field.at + field.bytes);
    bytes.append(...start.map((byte, at) => make("span", { style: `--kind: var(--${owner(at) < 0 ? "faint" : KINDS[owner(at) % KINDS.length]})`, "data-field": owner(at), onmouseenter: () => point(owner(at)) }, hex(byte))));
    function point(i) {
      bytes.querySelectorAll("span").forEach((span) => span.classList.toggle("lit", i >= 0 && Number(span.dataset.field) === i));
      about.textContent = i < 0 ? "" : `${file.fields[i].name}: ${file.fields[i].kind}, ${file.fields[i].value}`;
    }
    about.textContent = `The first ${start.length} of ${file.size.toLocaleString("en")} bytes; point at a byte or a row.`;
    body.replaceChildren(about, bytes, make("div", { class: "wide" }, make("table", {}, make("tr", {}, ...["at byte + length", "field", "value", "type"].map((text) => make("th", {}, text))), ...rows)));
  }

  function legend(which) {
    const colour = (name) => `var(--${KINDS[which.types.findIndex((type) => type.name === name) % KINDS.length]})`;
    return make("table", {}, make("tr", {}, ...["type", "bits", "tensors", "MB"].map((text) => make("th", {}, text))), ...which.types.map((each) => make("tr", {}, make("td", { style: `border-left: 1em solid ${colour(each.name)}; padding-left: 0.5em` }, each.name), make("td", {}, number((8 * each.bytes) / each.weights, 4)), make("td", {}, each.tensors), make("td", {}, number(each.bytes / 1e6, 4)))));
  }

  function map(which, about) {
    const most = Math.max(...which.rows.map((row) => row.types.length)), high = 16 * which.rows.length + 4, wide = 470 / most;
    const picture = make("svg", { viewBox: `0 0 640 ${high}`, role: "img", "aria-label": `the type of each tensor of ${which.name}` });
    which.rows.forEach((row, j) => {
      picture.append(make("text", { x: 158, y: 16 * j + 13, "text-anchor": "end" }, row.name));
      row.types.forEach((type, layer) => {
        if (type < 0) return;
        const told = `${row.name}${row.types.length > 1 ? ` of layer ${layer}` : ""}: ${which.types[type].name}, ${row.shape}`;
        const size = row.types.length > 1 ? wide : 470;
        picture.append(make("rect", { x: 165 + layer * size, y: 16 * j + 2, width: Math.max(1, size - 1), height: 14, fill: `var(--${KINDS[type % KINDS.length]})`, onmouseenter: () => (about.textContent = told) }, make("title", {}, told)));
      });
    });
    return picture;
  }

  function tensors() {
    const about = make("div", { class: "told" }, "Each square is a tensor, each column a layer; point at one.");
    body.replaceChildren(about, map(file, about), legend(file));
  }

  function blocks() {
    const parts = file.blocks.map((block) => {
      const bytes = block.hex.match(/../g).map((pair) => parseInt(pair, 16)), known = ["Q8_0", "Q4_0", "Q4_K"].includes(block.type);
      const fields = known ? layout(block.type) : bytes.map(() => ["faint", `a byte of ${block.type}`]), about = make("div", { class: "told" });
      const grid = make("div", { class: "bytes" }, ...bytes.map((byte, i) => make("span", { style: `--kind: var(--${fields[i][0]})`, tabindex: 0, title: fields[i][1], onmouseenter: () => (about.textContent = fields[i][1]), onfocus: () => (about.textContent = fields[i][1]) }, hex(byte))));
      const told = `${block.type}, the first block of ${block.tensor}: ${bytes.length} bytes for ${block.weights} weights. ${block.values.length ? `Read back: ${block.values.map((value) => number(value, 3)).join(", ")} …` : "gguf-py cannot read this type back."}`;
      return make("div", {}, make("div", { class: "told" }, told), grid, about);
    });
    body.replaceChildren(...parts);
  }

  function compare() {
    const about = make("div", { class: "told" }, files.map((each) => `${each.name}: ${number(each.size / 1e6, 5)} MB`).join("; "));
    const keys = [...new Set(files.flatMap((each) => each.fields.map((field) => field.name)))];
    const value = (which, key) => (which.fields.find((field) => field.name === key) || { value: "–" }).value;
    const different = keys.filter((key) => new Set(files.map((each) => value(each, key))).size > 1);
    const table = make("table", {}, make("tr", {}, make("th", {}, "what differs"), ...files.map((each) => make("th", {}, each.name))), ...different.map((key) => make("tr", {}, make("td", {}, key), ...files.map((each) => make("td", {}, value(each, key))))));
    body.replaceChildren(about, ...files.flatMap((each) => [make("div", {}, each.name), map(each, about), legend(each)]), make("div", { class: "wide" }, table));
  }

  header();
  return { files: files.length };
}
