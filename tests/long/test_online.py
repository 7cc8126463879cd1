"""The path that most readers take: the Hub answers, so TinyLlama. Every branch of it runs, against a stand-in.

The runs are made once, by `make_runs`; each test looks at one thing that they left behind.
"""

import json
import subprocess

import online_branches
import pytest
from online_ground import READ, WRITE, Ground, printed

from helpers import artifacts
from helpers.pipeline import catalogue, llama_tools

# Programs of a few lines, each for a reader whom no notebook is run for. `stand_in` is the address of the stand-in,
# `HUGGING_FACE` is made to mean it: what was saved for huggingface.co goes nowhere else.
PROGRAMS = {
    "colab": """
import types
from helpers.pipeline import hub
from helpers.pipeline.hub import tokens
tokens.HUGGING_FACE = os.environ["HF_ENDPOINT"]
colab = sys.modules["google.colab"] = types.ModuleType("google.colab")
colab.userdata = types.SimpleNamespace(get={"HF_TOKEN": WRITE}.get)
here = hub.connect()
(folder / "note.txt").write_text("from Colab")
print("rehearsal" if here.rehearsal else "real", hub.publish(here, "from-colab", [folder / "note.txt"], CARD).repo)
""",
    "saved": """
from helpers.pipeline import hub
from helpers.pipeline.hub import tokens
tokens.HUGGING_FACE = os.environ["HF_ENDPOINT"]
(folder / "token").write_text(WRITE)
from huggingface_hub import constants
constants.HF_TOKEN_PATH = str(folder / "token")
print("rehearsal" if hub.connect().rehearsal else "real")
""",
    "nobody": """
from helpers.pipeline import catalogue, hub
print(catalogue.choose().name, catalogue.choose().source().token, hub.connect().reason)
""",
    "real": """
from helpers.errors import HubError
from helpers.pipeline import hub
os.environ["COURSE_HUB"] = "real"
for token in (WRITE, READ, None, "hf_revoked"):
    os.environ["HF_TOKEN"] = token or ""
    try:
        print(hub.connect().user)
    except HubError as error:
        print(error)
    hub.current().close()
""",
    "replaced": """
import dataclasses
from helpers.errors import CheckpointError
from helpers.pipeline import catalogue
os.environ["COURSE_ARTIFACTS"] = str(folder / "replaced")
try:
    dataclasses.replace(catalogue.choose(), weights_sha256="0" * 64).fetch()
except CheckpointError as error:
    print(error)
print(os.listdir(folder / "replaced" / "models"))
""",
    "mirror": """
from helpers.pipeline import catalogue
os.environ["COURSE_ARTIFACTS"] = str(folder / "mirrored")
print(sorted(os.listdir(catalogue.choose().fetch())))
""",
    "github": """
from helpers.pipeline import llama_tools
os.environ.pop("LLAMA_CPP_DIR")
os.environ["COURSE_ARTIFACTS"] = str(folder / "cloned")
llama_tools.GIT, llama_tools.COMMIT = os.environ["GIT"], os.environ["COMMIT"]
llama_tools.unpack = lambda folder: sys.exit("it was not cloned")
print(sorted(os.listdir(llama_tools.tools())))
""",
    "large": """
from helpers import artifacts
from helpers.figures import pipeline
from helpers.pipeline.gguf_file import Summary, Tensor
tensor = Tensor("output.weight", (32000, 2048), "F16", 1_100_048_384, 2_200_096_768)
file = Summary(folder / "tinyllama-F16.gguf", {}, [tensor], 2_201_017_248)
figure = pipeline.type_sizes([file], "TinyLlama")
print(figure.axes[0].get_xlabel(), artifacts.size_text(file.file_bytes))
""",
}
QUALITY_CELLS = tuple(
    f"08-{number:02d}" for number in (2, 3, 4, 6, 8, 10, 12, 14, 15, 20, 21, 22, 26)
)  # what MODEL decides
HEAD = f"""
import os, pathlib, sys
folder, WRITE, READ, CARD = pathlib.Path(os.environ["FOLDER"]), {WRITE!r}, {READ!r}, "---\\nlicense: mit\\n---\\n"
"""


def make_runs(ground: Ground) -> dict[str, str]:
    """Run everything once; return what was printed, by name of the run."""
    said = {"run": ground.run_notebooks(["main"], "first")}
    said["receipt"] = (ground.artifacts / "published.json").read_text()
    ground.run_cells("12", ("12-02", "12-03", "12-13", "12-18"), "first")
    ground.run_cells("08", QUALITY_CELLS, "first")
    ground.run_notebooks(["07"], "read", ground.environment(token=READ))
    ground.run_notebooks(["04"], "mirror", ground.environment("mirror"))
    more = {name: {} for name in PROGRAMS} | {"github": github(ground)}
    for name, program in PROGRAMS.items():
        token = WRITE if name in ("replaced", "mirror") else None
        surroundings = ground.environment("mirror" if name == "mirror" else "reader", token, **more[name])
        done = ground.run(["-c", HEAD + program], surroundings | {"FOLDER": str(ground.folder)})
        assert done.returncode == 0, f"{name}: {done.stderr}"
        said[name] = done.stdout
    return said


