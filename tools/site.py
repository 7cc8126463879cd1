"""The course as a site to read: `python -m tools.site` makes build/site with Sphinx, from stored outputs.

Sources are gathered into a folder first: the README becomes the index, links get addresses inside the site, each
notebook's setup cell is folded, its figures keep their alternative texts, and a link opens it in JupyterLab.
Look and features: docs/conf.py.
Sphinx lives in an environment of its own, .venv-site, so that no package of the course moves.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import CourseError, InputError
from helpers.setup import pip
from helpers.setup.places import REPO, VERSION

ROOT = artifacts.ROOT
LINK = re.compile(r"(?P<code>```.*?```|`[^`\n]+`)|(?P<picture>!?)\[(?P<text>[^\[\]]*)\]\((?P<href>[^()\s]+)\)", re.S)
BADGE = re.compile(r"^(?:\[!\[[^\]]*\]\(https?:[^)]*\)\]\([^)]*\) ?)+\n*", re.M)
PART = re.compile(r"\| *\| *\*\*(.+?)\*\*")  # rows of the README's table
ROW = re.compile(r"\| *(?P<number>\d+) *\| *\[(?P<title>.+?)\]\((?P<path>.+?)\) *\|(?P<question>.*?)\|(?P<time>.*?)\|")
LAB = "http://localhost:8888/lab/tree/notebooks/"  # where `make lab` shows a notebook, unless the port was taken
LAST_PART = "To look things up"


def build(folder: Path, root: Path = ROOT, repo: str = REPO) -> list[Path]:
    """Make the site of the course at `root` in `folder`, replacing what is there; return its pages, the index first.

    repo: `owner/name` on GitHub. Before it is known, links and buttons that need it are left out.
    Raises InputError if a source is missing or damaged or a link leads nowhere, InstallError if Sphinx cannot be
    installed.
    """
    python = environment()
    with tempfile.TemporaryDirectory() as temporary, artifacts.making(folder) as unfinished:
        sources = Path(temporary) / "sources"
        names = gather(sources, root, repo)
        command = [python, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto", "-c", root / "docs"]
        variables = machine.child_environment(SITE_REPO=repo, SITE_VERSION=VERSION)
        command += ["-d", Path(temporary) / "doctrees", sources, unfinished]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        if done.returncode:
            words = done.stderr.replace(f"{sources}/", "").strip()
            raise InputError(f"The site was not made. Sphinx says: {words[-2000:]}\nCorrect the page that it names.")
        for path in sources.glob("notebooks/*.ipynb"):  # the button downloads what the repository has
            shutil.copy(root / "notebooks" / path.name, unfinished / "_sources" / "notebooks")
    return [folder / name for name in names]


def environment() -> Path:
    """Return the Python of .venv-site, made when it is not there or when the pinned versions have changed.

    Raises InstallError if the packages cannot be installed.
    """
    folder, requirements = ROOT / ".venv-site", ROOT / "docs" / "requirements.txt"
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = "\n".join([sys.version, requirements.read_text(), (ROOT / "constraints.txt").read_text()])
    with artifacts.locked(folder):
        if not ready.exists() or ready.read_text() != wanted:
            venv.create(folder, clear=True)  # without pip: the course's own installs into it
            pins = ["-c", str(ROOT / "constraints.txt"), "-r", str(requirements)]
            pip.run(["--python", str(python), "install", *pins], "installing Sphinx into .venv-site")
            ready.write_text(wanted)
    return python


def gather(folder: Path, root: Path, repo: str) -> list[str]:
    """Write the sources of the site into `folder`, as Sphinx wants them; return the names of the pages to be made.

    Raises InputError if the README or all notebooks are missing, or if a notebook is damaged.
    """
    found = sorted(path for kind in ("notebooks/[0-9]*.ipynb", "docs/*.md", "*.md") for path in root.glob(kind))
    pages = {path.relative_to(root).as_posix(): path for path in found}
    if "README.md" not in pages or not any(name.endswith(".ipynb") for name in pages):
        raise InputError(f"{root} has no README.md or no notebooks. The site is made of them. Run this in a clone.")
    pictures = {path.relative_to(root).as_posix(): path for path in root.glob("docs/*.png")}
    places = {name: "index.md" if name == "README.md" else name for name in [*pages, *pictures]}
    for name, path in pages.items():
        target = folder / places[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            target.write_text(_notebook(path, lambda text, name=name: _linked(text, name, places, repo)))
        else:
            text = _index(path.read_text(), pages) if name == "README.md" else path.read_text()
            target.write_text(_linked(text, name, places, repo))
    for name, path in pictures.items():
        shutil.copy(path, folder / name)
    return sorted((str(Path(name).with_suffix(".html")) for name in map(places.get, pages)), key=_index_first)


def _index_first(name: str) -> tuple[bool, str]:
    return name != "index.html", name


def _notebook(path: Path, linked) -> str:
    """Return a notebook with the setup cell folded, alternative texts where MyST-NB looks for them, and links."""
    try:
        notebook = json.loads(path.read_text())
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        prose = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no notebook ({error}). It is damaged. Get it from git.") from error
    for cell in prose:
        cell["source"] = linked("".join(cell["source"]))
    prose[0]["source"] += f"\n\n[Open in JupyterLab]({LAB}{path.name}), where `make lab` runs on this machine."
    for cell in code:
        for output in cell["outputs"]:
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    for cell in code:
        if "verify" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"].append("hide-input")
            cell["metadata"].setdefault("mystnb", {}).update(code_prompt_show="Checked", code_prompt_hide="Checked")
    setup = code[0]["metadata"]  # it is the same in every notebook
    setup["tags"] = [*setup.get("tags", []), "hide-input"]
    setup["mystnb"] = {"code_prompt_show": "Setup", "code_prompt_hide": "Setup"}
    return json.dumps(notebook)


def _linked(text: str, source: str, places: dict[str, str], repo: str) -> str:
    """Lead the links of Markdown to the site's pages; drop badges, and links to what has no address yet."""

    def replaced(match: re.Match) -> str:
        if match["code"]:
            return match[0]
        href = _target(match["href"], source, places, repo)
        return f"{match['picture']}[{match['text']}]({href})" if href else match["text"]

    return LINK.sub(replaced, BADGE.sub("", text))


