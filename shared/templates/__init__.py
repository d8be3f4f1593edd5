"""The messages to people. Each folder holds one template: its words in each language, its values and its policy.

``template.toml`` declares the policy and the values. ``subject.txt``, ``body.txt``, ``body.mjml`` and ``sms.txt`` hold
the English words, and a file such as ``fr.po`` the translations. ``outbox_relay.rendering`` turns them into messages.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from shared.vocabulary import Channel, Priority, RetrySchedule, Work

TEMPLATES_FOLDER = Path(__file__).parent
DECLARATION = "template.toml"


class Template(str):
    """The name of a template, with its policy and its values.

    ``values`` are values that the relay computes, such as a code. ``texts`` are texts in the payload, each with a
    sample for previews. ``Template("welcome")`` returns the template of that folder. Raises ValueError if the folder is
    missing.
    """

    __slots__ = ("priority", "retry", "texts", "values")

    priority: Priority
    retry: Mapping[Channel, RetrySchedule]
    values: frozenset[str]
    texts: Mapping[str, str]

    def __new__(cls, name: str) -> "Template":  # noqa: PYI034 - returns an instance that was read at the start
        """Return the template of this name."""
        try:
            return _BY_NAME[name]
        except KeyError:
            raise ValueError(f"{name} is not a template") from None

    @classmethod
    def declared(cls, name: str, declaration: Mapping[str, Any]) -> Self:
        """Create the template that a ``template.toml`` declares."""
        template = str.__new__(cls, name)
        template.priority = Priority(declaration["priority"])
        template.retry = {channel: RetrySchedule(declaration["retry"][channel]) for channel in Channel}
        template.values = frozenset(declaration["values"])
        template.texts = declaration.get("texts", {})
        return template


def _read(file: Path) -> Template:
    try:
        return Template.declared(file.parent.name, tomllib.loads(file.read_text()))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


TEMPLATES: tuple[Template, ...] = tuple(map(_read, sorted(TEMPLATES_FOLDER.glob(f"*/{DECLARATION}"))))
_BY_NAME = {str(template): template for template in TEMPLATES}

AnyTemplate = Template | Work
"""The template or task of any message in the outbox."""
TEMPLATES_AND_WORK: tuple[AnyTemplate, ...] = (*TEMPLATES, *Work)
