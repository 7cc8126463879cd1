"""Figures to play with, driven in a real browser: their arithmetic is that of the helpers, and they can be used."""

import json
import re

import gguf
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from helpers.errors import InputError
from helpers.figures import explore
from helpers.figures.explore.page import LARGEST
from helpers.numbers import blocks, ggml, integers
from helpers.numbers.formats import FORMATS
from helpers.pipeline import convert

NEEDS_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
RANDOM = np.random.default_rng(0)
WEIGHTS = (0.1 * RANDOM.standard_normal(256)).astype(np.float32)
EIGHT = [1.2, -0.5, -4.3, 1.2, -3.1, 0.8, 2.4, 5.4]
ROOT = "document.querySelector('.explorable')"


@pytest.fixture(scope="module")
def figures(story_f16) -> dict:
    small = convert.requantize(story_f16, "Q4_K_M")
    return {
        "bits": explore.bits(),
        "affine": explore.affine(EIGHT),
        "blocks": explore.blocks(WEIGHTS),
        "super-block": explore.blocks(WEIGHTS, "Q4_K", ["Q4_K"], drag=False),
        "roofline": explore.roofline(1.1, 12, 100, "F16", [("F16", 1, 4.5), ("F16, prompt", 64, 40.0)]),
        "microscope": explore.microscope(story_f16, small),
    }


NAMES = ("bits", "affine", "blocks", "super-block", "roofline", "microscope")


@pytest.mark.parametrize("name", NAMES)
def test_what_jupyterlab_leaves_of_one_that_was_not_run_can_be_read(figures, name):
    """It takes scripts and drawings out, as its sanitizer does, and leaves text: lines must stay lines."""
    left = re.sub(r"<(script|svg|style).*?</\1>", "", figures[name]._repr_html_(), flags=re.S)
    (text,) = re.findall(r"<pre[^>]*>(.*?)</pre>", left, re.S)
    assert text.count("\n") >= 2 and text.endswith("(Run the cell to play with it.)")
    assert set(re.findall(r"</?(\w+)", left)) == {"div", "pre"}


@pytest.mark.parametrize("name", NAMES)
def test_small_and_of_their_own(figures, name):
    html = figures[name]._repr_html_()
    assert len(html.encode()) < LARGEST
    assert set(re.findall(r"https?://[\w./-]+", html)) == {"http://www.w3.org/2000/svg"}, "nothing is loaded"
    assert "src=" not in html and html == figures[name]._repr_html_(), "and the same every time"


