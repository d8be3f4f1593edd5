import re

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from outbox_relay.rendering.catalog import TEMPLATES, catalogue_path
from shared.vocabulary import Locale

translated = pytest.mark.parametrize("locale", [locale for locale in Locale if locale is not Locale.EN])


@translated
def test_a_catalogue_translates_what_the_templates_say_and_nothing_else(locale: Locale) -> None:
    said = {text for _, text in messages_by_file()}
    assert said == {entry.id for entry in catalogue(locale) if entry.id}


@translated
def test_every_translation_is_finished_and_has_the_same_placeholders(locale: Locale) -> None:
    entries = [entry for entry in catalogue(locale) if entry.id]
    assert [entry.id for entry in entries if entry.fuzzy or not entry.string] == []
    assert [entry.id for entry in entries if placeholders(entry.id) != placeholders(entry.string)] == []


def test_french_mails_put_a_no_break_space_before_double_punctuation() -> None:
    said_in_mails = {text for file, text in messages_by_file() if not file.endswith("sms.txt")}
    french = [str(entry.string) for entry in catalogue(Locale.FR) if entry.id in said_in_mails]
    assert any(":" in text for text in french)
    assert [text for text in french if re.search(r"[^\N{NO-BREAK SPACE}][:;?!]", text)] == []


def messages_by_file() -> list[tuple[str, object]]:
    found = extract_from_dir(TEMPLATES, method_map=[("**", "jinja2.ext:babel_extract")])
    return [(file, text) for file, _, text, _, _ in found]


def catalogue(locale: Locale) -> Catalog:
    with catalogue_path(locale).open("rb") as source:
        return read_po(source, locale=locale.value)


def placeholders(text: object) -> set[str]:
    return set(re.findall(r"%(?:\(\w+\)s)?", str(text)))
