"""Why an operator does something: what may be kept of it, and shown again, whichever way it came."""

LONGEST_REASON = 500


def is_showable(text: str) -> bool:
    """Tell whether nothing in the text but the ends of its lines moves a terminal's cursor or turns text around."""
    return text.replace("\n", "").replace("\r", "").isprintable()
