"""Structural gates: what nbval does not look at. nbval itself runs separately, see the Makefile."""

import importlib
import re

import nbformat
import pytest

from helpers import artifacts
from helpers.checks.verdict import Verdict
from helpers.setup import places
from tools.execute import MAIN

NOTEBOOKS = sorted((artifacts.ROOT / "notebooks").glob("[0-9]*.ipynb"))

PIPELINE = [path for path in NOTEBOOKS if path.name[:2] in MAIN]
PARAMETERS = 'MODEL = "auto"  # @param ["auto", "tinyllama", "smollm2", "story"] {allow-input: true}'
HEADINGS = ("What you'll do", "What you'll learn", "What you'll need", "## Exercises", "## In practice", "## Recap")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def text_of(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def test_the_main_job_is_there():
    assert [path.name[:2] for path in PIPELINE] == MAIN


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name[:2])
class TestEveryNotebook:
    def test_is_valid(self, path):
        nbformat.validate(read(path))

    def test_begins_with_title_badge_time_and_memory(self, path):
        first = read(path).cells[0].source
        assert first.startswith(f"# {int(path.name[:2])}. ")
        kaggle = "https://kaggle.com/kernels/welcome?src=https://github.com/"
        for opening in ("(https://colab.research.google.com/github/", f"({kaggle}"):
            assert f"{opening}{places.REPO}/blob/{places.VERSION}/notebooks/{path.name})" in first
        assert "minute" in first and "GB of memory" in first

    def test_the_time_is_that_of_the_readme(self, path):
        """A table and fifteen notebooks say how long it takes; they shall not say different things."""
        words = re.search(r"\*(?:About )?(half a minute|\d+ minutes?)", read(path).cells[0].source, re.I)[1].lower()
        minutes = "½" if words.startswith("half") else words.split()[0]
        row = next(line for line in (artifacts.ROOT / "README.md").read_text().splitlines() if path.name in line)
        assert f"| {minutes} min |" in row

    def test_links_to_the_glossary(self, path):
        assert f"/blob/{places.VERSION}/docs/glossary.md)" in read(path).cells[0].source
        assert (artifacts.ROOT / "docs" / "glossary.md").exists()

    def test_has_all_sections(self, path):
        text = text_of(path)
        for heading in (*HEADINGS, "**Further reading.**", "**Next:**", "arXiv"):
            assert heading in text, heading

    def test_setup_cell_is_the_same_everywhere(self, path):
        assert code_cells(path)[0].source == code_cells(NOTEBOOKS[0])[0].source
        assert f'REPO, VERSION = "{places.REPO}", "{places.VERSION}"' in code_cells(path)[0].source

    def test_parameters_cell(self, path):
        tagged = [cell for cell in code_cells(path) if "parameters" in tags(cell)]
        expected = 1 if path in PIPELINE else len(tagged)
        assert len(tagged) == expected
        for cell in tagged:
            assert cell.source == PARAMETERS

    def test_was_run_top_to_bottom(self, path):
        assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))

    def test_cells_that_print_have_stored_output(self, path):
        for cell in code_cells(path):
            last = cell.source.strip().splitlines()[-1]
            shows = re.search(r"^\s*print\(|^attempt\(", cell.source, re.M) or re.match(r"(plots|checks)\.", last)
            if shows and "def " not in cell.source.split("print(")[0]:
                assert cell.outputs, cell.source

    def test_no_stored_error_no_stderr_no_widget(self, path):
        notebook = read(path)
        assert "widgets" not in notebook.metadata
        for cell in code_cells(path):
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr"
                assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})

    def test_no_shell_lines(self, path):
        for cell in code_cells(path)[1:]:
            assert not re.search(r"^\s*[!%]", cell.source, re.M), cell.source

    def test_no_trace_of_a_machine_or_a_secret(self, path):
        text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())  # letters of a picture may spell anything
        assert not re.search(r"/(home|root|tmp|work|Users|content)/", text)
        assert not re.search(r"0x[0-9a-f]{8,}", text), "a memory address"
        assert not re.search(r"hf_(rehearsal(write|read)[0-9a-f]|[A-Za-z0-9]{30})", text)

    def test_cells_are_short(self, path):
        for cell in code_cells(path)[1:]:
            assert len(cell.source.splitlines()) <= (32 if path.name < "08" else 50), cell.source
            assert max(map(len, cell.source.splitlines()), default=0) <= 88, "cut off in HTML and on a projector"

    def test_ignored_cells_that_compute_assert_something(self, path):
        """An ignored output is not compared, so a cell that measures must assert what has to hold."""
        asked = [
            cell for cell in code_cells(path) if "guess" in tags(cell) or re.search(r"^recap|explore\.", cell.source)
        ]
        ignored = [cell for cell in code_cells(path) if "nbval-ignore-output" in tags(cell) and cell not in asked]
        checked = [cell for cell in code_cells(path) if "verify" in tags(cell)]
        assert sum("assert" in cell.source for cell in ignored) + len(checked) >= len(ignored) // 3

    def test_cells_that_verify_are_folded_and_print_nothing(self, path):
        """Under "predict" they would give the answer away: folded in Colab and JupyterLab, on the site by the tag."""
        for cell in code_cells(path):
            if "verify" in tags(cell):
                assert cell.source.startswith("# @title Checked\n") and "assert " in cell.source
                assert cell.metadata["cellView"] == "form" and cell.metadata["jupyter"]["source_hidden"]
                assert not cell.outputs

    def test_every_guess_gets_its_answer(self, path):
        """`size = guess(…)` is followed by `size.answer(…)`; who guesses finds all of it in `recap()` at the end."""
        sources = [cell.source for cell in code_cells(path)]
        asked = [match[1] for source in sources if (match := re.match(r"(\w+) = guess\(", source))]
        for name in asked:
            assert sum(f"{name}.answer(" in source for source in sources) == 1, name
        assert ("recap()" in sources) == bool(asked)

    def test_exercises_are_graded_and_one_designs(self, path):
        if path.name[:2] < "08":
            grades = re.findall(r"\*\*Exercise \d \((easy|medium|hard)(: design)?\)\.\*\*", text_of(path))
            assert len(grades) == len(solutions(path)) and sum(bool(design) for _, design in grades) == 1
            assert all(grade == "hard" for grade, design in grades if design)

    def test_at_least_three_exercises(self, path):
        assert len([cell for cell in code_cells(path) if "exercise" in tags(cell)]) >= 3
        assert len(solutions(path)) == len([cell for cell in code_cells(path) if "exercise" in tags(cell)])

    def test_links_between_notebooks_resolve(self, path):
        for target in re.findall(r"\]\((\d\d_\w+\.ipynb)\)", text_of(path)):
            assert (path.parent / target).exists(), target

    def test_prose_has_no_empty_words(self, path):
        prose = re.sub(r"```.*?```|`[^`]*`", "", text_of(path), flags=re.S).lower()
        assert not re.search(r"\b(simply|just|obviously|of course)\b", prose)

    def test_figures_are_small_and_described(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                image = output.get("data", {}).get("image/png")
                if image:
                    assert len(image) * 3 / 4 < 110_000
                    assert output.metadata.get("image/png", {}).get("alt"), "alternative text"

    def test_file_is_small(self, path):
        assert path.stat().st_size < 1_000_000


def solutions(path) -> list[str]:
    blocks = re.findall(
        r"<details><summary>Solution</summary>\n\n```python\n(.*?)```\n\n</details>", text_of(path), re.S
    )
    return list(blocks)


def verdict(path, code: str) -> Verdict:
    """Run the code of an exercise and return what its last line, the check, says."""
    *lines, last = code.strip().splitlines()
    space = {"checks": importlib.import_module(f"helpers.checks.nb{path.name[:2]}")}
    exec("\n".join(lines), space)
    return eval(last, space)


EXERCISES = [
    (path, number, stub.source, solution)
    for path in NOTEBOOKS
    for number, (stub, solution) in enumerate(
        zip([c for c in code_cells(path) if "exercise" in tags(c)], solutions(path), strict=True), 1
    )
]


@pytest.mark.parametrize(
    "path, number, stub, solution", EXERCISES, ids=[f"{p.name[:2]}-{n}" for p, n, _, _ in EXERCISES]
)
def test_stub_fails_and_solution_passes(path, number, stub, solution):
    assert stub.strip().splitlines()[-1] == solution.strip().splitlines()[-1], "the same check"
    assert not verdict(path, stub).correct
    assert verdict(path, solution).correct


def test_the_environment_cell_tells_about_the_gpu():
    """Otherwise a package without GPU support is slow without a word."""
    cells = nbformat.read(artifacts.ROOT / "notebooks" / "06_run_with_llama_cpp_python.ipynb", as_version=4).cells
    telling = [cell for cell in cells if cell.cell_type == "code" and "llama_supports_gpu_offload()" in cell.source]
    assert "can use a GPU:" in telling[0].outputs[0].text and "computes on the " in telling[0].outputs[0].text


def test_notebook_code_agrees_with_the_helpers():
    """What notebook 05 teaches is what the helpers do."""
    import numpy as np

    from helpers.pipeline.gguf_file import undo_permutation

    source = next(c.source for c in code_cells(PIPELINE[2]) if "def converter_order" in c.source)
    space = {"np": np}
    exec(source.split("\n\n\n")[0], space)
    weight = np.random.default_rng(0).normal(size=(576, 8)).astype(np.float32)
    assert np.array_equal(undo_permutation(space["converter_order"](weight, 9), 9), weight)


def test_unstamped_setup_cell_outside_the_course_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = code_cells(NOTEBOOKS[0])[0].source
    if not places.REPO.startswith("OWNER/"):
        pytest.skip("this copy is stamped")
    with pytest.raises(RuntimeError, match="does not know its repository"):
        exec(source, {})
