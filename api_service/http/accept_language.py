"""Choose the locale of a response from Accept-Language."""

from flask import request

from shared.vocabulary import Locale


def preferred_locale() -> Locale:
    """Return the client's first supported language, of any region; English by default."""
    for language, quality in request.accept_languages:
        code = language.partition("-")[0].lower()
        if quality > 0 and code in list(Locale):
            return Locale(code)
    return Locale.EN
