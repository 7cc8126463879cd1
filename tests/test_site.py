"""The site: nothing leads nowhere, nothing comes from elsewhere, everybody can read it, on a phone too."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from helpers import artifacts, install, site
from helpers.errors import InputError

ROOT = artifacts.ROOT
FOUR, SEVEN = (next((ROOT / "notebooks").glob(f"{number}*.ipynb")) for number in ("04", "07"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_A_BROWSER = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A copy of everything the site is made of and by, so that nobody changes a notebook between two builds."""
    root = tmp_path_factory.mktemp("course")
    for name in ("notebooks", "docs", "helpers"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "README.md", root)
    return root


@pytest.fixture(scope="session")
def notebooks(course):
    return sorted((course / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="session")
def built(course):
    site.build(course / "build" / "site", course)
    return course / "build" / "site"


@pytest.fixture(scope="session")
def pages(built):
    """All pages as trees, by file name."""
    return {path.name: BeautifulSoup(path.read_text(), "html.parser") for path in sorted(built.glob("*.html"))}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A course of two notebooks and the glossary, not stamped, quick to build and free to be damaged."""
    monkeypatch.setattr(install, "REPO", "OWNER/REPO")
    root = tmp_path / "course"
    for name in ("README.md", "docs/overview.png", "docs/glossary.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "notebooks").mkdir()
    for path, links in ((FOUR, "05_convert_to_gguf.ipynb"), (SEVEN, FOUR.name)):
        home = f"https://github.com/{install.REPO}"
        text = f"# Title\n\n[there]({links}), [glossary]({home}/blob/main/docs/glossary.md), "
        text += f"[map]({home}#the-notebooks), [file](../LICENSE), [paper](https://arxiv.org/x)"
        cells = [nbformat.v4.new_markdown_cell(text, id="a"), nbformat.v4.new_code_cell("1 + 1", id="b")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / path.name)
    return root


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hrefs(path: Path) -> dict[str, str]:
    return {a.get_text(): a["href"] for a in BeautifulSoup(path.read_text(), "html.parser").main("a", href=True)}


class TestPages:
    def test_every_notebook_and_document_has_a_page_and_the_notebook_itself_is_there(
        self, course, notebooks, built, pages
    ):
        assert {path.stem + ".html" for path in notebooks} <= set(pages)
        assert {f"{Path(path).stem.lower()}.html" for path in site.DOCUMENTS if (course / path).exists()} <= set(pages)
        for path in notebooks:
            assert (built / path.name).read_bytes() == path.read_bytes()
            assert pages[path.stem + ".html"].find("a", href=path.name, download=True)

    def test_every_link_and_anchor_resolves(self, built, pages):
        checked = 0
        for name, tree in pages.items():
            for element in [*tree("a"), *tree("link"), *tree("script", src=True)]:
                href = element.get("href") or element.get("src")
                if re.match(r"https://|data:", href):
                    continue
                file, _, anchor = href.partition("#")
                assert (built / (file or name)).is_file(), f"{name}: {href}"
                assert not anchor or pages[file or name].find(id=anchor), f"{name}: {href}"
                checked += 1
        assert checked > 20 * len(pages)

    def test_no_link_leads_to_the_placeholder_or_to_a_file_that_was_left_behind(self, pages):
        for name, tree in pages.items():
            for link in tree("a"):
                assert "OWNER/" not in link["href"] and not link["href"].endswith(".md"), f"{name}: {link}"

    def test_nothing_is_loaded_from_another_host(self, built, pages):
        for name, tree in pages.items():
            for element in tree(src=True):
                assert element["src"].startswith("data:"), f"{name}: {element['src'][:80]}"
            for element in tree(["link", "iframe", "object", "embed", "base", "image", "use"]):
                assert element.name == "link" and element["href"] in ("style.css", "data:,"), f"{name}: {element}"
            assert not tree(srcset=True) and not tree(background=True)
            styles = [style.get_text() for style in tree("style")] + [tag["style"] for tag in tree(style=True)]
            assert not any(re.search(r"@import|url\(", text) for text in styles), name
            for script in tree("script"):
                assert script.get("type") == "application/json" or not re.search(
                    r"https?:|[\"'`]//", script.get_text()
                ), name
        assert not re.search(r"@import|url\(", (built / "style.css").read_text())

    def test_every_figure_has_the_alternative_text_of_its_notebook(self, notebooks, pages):
        for name, tree in pages.items():
            for image in tree("img"):
                assert len(image.get("alt", "")) > 8 and "No description" not in image["alt"], name
        for path in notebooks:
            outputs = [o for c in nbformat.read(path, as_version=4).cells for o in c.get("outputs", [])]
            stored = [o.metadata["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
            assert [image["alt"] for image in pages[path.stem + ".html"]("img")] == stored

    def test_structure(self, pages):
        for name, tree in pages.items():
            assert tree.html["lang"] == "en" and tree.title.get_text() and len(tree("main")) == 1, name
            assert tree.find("meta", attrs={"name": "viewport"})["content"].startswith("width=device-width")
            assert tree.body.find("a")["href"] == "#" + tree.main["id"], f"{name}: the first link skips to the text"
            levels = [int(heading.name[1]) for heading in tree(re.compile("^h[1-6]$"))]
            assert levels[0] == 1 and levels.count(1) == 1, name
            assert all(b <= a + 1 for a, b in pairwise(levels)), f"{name}: {levels}"
            ids = [element["id"] for element in tree(id=True)]
            assert len(ids) == len(set(ids)), name

    def test_contents_neighbours_and_title_are_on_every_page(self, course, pages):
        expected = [page.name for page in site.contents(course)]
        notebooks = [name for name in expected if name[:2].isdigit()]
        assert [link["href"] for link in pages["index.html"].select(".pages a")] == expected[1:]
        for name in expected[1:]:
            tree = pages[name]
            assert [link["href"] for link in tree.select(".contents a") if "#" not in link["href"]] == expected[1:]
            assert tree.header.a["href"] == "index.html" and tree.header.a.get_text() == "From Bits to GGUF"
            assert [link["href"] for link in tree.select("[aria-current=page]")] == [name]
        for before, after in pairwise(notebooks):
            assert pages[before].find("a", rel="next")["href"] == after
            assert pages[after].find("a", rel="prev")["href"] == before
        assert not pages[notebooks[0]].find("a", rel="prev") and not pages[notebooks[-1]].find("a", rel="next")

    def test_parts_are_those_of_the_readme(self, course, pages):
        readme = re.findall(r"^\| \| \*\*(.+?)\*\*", (course / "README.md").read_text(), re.M)
        shown = [heading.get_text() for heading in pages["index.html"]("h2")]
        assert shown[: len(readme)] == readme and len(readme) == 4

    def test_search_index_knows_every_heading_and_points_to_it(self, pages):
        sections = json.loads(pages["index.html"].find(id="sections").get_text())
        for url, _, heading, _ in sections:
            page, anchor = url.split("#")
            assert " ".join(pages[page].find(id=anchor).get_text().split()) == heading
        known = {(url.split("#")[0], heading) for url, _, heading, _ in sections}
        for name, tree in pages.items():
            if name != "index.html":
                assert {(name, " ".join(h.get_text().split())) for h in tree(["h1", "h2", "h3"])} <= known
        hits = {url.split("#")[0] for url, _, _, texts in sections if any("subnormal" in text for text in texts)}
        assert {"01_precision_formats.html", "glossary.html"} <= hits


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb: WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_every_colour_in_the_style_sheet():
    """Text on its own rule's background, or on every background there is, whatever it may meet."""
    assert contrast("#000", "#ffffff") == pytest.approx(21) and round(contrast("#777777", "#fff"), 2) == 4.48
    text_of, background_of = {}, {}
    for selector, body in re.findall(r"([^{}/;]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", site.style())):
        for name, value in re.findall(r"(?<![-\w])(color|background(?:-color)?):\s*([^;]+)", body):
            if value.strip() not in ("inherit", "transparent"):
                assert re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", value.strip()), f"{selector}: {value}"
                (text_of if name == "color" else background_of).setdefault(selector.strip(), []).append(value.strip())
    own = {selector for selector in text_of if selector in background_of}
    grounds = {c for selector, colours in background_of.items() if selector not in own - {"body"} for c in colours}
    inherited = {c for selector, colours in text_of.items() if selector not in own - {"body"} for c in colours}
    pairs = {(colour, ground) for colour in inherited for ground in grounds}
    pairs |= {
        (colour, ground) for selector in own for colour in text_of[selector] for ground in background_of[selector]
    }
    assert len(pairs) > 20 and ".highlight .k" in text_of
    assert {pair: contrast(*pair) for pair in pairs if contrast(*pair) < 4.5} == {}


