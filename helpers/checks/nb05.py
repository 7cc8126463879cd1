"""The exercises of notebook 05."""

from helpers.checks.verdict import Verdict, check, correct, not_yet


@check
def q4_0_bytes(answer) -> Verdict:
    """A function from rows and columns to the bytes of the matrix in Q4_0."""
    for rows, columns in ((1, 32), (2048, 2048), (256, 5632)):
        expected, found = rows * columns // 32 * 18, answer(rows, columns)
        if found == rows * columns // 2:
            return not_yet("4 bits each is right for the codes, but every block of 32 also stores an FP16 scale.")
        if found != expected:
            return not_yet(f"for {rows} × {columns} you return {found}, it should be {expected}.")
    return correct("18 bytes for each 32 weights: 16 of codes and 2 of scale, so 4.5 bits per weight and not 4.")


@check
def largest_type(answer) -> Verdict:
    """The best type of a 6.74-billion-weight model that stays below 4.5 GB."""
    bits = {"Q8_0": 8.5, "Q6_K": 6.56, "Q5_K_M": 5.68, "Q4_K_M": 4.85, "Q3_K_M": 3.91, "Q2_K": 3.16}
    if answer not in bits:
        return not_yet(f"one of {', '.join(bits)} is asked for, as a string.")
    size = 6.74e9 * bits[answer] / 8 / 1e9
    if size > 4.5:
        return not_yet(f"{answer} makes a file of {size:.2f} GB, which is too large.")
    if answer != "Q4_K_M":
        return not_yet(f"{answer} fits with {size:.2f} GB, but a larger one fits as well.")
    return correct(f"Q4_K_M takes {size:.2f} GB. Q5_K_M would take {6.74 * 5.68 / 8:.2f} GB.")


@check
def row_order(answer) -> Verdict:
    """The order in which the converter writes the 8 rows of one attention head."""
    order = [int(i) for i in answer]
    if order == [0, 4, 1, 5, 2, 6, 3, 7]:
        return correct("row i of the first half is followed by row i of the second half: the pair RoPE turns.")
    if order == list(range(8)):
        return not_yet("that is the order of the checkpoint. llama.cpp wants the two rows of a pair side by side.")
    if order == [0, 2, 4, 6, 1, 3, 5, 7]:
        return not_yet("that is the way back, from GGUF to the checkpoint.")
    return not_yet("the pairs are (0, 4), (1, 5), (2, 6), (3, 7): write them one after the other.")


STEPS = {  # GB that a step adds to the disk of a model of 7 billion parameters, and what has to be there before
    "download": (13.5, ()),
    "to F16": (13.5, ("download",)),
    "to Q8_0": (7.2, ("download",)),
    "to Q4_K_M": (4.1, ("to F16",)),
    "delete checkpoint": (-13.5, ("download",)),
    "delete F16": (-13.5, ("to F16",)),
}


@check
def disk_plan(answer) -> Verdict:
    """A list of steps that ends with Q8_0 and Q4_K_M, in whatever order keeps the disk smallest."""
    used, most, done = 0.0, 0.0, []
    for step in answer:
        if step not in STEPS:
            return not_yet(f"{step!r} is no step. There are {', '.join(STEPS)}.")
        size, needs = STEPS[step]
        lost = {"download" if "checkpoint" in each else "to F16" for each in done if each.startswith("delete")}
        for need in needs:
            if need not in done or need in lost:
                return not_yet(f"{step!r} needs what {need!r} makes, and that is not there.")
        if step in done:
            return not_yet(f"{step!r} is done already.")
        done, used = [*done, step], used + size
        most = max(most, used)
    if not {"to Q8_0", "to Q4_K_M"} <= set(done):
        return not_yet("both files are wanted in the end, Q8_0 and Q4_K_M.")
    if most > 34.3:
        return not_yet(f"the disk holds {most:.1f} GB at the worst moment; 34.2 are enough. What can go early?")
    return correct(f"{most:.1f} GB at the worst moment, {used:.1f} GB in the end.")
