// What a reader sees on a page: text too pale for WCAG AA, code that is cut, and how wide the page is.
async (theme) => {
  const still = document.head.appendChild(document.createElement("style"));
  still.textContent = "* { animation: none !important; transition: none !important }";
  while (document.documentElement.dataset.theme != theme) await new Promise((done) => setTimeout(done, 10));
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const menu of document.querySelectorAll(".dropdown-menu")) menu.classList.add("show");
  const number = (text) => [...text.match(/^rgba?\((.+)\)$/)[1].split(", ").map(Number), 1].slice(0, 4);
  const over = (c, below) => below.map((v, i) => c[i] * c[3] + v * (1 - c[3]));
  const light = (c) => c.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const known = new Map();
  function around(element) {  // what lies under its text, and how much of the text shows
    if (!element) return {ground: [255, 255, 255], opacity: 1};
    if (!known.has(element)) {
      const style = getComputedStyle(element), {ground, opacity} = around(element.parentElement);
      known.set(element, {ground: over(number(style.backgroundColor), ground), opacity: opacity * style.opacity});
    }
    return known.get(element);
  }
  const pale = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const shown = walker.currentNode.data.trim() && element.checkVisibility({visibilityProperty: true});
    if (!shown || element.closest("script, style, noscript, svg")) continue;
    const {ground, opacity} = around(element), [r, g, b, a] = number(getComputedStyle(element).color);
    const [dark, bright] = [light(over([r, g, b, a * opacity], ground)), light(ground)].sort((x, y) => x - y);
    if ((bright + 0.05) / (dark + 0.05) < 4.5) pale.add(element.outerHTML.slice(0, 90));
    texts += 1;
  }
  const cut = [...document.querySelectorAll(".cell_input pre")].filter((code) => code.scrollWidth > code.clientWidth);
  return {
    pale: [...pale], texts, cut: cut.map((code) => code.textContent.slice(0, 90)),
    window: innerWidth, width: document.documentElement.scrollWidth,
  };
}
