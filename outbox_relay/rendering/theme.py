"""The theme folder: templates that go before ours, file for file."""

from collections.abc import Iterator
from pathlib import Path

from outbox_relay.rendering.errors import BrokenTemplateError
from outbox_relay.rendering.words import TEMPLATES, catalogue_path
from shared.vocabulary import Locale


def check_theme(folder: Path) -> None:
    """Raise BrokenTemplateError for a file that stands in for none of ours: a slip in its name would go unnoticed."""
    known = set(_files(TEMPLATES)) | {catalogue_path(locale, folder).relative_to(folder) for locale in Locale}
    try:
        strangers = sorted(set(_files(folder)) - known)
    except OSError as error:
        raise BrokenTemplateError(f"{folder}: {error.strerror}") from error
    if strangers:
        raise BrokenTemplateError(f"{folder / strangers[0]}: no template has a file of this name")


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue  # what editors and version control leave
        if path.is_dir():
            yield from (path.relative_to(folder) / file for file in _files(path))
        else:
            yield path.relative_to(folder)
