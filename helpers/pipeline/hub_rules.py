"""What the Hub accepts: names of repositories, and the YAML at the head of a model card.

Publishing asks before it sends anything, and the rehearsal Hub refuses by the same rules. The licences are the Hub's
own identifiers (hub-docs, "Licenses"); it adds one from time to time.
"""

import re
import unicodedata

LONGEST = 96  # characters of owner/name
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
RELATIONS = ("adapter", "finetune", "merge", "quantized")

LICENCES = frozenset(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 "
    "bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc "
    "cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 "
    "cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 "
    "eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr isc h-research intel-research "
    "lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 "
    "postgresql ofl-1.1 ncsa unlicense zlib pddl deepfloyd-if-license fair-noncommercial-research-license llama2 "
    "llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown other".split()
)
# A quantized model is a derived work: its author's permission to publish it is not in these words.
UNCLEAR = {
    None: "no licence is named, and without one nobody may publish a derived work",
    "unknown": "its licence is unknown",
    "other": "its licence is one of its own, which only a reader can judge",
    "cc": "it names the Creative Commons family, some of which forbid derived works",
}


def name_problem(repo_id: str) -> str | None:
    """Return what is wrong with `owner/name` or `name`, None if the Hub takes it."""
    if len(repo_id) > LONGEST:
        return f"it has {len(repo_id)} characters, {LONGEST} are allowed with the owner's name"
    if not re.fullmatch(f"(?:{NAME}/)?{NAME}", repo_id):
        return "it may hold the letters a to z, digits, underscores and, between others, hyphens and dots"
    if "--" in repo_id or ".." in repo_id:
        return "it must not hold two hyphens or two dots in a row"
    if repo_id.lower().endswith((".git", ".ipynb")):
        return "it must not end in .git or .ipynb"
    return None


def valid_name(text: str, owner: str = "") -> str:
    """Return a name that the Hub takes, as near to `text` as can be: `Mein Modell (v2)` → `Mein-Modell-v2`."""
    plain = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode()
    name = re.sub(r"-*\.[.-]*|-+", lambda found: "." if "." in found[0] else "-", re.sub(r"[^\w.-]+", "-", plain))
    name = name.strip("-.")[: LONGEST - len(owner) - 1].strip("-.")
    return re.sub(r"(\.(git|ipynb))+$", "", name, flags=re.IGNORECASE) or "model"


def front_matter(card: str) -> dict | None:
    """Return the YAML at the head of a card as the Hub reads it, None if there is none. Raises yaml.YAMLError."""
    import yaml

    class Strict(yaml.SafeLoader):
        """The Hub refuses a key that stands twice; PyYAML takes the last one."""

        def construct_mapping(self, node, deep=False):
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if twice := sorted({key for key in keys if keys.count(key) > 1}):
                raise yaml.constructor.ConstructorError(None, None, f"duplicated key: {twice[0]}", node.start_mark)
            return super().construct_mapping(node, deep)

    block = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)(?<=\n)---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    if not block:
        return None
    try:
        found = yaml.load(block[1].replace("\r", ""), Strict)
    except (ValueError, TypeError, RecursionError) as error:  # a date that does not exist, a list as a key
        raise yaml.YAMLError(str(error)) from error
    if found is not None and not isinstance(found, dict):
        raise yaml.YAMLError(f"it holds {type(found).__name__}, not fields with values")
    return found or {}


def card_problems(head: dict) -> list[str]:
    """Return what the Hub would refuse in a card's fields, each as a sentence that names field and value."""
    problems = []
    for key in ("license_name", "license_link", "pipeline_tag", "library_name", "base_model_relation"):
        if key in head and not (isinstance(head[key], str) and head[key].strip()):
            problems.append(f"{key} is {head[key]!r}, it must be a text.")
    for key in ("license", "tags", "language", "datasets", "base_model"):
        values = head.get(key, [])
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str) or not value.strip():
                hint = " (YAML reads no, yes, on and off as such: put it in quotes)" if isinstance(value, bool) else ""
                problems.append(f"{key} holds {value!r}{hint}, it must be a text or a list of texts.")
            elif key == "license" and value not in LICENCES:
                problems.append(f"license is {value!r}, which is none of the Hub's identifiers such as apache-2.0.")
            elif key == "base_model" and name_problem(value):
                problems.append(f"base_model is {value!r}, which is no model's name such as owner/name.")
    if isinstance(relation := head.get("base_model_relation", "quantized"), str) and relation not in RELATIONS:
        problems.append(f"base_model_relation is {relation!r}, it must be one of {', '.join(RELATIONS)}.")
    return problems


def not_public(head: dict) -> str | None:
    """Return why a derived work under this card must not be public without a closer look, None if it may."""
    values = head.get("license") or [None]
    for licence in values if isinstance(values, list) else [values]:
        if licence in UNCLEAR:
            return UNCLEAR[licence]
        if "-nd-" in licence:
            return f"its licence {licence} forbids to publish derived works, and a quantized model is one"
        if licence not in LICENCES:
            return f"its licence {licence} is not known here"
    return None
