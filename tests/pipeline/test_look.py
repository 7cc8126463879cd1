"""Looking first: what a repository is and needs, before gigabytes; what cannot work is refused here."""

import contextlib
import http.server
import json
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers import artifacts
from helpers.errors import CheckpointError, CourseError, HubError
from helpers.pipeline import catalogue, convert, hub, llama_tools, look
from helpers.pipeline.checkpoint import read
from helpers.pipeline.hub.reading import Repository
from helpers.pipeline.rehearsal import RehearsalHub


@pytest.fixture
def online(server, monkeypatch, elsewhere):
    """A rehearsal Hub that takes the place of the real one."""
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("COURSE_HUB", "real")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hub.current.cache_clear()
    return server


def edit(folder, name="config.json", **entries):
    content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (folder / name).write_text(json.dumps(content | entries))


def asked(server, start=0):
    return [line.rpartition("/")[2] for line in server.log[start:] if "/resolve/" in line]


# A repository of 70 B parameters, as sparse files


def write_sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    table, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        table[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(table).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)  # nothing is written: the disk keeps a hole


@pytest.fixture(scope="module")
def seventy(tmp_path_factory):
    """LLaMA 70B's shape in 30 shards: 141 GB that take some kilobytes of disk."""
    folder = tmp_path_factory.mktemp("hub") / "seventy"
    shutil.copytree(artifacts.ROOT / "data" / "story", folder)
    (folder / "model.safetensors").unlink()
    width, inner, rows, layers, kv = 8192, 28672, 1024, 80, 1024
    layer = {f"mlp.{part}_proj": (inner, width) for part in ("gate", "up")} | {"mlp.down_proj": (width, inner)}
    layer |= {f"self_attn.{part}_proj": (width, width) for part in "qo"}
    layer |= {f"self_attn.{part}_proj": (kv, width) for part in "kv"}
    layer |= dict.fromkeys(("input_layernorm", "post_attention_layernorm"), (width,))
    shapes = {
        "model.embed_tokens.weight": (rows, width),
        "lm_head.weight": (rows, width),
        "model.norm.weight": (width,),
    }
    shapes |= {f"model.layers.{i}.{name}.weight": shape for i in range(layers) for name, shape in layer.items()}
    names, parts = list(shapes), 30
    places = {
        name: f"model-{1 + i * parts // len(names):05d}-of-{parts:05d}.safetensors" for i, name in enumerate(names)
    }
    for file in sorted(set(places.values())):
        write_sparse(folder / file, {name: shapes[name] for name in names if places[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    settings = {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers}
    settings |= {"num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": False}
    edit(folder, **settings)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    for below in ("original", "onnx", "checkpoint-500"):
        (folder / below).mkdir()
        write_sparse(folder / below / "model.safetensors", {"a": (10**9,)})
    return folder


@contextlib.contextmanager
def without_checksums():
    """Checksums of 141 GB of holes take minutes; names tell the files apart as well."""
    from helpers.pipeline.rehearsal import store

    def describe(path, name, *_):
        digest = f"{hash((str(path), name)) % 16**60:064x}"
        return store.StoredFile(path.stat().st_size, digest[:40], digest, store.is_lfs(name, path.stat().st_size))

    original, store.describe = store.describe, describe
    try:
        yield
    finally:
        store.describe = original


def test_seventy_billion_parameters_are_seen_in_a_few_megabytes(online, seventy):
    with without_checksums():
        online.host("big/seventy", seventy)
    llama_tools.tools()
    model = catalogue.choose("big/seventy")
    shelf = model.shelf()
    seen = look.at(shelf)
    assert shelf.received < 15e6
    assert seen.parameters > 68e9
    assert 136e9 < seen.download_bytes < 142e9, "the top level alone, without what lies below"
    assert not any("/" in name or name.endswith(".bin") for name in seen.files)
    text = str(seen)
    assert "and 29 more parts" in text and "LlamaForCausalLM" in text and "GB" in text
    assert "<table>" in seen._repr_html_() and "68,4" in text


# The table


@pytest.fixture
def offered(online, checkpoint):
    online.host("owner/name", checkpoint)
    return online


def test_the_table(offered):
    model = catalogue.choose("owner/name")
    seen = model.look()
    rows = dict(seen.rows)
    assert rows["model"] == "owner/name" and rows["architecture"] == "LlamaForCausalLM"
    assert rows["parameters"].startswith("2,885,888, stored in F32") and rows["licence"] == "apache-2.0"
    assert rows["commit"] == model.revision == offered.repos["owner/name"].commits[-1].oid
    assert rows["download"].startswith("11.6 MB in 6 files: README.md, config.json")
    assert all(word in rows["disk"] for word in ("download", "F16", "Q8_0", "Q4_K_M", "are free"))
    assert "to convert" in rows["memory"] and "to download" in rows["time"]
    assert "no chat template" in rows["note"]
    assert rows["model"] in seen._repr_html_() and all(name in str(seen) for name in rows)


def test_the_sizes_in_the_table_are_those_of_the_files(smollm2, smollm2_f16):
    """SmolLM2's rows are no multiple of 256, so that Q4_K_M is a fifth larger than its name says; `story`'s are."""
    story = catalogue.CATALOGUE["story"].fetch()
    for folder, f16 in ((smollm2, smollm2_f16), (story, convert.to_gguf(story, "f16"))):
        expected = look._made(read(folder))
        for kind in ("F16", "Q4_K_M"):
            file = convert.summary(f16 if kind == "F16" else convert.requantize(f16, kind))
            assert expected[kind] == pytest.approx(file.tensor_bytes, rel=0.05)


def test_what_is_written_by_others_is_escaped(offered, checkpoint):
    (checkpoint / "README.md").write_text("---\nlicense: <script>alert(1)</script>\n---\n")
    offered.host("owner/name", checkpoint)
    assert "<script>" not in catalogue.choose("owner/name").look()._repr_html_()


def test_only_small_files_and_headers_are_read(offered):
    model = catalogue.choose("owner/name")
    before = len(offered.log)
    model.look()
    assert sorted(asked(offered, before)) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    ]
    shelf = model.shelf()
    look.at(shelf)
    assert shelf.received < 200_000, "of 11.6 MB"


def test_a_folder_has_no_download(checkpoint, elsewhere):
    rows = dict(catalogue.choose(checkpoint).look().rows)
    assert "download" not in rows and "download" not in rows["disk"] and rows["model"] == "copy"


def test_a_small_machine_is_told_so(offered, monkeypatch):
    import types

    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(total=5e8, available=1e8))
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1e6))
    notes = [text for name, text in catalogue.choose("owner/name").look().rows if name == "note"]
    assert any("very slowly" in note for note in notes) and any("disk is too small" in note for note in notes)


