"""The notebooks as a static site to read: `python -m helpers.site [folder]` (default: build/site).

Nothing is executed: the outputs are those stored in the notebooks. Nothing is loaded from another host, so the folder
works from a disk, a USB stick or any web server. The same input gives the same bytes. Scripts and style are at the end.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import mimetypes
import posixpath
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, install
from helpers.errors import CourseError, InputError

MARK = "helpers.site"  # stands in every page, so that no folder of somebody else is replaced
CODE_STYLE = "xcode"  # every colour of this pygments style has a contrast of 4.5 or more, here on #f6f7f9
DOCUMENTS = ["docs/glossary.md", "docs/TROUBLESHOOTING.md", "docs/BENCHMARKS.md", "docs/TEACHING.md"]


@dataclass(frozen=True)
class Page:
    """A page: `path` is its source in the repository; title, part, question and time are as in the README."""

    path: str
    title: str
    part: str = ""
    question: str = ""
    time: str = ""

    @property
    def name(self) -> str:
        return "index.html" if self.path == "README.md" else f"{Path(self.path).stem.lower()}.html"

    @property
    def is_notebook(self) -> bool:
        return self.path.endswith(".ipynb")


def build(folder: Path, root: Path = artifacts.ROOT) -> list[Path]:
    """Write the site into `folder`, replacing an older one, and return its pages; index.html comes first.

    Raises InputError if `folder` holds something else than a site, or if a source is missing or damaged.
    """
    index = folder / "index.html"
    ours = index.is_file() and f'content="{MARK}"' in index.read_text(encoding="utf-8", errors="replace")
    if folder.exists() and not ours and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is not a site of this course. Building would replace it. Choose a new folder.")
    pages = contents(root)
    with artifacts.making(folder) as unfinished:
        unfinished.mkdir()
        sections = []
        for page in pages[1:]:
            text = _text(page, pages, root)
            sections += _sections(text, page)
            (unfinished / page.name).write_text(_reading(text, page, pages), encoding="utf-8")
            if page.is_notebook:
                (unfinished / Path(page.path).name).write_bytes(_read(root / page.path))
        (unfinished / "index.html").write_text(_index(sections, pages, root), encoding="utf-8")
        (unfinished / "style.css").write_text(style(), encoding="utf-8")
    return [folder / page.name for page in pages]


def contents(root: Path = artifacts.ROOT) -> list[Page]:
    """Return the pages: the index, the notebooks in the order and parts of the README, the documents of docs/.

    Raises InputError if there is no README or no notebook.
    """
    found = {f"notebooks/{path.name}" for path in (root / "notebooks").glob("[0-9]*.ipynb")}
    readme = _read(root / "README.md").decode()
    if not found:
        raise InputError(f"{root} has no notebooks. The site is made of them. Run this in a complete clone.")
    pages, part = [Page("README.md", _title(readme))], ""
    for line in readme.splitlines():
        if heading := re.match(r"\|\s*\|\s*\*\*(.+?)\*\*", line):
            part = heading[1]
        row = re.match(r"\|\s*(\d+)\s*\|\s*\[(.+?)\]\((.+?)\)\s*\|\s*(.*?)\s*\|\s*(.*?)\s*\|", line)
        if row and row[3] in found:  # a notebook that is announced may not be there yet
            found.remove(row[3])
            pages.append(Page(row[3], f"{row[1]}. {row[2]}", part, row[4], row[5]))
    pages += [Page(path, Path(path).stem.replace("_", " "), "More notebooks") for path in sorted(found)]
    for path in DOCUMENTS:
        if (root / path).exists():
            pages.append(Page(path, _title(_read(root / path).decode()), "To look things up"))
    return pages


def style() -> str:
    """Return the style sheet: the colours of the code, then everything else."""
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style=CODE_STYLE).get_style_defs(".highlight") + "\n" + CSS


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). It belongs to the site. Get it from git."
        ) from error


def _title(document: str) -> str:
    return re.search(r"^# (.+)$", document, re.M)[1].strip()


def _markdown(text: str) -> str:
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    return MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(text)


def _text(page: Page, pages: list[Page], root: Path):
    """Return the text of a page as a tree of BeautifulSoup, ready to be shown."""
    source = _read(root / page.path)
    if not page.is_notebook:
        return _ready(_markdown(source.decode()), page, pages, root)
    import nbformat
    from nbconvert import HTMLExporter

    try:
        notebook = nbformat.reads(source.decode(), as_version=4)
        nbformat.validate(notebook)
    except (ValueError, TypeError, AttributeError, nbformat.ValidationError) as error:
        raise InputError(f"{page.path} is no notebook ({str(error)[:80]}). It is damaged. Get it from git.") from error
    bare = {"exclude_input_prompt": True, "exclude_output_prompt": True, "exclude_anchor_links": True}
    body, _ = HTMLExporter(template_name="basic", **bare).from_notebook_node(notebook)  # the inside of "classic"
    tree = _ready(body, page, pages, root)
    if setup := tree.select_one(".code_cell .input"):  # it is the same in every notebook
        setup.wrap(tree.new_tag("details")).insert(0, summary := tree.new_tag("summary"))
        summary.string = "Setup"
    return tree


def _ready(body: str, page: Page, pages: list[Page], root: Path):
    """Parse a text; lead its links to the site's pages, give headings their anchors, let wide tables scroll."""
    from bs4 import BeautifulSoup

    tree = BeautifulSoup(body, "html.parser")
    for repeated in tree("style"):  # pandas writes one above every table
        repeated.decompose()
    for image in tree("img"):
        if re.match(r"(https?:)?//", image["src"]):  # a badge: nothing is loaded from another host
            badge = image.find_parent("a") or image
            (badge.parent if badge.parent.name == "p" and len(badge.parent.contents) == 1 else badge).decompose()
        elif not image["src"].startswith("data:"):
            picture = _read(root / posixpath.dirname(page.path) / image["src"])
            image["src"] = f"data:{mimetypes.guess_type(image['src'])[0]};base64,{base64.b64encode(picture).decode()}"
    for link in tree("a", href=True):
        if target := _target(link["href"], page, pages):
            link["href"] = target
        else:  # it leads to something that has no address yet
            link.unwrap()
    used = {"content", "search", "count", "results", "sections"}  # the page's own
    for heading in tree(re.compile("^h[1-6]$")):
        slug = re.sub(r"[^\w\- ]", "", heading.get_text().lower()).strip().replace(" ", "-") or "part"  # as on GitHub
        heading["id"] = next(name for name in (slug, *(f"{slug}-{i}" for i in range(1, 999))) if name not in used)
        used.add(heading["id"])
    for table in tree("table"):
        table.wrap(tree.new_tag("div", attrs={"class": "scroll"}))
    return tree


