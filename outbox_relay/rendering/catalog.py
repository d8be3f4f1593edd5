"""The texts of all templates in one language: Jinja templates in English, gettext catalogues, and the theme folder."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from itertools import chain
from pathlib import Path
from types import CodeType

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

from outbox_relay.rendering.branding import Branding, palette_of
from outbox_relay.rendering.mjml_compiler import compile_mjml
from shared.templates import TEMPLATES, TEMPLATES_FOLDER, Template
from shared.vocabulary import Locale

PAGE = "body.mjml"
"""The one file of a template that becomes HTML. The others are plain text."""

# Exceptions that a template or a catalogue can raise while it is rendered.
_TEMPLATE_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)

MOST_BYTES = 100_000
"""The size limit of one rendered file. Gmail cuts off HTML at 102 KB, and the end of a message, which explains why it
was sent, would be missing."""


class BrokenTemplateError(Exception):
    """A template cannot be used. The text begins with the template's file."""


class _MissingTranslations(NullTranslations):
    """The last fallback for translations. It returns the English sentence, and collects all such sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: set[str] = set()

    def gettext(self, message: str) -> str:
        self.sentences.add(message)
        return message


class _CompiledFiles(BytecodeCache):
    """The code of compiled files, which Jinja otherwise compiles again for each language and at each reload.

    This halves the CPU time of a reload. A changed file is compiled again, and replaces its earlier code.
    """

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._codes.get(bucket.key, (None, None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code:
            self._codes[bucket.key] = (bucket.checksum, bucket.code)


_COMPILED_FILES = _CompiledFiles()


class TemplateCatalog:
    """All templates in one language, with one branding. Templates of the theme override the default ones.

    ``untranslated`` has the rendered sentences for which no catalogue has a translation.
    """

    def __init__(self, locale: Locale, branding: Branding) -> None:
        self._folders = [branding.theme_folder, TEMPLATES_FOLDER] if branding.theme_folder else [TEMPLATES_FOLDER]
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader(
                [
                    FileSystemLoader(self._folders),
                    PrefixLoader({"signpost": FileSystemLoader(TEMPLATES_FOLDER)}),  # so that a theme can extend ours
                ]
            ),
            undefined=StrictUndefined,
            bytecode_cache=_COMPILED_FILES,
            autoescape=select_autoescape(["mjml"]),
            extensions=["jinja2.ext.i18n"],
        )
        self._environment.globals |= {
            "product": branding.brand.name,
            "brand": branding.brand,
            "palette": palette_of(branding.brand.colour),
            "console_url": branding.console_url,
            "locale": locale.value,
        }
        install = self._environment.install_gettext_translations  # type: ignore[attr-defined]  # the extension adds it
        translations, missing = _translations(locale, self._folders), _MissingTranslations()
        if locale is not Locale.EN:
            translations.add_fallback(missing)
        self.untranslated = missing.sentences
        install(translations, newstyle=True)

    def render(self, template: Template, file: str, values: Mapping[str, str | None]) -> str:
        """Render one file of a template. Raises BrokenTemplateError, also for an unknown value."""
        path = f"{template}/{file}"
        try:
            text = self._environment.get_template(path).render(values).strip()
            return _checked_size(compile_mjml(text) if file == PAGE else text)
        except RecursionError as error:
            raise BrokenTemplateError(
                f"{path}: includes itself; the one that a theme can extend is signpost/{path}"
            ) from error
        except _TEMPLATE_ERRORS as error:
            raise BrokenTemplateError(f"{self._where(error, path)}: {error}") from error

    def _where(self, error: Exception, file: str) -> str:
        """Return the file with the error, and the line if it is known. It may be a file that the other one extends."""
        lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        ours = [(name, line) for name, line in lines if any(Path(name).is_relative_to(each) for each in self._folders)]
        if ours:
            return "{}, line {}".format(*ours[-1])
        return str(next((folder / file for folder in self._folders if (folder / file).exists()), file))


def _checked_size(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES:,} bytes")
    return text


def catalogues_in(folder: Path, locale: Locale) -> Iterator[Path]:
    """Yield the files with translations: of the sentences that templates share, and of each template."""
    for place in ("", *TEMPLATES):
        file = folder / place / f"{locale}.po"
        if file.exists():
            yield file


def _translations(locale: Locale, folders: Iterable[Path]) -> NullTranslations:
    """Return all translations. Those in the first folder override those in the second."""
    merged = NullTranslations()
    for file in chain.from_iterable(catalogues_in(folder, locale) for folder in folders):
        merged.add_fallback(_compiled(file))
    return merged


def _compiled(path: Path) -> NullTranslations:
    compiled = BytesIO()
    try:
        with path.open("rb") as source:
            write_mo(compiled, read_po(source, abort_invalid=True))
    except (OSError, ValueError, PoFileError) as error:
        raise BrokenTemplateError(f"{path}: {error}") from error
    compiled.seek(0)
    return GNUTranslations(compiled)


def check_theme(folder: Path) -> None:
    """Raise BrokenTemplateError if a file of the theme does not override a default file.

    Its name is probably misspelt.
    """
    try:
        unknown = sorted(file for file in _files(folder) if not _can_override(file))
    except OSError as error:
        raise BrokenTemplateError(f"{folder}: {error.strerror}") from error
    if unknown:
        raise BrokenTemplateError(f"{folder / unknown[0]}: no template has a file of this name")


def _can_override(file: Path) -> bool:
    """Return whether a theme may contain this file.

    It may contain a translation, or a text file (.mjml, .txt) that a default template has. It cannot override
    ``template.toml``, which contains the retry policy.
    """
    if file.suffix == ".po":
        return file.stem in list(Locale) and str(file.parent) in (".", *TEMPLATES)
    return file.suffix in {".mjml", ".txt"} and (TEMPLATES_FOLDER / file).exists()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue  # files of editors and version control
        if path.is_dir():
            yield from (path.relative_to(folder) / file for file in _files(path))
        else:
            yield path.relative_to(folder)