def test_a_converter_that_cannot_be_fetched(offered, monkeypatch):
    from helpers.errors import InstallError

    def nothing():
        raise InstallError("No network. None. Try later.")

    monkeypatch.setattr(llama_tools, "tools", nothing)
    assert "could not be fetched" in str(catalogue.choose("owner/name").look())


# Refusals before gigabytes


def lora(folder, **settings):
    for path in folder.iterdir():
        if path.name not in ("README.md", "tokenizer.model", "tokenizer_config.json"):
            path.unlink()
    edit(folder, "adapter_config.json", peft_type="LORA", **settings)
    save_file({"base_model.model.a.lora_A.weight": np.zeros((2, 8), np.float32)}, folder / "adapter_model.safetensors")


def config(**entries):
    return lambda folder: edit(folder, **entries)


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def ggufs(folder):
    for path in folder.iterdir():
        path.unlink()
    (folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF")


def pointer(folder):
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / "model.safetensors").write_bytes(text)


def peft_names(folder):
    path = folder / "model.safetensors"
    save_file({f"base_model.model.{name}": value for name, value in load_file(path).items()}, path)


@pytest.mark.parametrize(
    "change, words",
    [
        (config(architectures=["OPTForCausalLM"], model_type="opt"), "is a OPTForCausalLM.*LLAMA_CPP_DIR"),
        (config(is_encoder_decoder=True), "encoder-decoder"),
        (config(architectures=["BertModel"]), "embeddings or classification"),
        (config(model_type="whisper"), "speech"),
        (config(quantization_config={"quant_method": "bitsandbytes"}), "bitsandbytes.*made from: owner/original"),
        (config(quantization_config={"quant_method": "awq"}), "awq.*owner/original"),
        (pickled, "only as pickles"),
        (lambda folder: lora(folder, base_model_name_or_path=""), "is an adapter to 'owner/original'"),
        (lambda folder: lora(folder, base_model_name_or_path="/home/ada/llama"), "adapter to '/home/ada/llama'.*had"),
        (lambda folder: lora(folder, base_model_name_or_path="owner/gone"), "adapter to 'owner/gone'.*no such repos"),
        (ggufs, "GGUF files only"),
        (pointer, "Git LFS pointer"),
        (peft_names, "merge_and_unload"),
        (config(num_hidden_layers=5), "lacks whole layers"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "another form"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "tokenizer.model").unlink(), "has no tokenizer"),
        (lambda folder: (folder / "tokenizer.model").write_bytes(b""), "is empty"),
    ],
)
def test_refused_before_anything_large_is_read(online, checkpoint, change, words):
    (checkpoint / "README.md").write_text("---\nlicense: mit\nbase_model: owner/original\n---\n")
    change(checkpoint)
    online.host("owner/name", checkpoint)
    with pytest.raises(CheckpointError, match=words):
        catalogue.choose("owner/name").look()
    with pytest.raises(CheckpointError, match=words):
        catalogue.choose("owner/name").fetch()
    assert not list((artifacts.folder() / "models").glob("[!.]*")), "nothing was downloaded"


