"""Every error we raise, with the test that provokes it: the generator of docs/TROUBLESHOOTING.md.

    make troubleshooting     # runs all tests, notes who raised what, and writes the page

The errors are found in the source, the tests by watching: while they run, the constructor of CourseError notes
its caller.
"""

from __future__ import annotations

import ast
import collections
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, errors

PAGE = artifacts.ROOT / "docs" / "TROUBLESHOOTING.md"
OURS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CourseError)
}
HEADINGS = {  # first what a newcomer may meet without having done anything wrong
    "InstallError": "Installing",
    "HubError": "The Hub",
    "ResourceError": "Too little memory or disk",
    "CheckpointError": "A model folder is not as it should be",
    "ConversionError": "Converting or quantizing stopped",
    "ServerError": "A server on this machine did not start",
    "InputError": "Something that was given cannot be used",
}
INTRODUCTION = """# Troubleshooting

Every error that the course raises, what it means and what to do. The page is generated (`make troubleshooting`): the
messages are taken from the source, and each row names a test that provokes it. An ellipsis (…) stands for a value.
Search the page for a few words of your message.
"""

# What people stumble over elsewhere (collected from public issue trackers), what happens here, and the test of it.
ELSEWHERE = [
    (
        "`No module named 'conversion'`, the converter is not found",
        "the whole tree of one pinned version is fetched and checked",
        "pipeline/test_convert: test_tools_are_whole_and_pinned",
    ),
    (
        'numpy "dtype size changed" on Colab',
        "only what is missing is installed; nothing that is there moves",
        "test_install: test_colab_gets_what_is_missing_and_nothing_moves",
    ),
    (
        "transformers 5, tokenizer errors inside the converter",
        "it runs in a process of its own; its message is translated, with the tested versions",
        "pipeline/test_convert: test_converter_failures_are_translated",
    ),
    (
        '"BPE pre-tokenizer was not recognized"',
        "the message says that the tokenizer is somebody's own or newer than the converter, and names the pin",
        "pipeline/test_convert: test_converter_failures_are_translated",
    ),
    (
        "`tokenizer.model` not found",
        "the folder is checked before the converter starts",
        "pipeline/test_convert: test_damaged_checkpoint_is_noticed_before_the_converter_starts",
    ),
    (
        "`Can not map tensor …SCB / qweight`",
        "`quantization_config` is read first",
        "pipeline/test_checkpoint: test_already_quantized",
    ),
    (
        "`Killed`, `^C`, exit −9/137",
        "memory is estimated first, the exit code explained",
        "pipeline/test_convert: test_too_little_memory",
    ),
    (
        '"Missing or incomplete model files"',
        "every shard is compared with the size that its own header announces",
        "pipeline/test_checkpoint: test_missing_shard",
    ),
    (
        "disk full half-way",
        "free space is checked first; files get their name when they are whole",
        "pipeline/test_convert: test_a_disk_that_is_full_in_the_middle_of_converting",
    ),
    (
        "llama-cpp-python fails to build",
        "a ready-made wheel is tried first; a missing compiler is named",
        "setup/test_llama_wheel: test_a_missing_compiler_is_named",
    ),
    (
        "GPU silently unused",
        "notebook 06 prints whether the package can use one",
        "notebooks/test_notebooks: test_the_environment_cell_tells_about_the_gpu",
    ),
    (
        '"Requested tokens exceed context window of 512"',
        "the context is that of the model; the message names both numbers",
        "pipeline/test_runtime: test_text_longer_than_the_context",
    ),
    (
        '"invalid magic", failed to load',
        "magic, version and length are read first",
        "pipeline/test_convert: test_web_page_saved_as_gguf",
    ),
    (
        "doubled BOS",
        "chat goes through the chat API, and token ids are compared",
        "pipeline/test_runtime: test_chat_has_no_doubled_start_token",
    ),
    (
        "`UnsupportedOperation: fileno`, noise in notebooks",
        "llama.cpp's log is caught, not its file descriptor",
        "pipeline/test_runtime: test_loading_is_quiet",
    ),
    (
        "secret HF_TOKEN times out; `!hf` does not see it",
        "it is read in Python, once, and never printed",
        "pipeline/test_hub: test_token_of_the_vault",
    ),
    (
        "401/403 on create or upload",
        "rights are checked before the first byte is sent",
        "pipeline/test_hub: test_read_only_token_is_refused_before_the_first_byte",
    ),
    (
        "hub downgraded, `is_offline_mode` import error",
        "on Colab every installed version is pinned to itself",
        "long/test_colab: test_packages_in_the_shadow_are_not_pinned",
    ),
    (
        "minutes of silence offline",
        "the Hub is asked once, for at most three seconds",
        "pipeline/test_hub: test_a_hub_that_never_answers_is_given_up_in_time",
    ),
    (
        "NaN scales, −inf",
        "zeros have a defined result; inf and NaN are refused, with their place",
        "numbers/test_integers: test_bad_input_is_refused",
    ),
    (
        "untrusted files",
        "safetensors only, no code of a repository is run",
        "test_house: test_nothing_runs_code_of_a_repository",
    ),
    (
        'GitHub shows "Invalid notebook" or broken widgets',
        "the state of widgets is never stored",
        "notebooks/test_notebooks: TestEveryNotebook, test_no_stored_error_no_stderr_no_widget",
    ),
    (
        "two fine-tunes in folders of the same name give the same file",
        "a GGUF is used again only for the very files that it was made from",
        "pipeline/test_convert: test_folders_of_the_same_name_do_not_share_a_file",
    ),
]