class TestBuilding:
    def test_the_same_bytes_again_from_the_command_line(self, course, built, tmp_path):
        command = [sys.executable, "-m", "helpers.site", str(tmp_path / "again")]
        environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
        done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and str(tmp_path / "again" / "index.html") in done.stdout, done.stderr
        assert snapshot(tmp_path / "again") == snapshot(built)

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
    def test_an_interruption_leaves_the_old_site(self, small, tmp_path, monkeypatch, stop):
        folder = tmp_path / "site"
        site.build(folder, small)
        before, reading, calls = snapshot(folder), site._reading, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                (unfinished,) = folder.parent.glob("site.*.partial")
                assert list(unfinished.iterdir()), "nothing was written yet"
                raise stop
            return reading(*arguments)

        monkeypatch.setattr(site, "_reading", interrupted)
        (small / "docs" / "glossary.md").write_text("# Changed\n")
        with pytest.raises(stop):
            site.build(folder, small)
        assert snapshot(folder) == before and not list(folder.parent.glob("*.partial"))

    def test_a_page_that_is_no_longer_made_disappears(self, small, tmp_path):
        site.build(tmp_path / "site", small)
        (small / "docs" / "glossary.md").unlink()
        pages = site.build(tmp_path / "site", small)
        assert not (tmp_path / "site" / "glossary.html").exists() and all(page.exists() for page in pages)
        assert "glossary" not in hrefs(pages[1])

    def test_a_folder_of_somebody_else_is_not_replaced(self, small, tmp_path):
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        site.build(theirs, small)  # an empty folder may be used
        (theirs / "index.html").write_text("my own page")
        for folder in (theirs, theirs / "index.html"):
            with pytest.raises(InputError, match="not a site of this course"):
                site.build(folder, small)
        done = subprocess.run([sys.executable, "-m", "helpers.site", theirs], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1 and "Choose a new folder." in done.stderr and "Traceback" not in done.stderr
        assert (theirs / "index.html").read_text() == "my own page"

    def test_what_is_missing_or_damaged_is_named(self, small, tmp_path):
        for damaged in (
            b"{",
            b"{}",
            b"[]",
            b"\xff",
            b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        ):
            (small / "notebooks" / FOUR.name).write_bytes(damaged)
            with pytest.raises(InputError, match=f"{FOUR.name} is no notebook"):
                site.build(tmp_path / "site", small)
        assert not (tmp_path / "site").exists()
        shutil.rmtree(small / "notebooks")
        with pytest.raises(InputError, match="has no notebooks"):
            site.build(tmp_path / "site", small)
        (small / "README.md").unlink()
        with pytest.raises(InputError, match=r"README.md cannot be read"):
            site.build(tmp_path / "site", small)

    def test_links_before_and_after_the_stamp(self, small, tmp_path, monkeypatch):
        site.build(tmp_path / "site", small)
        links = hrefs(tmp_path / "site" / f"{SEVEN.stem}.html")
        assert (
            links["there"] == f"{FOUR.stem}.html"
            and links["glossary"] == "glossary.html"
            and links["map"] == "index.html"
        )
        assert links["paper"] == "https://arxiv.org/x" and "file" not in links and "Open in Colab" not in links
        assert "there" not in hrefs(tmp_path / "site" / f"{FOUR.stem}.html"), "that notebook does not exist here"

        for path in (small / "notebooks").iterdir():
            path.write_text(path.read_text().replace(install.REPO, "ada/course"))
        monkeypatch.setattr(install, "REPO", "ada/course")
        site.build(tmp_path / "site", small)
        links = hrefs(tmp_path / "site" / f"{SEVEN.stem}.html")
        colab = f"https://colab.research.google.com/github/ada/course/blob/main/notebooks/{SEVEN.stem}.ipynb"
        assert links["Open in Colab"] == colab and links["glossary"] == "glossary.html" and links["map"] == "index.html"
        assert links["file"] == "https://github.com/ada/course/blob/main/LICENSE"

    def test_headings_of_the_same_words_have_anchors_of_their_own(self, small, tmp_path):
        (small / "docs" / "glossary.md").write_text("# Title\n\n## Two words!\n\n## Two words?\n\n## Search\n")
        site.build(tmp_path / "site", small)
        tree = BeautifulSoup((tmp_path / "site" / "glossary.html").read_text(), "html.parser")
        assert [heading["id"] for heading in tree(["h1", "h2"])] == ["title", "two-words", "two-words-1", "search-1"]
        assert [link["href"] for link in tree.select(".contents ul ul a")] == [
            "#two-words",
            "#two-words-1",
            "#search-1",
        ]

    def test_a_notebook_that_the_readme_does_not_know_comes_last(self, small):
        shutil.copy(small / "notebooks" / FOUR.name, small / "notebooks" / "00_extra.ipynb")
        names = [page.name for page in site.contents(small)]
        assert names == [
            "index.html",
            FOUR.stem + ".html",
            SEVEN.stem + ".html",
            "00_extra.html",
            "glossary.html",
        ]


PROBE = """
const out = {};
const number = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => c.slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
function ground(element, view) {
  for (; element; element = element.parentElement) {
    const c = number(view.getComputedStyle(element).backgroundColor);
    if (c.length == 3 || c[3] > 0) return c;
  }
  return [255, 255, 255];
}
addEventListener("load", () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const view = frame.contentWindow, page = frame.contentDocument, pale = new Set();
    for (const details of page.querySelectorAll("main details")) details.open = true;
    const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || parent.closest("script")) continue;
      const a = light(number(view.getComputedStyle(parent).color)), b = light(ground(parent, view));
      if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) pale.add(parent.outerHTML.slice(0, 80));
    }
    out[frame.dataset.name] = {
      width: page.documentElement.scrollWidth, window: view.innerWidth, pale: [...pale],
      loaded: view.performance.getEntriesByType("resource").map((entry) => entry.name),
      open: page.querySelector(".contents details")?.open, texts: page.querySelectorAll("main p").length,
    };
    const box = page.getElementById("search");
    if (frame.dataset.name == "index.html") for (const word of ["subnormal", "zzzz", "a.*b"]) {
      box.value = word;
      box.dispatchEvent(new view.Event("input"));
      const item = (element) => [element.querySelector("a").getAttribute("href"), element.textContent];
      out[word] = [page.getElementById("count").textContent, [...page.querySelectorAll("#results li")].map(item)];
    }
  }
  document.getElementById("out").textContent = JSON.stringify(out);
});
"""


def browse(built: Path, tmp_path: Path, width: int) -> tuple[dict, list[str]]:
    """Open all pages in frames of a width, from the disk; return what the probe saw, and the console's lines."""
    frames = "".join(
        f'<iframe data-name="{path.name}" src="{path.as_uri()}" style="width: {width}px; height: 800px"></iframe>'
        for path in sorted(built.glob("*.html"))
    )
    wrapper = tmp_path / "wrapper.html"
    style = '<!doctype html><meta charset="utf-8"><style>iframe { border: 0 }</style>'
    wrapper.write_text(f'{style}{frames}<pre id="out"></pre><script>{PROBE}</script>')
    flags = "--headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0 --allow-file-access-from-files"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, *flags.split(), "--hide-scrollbars", "--dump-dom", profile, wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module", params=[390, 1200])
def seen(request, built, tmp_path_factory):
    return request.param, *browse(built, tmp_path_factory.mktemp("browser"), request.param)


@NEEDS_A_BROWSER
class TestInTheBrowser:
    def test_no_page_says_anything_on_the_console(self, seen):
        assert seen[2] == []

    def test_no_page_is_wider_than_the_window(self, seen, pages):
        width, out, _ = seen
        for name in pages:
            assert out[name]["window"] == width and out[name]["texts"] > 0, name
            assert out[name]["width"] <= width, name

    def test_all_text_can_be_read_against_its_background(self, seen, pages):
        assert {name: seen[1][name]["pale"] for name in pages if seen[1][name]["pale"]} == {}

    def test_only_files_of_the_site_are_loaded(self, seen, built, pages):
        for name in pages:
            assert set(seen[1][name]["loaded"]) <= {(built / "style.css").as_uri(), "data:,"}, name

    def test_contents_are_folded_on_a_phone(self, seen, pages):
        assert {seen[1][name]["open"] for name in pages if name != "index.html"} == {seen[0] > 1000}

    def test_search(self, seen, pages):
        count, results = seen[1]["subnormal"]
        assert count == f"Found in {len(results)} sections" and len(results) > 2
        for href, text in results:
            page, anchor = href.split("#")
            assert pages[page].find(id=anchor) and "subnormal" in text.lower()
        for nothing in ("zzzz", "a.*b"):
            assert seen[1][nothing] == ["Found in 0 sections", []]
