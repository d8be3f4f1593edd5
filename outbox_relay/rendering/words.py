"""The words of each template in one language: Jinja templates in English, and gettext catalogues."""

import traceback
from collections.abc import Mapping, MutableMapping
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from jinja2 import (
    BytecodeCache,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)
from jinja2.bccache import Bucket
from jinja2.sandbox import SandboxedEnvironment

from outbox_relay.rendering.colours import palette_of
from outbox_relay.rendering.errors import BrokenTemplateError
from outbox_relay.rendering.look import Look
from outbox_relay.rendering.pages import page_from
from shared.vocabulary import Locale, Template

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
CATALOGUE = "locale/{}/LC_MESSAGES/messages.po"

PAGE = "body.mjml"
"""The one file of a template that becomes HTML; the others are plain text."""

# What a template can do wrong while it is filled, in its own words or in those of a catalogue.
_FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)

MOST_BYTES = 100_000
"""Of what one file says: Gmail cuts off a mail's page at 102 KB, and the message's end is where it says why it came."""


class Compiled(BytecodeCache):
    """What templates compile to, which is the same in each language and, until a file changes, at each reload."""

    def __init__(self) -> None:
        self._by_key: MutableMapping[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what has been compiled before."""
        if bucket.key in self._by_key:
            bucket.bytecode_from_string(self._by_key[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Leave it for the next who asks."""
        self._by_key[bucket.key] = bucket.bytecode_to_string()


class Words:
    """All templates, in one language and one look: those of a theme before our own."""

    def __init__(self, locale: Locale, look: Look, compiled: Compiled | None = None) -> None:
        self._folders = [look.theme_folder, TEMPLATES] if look.theme_folder else [TEMPLATES]
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader(
                [
                    FileSystemLoader(self._folders),
                    PrefixLoader({"signpost": FileSystemLoader(TEMPLATES)}),  # so that a theme can extend ours
                ]
            ),
            bytecode_cache=compiled,
            undefined=StrictUndefined,
            autoescape=select_autoescape(["mjml"]),
            extensions=["jinja2.ext.i18n"],
        )
        self._environment.globals |= {
            "product": look.brand.name,
            "brand": look.brand,
            "palette": palette_of(look.brand.colour),
            "console_url": look.console_url,
            "locale": locale.value,
        }
        install = self._environment.install_gettext_translations  # type: ignore[attr-defined]  # the extension adds it
        install(_translations(locale, look.theme_folder), newstyle=True)

    def say(self, template: Template, file: str, values: Mapping[str, str | None]) -> str:
        """Render one file of a template. Raises BrokenTemplateError, also for a value that is not there."""
        path = f"{template}/{file}"
        try:
            words = self._environment.get_template(path).render(values).strip()
            return _of_a_sensible_size(page_from(words) if file == PAGE else words)
        except RecursionError as error:
            raise BrokenTemplateError(
                f"{path}: takes itself in; the one that a theme may extend is signpost/{path}"
            ) from error
        except _FAULTS as error:
            raise BrokenTemplateError(f"{self._where(error, path)}: {error}") from error

    def _where(self, error: Exception, file: str) -> str:
        """Return the file at fault, with its line where that is known: it may be one that the other extends."""
        lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        ours = [(name, line) for name, line in lines if any(Path(name).is_relative_to(each) for each in self._folders)]
        if ours:
            return "{}, line {}".format(*ours[-1])
        return str(next((folder / file for folder in self._folders if (folder / file).exists()), file))


def _of_a_sensible_size(said: str) -> str:
    if not said:
        raise ValueError("says nothing")
    if len(said.encode()) > MOST_BYTES:
        raise ValueError(f"says more than {MOST_BYTES:,} bytes")
    return said


def catalogue_path(locale: Locale, folder: Path = FOLDER) -> Path:
    """Return where the translations of a language are."""
    return folder / CATALOGUE.format(locale)


def _translations(locale: Locale, theme_folder: Path | None) -> NullTranslations:
    ours = _compiled(catalogue_path(locale)) if locale is not Locale.EN else NullTranslations()
    theirs = catalogue_path(locale, theme_folder) if theme_folder else None
    if theirs is None or not theirs.exists():
        return ours
    translations = _compiled(theirs)
    translations.add_fallback(ours)
    return translations


def _compiled(path: Path) -> NullTranslations:
    compiled = BytesIO()
    try:
        with path.open("rb") as source:
            write_mo(compiled, read_po(source, abort_invalid=True))
    except (OSError, ValueError, PoFileError) as error:
        raise BrokenTemplateError(f"{path}: {error}") from error
    compiled.seek(0)
    return GNUTranslations(compiled)
