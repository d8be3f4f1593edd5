"""Rate limits: ``rules`` defines them, ``limiter`` counts hits in PostgreSQL."""

from api_service.rate_limits.limiter import Limiter, Subject, TooManyRequestsError
from api_service.rate_limits.rules import RULES, Limit, Per, Rule, Windows

__all__ = ["RULES", "Limit", "Limiter", "Per", "Rule", "Subject", "TooManyRequestsError", "Windows"]
