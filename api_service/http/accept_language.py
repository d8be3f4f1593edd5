"""Choose the locale of a response from Accept-Language."""

from flask import request

from shared.vocabulary import Locale


def preferred_locale() -> Locale:
    """Return the client's first supported language, of any region; English by default."""
    for language, quality in request.accept_languages:
        spoken = language.partition("-")[0].lower()
        if quality > 0 and spoken in list(Locale):
            return Locale(spoken)
    return Locale.EN
