"""How many of something may happen in a time: ``rules`` say what, ``storage`` counts, ``limiter`` asks."""

from api_service.rate_limits.limiter import Limiter, Subject, TooManyRequestsError
from api_service.rate_limits.rules import RULES, Limit, Per, Rule, Windows

__all__ = ["RULES", "Limit", "Limiter", "Per", "Rule", "Subject", "TooManyRequestsError", "Windows"]