@dataclass(frozen=True)
class Site:
    """One place that makes an error of ours."""

    module: str
    first: int
    last: int
    error: str
    message: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """What happened, why, what to do."""
        sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z0-9`…(])", self.message)
        if len(sentences) == 1:
            return sentences[0], "", ""
        if len(sentences) == 2:
            return sentences[0], "", sentences[1]
        return sentences[0], " ".join(sentences[1:-1]), sentences[-1]


def sites() -> list[Site]:
    """Return every place in helpers/ and tools/ that makes an error with a message of its own."""
    found = []
    for path in sorted([*artifacts.ROOT.glob("helpers/**/*.py"), *artifacts.ROOT.glob("tools/*.py")]):
        module = ".".join(path.relative_to(artifacts.ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in OURS and node.args):
                continue
            text = _text(node.args[0])
            if re.search(r"[A-Za-z]{3}", text.replace("…", "")) and not text.startswith("… ("):
                found.append(Site(module, node.lineno, node.end_lineno, node.func.id, text))
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


class Watch:
    """Notes which test was running when an error was made, by module and line; of several the first by its name."""

    def __init__(self):
        self.seen: dict[tuple[str, int], str] = {}
        original = errors.CourseError.__init__

        def noting(error, *given):
            original(error, *given)
            frame = sys._getframe(1)
            test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
            name = frame.f_globals.get("__name__", "")
            if test and name.startswith(("helpers.", "tools.")):
                self.note(name, frame.f_lineno, test)

        errors.CourseError.__init__ = noting

    def note(self, module: str, line: int, test: str) -> None:
        """Remember that a test provoked the error of this line."""
        self.seen[module, line] = min(test, self.seen.get((module, line), test))

    def test_of(self, site: Site) -> str | None:
        lines = range(site.first, site.last + 1)
        return next((self.seen[site.module, line] for line in lines if (site.module, line) in self.seen), None)


def write(watch: Watch, page: Path = PAGE) -> list[Site]:
    """Write the page; return the errors that no test provoked."""
    groups, unprovoked = collections.defaultdict(dict), []
    for site in sites():
        test = watch.test_of(site)
        if test is None:
            unprovoked.append(site)
        groups[site.error].setdefault(site.message, (site, test))
    lines = [INTRODUCTION]
    for error, heading in HEADINGS.items():
        lines += [f"\n## {heading} (`{error}`)\n", "| you see | because | do this | tested by |", "|---|---|---|---|"]
        for site, test in sorted(groups[error].values(), key=lambda pair: pair[0].message):
            happened, why, remedy = (cell(part) for part in site.parts)
            lines.append(f"| {happened} | {why} | {remedy} | {name_of(test)} |")
    lines += [
        "\n## What others stumble over, and what this course does about it\n",
        "| elsewhere | here | tested by |",
        "|---|---|---|",
    ]
    lines += [f"| {symptom} | {here} | `{test}` |" for symptom, here, test in ELSEWHERE]
    page.write_text("\n".join(lines) + "\n")
    return unprovoked


def cell(text: str) -> str:
    """Make a sentence safe for a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")


def name_of(test: str | None) -> str:
    return f"`{test.removeprefix('tests/').split('[')[0].replace('.py::', ': ').replace('::', ', ')}`" if test else "–"
