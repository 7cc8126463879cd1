"""Every branch of notebooks and helpers that only a reader with internet, with a token or with TinyLlama takes.

Each is proved by a line that ran in one of the runs of `online_ground`, or, where both sides stand on one line, by what
a notebook printed or by a file that was made. `forgotten` finds conditions that are missing here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gguf
import numpy as np
from online_ground import Ground, cell_key, printed

from helpers import artifacts
from helpers.pipeline import gguf_file
from tools.execute import find


@dataclass(frozen=True)
class Branch:
    """One side of a condition.

    file: a path, or a cell's id. condition: the test of the `if`, as `ast.unparse` writes it, or "" for what is no
    branch in Python but happens with such a model only. proof: a part of the line that runs on this side; or a run, a
    notebook and what it printed, as "first 04: words"; or a function of the ground.
    """

    file: str
    condition: str
    reader: str
    proof: str | Callable[[Ground], bool]


def untied(ground: Ground) -> bool:
    """The file that notebook 06 compares has an output head of its own."""
    names = {tensor.name for tensor in gguf_file.summary(ground.artifacts / "gguf" / "tinyllama-F16.gguf").tensors}
    return "output.weight" in names


def faded_scales(ground: Ground) -> bool:
    """Some block of the Q8_0 file has a scale below FP16's normal numbers."""
    for tensor in gguf.GGUFReader(ground.artifacts / "gguf" / "tinyllama-Q8_0.gguf").tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            scales = tensor.data.reshape(-1, 34)[:, :2].copy().view(np.float16)
            if (scales < 2**-14).any():
                return True
    return False


