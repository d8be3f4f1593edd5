import re
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from outbox_relay.rendering.catalog import catalogues_in
from shared.templates import TEMPLATES_FOLDER
from shared.vocabulary import Locale

METHOD = "jinja2.ext:babel_extract"

translated = pytest.mark.parametrize("locale", [locale for locale in Locale if locale is not Locale.EN])


@translated
def test_a_catalogue_translates_exactly_the_templates_texts(locale: Locale) -> None:
    texts = {text for _, text in messages_by_file()}
    assert sorted(texts) == sorted(entry.id for entry in catalogue(locale))


@translated
def test_a_sentence_of_one_template_is_translated_in_its_folder(locale: Locale) -> None:
    folders: dict[object, set[Path]] = {}
    for file, text in messages_by_file():
        folders.setdefault(text, set()).add((TEMPLATES_FOLDER / file).parent)
    for file in catalogues_in(TEMPLATES_FOLDER, locale):
        is_shared = file.parent == TEMPLATES_FOLDER
        wrong = [
            text
            for text in (entry.id for entry in entries_in(file))
            if is_shared == (len(folders[text] - {TEMPLATES_FOLDER}) == 1)
        ]
        assert wrong == [], file


@translated
def test_each_translation_is_complete_and_has_the_same_placeholders(locale: Locale) -> None:
    entries = catalogue(locale)
    assert [entry.id for entry in entries if entry.fuzzy or not entry.string] == []
    assert [entry.id for entry in entries if placeholders(entry.id) != placeholders(entry.string)] == []


def test_french_mails_put_a_no_break_space_before_double_punctuation() -> None:
    said_in_mails = {text for file, text in messages_by_file() if not file.endswith("sms.txt")}
    french = [str(entry.string) for entry in catalogue(Locale.FR) if entry.id in said_in_mails]
    assert any(":" in text for text in french)
    assert [text for text in french if re.search(r"[^\N{NO-BREAK SPACE}][:;?!]", text)] == []


def messages_by_file() -> list[tuple[str, str]]:
    found = extract_from_dir(TEMPLATES_FOLDER, method_map=[(f"**.{kind}", METHOD) for kind in ("mjml", "txt")])
    return [(file, str(text)) for file, _, text, _, _ in found]


def catalogue(locale: Locale) -> list[Message]:
    entries: list[Message] = []
    for file in catalogues_in(TEMPLATES_FOLDER, locale):
        entries += entries_in(file)
    return entries


def entries_in(file: Path) -> list[Message]:
    with file.open("rb") as source:
        return [entry for entry in read_po(source) if entry.id]


def placeholders(text: object) -> set[str]:
    return set(re.findall(r"%(?:\(\w+\)s)?", str(text)))
