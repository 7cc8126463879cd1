"""The site: nothing leads nowhere or comes from elsewhere, everybody can read it, on a phone and from a disk too."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from browser import CHROMIUM, Browser
from bs4 import BeautifulSoup

from helpers import artifacts
from helpers.errors import InputError
from helpers.setup import pip
from helpers.setup.places import VERSION
from tools import site

ROOT = artifacts.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
FOUR, SEVEN = (next((ROOT / "notebooks").glob(f"{number}*.ipynb")) for number in ("04", "07"))
LOOK = Path(__file__).with_name("look.js").read_text()
NEEDS_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("course") / "site"
    site.build(folder)
    return folder


@pytest.fixture(scope="session")
def pages(built) -> dict[str, BeautifulSoup]:
    """All pages as trees, by their path in the site; the page that searches is one of them."""
    found = sorted(path for path in built.rglob("*.html") if "_static" not in path.parts)
    return {str(path.relative_to(built)): BeautifulSoup(path.read_text(), "html.parser") for path in found}


@pytest.fixture
def small(tmp_path) -> Path:
    """A course of two notebooks and the glossary, not stamped, quick to build and free to be damaged."""
    root = tmp_path / "small"
    for name in ("README.md", "docs/overview.png", "docs/glossary.md", "docs/conf.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "docs" / "_static", root / "docs" / "_static")
    (root / "notebooks").mkdir()
    metadata = {"language_info": {"name": "python"}}
    for path, links in ((FOUR, "05_convert_to_gguf.ipynb"), (SEVEN, FOUR.name)):
        home = "https://github.com/OWNER/REPO"
        text = f"[![badge](https://b.org/a.svg)]({home}) [![two](https://b.org/b.svg)]({home})\n\n"
        text += f"# Title\n\n[there]({links}), `[code](x)`, "
        text += f"[glossary]({home}/blob/{VERSION}/docs/glossary.md#numbers), [map]({home}#the-notebooks), "
        text += "[file](../LICENSE), [paper](https://arxiv.org/x)"
        cells = [nbformat.v4.new_markdown_cell(text, id="a"), nbformat.v4.new_code_cell("1 + 1", id="b")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), root / "notebooks" / path.name)
    return root


def page_of(notebook: Path) -> str:
    return f"notebooks/{notebook.stem}.html"


def links_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"\[([^\[\]]+)\]\(([^()]+)\)", text))


class TestPages:
    def test_every_notebook_and_document_has_a_page_and_can_be_downloaded_as_it_is(self, built, pages):
        sources = [*NOTEBOOKS, *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]
        for path in sources:
            name = path.relative_to(ROOT).with_suffix(".html").as_posix()
            assert name in pages
            (button,) = pages[name].select("a.btn-download-source-button")
            downloaded = (built / name).parent / button["href"]
            assert path.suffix == ".md" or downloaded.read_bytes() == path.read_bytes()

    def test_every_link_and_anchor_resolves(self, built, pages):
        checked = 0
        for name, tree in pages.items():
            for element in tree(["a", "link", "script", "img"]):
                href = element.get("href") or element.get("src")
                if not href or re.match(r"https?://|data:", href):
                    continue
                file, _, anchor = href.partition("#")
                target = ((built / name).parent / file.split("?")[0]).resolve() if file else built / name
                assert target.is_file(), f"{name}: {href}"
                if anchor:
                    assert pages[str(target.relative_to(built.resolve()))].find(id=anchor), f"{name}: {href}"
                checked += 1
        assert checked > 50 * len(pages)

    def test_no_link_leads_to_the_placeholder(self, pages):
        for name, tree in pages.items():
            assert not [link for link in tree("a", href=True) if "OWNER/" in link["href"]], name

    def test_nothing_is_loaded_from_another_host(self, built, pages):
        for name, tree in pages.items():
            sources = [element["src"] for element in tree(src=True)]
            sources += [element["href"] for element in tree(["link", "base", "use", "image"], href=True)]
            assert not [source for source in sources if re.match(r"(https?:)?//", source)], name
        for path in built.rglob("*.css"):
            assert not re.search(r"(@import\s*['\"]|url\(['\"]?)(https?:)?//", path.read_text()), path.name

    def test_every_figure_has_the_alternative_text_of_its_notebook(self, pages):
        for name, tree in pages.items():
            for image in tree("img"):
                assert len(image.get("alt", "")) > 8 and "No description" not in image["alt"], f"{name}: {image}"
        for path in NOTEBOOKS:
            outputs = [o for c in nbformat.read(path, as_version=4).cells for o in c.get("outputs", [])]
            stored = [o.metadata["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
            assert [image["alt"] for image in pages[page_of(path)].article("img")] == stored

    def test_structure(self, pages):
        for name, tree in pages.items():
            assert tree.html["lang"] == "en" and tree.title.get_text() and len(tree("main")) == 1, name
            assert tree.find("meta", attrs={"name": "viewport"})["content"].startswith("width=device-width")
            assert tree.body.find("a")["href"] == "#" + tree.main["id"], f"{name}: the first link skips to the text"
            levels = [int(heading.name[1]) for heading in (tree.article or tree.main)(re.compile("^h[1-6]$"))]
            assert levels[0] == 1 and levels.count(1) == 1, name
            assert all(b <= a + 1 for a, b in pairwise(levels)), f"{name}: {levels}"
            ids = [element["id"] for element in tree(id=True)]
            assert len(ids) == len(set(ids)), name

    def test_index_has_the_parts_questions_and_times_of_the_readme(self, pages):
        readme = (ROOT / "README.md").read_text()
        parts = re.findall(r"^\| \| \*\*(.+?)\*\*", readme, re.M)
        section = pages["index.html"].find(id="the-notebooks")
        assert [h.get_text().rstrip("#") for h in section("h3")] == [*parts, "To look things up"] and len(parts) == 6
        rows = [tuple(cell.get_text() for cell in row("td")) for row in section.select("tbody tr")]
        told = re.findall(r"^\| (\d+) \| \[(.+?)\]\(.+?\) \| (.+?) \| (.+?) \|", readme, re.M)
        assert rows == [(f"{number}. {title}", question, time) for number, title, question, time in told]

    def test_contents_and_neighbours_are_on_every_page(self, pages):
        for name, tree in pages.items():
            links = [link.get_text().strip() for link in tree.select("#pst-primary-sidebar nav li > a")]
            assert len(links) == len(pages) - 2, f"{name}: all pages but the index and the search"
        for before, after in pairwise(map(page_of, NOTEBOOKS)):
            assert Path(pages[before].find("a", title="next page")["href"]).name == Path(after).name
            assert Path(pages[after].find("a", title="previous page")["href"]).name == Path(before).name

    def test_a_link_opens_each_notebook_in_the_jupyterlab_of_make_lab(self, pages):
        """`make lab` begins in the course's folder, on Jupyter's usual port."""
        assert "jupyter lab --notebook-dir ." in (ROOT / "Makefile").read_text()
        for path in NOTEBOOKS:
            (link,) = [link for link in pages[page_of(path)]("a", href=True) if link.get_text() == "Open in JupyterLab"]
            assert link["href"] == f"http://localhost:8888/lab/tree/notebooks/{path.name}"

    def test_setup_is_folded_and_exercises_and_solutions_are_marked(self, pages):
        for path in NOTEBOOKS:
            tree, cells = pages[page_of(path)], nbformat.read(path, as_version=4).cells
            setup, *verified = tree.select("details.hide")
            assert len(verified) == sum("verify" in cell.metadata.get("tags", []) for cell in cells)
            assert all("Checked" in each.summary.get_text() for each in verified)
            assert "Setup" in setup.summary.get_text() and "install.ready(" in setup.get_text()
            exercises = [cell for cell in cells if "exercise" in cell.metadata.get("tags", [])]
            assert len(tree.select(".cell.tag_exercise")) == len(exercises)
            solutions = sum(cell.source.count("<details>") for cell in cells)
            assert len(tree.article("details")) == solutions + 1 + len(verified) and solutions >= len(exercises)


class TestBuilding:
    def test_the_environment_is_reused_and_has_the_pinned_versions(self, monkeypatch):
        python = site.environment()
        monkeypatch.setattr(pip, "run", lambda *_: pytest.fail("nothing has changed"))
        assert site.environment() == python
        pins = [(ROOT / name).read_text() for name in ("constraints.txt", "docs/requirements.txt")]
        course, own = ({line.split()[0].lower() for line in re.findall(r"^\w.*==.*", text, re.M)} for text in pins)
        assert not {pin.split("==")[0] for pin in own} & {pin.split("==")[0] for pin in course}
        command = [sys.executable, "-m", "pip", "--python", python, "list", "--format=freeze"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.lower().split()
        assert set(listed) <= course | own and own <= set(listed)

    def test_links_before_the_stamp(self, small, tmp_path):
        site.gather(tmp_path / "sources", small, "OWNER/REPO")
        text = json.loads((tmp_path / "sources" / "notebooks" / SEVEN.name).read_text())["cells"][0]["source"]
        assert links_of(text) == {
            "Open in JupyterLab": site.LAB + SEVEN.name,
            "there": f"/notebooks/{FOUR.name}",
            "code": "x",
            "glossary": "/docs/glossary.md#numbers",
            "map": "/index.md#the-notebooks",
            "paper": "https://arxiv.org/x",
        }
        assert "b.org" not in text and "file," in text
        assert "there" not in links_of((tmp_path / "sources" / "notebooks" / FOUR.name).read_text()), "not here"

    def test_links_and_buttons_after_the_stamp(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("SITE_HUB", "https://hub.example.edu")
        for path in (small / "notebooks").iterdir():
            path.write_text(path.read_text().replace("OWNER/REPO", "ada/course"))
        site.build(tmp_path / "site", small, "ada/course")
        tree = BeautifulSoup((tmp_path / "site" / page_of(SEVEN)).read_text(), "html.parser")
        links = {link.get_text().strip(): link["href"] for link in tree.main("a", href=True)}
        assert (
            links["Colab"]
            == f"https://colab.research.google.com/github/ada/course/blob/{VERSION}/notebooks/{SEVEN.name}"
        )
        hub = parse_qs(urlsplit(links["JupyterHub"]).query)
        assert links["JupyterHub"].startswith("https://hub.example.edu/hub/user-redirect/git-pull?")
        assert hub["urlpath"] == [f"lab/tree/course/notebooks/{SEVEN.name}"] and hub["branch"] == [VERSION]
        assert links["file"] == f"https://github.com/ada/course/blob/{VERSION}/LICENSE"
        assert links["glossary"] == "../docs/glossary.html#numbers" and links["map"] == "../index.html#the-notebooks"
        document = (tmp_path / "site" / "docs" / "glossary.html").read_text()
        assert "colab.research" not in document and "https://github.com/ada/course" in document

    def test_a_link_that_leads_nowhere_stops_it_and_the_old_site_stays(self, small, tmp_path):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "index.html").write_text("old")
        (small / "docs" / "glossary.md").write_text("# Glossary\n\n[nowhere](#nowhere)\n")
        with pytest.raises(InputError, match=r"Sphinx says: docs/glossary.md:3: .*nowhere"):
            site.build(tmp_path / "site", small)
        assert (tmp_path / "site" / "index.html").read_text() == "old" and not list(tmp_path.glob("*.partial"))

    def test_what_is_missing_or_damaged_is_named(self, small, tmp_path):
        for damaged in ("{", "{}", "[]", '{"cells": 3}'):
            (small / "notebooks" / FOUR.name).write_text(damaged)
            with pytest.raises(InputError, match=f"{FOUR.name} is no notebook"):
                site.gather(tmp_path / "sources", small, "OWNER/REPO")
        shutil.rmtree(small / "notebooks")
        with pytest.raises(InputError, match=r"no README.md or no notebooks"):
            site.gather(tmp_path / "sources", small, "OWNER/REPO")

    def test_a_notebook_that_the_readme_does_not_know_comes_last(self, small, tmp_path):
        shutil.copy(small / "notebooks" / FOUR.name, small / "notebooks" / "00_extra.ipynb")
        site.gather(tmp_path / "sources", small, "OWNER/REPO")
        index = (tmp_path / "sources" / "index.md").read_text()
        names = [f"<{name}>" for name in re.findall(r"^.+ <(/.+)>$", index, re.M)]
        order = [f"</notebooks/{FOUR.stem}>", f"</notebooks/{SEVEN.stem}>", "</notebooks/00_extra>", "</docs/glossary>"]
        assert names == order


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def seen(browser, built, pages) -> dict[tuple[str, str], dict]:
    """What the browser sees on each page, opened from the disk: wide and light, wide and dark, on a phone."""
    found = {}
    for name in pages:
        browser.show(1280, "light")
        browser.open((built / name).as_uri())
        found[name, "said"], found[name, "requested"] = browser.said, browser.requested
        for window, width, theme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "dark")):
            browser.show(width, theme)
            found[name, window] = browser.ask(f"({LOOK})('{theme}')")
    return found


@NEEDS_A_BROWSER
class TestInTheBrowser:
    def test_no_page_says_anything_on_the_console(self, seen, pages):
        assert {name: seen[name, "said"] for name in pages if seen[name, "said"]} == {}

    def test_only_files_of_the_site_are_loaded(self, seen, built, pages):
        for name in pages:
            foreign = [url for url in seen[name, "requested"] if not url.startswith((built.as_uri(), "data:"))]
            assert not foreign and len(seen[name, "requested"]) > 3, name

    @pytest.mark.parametrize("window", ["light", "dark"])
    def test_all_text_can_be_read_against_its_background(self, seen, pages, window):
        """WCAG AA: a contrast of 4.5 at least."""
        assert {name: seen[name, window]["pale"] for name in pages if seen[name, window]["pale"]} == {}
        assert all(seen[name, window]["texts"] > 20 for name in pages)

    @pytest.mark.parametrize("window", ["light", "phone"])
    def test_no_page_is_wider_than_the_window_and_no_code_is_cut(self, seen, pages, window):
        for name in pages:
            look = seen[name, window]
            assert look["width"] <= look["window"] and not look["cut"], f"{name}: {look['width']}, {look['cut']}"

    def test_search_from_a_disk_and_from_a_server(self, browser, built):
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=built)
        handler.func.log_message = lambda *_: None
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for home in (built.as_uri(), f"http://127.0.0.1:{server.server_port}"):
                assert {"Glossary", "1. Find out what a number costs"} <= set(found(browser, home, "subnormal"))
                extracts = browser.ask("document.querySelectorAll('#search-results .context').length")
                assert bool(extracts) == home.startswith("http")
                assert found(browser, home, "zzzz") == [] and browser.said == []
            server.shutdown()


def found(browser: Browser, home: str, word: str) -> list[str]:
    """Search the site for a word, and return the titles of the pages that are listed."""
    browser.open(f"{home}/search.html?q={word}")
    finished = "document.querySelector('#search-results .search-summary')?.textContent.match(/found|did not match/)"
    listed = "[...document.querySelectorAll('#search-results li a')].map((link) => link.textContent)"
    wait = f"while (!({finished})) await new Promise((done) => setTimeout(done, 20))"
    browser.ask(f"(async () => {{ {wait} }})()")
    return browser.ask(listed)
