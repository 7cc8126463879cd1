"""The exercises of notebook 07."""

from helpers.checks.verdict import Verdict, check, correct, not_yet


@check
def card_metadata(answer) -> Verdict:
    """The YAML block of a model card for a quantized TinyLlama."""
    import yaml

    text = str(answer).strip()
    if not text.startswith("---") or text.count("---") < 2:
        return not_yet("the block begins and ends with a line of three dashes.")
    fields = yaml.safe_load(text.split("---")[1])
    if not isinstance(fields, dict):
        return not_yet("inside the dashes stand lines of the form `key: value`.")
    wanted = {"license": "apache-2.0", "base_model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}
    for key, value in wanted.items():
        found = fields.get(key)
        found = found[0] if isinstance(found, list) and found else found
        if found != value:
            return not_yet(f"{key} should be {value}, yours is {found!r}.")
    if fields.get("base_model_relation") != "quantized":
        return not_yet("say how yours relates to it: `base_model_relation: quantized`.")
    if fields.get("library_name") != "gguf" and "gguf" not in (fields.get("tags") or []):
        return not_yet("people filter by format: add `gguf` to the tags.")
    return correct("licence carried over, base model named, relation and format searchable.")


@check
def leaking_lines(answer) -> Verdict:
    """Which of the lines A to E can show the token to somebody else?"""
    letters = {str(letter).upper() for letter in answer}
    if letters == {"A", "B", "D"}:
        return correct("A ends up in the notebook, B in the process list and the shell's history, D in the output.")
    if missing := {"A", "B", "D"} - letters:
        hints = {
            "A": "a token written into a cell is saved with the notebook",
            "B": "every user of a machine can list the command lines of its processes",
            "D": "outputs are saved with the notebook, too",
        }
        return not_yet(f"{len(missing)} missing; think of this: {hints[min(missing)]}.")
    return not_yet("too many: a vault and a file that only you can read keep the token out of sight.")


@check
def pinned_address(answer) -> Verdict:
    """A function (repo, revision, filename) → the address of exactly that file, for ever."""
    found = answer("ada/tiny-GGUF", "0123abc", "tiny-Q8_0.gguf")
    expected = "https://huggingface.co/ada/tiny-GGUF/resolve/0123abc/tiny-Q8_0.gguf"
    if found == expected:
        return correct("a commit hash names one content for ever; `main` is whatever its owner pushed last.")
    if "main" in str(found):
        return not_yet("`main` moves with every commit. Use the revision.")
    if "blob" in str(found):
        return not_yet("`blob` is the page about the file. The file itself is at `resolve`.")
    return not_yet(f"you return {found!r}; the form is https://huggingface.co/REPO/resolve/REVISION/FILE.")


# Llama-3-8B: size in GB, KL divergence in nats (README of llama.cpp's perplexity tool).
FILES = {"Q8_0": (8.5, 0.0014), "Q6_K": (6.6, 0.0055), "Q4_K_M": (4.9, 0.0313), "Q2_K": (3.2, 0.445)}
READERS = {"a phone": 3.5, "a small laptop": 5.5, "a laptop": 7.0, "a desktop": 16.0}  # GB that each can spare


@check
def chosen_files(answer) -> Verdict:
    """A set of three files that serves four readers with the smallest mean KL divergence."""
    from itertools import combinations

    chosen = set(answer)
    if not chosen <= set(FILES) or len(chosen) != 3:
        return not_yet(f"choose three of {', '.join(FILES)}.")

    def mean(names: set[str]) -> float | None:
        best = [min((FILES[n][1] for n in names if FILES[n][0] <= room), default=None) for room in READERS.values()]
        return None if None in best else sum(best) / len(best)

    found = mean(chosen)
    if found is None:
        return not_yet("somebody finds no file that fits. Who has the least memory?")
    best = min(value for names in combinations(FILES, 3) if (value := mean(set(names))) is not None)
    if found <= best:
        return correct(
            f"mean KL {found:.3f} nats over the four. The finest file served one reader, and cost little to leave."
        )
    return not_yet(
        f"mean KL {found:.3f} nats; {best:.3f} is possible. Ask for each file: who would miss it, and how much?"
    )
