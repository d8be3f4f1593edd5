"""The docs show each e-mail and page in small pictures; docs/guides/templates.md names real files."""

import re
from pathlib import Path

from shared.templates import TEMPLATES, TEMPLATES_FOLDER

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 60_000


def test_every_email_is_shown_in_light_and_dark_mode() -> None:
    page = (DOCS / "guides" / "messages.md").read_text()
    pictures = r"!\[Light mode\]\(\.\./pictures/\1-light.png\)\n!\[Dark mode\]\(\.\./pictures/\1-dark.png\)"
    shown = re.findall(rf"^## (\w+)\n\n{pictures}", page, re.MULTILINE)
    assert sorted(shown) == sorted(TEMPLATES)


def test_pictures_are_small_and_all_are_shown() -> None:
    page = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    pictures = list((DOCS / "pictures").iterdir())
    assert [each.name for each in pictures if each.stat().st_size > MOST_BYTES] == []
    assert [each.name for each in pictures if f"pictures/{each.name})" not in page] == []


def test_the_templates_guide_names_the_real_files_of_a_template() -> None:
    [row] = re.findall(
        r"a folder with (.*) in English", " ".join((DOCS / "guides" / "templates.md").read_text().split())
    )
    named = set(re.findall(r"`([\w.]+)`", row))
    assert dict.fromkeys(TEMPLATES, named) == {
        template: {path.name for path in (TEMPLATES_FOLDER / template).iterdir()} for template in TEMPLATES
    }
