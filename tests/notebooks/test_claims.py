"""The table of claims is sound: verdicts follow from numbers, notebooks say the words, every quote has a source."""

import dataclasses
import functools
import re

import nbformat
import pytest

from helpers import artifacts
from helpers.errors import InputError
from tools import myths
from tools.claims import CLAIMS, SOURCES, allowed


@functools.cache
def pages(number: str) -> str:
    """All that a notebook shows: text, code and printed output, white space squeezed."""
    (path,) = (artifacts.ROOT / "notebooks").glob(f"{number}_*.ipynb")
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        found.append(cell.source)
        for output in cell.get("outputs", []):
            found += [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
    return squeeze("\n".join(found))


def squeeze(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
class TestClaim:
    def test_verdict_follows_from_the_numbers(self, claim):
        assert claim.verdict in allowed(claim.article, claim.ours)

    def test_it_stands_in_the_notebook(self, claim):
        """At one place, or at two or three close ones: a word that stands everywhere would prove nothing."""
        assert 1 <= pages(claim.notebook).count(squeeze(claim.stands)) <= 3

    def test_the_quote_is_short(self, claim):
        """Enough to find the place; the article stays its author's."""
        assert 0 < len(claim.quote) <= 120 and len(claim.quote.split()) <= 12


@pytest.mark.parametrize(
    "article, ours, verdicts",
    [
        (4, 4.03, {"right"}),
        (4, 4.05, {"loose", "wrong"}),
        ([1, 4], [1, 8], {"wrong"}),  # the worst of a list decides
        (1.6e12, 16e12, {"wrong"}),
        (0.5, 0, {"wrong"}),
        (1, float("nan"), set()),
        ("FP16", "FP16", {"right"}),
        ("FP32", "FP16", {"loose", "wrong"}),
    ],
)
def test_what_numbers_allow(article, ours, verdicts):
    assert allowed(article, ours) == verdicts


def test_no_claim_stands_twice():
    assert len({claim.id for claim in CLAIMS}) == len({(claim.source, claim.quote) for claim in CLAIMS}) == len(CLAIMS)


def test_every_claim_has_its_source_and_every_source_a_claim():
    assert {claim.source for claim in CLAIMS} == set(SOURCES)


@pytest.mark.parametrize("letter", SOURCES)
def test_sources_can_be_found(letter):
    source = SOURCES[letter]
    assert source.title and source.author and source.compared
    assert source.url.startswith("https://") and [s.url for s in SOURCES.values()].count(source.url) == 1
    assert f"*{source.title}*, {source.author}. <{source.url}>" in myths.PAGE.read_text()


def test_the_page_of_myths_is_that_of_the_table():
    """docs/myths.md is generated; `python -m tools.myths` makes it."""
    assert myths.PAGE.read_text() == myths.page()


def test_words_that_stand_nowhere_are_named():
    with pytest.raises(InputError, match="'no such words' stands nowhere in notebook 01"):
        myths.section_of(
            dataclasses.replace(CLAIMS[0], stands="no such words"), [{"source": "# 1", "cell_type": "code"}]
        )


def test_parts_one_and_two_name_no_article():
    for number in ("00", "01", "02", "03", "04", "05", "06", "07"):
        assert not re.search(r"\b[Aa]rticles?\b", pages(number)), f"notebook {number}: that is for docs/myths.md"


@pytest.mark.parametrize("number", [f"{n:02}" for n in range(16)])
def test_no_page_calls_an_article_by_its_letter(number):
    """Readers know the articles by what they say; the letters are those of tools/claims.py."""
    found = re.search(
        r"(?<!γ)\b[A-D](?:'s| says| adds| claims) |article \*{0,2}[A-D]\b|'s \*\*[A-D]\*\*", pages(number)
    )
    assert not found, found[0]


NUMBER = re.compile(r"\d[\d,.]*\d")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_numbers_of_the_page_stand_in_the_notebook_or_follow_from_the_table(claim):
    """What the page says that we find: every number of two digits and more, in any of its spellings."""
    known = pages(claim.notebook) + f" {claim.ours} {claim.article}"
    values = [float(text.replace(",", "").rstrip(".")) for text in NUMBER.findall(known) if text.count(".") < 2]
    for text in NUMBER.findall(claim.found.replace("arXiv ", "")):
        value = float(text.replace(",", ""))
        decimals = len(text.partition(".")[2])
        near = {round(v * factor, decimals) for v in values for factor in (1, 1e-9, 1e-6, 100)}
        assert value in near, f"{text} is neither in notebook {claim.notebook} nor in the table"