def test_gated_and_private_ones(online, checkpoint, monkeypatch):
    online.host("owner/gated", checkpoint, gated=True)
    with pytest.raises(HubError, match="gated"):
        catalogue.choose("owner/gated")
    online.host("owner/private", checkpoint)
    online.repos["owner/private"].private = True
    with pytest.raises(HubError, match="private"):
        catalogue.choose("owner/private")
    monkeypatch.setenv("HF_TOKEN", "hf_somebody")
    online.roles["hf_somebody"] = "read"
    online.repos["owner/gated"].let_in.add("hf_somebody")
    assert catalogue.choose("owner/gated").look().parameters == 2_885_888
    assert catalogue.choose("owner/private").look().parameters == 2_885_888


def test_an_adapter_is_looked_at_with_its_base(online, checkpoint, tmp_path):
    online.host("owner/base", checkpoint)
    commit = online.repos["owner/base"].commits[-1].oid
    adapter = Path(shutil.copytree(checkpoint, tmp_path / "lora"))
    lora(adapter, base_model_name_or_path="owner/base", revision=commit[:10])
    online.host("owner/lora", adapter)
    model = catalogue.choose("owner/lora")
    assert (model.base.repo, model.base.revision) == ("owner/base", commit)
    assert dict(model.look().rows)["kind"].startswith("adapter")
    assert sorted(path.name for path in model.fetch_as_saved().iterdir() if path.name[0] != ".") == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    ]
    assert model.base.fetch().is_dir()
    edit(adapter, "adapter_config.json", base_model_name_or_path=str(checkpoint), revision=None)
    assert catalogue.choose(adapter).base.folder == checkpoint


# Hubs that know less


class Meagre(http.server.BaseHTTPRequestHandler):
    """A Hub without sizes, checksums and ranges, which says little; `refuse` answers ranges with a status."""

    folder: Path
    refuse: int | None = None
    sent = 0

    def do_GET(self):
        if self.path.startswith("/api/models/"):
            names = [{"rfilename": path.name} for path in self.folder.iterdir()]
            return self._answer(200, json.dumps({"id": "owner/name", "sha": "0" * 40, "siblings": names}).encode())
        if self.refuse and "Range" in self.headers:
            return self._answer(self.refuse, b"no ranges")
        path = self.folder / self.path.rpartition("/")[2]
        return self._answer(200, path.read_bytes()) if path.exists() else self._answer(404, b"")

    def _answer(self, status, data):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(handler, **settings):
    """Run a server with a handler class of its own; yields its address and the class."""
    own = type("Own", (handler,), settings)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", own
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("refuse", [None, 416, 501])
def test_a_hub_without_sizes_and_ranges(checkpoint, refuse, elsewhere):
    with serving(Meagre, folder=checkpoint, refuse=refuse) as (address, _):
        shelf = Repository(address, "owner/name", None)
        seen = look.at(shelf)
        assert seen.parameters == 2_885_888 and seen.download_bytes is None
        assert "size unknown" in dict(seen.rows)["download"]
        assert shelf.received < 1_000_000, "reading stopped when there was enough"


def test_a_cut_answer_is_our_error(offered):
    offered.cut("GET", "resolve/.*/config.json", after=20, times=9)
    with pytest.raises(HubError, match="connection broke|connection was cut"):
        catalogue.choose("owner/name").look()


@pytest.mark.parametrize(
    "status, words", [(500, "failed .500."), (429, "wait"), (403, "lacks a right"), (404, "refused .404.")]
)
def test_statuses_while_looking(offered, status, words):
    model = catalogue.choose("owner/name")
    offered.fail("GET", "resolve/.*/model.safetensors", status=status, times=9)
    with pytest.raises(HubError, match=words):
        model.look()


def test_no_hub_at_all():
    with pytest.raises(HubError, match="connection broke"):
        Repository("http://127.0.0.1:9", "owner/name", None)


# Tokens stay with their Hub


class Elsewhere(Meagre):
    """A server that notes which tokens it is sent."""

    seen: list

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization"))
        super().do_GET()


