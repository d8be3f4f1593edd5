"""Which of our languages the client would rather read."""

from flask import request

from shared.vocabulary import Locale


def preferred_locale() -> Locale:
    """Return the best of ours by the request's Accept-Language; English if none is wanted."""
    return Locale(request.accept_languages.best_match(list(Locale), default=Locale.EN))
