"""Notebook 00 opens with one sentence and says how it was picked: the count is made again here."""

import json
import re

from helpers import artifacts
from helpers.pipeline import catalogue, convert, runtime
from helpers.training import stories

(PATH,) = (artifacts.ROOT / "notebooks").glob("00_*.ipynb")
TEXT = "\n".join("".join(cell["source"]) for cell in json.loads(PATH.read_text())["cells"])


def test_two_bits_turn_as_many_right_words_into_wrong_ones_as_the_notebook_says():
    said = re.search(r"Of some ([\d,]+) facts about this world that were tried, 2 bits turn (\d+) right", TEXT)
    tried, turned = (int(number.replace(",", "")) for number in said.groups())
    probes = list({p.prompt: p for seed in range(10, 15) for p in stories.probes(seed, 400)}.values())
    f16 = convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "f16")
    firsts = []
    for path in (f16, *(convert.requantize(f16, kind) for kind in ("Q8_0", "Q4_K_M", "Q2_K"))):
        llm = runtime.load(path, n_ctx=128)
        firsts.append([runtime.next_tokens(llm, probe.prompt, 1)[0][0] for probe in probes])
        llm.close()
    lost = [
        probe.prompt
        for probe, sixteen, eight, four, two in zip(probes, *firsts, strict=True)
        if sixteen == eight == four != two
        and len(sixteen.strip()) > 2
        and probe.answer.split()[0].startswith(sixteen.strip())
    ]
    assert abs(len(probes) - tried) < 50
    assert abs(len(lost) - turned) <= 10  # near-ties fall either way on another processor
    assert re.search(r'BEGINNING = "(.+)"', TEXT)[1] in lost