class Redirecting(Elsewhere):
    """A Hub that sends its readers to another server: for everything, or for files only."""

    target: str
    files_only: bool

    def do_GET(self):
        if self.files_only and self.path.startswith("/api/"):
            return super().do_GET()
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(307)
        self.send_header("Location", self.target + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("files_only", [True, False])
def test_a_token_never_follows_a_redirect_to_another_host(checkpoint, files_only, elsewhere):
    with serving(Elsewhere, folder=checkpoint, seen=[]) as (there, other):
        settings = {"folder": checkpoint, "seen": [], "target": there, "files_only": files_only}
        with serving(Redirecting, **settings) as (here, own):
            seen = look.at(Repository(here, "owner/name", None, "hf_secret"))
    assert seen.parameters == 2_885_888
    assert set(own.seen) == {"Bearer hf_secret"} and other.seen and set(other.seen) == {None}


def test_a_token_saved_for_the_hub_goes_to_no_mirror(online, checkpoint, monkeypatch, tmp_path):
    from huggingface_hub import constants

    (tmp_path / "token").write_text("hf_savedForHuggingFace")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    sent = []
    original = Repository.__init__
    monkeypatch.setattr(Repository, "__init__", lambda self, *given: (sent.append(given[3]), original(self, *given))[1])
    online.host("owner/name", checkpoint)
    catalogue.choose("owner/name").look()
    assert sent and set(sent) == {False}


def test_every_refusal_is_ours(online, checkpoint):
    """Whatever stands in config.json: a result or our error, never a traceback."""
    whole = json.loads((checkpoint / "config.json").read_text())
    odd = [None, [], {}, "x", -1, 1.5, True, ["x"], {"a": 1}]
    for name in [*whole, "quantization_config", "text_config", "vision_config", "auto_map", "layer_types", "ssm_cfg"]:
        for value in odd:
            (checkpoint / "config.json").write_text(json.dumps(whole | {name: value}))
            try:
                look.folder(checkpoint)
            except CourseError as error:
                assert str(error).count(". ") >= 1


class Forwarding(Elsewhere):
    """In front of a rehearsal Hub: passes questions on, sends readers of files there themselves."""

    target: str

    def do_GET(self):
        self._forward(None)

    def do_HEAD(self):
        self._forward(None)

    def do_POST(self):
        self._forward(self.rfile.read(int(self.headers["Content-Length"])))

    def _forward(self, body):
        self.seen.append(self.headers.get("Authorization"))
        if "/resolve/" in self.path:
            with urllib.request.urlopen(urllib.request.Request(self.target + self.path, method="HEAD")) as answer:
                told = {name: answer.headers[name] for name in ("X-Repo-Commit", "ETag")}
                told["X-Linked-Size"] = answer.headers["Content-Length"]
            self.send_response(302)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Location", self.target + self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        kind = {"Content-Type": self.headers.get("Content-Type", "")}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.target + self.path, body, kind)) as answer:
                self._answer(200, answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read())


def test_a_token_never_follows_a_download_to_another_hub(online, checkpoint, monkeypatch, tmp_path):
    """The second Hub would refuse a token that it never gave out."""
    online.host("owner/name", checkpoint)
    with RehearsalHub(tmp_path) as second:
        second.host("owner/name", checkpoint)
        with serving(Forwarding, seen=[], target=second.endpoint) as (address, front):
            monkeypatch.setenv("HF_ENDPOINT", address)
            monkeypatch.setenv("HF_TOKEN", "hf_secret")
            hub.current.cache_clear()
            model = catalogue.choose("owner/name")
            assert model.look().parameters == 2_885_888
            assert (model.fetch() / "model.safetensors").read_bytes() == (checkpoint / "model.safetensors").read_bytes()
        assert "Bearer hf_secret" in front.seen
        assert [line for line in second.log if "/resolve/" in line and "model.safetensors" in line]


class Renamed(Meagre):
    """A Hub where owner/old is called owner/name today."""

    def do_GET(self):
        if "/old" in self.path:
            self.send_response(307)
            self.send_header("Location", self.path.replace("/old", "/name"))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        super().do_GET()


def test_a_renamed_repository_answers_under_its_old_name(checkpoint, monkeypatch, elsewhere):
    with serving(Renamed, folder=checkpoint) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("COURSE_HUB", "real")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        hub.current.cache_clear()
        model = catalogue.choose("owner/old")
        assert (model.repo, model.name, model.key) == ("owner/name", "name", "owner--name--00000000")
        assert model.look().title == "owner/name"


def test_an_adapter_needs_nothing_of_its_own(checkpoint, elsewhere):
    lora(checkpoint, base_model_name_or_path="story")
    rows = dict(catalogue.choose(checkpoint).look().rows)
    assert "disk" not in rows and "story" in rows["note"] and catalogue.choose(checkpoint).base.name == "story"