HUB, PIPELINE = "helpers/pipeline/hub/", "helpers/pipeline/"
HUB_ANSWERS, TOKEN, READ_ONLY = "the Hub answers", "a token that may write", "a token that may only read"
LARGE = "a model as large as TinyLlama"
BRANCHES = [
    # which Hub
    Branch(HUB + "session.py", "wanted != 'auto'", "COURSE_HUB=real", 'return wanted == "real"'),
    Branch(HUB + "session.py", "self._answered is None", HUB_ANSWERS, "self._answered = answers(self.endpoint)"),
    Branch(HUB + "session.py", "", HUB_ANSWERS, 'said.append("json" in refused.headers'),
    Branch(HUB + "session.py", "real", TOKEN, "first 07: because the Hub answers and there is a token"),
    Branch(HUB + "session.py", "token", TOKEN, "first 07: role: write"),
    Branch(HUB + "session.py", "me and me['role'] != 'read'", TOKEN, 'return Hub(self.endpoint, me["name"], False'),
    Branch(HUB + "session.py", "me", READ_ONLY, "read 07: rehearsal Hub because your token may only read"),
    Branch(HUB + "session.py", "choice() == 'real'", "COURSE_HUB=real, may only read", 'read_only("nothing can be'),
    Branch(HUB + "session.py", "choice() == 'real'", "COURSE_HUB=real, no token", "else HubError("),
    # tokens
    Branch(
        HUB + "tokens.py", "endpoint == HUGGING_FACE", "a token saved for huggingface.co", "raw = own or _vault_token()"
    ),
    Branch(HUB + "tokens.py", "endpoint == HUGGING_FACE", "a token for another Hub", 'clean_token(own, prefix="")'),
    Branch(HUB + "tokens.py", "raw", TOKEN, "token = raw.strip()"),
    Branch(HUB + "tokens.py", "'google.colab' in sys.modules", "a secret of Colab", 'return userdata.get("HF_TOKEN")'),
    Branch(
        HUB + "explain.py",
        "status == 401 or 'Invalid user token' in text",
        "a token that was revoked",
        'f"The Hub does not know the token (401)',
    ),
    # TinyLlama from the Hub
    Branch(PIPELINE + "catalogue.py", "wanted == 'auto'", HUB_ANSWERS, "nobody: tinyllama"),
    Branch(
        PIPELINE + "catalogue.py",
        "hub.current().wants_real()",
        HUB_ANSWERS,
        'dataclasses.replace(CATALOGUE["tinyllama"], reason="the Hub answers")',
    ),
    Branch(
        PIPELINE + "models.py",
        "hub.current().wants_real()",
        HUB_ANSWERS,
        "return Source(hub.current().endpoint, self.repo, self.revision, rehearsal=False)",
    ),
    Branch(PIPELINE + "models.py", "not source.rehearsal", HUB_ANSWERS, "self.verify_weights(temporary)"),
    Branch(
        PIPELINE + "models.py",
        "found != self.weights_sha256",
        "weights that were replaced",
        'f"model.safetensors has SHA-256 {found',
    ),
    Branch("04-08", "source.rehearsal", HUB_ANSWERS, "first 04: the Hugging Face Hub"),
    Branch("04-10", "token", TOKEN, "first 04: a token was found"),
    Branch("04-18", "source.rehearsal", HUB_ANSWERS, "first 04: matches the Hub's"),
    Branch("04-18", "not published", "a mirror without checksums", "this Hub lists no checksums"),
    Branch("04-24", "tied", LARGE, "first 04: 2,754,816 parameters"),
    Branch(
        "04-36",
        "name == 'float32' and room < 8 * checkpoint.parameters",
        LARGE,
        "continue",
    ),
    Branch("05-20", "", "weights that faded in training", faded_scales),
    Branch("06-12", "", "a start token before the text", "first 06: start tokens at the front: 1"),
    Branch("06-17", "", "weights in BF16", "expected = reference.logits(source, tokens)"),
    Branch("06-23", "", LARGE, untied),
    Branch("08-20", "", LARGE, "first 08: TinyLlama 1.1B Chat: perplexity"),
    Branch("08-26", "", LARGE, "first 08: tokens per second"),
    Branch("12-13", "real", HUB_ANSWERS, "first 12: GPT-2 with its own weights"),
    Branch("12-18", "real", HUB_ANSWERS, "first 12: GPT-2, layer 1, c_fc  "),
    Branch("helpers/artifacts.py", "n_bytes >= 995000000.0", LARGE, 'return f"{n_bytes / 1e9:.2f} GB"'),
    Branch(
        "helpers/figures/pipeline.py", "files[0].tensor_bytes > 2000000000.0", LARGE, "large: size of the weights (GB)"
    ),
    # the converter from GitHub
    Branch(PIPELINE + "llama_tools.py", "", "GitHub answers", 'git("fetch", "--depth"'),
    Branch(PIPELINE + "llama_tools.py", "", "GitHub answers", 'shutil.rmtree(folder / ".git")'),
    # publishing
    Branch(HUB + "publishing.py", "not here.rehearsal", TOKEN, "with contextlib.suppress(ConnectionError):"),
    Branch(HUB + "publishing.py", "", "a Hub or a firewall without Xet", "with without_xet():"),
    Branch("07-06", "here.rehearsal", TOKEN, "first 07: Hugging Face Hub because"),
    Branch("tools/run.py", "where['rehearsal']", TOKEN, "run: on the Hugging Face Hub"),
]
# Conditions with the same words whose sides both run without internet, and why.
ELSEWHERE = {
    "wrong['path'] in wanted and wrong['expected'] != 'none'": "every download",
    "whoami(here.endpoint, here.token)['role'] == 'read'": "notebook 07 breaks it on a rehearsal Hub",
    "wanted not in ('auto', 'real', 'rehearsal')": "a switch that was mistyped",
    "os.environ.get('HF_HUB_OFFLINE', '').upper() in ('1', 'ON', 'YES', 'TRUE')": "offline by wish",
    "choice() == 'rehearsal'": "rehearsals only",
    "any((character.isspace() for character in token))": "tests/pipeline/test_hub.py, tokens",
    "not token.startswith(prefix) or not token.isascii()": "tests/pipeline/test_hub.py, tokens",
    "token != own": "every login",
    "os.environ.get('HF_TOKEN') == token": "the end of every login",
    "os.environ.get('HF_TOKEN') != token": "the end of every login",
    "isinstance(wanted, str) and wanted.strip() in CATALOGUE": "a model that is named",
    "'/' not in found.repo and found.repo not in names.SINGLE and ('/' not in str(wanted))": "a name that was mistyped",
    "fetched and _is_commit(wanted.revision)": "tests/pipeline/test_catalogue.py, repositories",
    "not self.is_listed and self.repo in hub.current().rehearsal().repos": "tests/pipeline/test_catalogue.py",
    "_is_commit(wanted.revision)": "tests/pipeline/test_catalogue.py, repositories",
    "fetched and (not wanted.revision) and (not hub.current().wants_real())": "tests/pipeline/test_catalogue.py",
    "repo == wanted.repo and found and found.startswith(commit)": "tests/pipeline/test_catalogue.py, repositories",
    "len(rows) < len(tokens) and 'logits_to_keep' in inspect.signature(model.forward).parameters": "every proof",
    "own": "LLAMA_CPP_DIR is set",
    "os.environ.get('COURSE_MODEL')": "whose wish it was",
    "any((True for _ in module.parameters(recurse=False)))": "every model",
    "n_bytes >= 999500.0": "every size",
    "free < n_bytes * 1.05": "every file",
    "available < n_bytes": "every model",
}
WORDS = re.compile(
    r"\b(rehearsal|real|wants_real|token|saved|raw|me|refused|own|wanted|untied|tied|parameters|published|available"
    r"|HUGGING_FACE|tensor_bytes|n_bytes|weights_sha256|_answered|HF_\w+|COURSE_\w+|colab)\b|\d{9}"
)
SEARCHED = [
    *sorted((artifacts.ROOT / HUB).glob("*.py")),
    *(artifacts.ROOT / PIPELINE / name for name in ("catalogue.py", "models.py", "llama_tools.py", "reference.py")),
    *(
        artifacts.ROOT / name
        for name in ("helpers/artifacts.py", "helpers/machine.py", "helpers/figures/pipeline.py", "tools/run.py")
    ),
]
NOTEBOOKS = ("00", "04", "05", "06", "07", "08", "12")