def test_data_cannot_end_the_script():
    from helpers.figures.explore.page import Explorable

    assert Explorable("bits", {"text": "</script>"}, "", "")._repr_html_().count("</script>") == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: explore.bits(format="fp12"), "no format fp12"),
        (lambda: explore.blocks([1.0] * 31, types=["Q8_0"]), "31 weights cannot be packed"),
        (lambda: explore.blocks([1.0] * 32), "have 256"),
        (lambda: explore.blocks([1.0] * 256, "Q6_K", ["Q6_K"]), "only Q8_0, Q4_0, Q4_K are packed"),
    ],
)
def test_what_is_not_there_is_named(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def show(browser, figures, tmp_path):
    """Open a figure as the only thing on a page; return what asks its arithmetic."""

    def shown(name: str, width: int = 720, theme: str = "light") -> None:
        colours = {"light": "#fff; color: #111", "dark": "#111; color: #eee"}[theme]
        page = f"<!doctype html><meta charset=utf-8><body style='background: {colours}'>{figures[name]._repr_html_()}"
        (tmp_path / "page.html").write_text(page)
        browser.show(width, theme)
        browser.open((tmp_path / "page.html").as_uri())
        assert browser.said == []
        assert [url for url in browser.requested if not url.startswith("file:")] == []

    return shown


def asked(browser, function: str, arguments: list[list]) -> list:
    """Return what a function of the figure's arithmetic says to each list of arguments; Infinity and NaN as text."""
    code = f"JSON.stringify({json.dumps(arguments)}.map((each) => {ROOT}.arithmetic.{function}(...each)),"
    code += " (_, value) => typeof value === 'number' && !Number.isFinite(value) ? String(value) : value)"
    return json.loads(browser.ask(code))


def told(browser, selector: str = ".told") -> str:
    return browser.ask(f"{ROOT}.shadowRoot.querySelector('{selector}').textContent")


def numbers_of(form) -> list[float]:
    """Numbers of all sizes that a format meets: its own, what lies between them, its ends and beyond."""
    own = form.decode(np.unique(RANDOM.integers(0, 2**form.width, 300, dtype=np.int64))).astype(np.float64)
    own = own[np.isfinite(own)]
    wide = RANDOM.standard_normal(200) * 10.0 ** RANDOM.uniform(-8, 6, 200)
    middles = (own + own * (1 + form.epsilon)) / 2
    values = np.concatenate([own, middles, wide, [form.max, -form.max, 0.0, 1.5 * form.max]])
    values = values[np.abs(values) < np.finfo(np.float32).max].astype(np.float32)
    return [float(value) for value in values]


@NEEDS_A_BROWSER
class TestArithmetic:
    @pytest.mark.parametrize("name", explore.figures.SHOWN)
    def test_any_number_in_any_format(self, show, browser, name):
        show("bits")
        form = FORMATS[name]
        values = numbers_of(form)
        codes = asked(browser, "encode", [[name, value] for value in values])
        assert codes == form.encode(np.float32(values)).tolist()
        back = [float(value) for value in asked(browser, "decode", [[name, code] for code in codes])]
        assert np.array_equal(np.float32(back), form.decode(np.array(codes)), equal_nan=True)

    @pytest.mark.parametrize("name", ["fp16", "bf16", "fp8_e4m3", "fp4_e2m1", "int8"])
    def test_neighbours(self, show, browser, name):
        show("bits")
        values = FORMATS[name].values()
        ordered = np.unique(values[np.isfinite(values)])[:: max(1, len(values) // 500)]
        everything = np.unique(values[np.isfinite(values)])
        place = np.searchsorted(everything, ordered)
        expected = everything[np.minimum(place + 1, len(everything) - 1)]
        found = asked(browser, "neighbour", [[name, float(value), 1] for value in ordered])
        assert np.array_equal(np.float32(found), expected)

    @pytest.mark.parametrize("bits", range(2, 9))
    def test_the_affine_map(self, show, browser, bits):
        show("affine")
        for values in (np.array(EIGHT), RANDOM.uniform(-3, 1, 20), RANDOM.uniform(0.1, 2, 20)):
            for symmetric, scheme in ((False, integers.zero_point), (True, integers.absmax)):
                right = scheme(values, bits)
                low, high = float(values.min()), float(values.max())
                (found,) = asked(browser, "quantize", [[low, high, bits, symmetric, values.tolist()]])
                assert found["codes"] == right.codes.tolist()
                assert np.allclose(found["back"], right.dequantize(), rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
    def test_simple_blocks_byte_by_byte(self, show, browser, name):
        show("blocks")
        x = (RANDOM.standard_normal((200, 32)) * 10.0 ** RANDOM.uniform(-4, 2, (200, 1))).astype(np.float32)
        x[0], x[1, 1:] = 0, 0
        found = np.array(asked(browser, "pack", [[name, row.tolist()] for row in x]), np.uint8)
        assert np.array_equal(found, blocks.quantize(x, name))
        back = asked(browser, "unpack", [[name, row.tolist()] for row in found])
        assert np.allclose(back, blocks.dequantize(found, name), rtol=1e-6)

    def test_super_blocks(self, show, browser):
        """Sums are formed in another order, so two trials that fit alike may change places: few bytes, no error."""
        show("blocks")
        x = (RANDOM.standard_normal((60, 256)) * 10.0 ** RANDOM.uniform(-3, 2, (60, 1))).astype(np.float32)
        x[0], x[1], x[2] = 0, np.abs(x[1]), -np.abs(x[2])
        found = np.array(asked(browser, "pack", [["Q4_K", row.tolist()] for row in x]), np.uint8)
        ours = blocks.quantize(x, "Q4_K")
        assert np.mean(found == ours) > 0.99
        back = np.array(asked(browser, "unpack", [["Q4_K", row.tolist()] for row in found]))
        assert np.allclose(back, blocks.dequantize(found, "Q4_K"), rtol=1e-5, atol=1e-7)
        squares = [((decoded - x) ** 2).sum() for decoded in (back, blocks.dequantize(ours, "Q4_K"))]
        assert squares[0] <= 1.001 * squares[1]

    def test_every_byte_of_a_block_is_named_once(self, show, browser):
        show("blocks")
        for name in explore.figures.PACKED:
            (fields,) = asked(browser, "layout", [[name]])
            kind = blocks.TYPES[name]
            assert len(fields) == kind.n_bytes
            codes = [weight for colour, _, weights in fields if colour == "sky" for weight in weights]
            assert sorted(codes) == list(range(kind.weights))

    def test_the_roofs(self, show, browser):
        show("roofline")
        model = {"billions": 2.0, "bits": 8.5, "bandwidth": 50.0, "gigaflops": 400.0}
        (one,), (many,) = (asked(browser, "limits", [[model, tokens]]) for tokens in (1, 16))
        assert one["gigabytes"] == pytest.approx(2.125) and one["reading"] == pytest.approx(50 / 2.125)
        assert many["reading"] == pytest.approx(16 * one["reading"])
        assert one["arithmetic"] == many["arithmetic"] == pytest.approx(400 / 4)


@NEEDS_A_BROWSER
class TestUse:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(("width", "theme"), [(720, "light"), (390, "dark")])
    def test_it_fits_wide_and_on_a_phone_light_and_dark(self, show, browser, name, width, theme):
        show(name, width, theme)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask(f"{ROOT}.shadowRoot.querySelector('.live').classList.contains('dark')") == (theme == "dark")

    @pytest.mark.parametrize("name", NAMES)
    def test_without_scripts_and_on_paper_there_is_a_still_picture(self, show, browser, name):
        seen = "document.querySelector('.explorable > pre').checkVisibility()"
        show(name)
        assert not browser.ask(seen)
        browser.call("Emulation.setEmulatedMedia", media="print")
        try:
            assert browser.ask(seen)
        finally:
            browser.call("Emulation.setEmulatedMedia", media="")
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            browser.call("Page.reload")
            browser.call("Emulation.setScriptExecutionDisabled", value=False)
        finally:
            browser.call("Emulation.setScriptExecutionDisabled", value=False)

    def press(self, browser, selector: str, text: str) -> None:
        found = f"[...{ROOT}.shadowRoot.querySelectorAll('{selector}')].find((each) => each.textContent === '{text}')"
        browser.ask(f"{found}.click()")

    def drag(self, browser, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag in an SVG; places as shares of its width and height."""
        box = browser.ask(
            f"(({{left, top, width, height}}) => [left, top, width, height])({ROOT}.shadowRoot"
            f".querySelector('{selector}').getBoundingClientRect())"
        )
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            place = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
            browser.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)

    def test_a_bit_that_is_clicked_flips(self, show, browser):
        show("bits")
        assert told(browser).startswith("FP16 stores 0.0999755859, error 2.44e−5")
        browser.ask(f"{ROOT}.shadowRoot.querySelector('.bit').click()")
        assert told(browser).startswith("FP16 stores −0.0999755859")
        self.press(browser, "button", "BF16")
        assert told(browser).startswith("BF16 stores −0.100097656")

    def test_a_number_that_is_typed_is_stored(self, show, browser):
        show("bits")
        entry = f"{ROOT}.shadowRoot.querySelector('.field')"
        for typed, stored in (
            ("70000", "FP16 stores ∞"),
            ("1e-9", "FP16 stores 0"),
            ("−2,5", "FP16 stores −2.5, exact"),
        ):
            browser.ask(f"{entry}.value = '{typed}', {entry}.dispatchEvent(new Event('input'))")
            assert told(browser).startswith(stored)

    def test_the_range_is_dragged_and_numbers_are_cut_off(self, show, browser):
        show("affine")
        assert "0 of 8 cut off" in told(browser)
        edge = 1.25 * 5.4
        self.drag(browser, "svg", ((320 + 300 * 5.4 / edge) / 640, 0.2), (0.7, 0.2))
        assert "1 of 8 cut off" in told(browser)
        self.press(browser, "button", "fit to the numbers")
        assert "0 of 8 cut off" in told(browser)
        self.press(browser, "button", "symmetric")
        assert "zero point 0;" in told(browser)

    def test_a_weight_that_is_dragged_changes_the_bytes(self, show, browser):
        show("blocks")
        read = f"[...{ROOT}.shadowRoot.querySelectorAll('.bytes span')].map((each) => each.textContent).join('')"
        before = browser.ask(read)
        assert before == blocks.quantize(WEIGHTS[:32], "Q4_0").tobytes().hex()
        self.drag(browser, "svg", (3.5 / 32, 0.5), (3.5 / 32, 0.05))
        after = browser.ask(read)
        assert after[:4] != before[:4], "it is the largest now: another scale"
        self.press(browser, "button", "Q8_0")
        assert len(browser.ask(read)) == 68

    def test_a_byte_tells_what_it_holds(self, show, browser):
        show("super-block")
        browser.ask(f"{ROOT}.shadowRoot.querySelectorAll('.bytes span')[16].dispatchEvent(new Event('mouseenter'))")
        assert "weight 0 (sub-block 0)" in browser.ask(f"{ROOT}.shadowRoot.querySelectorAll('.told')[1].textContent")
        assert browser.ask(f"{ROOT}.shadowRoot.querySelectorAll('rect[fill*=gold]').length") == 2

    def test_a_slider_moves_the_roof(self, show, browser):
        show("roofline")
        before = told(browser)
        memory = f"{ROOT}.shadowRoot.querySelectorAll('input')[1]"
        browser.ask(f"{memory}.value = 2, {memory}.dispatchEvent(new Event('input'))")
        assert "at most 45.5 tokens per second one by one" in told(browser) != before

    def test_the_microscope_has_every_field_and_type(self, show, browser, story_f16):
        show("microscope")
        summary = convert.summary(story_f16)
        text = f"{ROOT}.shadowRoot.querySelector('.live').textContent"
        assert all(key in browser.ask(text) for key in summary.metadata)
        self.press(browser, "button", "tensors")
        assert all(kind in browser.ask(text) for kind in summary.types)
        squares = f"{ROOT}.shadowRoot.querySelectorAll('rect').length"
        assert browser.ask(squares) == len(summary.tensors)
        self.press(browser, "button", "compare")
        assert "Q4_K" in browser.ask(text) and "general.file_type" in browser.ask(text)
        self.press(browser, "button", convert.requantize(story_f16, "Q4_K_M").name)
        self.press(browser, "button", "blocks")
        assert "Q4_K, the first block of" in browser.ask(text)


def test_the_header_under_the_microscope_is_that_of_the_file(story_f16):
    (seen,) = explore.microscope(story_f16).data["files"]
    whole = story_f16.read_bytes()
    assert whole.hex().startswith(seen["head"])
    for field in seen["fields"]:
        if not field["name"].startswith("GGUF."):
            name = field["name"].encode()
            assert whole[field["at"] : field["at"] + 8 + len(name)] == len(name).to_bytes(8, "little") + name
    ends = [field["at"] + field["bytes"] for field in seen["fields"]]
    assert ends[:-1] == [field["at"] for field in seen["fields"]][1:], "field after field, no byte between"


@pytest.mark.parametrize("kind", ["Q1_0", "TQ2_0", "NVFP4", "IQ4_NL", "BF16"])
def test_types_that_few_programs_know_are_looked_at_too(kind, tmp_path):
    """gguf-py knows the size of Q1_0 and cannot read it back; nothing else may stop for that."""
    rows = ggml.quantize(np.ones((2, 256), np.float32), kind)
    writer = gguf.GGUFWriter(tmp_path / "rare.gguf", "llama")
    writer.add_block_count(1)
    writer.add_tensor("blk.0.attn_q.weight", rows, raw_dtype=gguf.GGMLQuantizationType[kind])
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    (seen,) = explore.microscope(tmp_path / "rare.gguf").data["files"]
    assert [each["name"] for each in seen["types"]] == [kind]
    assert [bool(block["values"]) for block in seen["blocks"]] == ([] if kind == "BF16" else [kind != "Q1_0"])


def test_a_damaged_file_is_refused_in_a_sentence(story_f16, tmp_path):
    (tmp_path / "cut.gguf").write_bytes(story_f16.read_bytes()[:5000])
    with pytest.raises(InputError, match="Make or download it again"):
        explore.microscope(tmp_path / "cut.gguf")


@NEEDS_A_BROWSER
def test_two_files_of_one_name_are_told_apart(browser, story_f16, tmp_path):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / story_f16.name
    twin.write_bytes(convert.requantize(story_f16, "Q4_K_M").read_bytes())
    page = f"<!doctype html><meta charset=utf-8><body>{explore.microscope(story_f16, twin)._repr_html_()}"
    (tmp_path / "page.html").write_text(page)
    browser.open((tmp_path / "page.html").as_uri())
    said = []
    for i in (0, 1):
        browser.ask(f"{ROOT}.shadowRoot.querySelectorAll('button')[{i}].click()")
        said.append(told(browser))
    assert f"{story_f16.stat().st_size:,}" in said[0] and f"{twin.stat().st_size:,}" in said[1]


def test_totals_are_those_of_the_file(story_f16):
    small = convert.summary(convert.requantize(story_f16, "Q4_K_M"))
    (seen,) = explore.microscope(small.path).data["files"]
    assert sum(each["bytes"] for each in seen["types"]) == small.tensor_bytes
    assert sum(each["tensors"] for each in seen["types"]) == len(small.tensors)
    assert sum(kind >= 0 for row in seen["rows"] for kind in row["types"]) == len(small.tensors)
