"""The exercises of notebook 00."""

from helpers.checks.verdict import Verdict, check, correct, not_yet

BITS, ROOM = 4.9, 0.5e9  # bits per weight of Q4_K_M on average, bytes for cache and program


@check
def another_model(answer) -> Verdict:
    """What `catalogue.choose(…).look()` found of a model of the reader's choice."""
    from helpers.pipeline.look import Look

    if not isinstance(answer, Look):
        return not_yet("take the table itself, without print: another = catalogue.choose(...).look()")
    if not answer.parameters:
        return not_yet(f"{answer.title} has no parameters of its own. Choose a whole model.")
    size = answer.parameters * BITS / 8 / 1e9
    return correct(f"{answer.title} can be converted; its Q4_K_M will have about {size:,.2g} GB. Put it into MODEL.")


@check
def parting_prompt(answer) -> Verdict:
    """A text that `story` continues differently, from its first token on, in F16 and in Q4_K_M."""
    from helpers.pipeline import catalogue, convert, runtime

    if not isinstance(answer, str) or not answer.strip():
        return not_yet("give a text in quotes, such as the beginning of a story.")
    f16 = convert.to_gguf(catalogue.CATALOGUE["story"].fetch(), "f16")
    found = []
    for path in (f16, convert.requantize(f16, "Q4_K_M")):
        llm = runtime.load(path, n_ctx=256)
        found += runtime.next_tokens(llm, answer, 1)
        llm.close()
    (first, share), (other, lost) = found
    if first == other:
        return not_yet(
            f"both go on with {first!r} ({share:.0%} and {lost:.0%}). Look for a place where many words are possible."
        )
    return correct(
        f"F16 goes on with {first!r} ({share:.0%}), Q4_K_M with {other!r} ({lost:.0%}). One such text shows that "
        "they differ, not by how much: notebook 08 measures that."
    )


@check
def largest_model(answer) -> Verdict:
    """A function: bytes of memory → parameters of the largest model whose Q4_K_M leaves half a GB free."""
    for memory in (4e9, 16e9, 64e9):
        expected, found = (memory - ROOM) * 8 / BITS, float(answer(memory))
        if abs(found / expected - 1) < 0.02:
            continue
        if abs(found / (expected / 8) - 1) < 0.02:
            return not_yet("a byte has 8 bits.")
        if abs(found * 1e9 / expected - 1) < 0.02:
            return not_yet("count parameters, not billions of them.")
        if abs(found / (memory * 8 / BITS) - 1) < 0.02:
            return not_yet("leave half a GB for the cache and the program itself.")
        return not_yet(f"for {memory / 1e9:.0f} GB you return {found:,.3g}, it should be about {expected:,.3g}.")
    return correct("16 GB hold about 25 billion parameters in Q4_K_M. Whether that is fast enough is notebook 06.")
