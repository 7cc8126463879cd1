"""The soak itself: its faults are what they say, and a broken promise is seen. `make soak` runs all of it."""

import json
import os
import random

import pytest
import soak
import soak_faults
from soak_faults import SHARES, judged
from soak_ground import SECRET, BrokenError, Ground, Run


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An undisturbed run of the pipeline."""
    return soak.undisturbed(tmp_path_factory.mktemp("undisturbed") / "ground", "pipeline")


@pytest.fixture
def ground(tmp_path, reference):
    """The ground on which a run has just ended."""
    ground = Ground(tmp_path / "ground", random.Random(0), "pipeline", reference)
    ground.begin_at("download")
    yield ground
    ground.close()


def test_an_undisturbed_run_publishes_three_files(reference):
    assert set(reference.run.result["files"]) == {f"soaked-{kind}.gguf" for kind in ("F16", "F16-Q8_0", "Q4_K_M")}
    assert {"published.json", "gguf/soaked-F16.gguf", "models/soaked/config.json"} <= set(reference.sums)


def test_every_kind_comes_in_its_share_and_the_same_each_time():
    order = soak.schedule(120, seed=0)
    assert {fault: order.count(fault) for fault in SHARES} == {fault: 3 * share for fault, share in SHARES.items()}
    assert order == soak.schedule(120, seed=0) != soak.schedule(120, seed=1)
    assert sum(SHARES.values()) == 40, "the comment above SHARES says so"


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_one_bit_or_a_cut_end_and_keeps_the_date(tmp_path, ground, seed):
    path, ground.chance = tmp_path / "f", random.Random(seed)
    good = bytes(range(256)) * 10
    path.write_bytes(good)
    os.utime(path, ns=(1, 1))
    said, bad = ground.damage(path), path.read_bytes()
    different = sum(bin(a ^ b).count("1") for a, b in zip(good, bad, strict=False))
    assert (different, len(bad)) == (1, len(good)) if "flipped" in said else bad == good[: len(bad)] != good
    assert path.stat().st_mtime_ns == 1


def test_a_fault_is_survived(tmp_path, reference):
    result = soak.inject(1, soak.schedule(1, 0)[0], 0, tmp_path / "fault", reference)
    assert not result.broken and not (tmp_path / "fault").exists()
    assert result.kind in soak.table([result])


# What must be seen


def test_a_half_file_with_a_final_name_is_seen(ground):
    path = ground.artifacts / "gguf" / "soaked-F16-Q8_0.gguf"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Exception, match="cut short|not what an undisturbed run makes"):
        ground.require_whole()


def test_one_flipped_weight_is_seen(ground):
    path = ground.artifacts / "gguf" / "soaked-F16-Q8_0.gguf"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(BrokenError, match="soaked-F16-Q8_0.gguf is not what"):
        ground.require_whole()


def test_a_missing_file_is_seen(ground):
    ground.artifacts.joinpath("gguf/soaked-F16.gguf").unlink()
    with pytest.raises(BrokenError, match=r"did not make .*soaked-F16.gguf"):
        ground.require_all()


def test_a_token_on_the_disk_is_seen(ground):
    ground.require_no_token()
    (ground.folder / "log.txt").write_text(f"Authorization: Bearer {SECRET}")
    with pytest.raises(BrokenError, match=r"token stands in log\.txt"):
        ground.require_no_token()


def test_an_unexpected_end_is_seen():
    run = Run(1, "Traceback\nKeyError: 'data_offsets'\n", {})
    with pytest.raises(BrokenError, match="(?s)ended with code 1.*KeyError"):
        run.ended(0, 3)


def test_damage_that_no_checksum_tells_is_seen(ground, monkeypatch):
    path = ground.artifacts / "gguf" / "soaked-F16.gguf"
    good = ground.reference.artifacts / "gguf" / path.name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(soak_faults, "checksums", lambda *a: ("same", "same"))
    with pytest.raises(BrokenError, match="checksum does not tell"):
        judged(ground, Run(0, json.dumps({}), {}), path, good, path)


def test_a_half_that_is_finished_meanwhile_is_not_counted(ground, monkeypatch):
    """Between the listing of the files and the look at their sizes the client may rename one."""
    half, gone = (ground.artifacts / f"{name}.incomplete" for name in ("half", "gone"))
    half.write_bytes(bytes(200_000))
    monkeypatch.setattr(type(half), "rglob", lambda folder, pattern: [gone, half])
    assert soak_faults.halves(ground) == [half]
