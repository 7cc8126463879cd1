"""The benchmarks' bookkeeping: what a ratio means, and that the page shows what was measured. No time is asserted."""

import ast
import dataclasses
import re
import subprocess
import sys

import psutil
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import report
from helpers import artifacts


def test_above_one_is_better_for_us_in_every_unit():
    assert report.Row("g", "w", 20.0, "tokens/s", "peer", 10.0).ratio == 2
    assert report.Row("g", "w", 2.0, "s", "peer", 4.0).ratio == 2
    assert report.Row("g", "w", 3.0, "GB", "peer", 1.5).ratio == 0.5
    assert report.Row("g", "w", 3.0, "GB").ratio is None


def test_every_unit_is_known():
    units = {row.unit for group in report.load().values() for row in group["rows"]}
    assert units <= {*report.FASTER_IS_MORE, "s", "s of CPU", "GB", "minutes", "millinats of KL"}


def test_a_race_runs_in_turns_and_counts_the_best(monkeypatch):
    order, clock = [], iter([0, 5, 5, 6, 6, 8, 8, 12, 12, 15, 15, 16])
    monkeypatch.setattr(report.time, "perf_counter", lambda: next(clock))
    a, b = report.race(lambda: order.append("a"), lambda: order.append("b"), rounds=3)
    assert order == list("ababab")
    assert (a.best, a.spread) == (2, 0.5), "5, 2 and 3 seconds"
    assert (b.best, b.spread) == (1, 0.0), "1, 4 and 1 seconds"


def test_a_process_of_its_own_tells_time_memory_and_more():
    found = report.measured("import numpy as np; x = np.ones(30_000_000); extra = {'sum': x.sum()}")
    assert found["sum"] == 30_000_000 and found["GB"] > 0.24 and found["seconds"] > 0


def test_our_own_memory_is_not_counted_as_that_of_the_process():
    ours = bytearray(300_000_000)
    ours[::4096] = b"x" * len(ours[::4096])
    assert report.measured("pass")["GB"] < 0.1 and len(ours) == 300_000_000


def test_a_busy_program_ends_with_the_benchmark_that_was_killed():
    """Two that had been left behind took half of a machine for half an hour, and nobody saw it."""
    program = (
        "import os, subprocess, sys, time\nfrom benchmarks.report import BUSY\n"
        "child = subprocess.Popen([sys.executable, '-c', BUSY, str(os.getpid())])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=artifacts.ROOT, stdout=subprocess.PIPE, text=True)
    busy = psutil.Process(int(parent.stdout.readline()))
    assert busy.is_running()
    parent.kill()
    parent.wait()
    busy.wait(20)


def test_a_failure_in_the_process_is_not_swallowed():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        report.measured("1 / 0")


def test_every_group_of_the_command_is_stored():
    import importlib

    wanted = {importlib.import_module(f"benchmarks.{name}").GROUP for name in benchmarks.GROUPS}
    stored = set(report.load())
    assert stored <= wanted, "nothing is kept of a group that is gone"
    late = {"The whole suite": "its time can be stored only after it passed"}
    late |= {"One core and 4 GB": "an hour on a machine where cgroups may be set"}
    assert wanted - stored <= set(late)


def test_the_page_is_what_the_results_say(tmp_path, monkeypatch):
    """docs/BENCHMARKS.md is generated: writing it again changes nothing, and every number of a row stands there."""
    written = report.PAGE.read_text()
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "FIGURE", tmp_path / "figure.png")
    benchmarks.write_page()
    assert (tmp_path / "page.md").read_text() == written
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert report.FIGURE.name in written or "benchmarks.png" in written


def test_the_command_takes_all_groups_some_or_none(monkeypatch):
    ran, wrote = [], []
    monkeypatch.setattr(benchmarks.subprocess, "run", lambda command, **_: ran.append(command[-1]))
    monkeypatch.setattr(benchmarks, "measure", ran.append)
    monkeypatch.setattr(benchmarks, "write_page", lambda: wrote.append(True))
    for given, expected in (([], [*benchmarks.GROUPS]), (["numbers"], ["numbers"]), (["page"], [])):
        ran.clear()
        monkeypatch.setattr("sys.argv", ["benchmarks", *given])
        benchmarks.main()
        assert ran == expected
    assert len(wrote) == 3
    monkeypatch.setattr("sys.argv", ["benchmarks", "nothing"])
    with pytest.raises(SystemExit):
        benchmarks.main()


def test_saving_one_group_keeps_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    row = report.Row("A", "w", 1.0, "s", "peer", 2.0, 0.1)
    report.save("A", [row], 60)
    report.save("B", [dataclasses.replace(row, ours=3.0)], 60)
    report.save("A", [dataclasses.replace(row, ours=5.0)], 60)
    assert {name: group["rows"][0].ours for name, group in report.load().items()} == {"A": 5.0, "B": 3.0}
    assert not list(tmp_path.glob("*.partial"))


def test_a_long_group_keeps_what_is_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    report.save("A", [report.Row("A", "01", 1.0, "s"), report.Row("A", "02", 2.0, "s")], 60, keep=True)
    report.save("A", [report.Row("A", "02", 5.0, "s"), report.Row("A", "00", 4.0, "s")], 60, keep=True)
    assert [(row.what, row.ours) for row in report.load()["A"]["rows"]] == [("00", 4.0), ("01", 1.0), ("02", 5.0)]
    report.save("A", [report.Row("A", "03", 7.0, "s")], 60)
    assert [row.what for row in report.load()["A"]["rows"]] == ["03"]


def test_the_figure_shows_the_measured_points():
    rows = [row for group in report.load().values() for row in group["rows"]]
    encoders, times, _memory, speeds = report.picture(rows).axes
    ours = [row.ours for row in rows if row.key == "generate"]
    assert [text.get_text() for text in speeds.texts] == ["story", "SmolLM2", "TinyLlama's shape"]
    drawn = [y for collection in speeds.collections for _, y in collection.get_offsets()]
    assert sorted(drawn) == pytest.approx(sorted(ours)) and len(ours) == 9, "three models in three types"
    lines = {line.get_label(): line.get_ydata() for line in times.get_lines()}
    assert len(lines["conversion to F16"]) == len(lines["Q4_K_M from F16"]) == 3
    assert encoders.get_yscale() == "log"


def test_the_readme_refers_to_the_page_and_copies_no_number():
    readme = (artifacts.ROOT / "README.md").read_text()
    assert "docs/BENCHMARKS.md" in readme
    assert not re.search(r"(million weights|tokens)(/s| per second)", readme)


def test_same_bytes_as_the_converter_and_the_quantizer():
    rows = [row for group in report.load().values() for row in group["rows"] if row.key.endswith(" seconds")]
    assert len(rows) == 6 and all(row.note == "same bytes: yes" for row in rows)


def test_programs_that_stand_in_a_text_name_only_what_they_import():
    """Code in a string is seen by no linter: each such string of the benchmarks and the long tests is compiled here."""
    seen = 0
    for path in [*(artifacts.ROOT / "benchmarks").glob("*.py"), *(artifacts.ROOT / "tests" / "long").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if not re.search(r"^(from helpers|import helpers)", text, re.M):
                continue
            seen += 1
            known = "os = sys = pathlib = folder = WRITE = READ = CARD = None\n"  # what a program's head brings
            program = known + re.sub(r"\{\w+(!r)?\}", "None", text)
            command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
            done = subprocess.run(command, input=program, capture_output=True, text=True)
            assert done.returncode == 0, f"{path.name}, line {node.lineno}: {done.stdout}"
    assert seen >= 10
