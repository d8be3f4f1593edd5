"""Which of our languages the client would rather read."""

from flask import request

from shared.vocabulary import Locale


def preferred_locale() -> Locale:
    """Return the first of ours that the request's Accept-Language wants, in whatever region; else English."""
    for language, quality in request.accept_languages:
        spoken = language.partition("-")[0].lower()
        if quality > 0 and spoken in list(Locale):
            return Locale(spoken)
    return Locale.EN
