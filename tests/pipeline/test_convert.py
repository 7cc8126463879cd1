"""The converter and the quantizer: real conversions of `story` and `smollm2`, and every way they can fail."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import artifacts
from helpers.errors import CheckpointError, ConversionError, CourseError, InputError, InstallError, ResourceError
from helpers.pipeline import catalogue, convert, gguf_file, llama_tools
from helpers.pipeline.checkpoint import header, read

KEPT: dict[str, bytes] = {}  # by a digest of the checkpoint's files and the type: what the real converter made of them


@pytest.fixture
def once(monkeypatch):
    """The real converter, but what it made of the very same files in these tests is not made again."""
    original = convert.run_converter

    def remembered(script, arguments, name, where):
        folder, out = Path(arguments[0]), Path(arguments[2])
        sums = [(path.name, artifacts.sha256(path)) for path in sorted(folder.iterdir()) if "index" not in path.name]
        weights = sorted(set(json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values()))
        key = repr((folder.name, sums, [artifacts.sha256(Path(path)) for path in weights], arguments[3:]))
        if key not in KEPT:
            original(script, arguments, name, where)
            KEPT[key] = out.read_bytes()
        out.write_bytes(KEPT[key])
        return []

    monkeypatch.setattr(convert, "run_converter", remembered)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


# Real conversions


@pytest.mark.parametrize("outtype, kind", [("f32", "F32"), ("f16", "F16"), ("bf16", "BF16"), ("q8_0", "Q8_0")])
def test_story_to_every_outtype(outtype, kind):
    file = convert.summary(convert.to_gguf(catalogue.choose("story").fetch(), outtype))
    assert file.main_type == kind
    assert file.parameters == catalogue.CATALOGUE["story"].parameters
    assert all(tensor.type == "F32" for tensor in file.tensors if len(tensor.shape) == 1)


def test_f32_is_the_checkpoint_bit_for_bit():
    from safetensors.numpy import load_file

    checkpoint = catalogue.choose("story").fetch()
    source = load_file(checkpoint / "model.safetensors")
    config = json.loads((checkpoint / "config.json").read_text())
    for tensor in gguf.GGUFReader(convert.to_gguf(checkpoint, "f32")).tensors:
        found = gguf.dequantize(tensor.data, tensor.tensor_type)
        for part, heads in (("attn_q.", "num_attention_heads"), ("attn_k.", "num_key_value_heads")):
            if part in tensor.name:
                found = gguf_file.undo_permutation(found, config[heads])
        assert np.array_equal(found, source[gguf_file.checkpoint_name(tensor.name)]), tensor.name


def test_sizes_are_predictable(smollm2):
    entries = list(header(smollm2 / "model.safetensors").values())
    for outtype, width in (("f16", 2), ("q8_0", 34 / 32)):
        expected = sum(np.prod(e["shape"]) * (4 if len(e["shape"]) == 1 else width) for e in entries)
        assert convert.summary(convert.to_gguf(smollm2, outtype)).tensor_bytes == expected


@pytest.mark.parametrize("type_name", convert.TYPES)
def test_story_to_every_type(story_f16, type_name):
    """All widths of story are multiples of 256, so no K type falls back to another one."""
    file = convert.summary(convert.requantize(story_f16, type_name))
    assert file.parameters == catalogue.CATALOGUE["story"].parameters
    family = type_name.rsplit("_", 1)[0] if type_name.endswith(("_S", "_M", "_L")) else type_name
    assert any(kind == family for kind in file.types), file.types
    assert file.bits_per_weight < 9


def test_smollm2_k_types_fall_back(smollm2_f16):
    """576 columns are no multiple of 256: the name of the type is not what most weights are stored in."""
    file = convert.summary(convert.requantize(smollm2_f16, "Q4_K_M"))
    for tensor in file.tensors:
        if tensor.type in ("Q4_K", "Q6_K"):
            assert tensor.shape[1] % 256 == 0
        if len(tensor.shape) == 2 and tensor.shape[1] == 576:
            assert tensor.type in ("Q5_0", "Q8_0")


def test_quantizing_is_repeatable(story_f16, tmp_path):
    first = convert.requantize(story_f16, "Q4_K_M").read_bytes()
    copy = tmp_path / story_f16.name
    copy.write_bytes(story_f16.read_bytes())
    assert convert.requantize(copy, "Q4_K_M", threads=1).read_bytes() == first


def test_what_exists_is_reused_and_what_changed_is_made_again(elsewhere, checkpoint, once):
    first = convert.to_gguf(checkpoint, "q8_0")
    made = first.stat().st_mtime_ns
    assert convert.to_gguf(checkpoint, "Q8_0") == first and first.stat().st_mtime_ns == made
    os.utime(checkpoint / "model.safetensors")
    assert convert.to_gguf(checkpoint, "q8_0").stat().st_mtime_ns > made


# The tools


def test_tools_are_whole_and_pinned(monkeypatch):
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    assert llama_tools.fingerprint(llama_tools.tools()) == llama_tools.SHA256


def test_the_pinned_commit_is_that_of_the_installed_package():
    import importlib.metadata

    assert importlib.metadata.version("llama-cpp-python") == "0.3.36"
    constraints = (artifacts.ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    assert "llama-cpp-python==0.3.36" in constraints


def test_own_tree_that_lacks_a_part(tmp_path, monkeypatch):
    (tmp_path / "convert_hf_to_gguf.py").write_text("")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    with pytest.raises(ConversionError, match="lacks conversion, gguf-py"):
        llama_tools.tools()


def test_altered_tools_are_fetched_again(tmp_path, monkeypatch):
    good = llama_tools.tools()
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path))
    (tmp_path / "llama.cpp" / "conversion").mkdir(parents=True)  # a script without its packages
    (tmp_path / "llama.cpp" / "convert_hf_to_gguf.py").write_text("import conversion")

    def no_git(folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise subprocess.TimeoutExpired("git", 1)

    def from_pip(folder):
        import shutil

        assert not folder.exists(), "what git left behind is removed first"
        shutil.copytree(good, folder)

    monkeypatch.setattr(llama_tools, "clone", no_git)
    monkeypatch.setattr(llama_tools, "unpack", from_pip)
    assert llama_tools.fingerprint(llama_tools.tools()) == llama_tools.SHA256


def test_tools_that_arrive_altered_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path))

    def forged(folder):
        folder.mkdir()
        (folder / "convert_hf_to_gguf.py").write_text("print('hello')")

    monkeypatch.setattr(llama_tools, "clone", forged)
    with pytest.raises(InstallError, match="arrived altered"):
        llama_tools.tools()
    assert not (tmp_path / "llama.cpp").exists()


# Arguments


def test_unknown_outtype():
    with pytest.raises(InputError, match="f32, f16, bf16, q8_0 and auto.*requantize"):
        convert.to_gguf(catalogue.choose("story").fetch(), "q4_k_m")


def test_unknown_type_lists_the_valid_ones(story_f16):
    with pytest.raises(InputError) as caught:
        convert.requantize(story_f16, "Q4_K_XL")
    assert all(name in str(caught.value) for name in convert.TYPES)


def test_a_model_that_the_quantizer_does_not_know(story_f16, tmp_path):
    """Well-formed, but of an architecture that this llama.cpp never heard of."""
    path = tmp_path / "odd-F16.gguf"
    path.write_bytes(story_f16.read_bytes().replace(b"llama", b"lama2"))
    with pytest.raises(ConversionError, match="could not quantize odd-F16.gguf to Q4_0. It said: .*lama2"):
        convert.requantize(path, "Q4_0")
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["odd-F16.gguf"]


def test_quantizing_twice_is_refused(story_f16):
    q8_0 = convert.requantize(story_f16, "Q8_0")
    with pytest.raises(InputError, match="quantized already"):
        convert.requantize(q8_0, "Q4_0")


def test_damaged_checkpoint_is_noticed_before_the_converter_starts(elsewhere, checkpoint, monkeypatch):
    monkeypatch.setattr(convert, "run_converter", lambda *a: pytest.fail("the converter was started"))
    (checkpoint / "tokenizer.model").unlink()
    with pytest.raises(CheckpointError):
        convert.to_gguf(checkpoint)


# Resources


def test_too_little_disk(elsewhere, checkpoint, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    with pytest.raises(ResourceError, match="Not enough disk.*1.0 MB are free"):
        convert.to_gguf(checkpoint)
    assert visible(elsewhere) == []


def test_too_little_memory(elsewhere, checkpoint, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=100_000_000))
    with pytest.raises(ResourceError, match="Not enough memory.*COURSE_MODEL"):
        convert.to_gguf(checkpoint)


def test_disk_that_fills_up_while_quantizing(story_f16, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1_000))
    (story_f16.with_name("story-Q5_1.gguf")).unlink(missing_ok=True)
    with pytest.raises(ResourceError, match="Not enough disk"):
        convert.requantize(story_f16, "Q5_1")


def with_epsilon(folder: Path, value: float) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": value}))
    return folder


def epsilon(gguf: Path) -> float:
    return round(convert.summary(gguf).metadata["llama.attention.layer_norm_rms_epsilon"], 6)


def test_folders_of_the_same_name_do_not_share_a_file(elsewhere, checkpoint, tmp_path, once):
    other = with_epsilon(Path(shutil.copytree(checkpoint, tmp_path / "other" / checkpoint.name)), 0.5)
    first, second = convert.to_gguf(with_epsilon(checkpoint, 0.25), "f16"), convert.to_gguf(other, "f16")
    assert (epsilon(first), epsilon(second)) == (0.25, 0.5), "both at once"
    assert first.name.startswith("copy-") and second.name.startswith("copy-")
    small = [convert.requantize(path, "Q4_0") for path in (first, second)]
    assert [epsilon(path) for path in small] == [0.25, 0.5]


@pytest.mark.parametrize("given", [str, Path, read], ids=["str", "Path", "Checkpoint"])
def test_a_folder_given_as(elsewhere, checkpoint, monkeypatch, once, given):
    assert convert.to_gguf(given(checkpoint), "f16").name == f"{artifacts.key(checkpoint)}-F16.gguf"


def test_the_current_folder_has_its_name(elsewhere, checkpoint, monkeypatch, once):
    monkeypatch.chdir(checkpoint)
    made = convert.to_gguf(".", "f16")
    assert made.name == f"{artifacts.key(checkpoint)}-F16.gguf" and made.name.startswith("copy-")
    assert convert.summary(made).metadata["general.name"] == "Copy"


def test_a_note_never_speaks_for_a_file_it_was_not_written_for(elsewhere, checkpoint, once, monkeypatch):
    """Killed when a changed folder was converted, before its note is written; then the change is undone."""
    original, dates = (checkpoint / "config.json").read_bytes(), (checkpoint / "config.json").stat()
    path = convert.to_gguf(checkpoint, "f16")
    first = path.read_bytes()
    with_epsilon(checkpoint, 0.5)
    with monkeypatch.context() as patched:
        patched.setattr(artifacts.Note, "write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            convert.to_gguf(checkpoint, "f16")
    assert path.read_bytes() != first
    (checkpoint / "config.json").write_bytes(original)
    os.utime(checkpoint / "config.json", ns=(dates.st_atime_ns, dates.st_mtime_ns))
    assert convert.to_gguf(checkpoint, "f16").read_bytes() == first


def test_other_weights_of_the_same_size_and_date_are_noticed(elsewhere, checkpoint, once):
    """What is unpacked from archives often carries one date for all, and fine-tunes of a model have one size."""
    weights = checkpoint / "model.safetensors"
    os.utime(weights, (1, 1))
    path = convert.to_gguf(checkpoint, "f16")
    first = path.read_bytes()
    data = bytearray(weights.read_bytes())
    data[-200_000:] = data[-400_000:-200_000]
    weights.write_bytes(data)
    os.utime(weights, (1, 1))
    assert convert.to_gguf(checkpoint, "f16").read_bytes() != first


def test_another_converter_makes_another_file(elsewhere, checkpoint, tmp_path, monkeypatch, once):
    pinned = convert.to_gguf(checkpoint, "f16")
    tree = tmp_path / "newer"
    tree.mkdir()
    for part in llama_tools.PARTS:
        source = llama_tools.tools() / part
        shutil.copytree(source, tree / part) if source.is_dir() else shutil.copy(source, tree)
    with open(tree / "conversion" / "base.py", "a") as file:
        file.write("# newer\n")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tree))
    newer = convert.to_gguf(checkpoint, "f16")
    assert newer != pinned and newer.exists() and "llama." in newer.name
    monkeypatch.setenv("LLAMA_CPP_DIR", str(shutil.copytree(tree, tmp_path / "elsewhere")))
    made = newer.stat().st_mtime_ns
    assert convert.to_gguf(checkpoint, "f16").stat().st_mtime_ns == made, "the same files in another place"


def test_braces_in_the_name_of_the_folder_and_of_artifacts(elsewhere, checkpoint, tmp_path, monkeypatch):
    """For the converter, the name of its output is a template."""
    odd = Path(shutil.copytree(checkpoint, tmp_path / "a {ftype} {0} {b"))
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / "{artifacts}"))
    path = convert.to_gguf(odd, "f16")
    assert path.is_file() and path.name == f"{artifacts.key(odd)}-F16.gguf" and path.name.isascii()


def test_another_tokenizer_makes_another_file(elsewhere, checkpoint, once):
    first = convert.to_gguf(checkpoint, "f16").stat().st_mtime_ns
    assert convert.to_gguf(checkpoint, "f16").stat().st_mtime_ns == first, "nothing changed, nothing is made"
    os.utime(checkpoint / "tokenizer.model", (1, 1))  # even if it is older than the file
    assert convert.to_gguf(checkpoint, "f16").stat().st_mtime_ns > first


@pytest.fixture
def full_disk():
    """Let every write beyond 300,000 bytes of a file fail, here and in the processes started from here."""
    import resource  # not on Windows, but only Linux comes here

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size works as a full disk on Linux")
def test_a_disk_that_is_full_in_the_middle_of_converting(elsewhere, checkpoint, full_disk):
    with pytest.raises(ResourceError, match="The disk filled up while converting"):
        convert.to_gguf(checkpoint, "f16")
    assert visible(elsewhere) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size works as a full disk on Linux")
def test_a_disk_that_is_full_in_the_middle_of_quantizing(elsewhere, checkpoint, once, request):
    f16 = convert.to_gguf(checkpoint, "f16")
    request.getfixturevalue("full_disk")
    with pytest.raises(ResourceError, match="The disk filled up while quantizing"):
        convert.requantize(f16, "Q4_0")
    assert visible(elsewhere) == [f16.name]


@pytest.mark.parametrize("keep", [0, 1000, -1000])
def test_a_result_that_was_cut_is_made_again(elsewhere, checkpoint, once, keep):
    """A copy that stopped, or a crash of the system: the date is good, the file is not."""
    f16 = convert.to_gguf(checkpoint, "f16")
    q4_0 = convert.requantize(f16, "Q4_0")
    for path, again in (
        (q4_0, lambda: convert.requantize(f16, "Q4_0")),
        (f16, lambda: convert.to_gguf(checkpoint, "f16")),
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[:keep])
        assert again() == path and path.read_bytes() == whole


# The converter stops


def stand_in(folder: Path, code: str) -> None:
    """A llama.cpp tree whose converter does what a test wants."""
    for part in ("conversion", "gguf-py"):
        (folder / part).mkdir(parents=True)
    (folder / "convert_hf_to_gguf.py").write_text("import sys, os, time, signal, pathlib\n" + code)


FAILURES = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", ResourceError, "too little memory"),
    "exit 137": ("sys.exit(137)", ResourceError, "too little memory"),
    "memory error": ("raise MemoryError", ResourceError, "too little memory"),
    "disk full": ("raise OSError(28, 'No space left on device')", ResourceError, "disk filled up"),
    "disk full, as numpy says it": ("raise OSError('4096 requested and 512 written')", ResourceError, "disk filled up"),
    "packages": ("raise ModuleNotFoundError(\"No module named 'conversion'\")", ConversionError, "own packages"),
    "tokenizer": ("raise NotImplementedError('BPE pre-tokenizer was not recognized')", ConversionError, "tokenizer"),
    "mapped": ("raise ValueError(\"Can not map tensor 'x.SCB'\")", ConversionError, "quantized already"),
    "architecture": (
        "sys.stderr.write('Model FooForCausalLM is not supported'); sys.exit(1)",
        ConversionError,
        "archit",
    ),
    "no tokenizer": (
        "raise FileNotFoundError('File not found: a/tokenizer.model')",
        ConversionError,
        "sentencepiece file",
    ),
    "import": ("raise ImportError('cannot import is_offline_mode')", ConversionError, "tested one"),
    "other": ("sys.exit('something new')", ConversionError, "something new"),
}


@pytest.mark.parametrize("code, error, words", FAILURES.values(), ids=FAILURES)
def test_converter_failures_are_translated(elsewhere, checkpoint, tmp_path, monkeypatch, code, error, words):
    half = "out = pathlib.Path(sys.argv[sys.argv.index('--outfile') + 1]); out.write_bytes(b'GGUF half'); "
    stand_in(tmp_path / "llama", half + code)
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "llama"))
    with pytest.raises(error, match=words):
        convert.to_gguf(checkpoint)
    assert visible(elsewhere) == [], "no half file remains"


def test_a_real_unknown_architecture(elsewhere, checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"architectures": ["FooForCausalLM"]}))
    with pytest.raises(ConversionError, match="does not know this architecture"):
        convert.to_gguf(checkpoint)


def test_a_converter_that_writes_nothing(elsewhere, checkpoint, tmp_path, monkeypatch):
    stand_in(tmp_path / "lazy", "pass")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "lazy"))
    with pytest.raises(ConversionError, match=r"without writing copy-\w{6}-llama\.\w{6}-Q8_0.gguf"):
        convert.to_gguf(checkpoint)
    assert visible(elsewhere) == []


def test_interrupting_ends_the_converter_and_the_next_run_works(elsewhere, checkpoint, tmp_path, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for background jobs
    stand_in(tmp_path / "slow", f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(60)")
    good = os.environ["LLAMA_CPP_DIR"]
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "slow"))

    def interrupt():
        while not (tmp_path / "pid").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            convert.to_gguf(checkpoint)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert visible(elsewhere) == []
    monkeypatch.setenv("LLAMA_CPP_DIR", good)
    assert convert.to_gguf(checkpoint).exists()


@pytest.mark.parametrize("step", ["convert", "requantize"])
def test_a_killed_notebook_leaves_nothing_that_is_used(elsewhere, checkpoint, once, step):
    """The whole process dies half-way: only a .partial file may remain, and the next run replaces it."""
    code = "from pathlib import Path; from helpers import artifacts; from helpers.pipeline import convert\n"
    code += f"p = convert.to_gguf(Path({str(checkpoint)!r}), 'f16')\n" if step == "requantize" else ""
    name = f"{artifacts.key(checkpoint)}-{'F16' if step == 'convert' else 'Q6_K'}.gguf"
    code += f"with artifacts.making(artifacts.folder('gguf') / {name!r}) as t:\n"
    code += " t.write_bytes(b'GGUF' + bytes(999)); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    process = subprocess.run([sys.executable, "-c", code], cwd=artifacts.ROOT, capture_output=True)
    assert process.returncode == -9
    assert not (elsewhere / "gguf" / name).exists()
    f16 = convert.to_gguf(checkpoint, "f16")
    if step == "requantize":
        convert.summary(convert.requantize(f16, "Q6_K"))
    convert.summary(f16)
    assert not list(elsewhere.rglob("*.partial"))


def test_no_token_reaches_the_converter(elsewhere, checkpoint, tmp_path, monkeypatch):
    stand_in(tmp_path / "llama", "sys.exit('token' if 'HF_TOKEN' in os.environ else 'clean')")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "llama"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(ConversionError, match="clean"):
        convert.to_gguf(checkpoint)


# Reading GGUF files


@pytest.mark.parametrize("which", ["smollm2", "story in Q4_K_M", "story in Q2_K"])
def test_summary_equals_ggufs_own_reader(story_f16, smollm2_f16, which):
    path = smollm2_f16 if which == "smollm2" else convert.requantize(story_f16, which.split()[-1])
    ours, reader = convert.summary(path), gguf.GGUFReader(path)
    assert ours.metadata == {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    for mine, theirs in zip(ours.tensors, reader.tensors, strict=True):
        assert (mine.name, mine.type) == (theirs.name, theirs.tensor_type.name)
        assert mine.shape == tuple(int(n) for n in reversed(theirs.shape))
        assert (mine.elements, mine.n_bytes) == (theirs.n_elements, theirs.n_bytes)


# Damaged GGUF files


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        convert.summary(tmp_path / "none.gguf")


def test_web_page_saved_as_gguf(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_text("<!doctype html><title>404</title>" * 10)
    with pytest.raises(InputError, match="web page"):
        convert.summary(path)


@pytest.mark.parametrize("keep", [0, 3, 4, 10, 23, 24, 100, 5_000, -1])
def test_truncated_gguf(story_f16, tmp_path, keep):
    path = tmp_path / "cut.gguf"
    path.write_bytes(story_f16.read_bytes()[:keep])
    with pytest.raises(InputError):
        convert.summary(path)


@pytest.mark.parametrize("field, value", [("version", 99), ("tensors", 2**60), ("pairs", 2**60), ("version", 0)])
def test_forged_header(story_f16, tmp_path, field, value):
    data = bytearray(story_f16.read_bytes())
    offset, code = {"version": (4, "<I"), "tensors": (8, "<Q"), "pairs": (16, "<Q")}[field]
    struct.pack_into(code, data, offset, value)
    path = tmp_path / "forged.gguf"
    path.write_bytes(data)
    with pytest.raises(InputError):
        convert.summary(path)


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("g") / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8)
    writer.add_array("names", ["a", "b"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_bool("flag", True)
    writer.add_tensor("w", np.zeros((4, 32), np.float32))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return path.read_bytes()


@settings(max_examples=150, deadline=5000)
@given(position=st.integers(0, 250), value=st.integers(0, 255))
def test_any_flipped_header_byte_is_survived(small_gguf, tmp_path_factory, position, value):
    data = bytearray(small_gguf)
    data[position % len(data)] = value
    path = tmp_path_factory.mktemp("f") / "f.gguf"
    path.write_bytes(data)
    try:
        convert.summary(path)
    except CourseError:
        pass