def _target(href: str, page: Page, pages: list[Page]) -> str | None:
    """Return where a link leads from inside the site, or None if there is no such place."""
    home, stamped = f"https://github.com/{install.REPO}", not install.REPO.startswith("OWNER/")
    if href == home or href.startswith((f"{home}/blob/main/", f"{home}#")):
        path = href.removeprefix(home).removeprefix("/blob/main/")
    elif re.match(r"[a-z]+:|#", href):
        return href if stamped or not href.startswith(home) else None
    else:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.path), href))
    path, hash_sign, anchor = path.partition("#")
    for other in pages:
        if other.path == (path or "README.md"):
            return other.name if other is pages[0] else other.name + hash_sign + anchor
    return f"{home}/blob/main/{path}{hash_sign}{anchor}" if stamped else None


def _sections(tree, page: Page) -> list[list]:
    """Return [address, page, heading, [paragraphs]] for each heading: what the search looks through."""
    sections = []
    for element in tree(["h1", "h2", "h3", "h4", "p", "li", "tr"]):
        text = " ".join(element.get_text(" " if element.name == "tr" else "").split())
        if element.name.startswith("h"):
            sections.append([f"{page.name}#{element['id']}", page.title, text, []])
        elif sections and not element.find_parent(["p", "li", "tr"]) and not element.find_parent(class_="output"):
            sections[-1][3].append(text)
    return sections


def _parts(pages: list[Page]) -> list[tuple[str, list[Page]]]:
    names = dict.fromkeys(page.part for page in pages[1:])
    return [(html.escape(name), [page for page in pages if page.part == name]) for name in names]


def _link(href: str, text: str, attributes: str = "") -> str:
    return f'<a href="{html.escape(href)}"{attributes}>{html.escape(text)}</a>'


def _reading(tree, page: Page, pages: list[Page]) -> str:
    """Return a whole page: all pages on the left, above the text its file, below it the neighbours."""
    groups = ""
    for part, group in _parts(pages):
        groups += f"<p>{part}</p><ul>"
        for other in group:
            here = "".join(f"<li>{_link('#' + h['id'], h.get_text())}</li>" for h in tree("h2") if other is page)
            current = ' aria-current="page"' if other is page else ""
            groups += f"<li>{_link(other.name, other.title, current)}{here and f'<ul>{here}</ul>'}</li>"
        groups += "</ul>"
    tools = around = ""
    if page.is_notebook:
        tools = _link(Path(page.path).name, "Download this notebook", " download")
        if not install.REPO.startswith("OWNER/"):
            colab = f"https://colab.research.google.com/github/{install.REPO}/blob/main/{page.path}"
            tools += " " + _link(colab, "Open in Colab")
        notebooks = [None, *(other for other in pages if other.is_notebook), None]
        place = notebooks.index(page)
        if before := notebooks[place - 1]:
            around = _link(before.name, f"← {before.title}", ' rel="prev"')
        if after := notebooks[place + 1]:
            around += _link(after.name, f"{after.title} →", ' rel="next"')
        tools = f'<p class="tools">{tools}</p>'
        around = f'<nav class="around" aria-label="Previous and next notebook">{around}</nav>'
    body = f"""<div class="columns"><nav class="contents" aria-label="Contents">
<details><summary>Contents</summary>{groups}</details></nav><script>{OPEN}</script>
<main id="content" tabindex="-1">{tools}{tree}{around}</main></div>"""
    return _shell(page, pages[0].title, f"{page.title} – {pages[0].title}", body)


