"""The words of each template in one language: Jinja templates in English, and gettext catalogues."""

from collections.abc import Mapping
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from jinja2 import FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import SandboxedEnvironment

from shared.vocabulary import Locale, Template

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"


class Words:
    """All templates, in one language and in the name of one product."""

    def __init__(self, locale: Locale, product: str) -> None:
        self._environment = SandboxedEnvironment(
            loader=FileSystemLoader(TEMPLATES),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"]),
            extensions=["jinja2.ext.i18n"],
        )
        self._environment.globals |= {"product": product, "locale": locale.value}
        install = self._environment.install_gettext_translations  # type: ignore[attr-defined]  # the extension adds it
        install(_translations(locale), newstyle=True)

    def say(self, template: Template, file: str, values: Mapping[str, str | None]) -> str:
        """Render one file of a template. Raises Jinja's TemplateError, also for a value that is not there."""
        return self._environment.get_template(f"{template}/{file}").render(values).strip()


def catalogue_path(locale: Locale) -> Path:
    """Return where the translations of a language are."""
    return FOLDER / "locale" / locale / "LC_MESSAGES" / "messages.po"


def _translations(locale: Locale) -> NullTranslations:
    if locale is Locale.EN:  # the templates are written in it
        return NullTranslations()
    with catalogue_path(locale).open("rb") as source:
        catalogue = read_po(source, locale=locale.value)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