def github(ground: Ground) -> dict[str, str]:
    """Lay llama.cpp's tools down as a repository from which single commits and files may be fetched, as from GitHub."""
    folder = ground.folder / "llama.cpp"
    subprocess.run(["cp", "-r", str(llama_tools.tools()), str(folder)], check=True)
    git = ["git", "-C", str(folder), "-c", "user.name=course", "-c", "user.email=course@example.org"]
    commands = ["init --quiet", "add --all", "commit --quiet -m tools", "config uploadpack.allowFilter true"]
    for command in [*commands, "config uploadpack.allowAnySHA1InWant true"]:
        subprocess.run([*git, *command.split()], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return {"GIT": f"file://{folder}", "COMMIT": commit}


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """The ground after all runs, and what they said."""
    with Ground(tmp_path_factory.mktemp("online")) as ground:
        yield ground, make_runs(ground)


def test_every_branch_ran(online):
    table, missing = online_branches.report(*online)
    print(table)
    assert not missing, table


def test_no_branch_is_forgotten():
    assert not online_branches.forgotten(), "name these in BRANCHES, or in ELSEWHERE with a reason"


def test_the_table_names_conditions_that_exist():
    sources = online_branches.sources()
    for branch in online_branches.BRANCHES:
        assert not branch.condition or branch.condition in online_branches.conditions(sources[branch.file]), branch
    everything = {condition for source in sources.values() for condition in online_branches.conditions(source)}
    assert set(online_branches.ELSEWHERE) <= everything


def test_the_main_job_publishes_what_it_made(online):
    ground, said = online
    published = ground.hub.repos["rehearsal/tinyllama-GGUF"]
    receipt = {"repo": "rehearsal/tinyllama-GGUF", "revision": published.commits[-1].oid, "rehearsal": False}
    noted = json.loads(said["receipt"])
    assert noted.pop("proof").startswith("PASSED")
    assert published.private and noted == receipt | {"private": True}
    files = published.commits[-1].files
    for kind in ("Q8_0", "Q4_K_M"):
        name = f"tinyllama-{kind}.gguf"
        made = [path for path in (ground.artifacts / "gguf").glob(f"tinyllama*-{kind}.gguf") if "mix" not in path.name]
        assert files[name].sha256 in map(artifacts.sha256, made)
        assert name in said["run"] and "mice" in said["run"]


def test_tinyllama_came_from_its_revision(online):
    ground, _ = online
    model = catalogue.CATALOGUE["tinyllama"]
    assert any(f"/{model.repo}/resolve/{model.revision}/" in line for line in ground.hub.log)
    config = json.loads((ground.artifacts / "models" / "tinyllama" / "config.json").read_text())
    assert (config["torch_dtype"], config["tie_word_embeddings"]) == ("bfloat16", False)


def test_no_token_is_printed(online):
    ground, said = online
    for text in (*said.values(), *map(printed, ground.notebooks.values())):
        assert WRITE not in text and READ not in text


def test_a_token_that_may_only_read_rehearses_and_says_why(online):
    ground, _ = online
    text = printed(ground.notebooks["read 07"])
    assert "rehearsal Hub because your token may only read" in text and "the same, bit for bit" in text


def test_a_mirror_without_sizes_and_checksums(online):
    ground, said = online
    text = printed(ground.notebooks["mirror 04"])
    assert "weights are 9" in text and "matches" not in text and "nothing is proved, model.fetch() will do it" in text
    assert "float16" in text and "float32" not in text, "too little memory"
    assert "model.safetensors" in said["mirror"]


def test_weights_that_were_replaced_are_refused(online):
    _, said = online
    assert "the catalogue says 000000000000" in said["replaced"] and "'tinyllama'" not in said["replaced"]


def test_tokens_of_colab_and_of_a_login_are_found(online):
    _, said = online
    assert said["colab"].split() == ["real", "rehearsal/from-colab"] and said["saved"].split() == ["real"]
    assert said["nobody"].split()[:2] == ["tinyllama", "False"] and "no token was found" in said["nobody"]


def test_the_real_hub_by_force(online):
    user, *refused = online[1]["real"].splitlines()
    assert user == "rehearsal", "the stand-in's only user"
    words = ("may read but not write", "no token was found", "does not know the token (401)")
    assert all(word in line for word, line in zip(words, refused, strict=True))


def test_the_converter_is_cloned_where_github_answers(online):
    assert all(part in online[1]["github"] for part in llama_tools.PARTS)