def _index(sections: list[list], pages: list[Page], root: Path) -> str:
    """Return the first page: what the search found, the README's introduction, all pages in their parts."""
    introduction = _ready(_markdown(_read(root / "README.md").decode().split("\n## ")[0]), pages[0], pages, root)
    parts = ""
    for number, (part, group) in enumerate(_parts(pages), 1):
        parts += f'<h2 id="part-{number}">{part}</h2><ul class="pages">'
        for page in group:
            more = f"<span>{html.escape(page.question)}</span><small>{html.escape(page.time)}</small>"
            parts += f"<li>{_link(page.name, page.title)}{more if page.question else ''}</li>"
        parts += "</ul>"
    found = json.dumps(sections, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    body = f"""<main id="content" tabindex="-1"><p id="count" role="status"></p><ol id="results"></ol>
{introduction}{parts}</main>
<script type="application/json" id="sections">{found}</script><script>{SEARCH}</script>"""
    return _shell(pages[0], pages[0].title, pages[0].title, body)


def _shell(page: Page, course: str, title: str, body: str) -> str:
    source = "" if install.REPO.startswith("OWNER/") else _link(f"https://github.com/{install.REPO}", "Source.")
    course = html.escape(course)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{MARK}"><meta name="description" content="{html.escape(page.question or course)}">
<title>{html.escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"></head>
<body><a class="skip" href="#content">Skip to the text</a>
<header><a href="index.html">{course}</a><form role="search" action="index.html">
<input type="search" id="search" name="q" aria-label="Search the course" placeholder="Search" autocomplete="off">
</form></header>
{body}
<footer>{course}. Code under Apache-2.0, text and figures under CC BY 4.0. {source}</footer>
<script>{SCROLL}</script></body></html>
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a site to read from the notebooks and their stored outputs.")
    parser.add_argument("folder", nargs="?", type=Path, default=artifacts.ROOT / "build" / "site")
    try:
        pages = build(parser.parse_args().folder.resolve())
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(pages)} pages to read, the first: {pages[0]}")
    return 0


OPEN = """document.querySelector(".contents details").open = matchMedia("(min-width: 64rem)").matches"""

SCROLL = """for (const box of document.querySelectorAll("pre, .scroll"))
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0  // so that the arrow keys can move it"""

SEARCH = r"""
const sections = JSON.parse(document.getElementById("sections").textContent);
const [box, count, results] = ["search", "count", "results"].map((id) => document.getElementById(id));
function add(parent, tag, text) {
  const element = parent.appendChild(document.createElement(tag));
  element.textContent = text;
  return element;
}
function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const any = new RegExp("(" + words.map((word) => word.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|") + ")", "i");
  const all = (text) => words.every((word) => text.toLowerCase().includes(word));
  const hits = words.join("").length < 2 ? [] : sections.map(([url, page, head, texts]) => {
    const text = texts.find(all) ?? texts.find((text) => any.test(text)) ?? "";
    return {url, page, head, text, rank: !all([head, ...texts].join(" ")) ? 0 : all(head) ? 3 : all(text) ? 2 : 1};
  }).filter((hit) => hit.rank).sort((a, b) => b.rank - a.rank);
  count.textContent = words.join("").length < 2 ? "" : hits.length == 1 ? "Found in 1 section"
    : `Found in ${hits.length} sections${hits.length > 30 ? "; the first 30 are shown" : ""}`;
  results.replaceChildren();
  for (const {url, page, head, text} of hits.slice(0, 30)) {
    const item = add(results, "li", "");
    add(item, "a", head).href = url;
    add(item, "small", " " + page);
    const from = text.lastIndexOf(" ", Math.max(0, text.search(any) - 80)) + 1;
    const extract = add(item, "p", from ? "… " : "");
    const piece = text.slice(from, from + 220) + (text.length > from + 220 ? " …" : "");
    piece.split(any).forEach((part, i) => add(extract, i % 2 ? "mark" : "span", part));
  }
}
box.value = new URLSearchParams(location.search).get("q") ?? "";
box.addEventListener("input", search);
search();
"""

CSS = """
* { box-sizing: border-box }
html { color-scheme: light; -webkit-text-size-adjust: 100% }
body { margin: 0; background: #ffffff; color: #1f2328; font: 1.0625rem/1.6 system-ui, sans-serif }
a { color: #0b57a4 }
:focus-visible { outline: 3px solid #0b57a4; outline-offset: 2px }
main { max-width: 58rem; margin: 0 auto; padding: 1rem 1rem 3rem; overflow-wrap: break-word }
main p, main li { max-width: 46rem }
main:focus { outline: none }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 0.5rem; top: 0.5rem; padding: 0.5rem 1rem; background: #ffffff }
header { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; justify-content: space-between }
header { padding: 0.6rem 1rem; border-bottom: 1px solid #d0d7de }
header form { flex: 0 1 18rem }
@media (max-width: 30rem) { header form { flex: 1 1 8rem } }
header a { color: #1f2328; font-weight: 700; text-decoration: none }
input { width: 100%; padding: 0.3rem 0.6rem; border: 1px solid #6e7781; border-radius: 6px; font: inherit }
input { background: #ffffff; color: #1f2328 }
::placeholder { color: #57606a; opacity: 1 }
footer { padding: 1rem; border-top: 1px solid #d0d7de; color: #57606a; font-size: 0.875rem; text-align: center }
.contents { padding: 0.5rem 1rem; font-size: 0.9375rem; background: #f6f7f9 }
.contents p { margin: 1rem 0 0.25rem; font-weight: 600 }
.contents ul { list-style: none; margin: 0; padding: 0 }
.contents ul ul { margin: 0.25rem 0 0.5rem; padding-left: 0.75rem; border-left: 2px solid #d0d7de; font-size: 0.875rem }
.contents a { display: block; padding: 0.2rem 0; text-decoration: none }
.contents a:hover { text-decoration: underline }
.contents a[aria-current] { color: #1f2328; font-weight: 600 }
@media (min-width: 64rem) {
  .columns { display: grid; grid-template-columns: 18rem minmax(0, 1fr) }
  .columns main { padding: 1rem 2rem 3rem; width: 100% }
  .contents { position: sticky; top: 0; max-height: 100vh; overflow-y: auto }
}
h1, h2, h3, h4 { line-height: 1.25; margin: 2em 0 0.5em }
h1 { font-size: 1.9rem; margin-top: 0.5em }
h2 { font-size: 1.4rem }
h3 { font-size: 1.15rem }
img { max-width: 100%; height: auto }
code, pre { font: 0.8125rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
:not(pre) > code { padding: 0.1em 0.3em; border-radius: 4px; background: #f3f4f6; font-size: 0.9em }
pre { margin: 0; overflow-x: auto }
main .highlight { margin: 1rem 0 0.5rem; padding: 0.75rem; border-left: 4px solid #0b57a4; background: #f6f7f9 }
main .celltag_exercise .highlight { border-left-color: #b35900 }
.output { margin: 0.5rem 0 1.25rem; padding-left: 1rem }
.output_area + .output_area { margin-top: 0.75rem }
.scroll { overflow-x: auto; margin: 1rem 0 }
table { border: 0; border-collapse: collapse; font-size: 0.9375rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.3rem 0.7rem; border: 0; border-bottom: 1px solid #d0d7de; text-align: left; vertical-align: top }
td { min-width: 6rem }
td code { overflow-wrap: anywhere }
.dataframe td { min-width: 0 }
.dataframe th, .dataframe td { text-align: right; white-space: nowrap }
summary { cursor: pointer; padding: 0.3rem 0; font-weight: 600 }
.tools, .around { display: flex; flex-wrap: wrap; gap: 0.5rem 1.5rem; margin: 0; font-size: 0.9375rem }
.around { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid #d0d7de }
.around [rel=next] { margin-left: auto; text-align: right }
#count:empty { margin: 0 }
#results:empty { display: none }
#results { padding-bottom: 1rem; border-bottom: 1px solid #d0d7de }
#results p { margin: 0 0 0.75rem; font-size: 0.9375rem }
mark { background: #fff1b8; color: #1f2328 }
small { color: #57606a }
.pages { list-style: none; padding: 0 }
.pages li { max-width: none }
.pages li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: 0.4rem 0; border-bottom: 1px solid #d0d7de }
.pages a { flex: 1 1 17rem }
.pages span { flex: 1.4 1 17rem }
.pages small { flex: 0 0 3.5rem; align-self: center; text-align: right }
@media print { .contents, .around, .tools, .skip, form { display: none } pre { white-space: pre-wrap } }
"""

if __name__ == "__main__":
    sys.exit(main())