def conditions(source: str) -> Iterator[str]:
    """Yield the conditions of a module or a cell in which one of the words stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If | ast.IfExp | ast.While) and WORDS.search(ast.unparse(node.test)):
            yield ast.unparse(node.test)


def sources() -> dict[str, str]:
    """Return every text that is searched: modules by path, code cells by id. The setup cell is test_colab's."""
    found = {path.relative_to(artifacts.ROOT).as_posix(): path.read_text() for path in SEARCHED}
    for path in find(list(NOTEBOOKS)):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code" and not cell["id"].endswith("-02"):
                found[cell["id"]] = "".join(cell["source"])
    return found


def forgotten() -> list[str]:
    """Return the conditions that neither BRANCHES nor ELSEWHERE names, as "file: condition"."""
    known = {(branch.file, branch.condition) for branch in BRANCHES}
    return [
        f"{file}: {condition}"
        for file, source in sources().items()
        for condition in conditions(source)
        if (file, condition) not in known and condition not in ELSEWHERE
    ]


def ran(branch: Branch, ground: Ground, said: dict[str, str], lines: dict[str, set[int]]) -> bool:
    """Tell whether a branch ran. said: what the runs printed that are no notebooks."""
    if callable(branch.proof):
        return branch.proof(ground)
    run, _, words = branch.proof.partition(": ")
    if run in ground.notebooks:
        return words in printed(ground.notebooks[run])
    if run in said:
        return words in said[run]
    text = sources()[branch.file]
    numbers = [number for number, line in enumerate(text.splitlines(), 1) if branch.proof in line]
    if len(numbers) != 1:
        raise AssertionError(f"{branch.proof!r} stands {len(numbers)} times in {branch.file}")
    key = branch.file if branch.file.endswith(".py") else cell_key(text)
    return numbers[0] in lines.get(key, ())


def report(ground: Ground, said: dict[str, str]) -> tuple[str, int]:
    """Return a table of all branches, and how many of them did not run."""
    lines = ground.lines()
    rows, missing = [], 0
    for branch in BRANCHES:
        good = ran(branch, ground, said, lines)
        missing += not good
        what = branch.condition or (branch.proof if isinstance(branch.proof, str) else branch.proof.__name__)
        rows.append(f"{'ran' if good else 'NOT':4s}{branch.file.removeprefix(PIPELINE):22s} {branch.reader:32s} {what}")
    total = len(BRANCHES)
    return "\n".join([*rows, f"{total - missing} of {total} branches executed"]), missing
