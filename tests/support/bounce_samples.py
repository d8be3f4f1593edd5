"""The sample bounces of flufl.bounce, and the tables about bounces in the docs."""

from pathlib import Path

from receiver.bounces.classification import CODE_RULES, GENERAL, TEXT_RULES
from receiver.bounces.report_mail import AutoReply, observe, parse

SAMPLES = sorted((Path(__file__).parents[1] / "samples" / "flufl_bounce").glob("*.txt"))


def code_table() -> str:
    lines = ["| code | whose failure | meaning | source |", "|---|---|---|---|"]
    for rule in CODE_RULES:
        code = f"x.{rule.subject}.{'*' if rule.detail is None else rule.detail}"
        lines.append(f"| `{code}` | {rule.cause} | {rule.meaning} | {rule.source} |")
    return "\n".join(lines)


def text_table() -> str:
    lines = ["| whose failure | taken from |", "|---|---|"]
    return "\n".join([*lines, *(f"| {rule.cause} | {rule.source} |" for rule in TEXT_RULES)])


def general_codes() -> str:
    return ", ".join(f"`x.{subject}.{detail}`" for subject, detail in sorted(GENERAL)) + "."


def sample_table() -> str:
    lines = ["| sample | report | whose failure | permanent | code |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {path.stem} | {result_of(path)} |" for path in SAMPLES)])


def result_of(path: Path) -> str:
    """Return the values that the receiver reads in a sample, as cells of the table."""
    observed = observe(parse(path.read_bytes()))
    if observed is None:
        return "not recognized | | |"
    if isinstance(observed, AutoReply):
        return "automatic reply | | |"
    is_permanent = "yes" if observed.is_permanent else ""
    return f"{observed.kind} | {observed.cause or ''} | {is_permanent} | {observed.status_code or ''}"