def _target(href: str, source: str, places: dict[str, str], repo: str) -> str | None:
    """Return where a link of the page `source` leads from inside the site, or None if there is no such place."""
    home, stamped = f"https://github.com/{repo}", not repo.startswith("OWNER/")
    if href == home or href.startswith((f"{home}/blob/{VERSION}/", f"{home}#")):
        path = href.removeprefix(home).removeprefix(f"/blob/{VERSION}/")
    elif re.match(r"[a-z]+:|#", href):
        return href if stamped or not href.startswith(home) else None
    else:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), href))
    path, hash_sign, anchor = path.partition("#")
    if place := places.get(path or "README.md"):
        return f"/{place}{hash_sign}{anchor}"
    return f"{home}/blob/{VERSION}/{path}{hash_sign}{anchor}" if stamped else None


def _index(readme: str, pages: dict[str, Path]) -> str:
    """Return the README as the first page: the course by its parts comes first, then how to run it."""
    introduction, *sections = re.split(r"^(?=## )", readme, flags=re.M)
    table = re.compile(r"(^\|.*\n)+", re.M)
    sections.sort(key=lambda section: not ROW.search(section))  # the notebooks before everything else
    sections[0] = table.sub(lambda match: _parts(match[0], pages), sections[0], count=1)
    return introduction + "".join(sections)


def _parts(table: str, pages: dict[str, Path]) -> str:
    """Return the README's table of notebooks as a section for each part, the documents as the last."""
    parts: dict[str, list[tuple[str, str, str]]] = {}
    rest = {name: path for name, path in pages.items() if name != "README.md"}
    for line in table.splitlines():
        if heading := PART.match(line):
            group = parts.setdefault(heading[1], [])
        elif (row := ROW.match(line)) and rest.pop(row["path"], None):  # one that is announced may not be there yet
            question_and_time = f"{row['question'].strip()} | {row['time'].strip()}"
            group.append((row["path"], f"{row['number']}. {row['title']}", question_and_time))
    text = ""
    for part, group in parts.items():
        rows = "".join(f"| [{title}]({name}) | {more} |\n" for name, title, more in group)
        text += f"### {part}\n\n| notebook | question | time |\n|---|---|---|\n{rows}\n{_toctree(part, group)}"
    others = sorted(((name, _title(path), "") for name, path in rest.items()), key=lambda other: other[1])
    listed = "".join(f"- [{title}]({name})\n" for name, title, _ in others)
    return f"{text}### {LAST_PART}\n\n{listed}\n{_toctree(LAST_PART, others)}"


def _toctree(part: str, group: list[tuple[str, str, str]]) -> str:
    """Return what makes Sphinx list a part in the sidebar, and lead from each page to its neighbours."""
    entries = "".join(f"{title} </{Path(name).with_suffix('')}>\n" for name, title, _ in group)
    return f"```{{toctree}}\n:hidden:\n:caption: '{part}'\n\n{entries}```\n\n"


def _title(path: Path) -> str:
    heading = re.search(r"^# (.+)$", path.read_text(), re.M)
    return heading[1].strip() if heading and path.suffix == ".md" else path.stem.replace("_", " ")


def main() -> int:
    """Make build/site and say where it begins; an error of the course is a sentence, not a traceback."""
    try:
        pages = build(ROOT / "build" / "site")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(pages)} pages to read, the first: {pages[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
