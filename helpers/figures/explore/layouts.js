// Blocks as bytes: what each byte holds, and the weights that are read back.
function unpack(type, bytes) {
  const half = (at) => fromHalf(bytes[at] | (bytes[at + 1] << 8)), d = half(0);
  if (type === "Q8_0") return bytes.slice(2).map((byte) => d * (byte > 127 ? byte - 256 : byte));
  if (type === "Q4_0") return [...bytes.slice(2).map((byte) => d * ((byte & 15) - 8)), ...bytes.slice(2).map((byte) => d * ((byte >> 4) - 8))];
  const dmin = half(2), low = bytes.slice(4, 8), middle = bytes.slice(8, 12), last = bytes.slice(12, 16);
  const scales = [...low.map((byte) => byte & 63), ...last.map((byte, i) => (byte & 15) | ((low[i] >> 6) << 4))];
  const minima = [...middle.map((byte) => byte & 63), ...last.map((byte, i) => (byte >> 4) | ((middle[i] >> 6) << 4))];
  return Array.from({ length: 256 }, (_, i) => {
    const sub = Math.floor(i / 32), byte = bytes[16 + 32 * Math.floor(sub / 2) + (i % 32)];
    return d * scales[sub] * (sub % 2 ? byte >> 4 : byte & 15) - dmin * minima[sub];
  });
}

// What each byte of a block holds: [colour, text, the weights that stand in it].
function layout(type) {
  if (type === "Q8_0") return [...scaleBytes("d"), ...Array.from({ length: 32 }, (_, j) => ["sky", `the code of weight ${j}`, [j]])];
  if (type === "Q4_0") return [...scaleBytes("d"), ...Array.from({ length: 16 }, (_, j) => ["sky", `low half: the code of weight ${j}; high half: of weight ${j + 16}`, [j, j + 16]])];
  const fields = [...scaleBytes("d, what a step of the scales is worth"), ...scaleBytes("dmin, what a step of the minima is worth", "pink")];
  const sub = (i) => Array.from({ length: 32 }, (_, j) => 32 * i + j);
  for (let i = 0; i < 4; i++) fields.push(["gold", `6 bits: the scale of sub-block ${i}; 2 bits: the upper bits of the scale of sub-block ${i + 4}`, [...sub(i), ...sub(i + 4)]]);
  for (let i = 0; i < 4; i++) fields.push(["green", `6 bits: the minimum of sub-block ${i}; 2 bits: the upper bits of the minimum of sub-block ${i + 4}`, [...sub(i), ...sub(i + 4)]]);
  for (let i = 4; i < 8; i++) fields.push(["gold", `low half: 4 bits of the scale of sub-block ${i}; high half: 4 bits of its minimum`, sub(i)]);
  for (let i = 0; i < 128; i++) {
    const first = 64 * Math.floor(i / 32) + (i % 32);
    fields.push(["sky", `low half: the code of weight ${first} (sub-block ${Math.floor(first / 32)}); high half: of weight ${first + 32} (sub-block ${Math.floor(first / 32) + 1})`, [first, first + 32]]);
  }
  return fields;
}

function scaleBytes(what, colour = "red") {
  return [0, 1].map((i) => [colour, `${i ? "high" : "low"} byte of ${what}, in FP16`, []]);
}
