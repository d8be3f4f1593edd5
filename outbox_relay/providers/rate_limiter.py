"""Rate limits: a token bucket, and the permits that a relay has drawn in advance from the bucket in the database.

All relays share the bucket in the provider's row. This module does no IO.
"""

from dataclasses import dataclass

from outbox_relay.model import Rate

DRAW_PAUSE_SECONDS = 0.25
"""The pause between draws while the rate is used up. It lets tokens collect, so that the row is updated once per batch
and not once per message."""
LONGEST_DRAW_PAUSE_SECONDS = 5.0
"""The longest pause between draws. Even if the next token comes later, another relay may return permits earlier."""
KEPT_SECONDS = 1.0
"""How long unused permits are kept before they return to the other relays."""


@dataclass
class TokenBucket:
    """A token bucket for a single process, used while the shared one is unreachable.

    Times come from a monotonic clock.
    """

    rate: Rate
    tokens: float = 0.0
    refilled: float = 0.0

    def draw(self, wanted: int, now: float) -> int:
        """Take at most ``wanted`` tokens, as many as there are."""
        self.tokens = min(self.rate.burst, self.tokens + self.rate.per_second * (now - self.refilled))
        self.refilled = now
        drawn = min(wanted, int(self.tokens))
        self.tokens -= drawn
        return drawn

    def seconds_to_next(self) -> float:
        """Return how long after the last draw there is a whole token again."""
        return max(1.0 - self.tokens, 0.0) / self.rate.per_second


class PermitCache:
    """The permits that this relay holds for one provider. Without a rate, the number of permits is unlimited."""

    def __init__(self, rate: Rate | None, now: float) -> None:
        self.tokens = 0
        self._wanted = 0
        self._drawn_at = self._draw_after = self._token_at = now
        self._spent_at = float("-inf")
        self._bucket = TokenBucket(rate, refilled=now) if rate else None

    def affordable(self, limit: int, now: float) -> int:
        """Return for how many of ``limit`` messages there are permits.

        If there are too few, the next draw requests ``limit`` permits, because an exchange first returns all permits.
        """
        if self._bucket is None:
            return limit
        if self.tokens < limit and now >= self._draw_after:
            self._wanted = limit
        return min(limit, self.tokens)

    def spend(self, now: float) -> None:
        """Spend the permit of one message."""
        if self._bucket:
            self.tokens -= 1
            self._spent_at = now if self.tokens < 1 else self._spent_at

    def is_short(self, now: float, window: float) -> bool:
        """Return whether messages wait for permits, or used the last permit within the last ``window`` seconds.

        An empty cache is not enough as a sign, because the cache of an idle provider is also empty.
        """
        return self.wait(now) > 0 or now - self._spent_at < window

    def wait(self, now: float) -> float:
        """Return the seconds until there may be permits; 0 if there are some, or before the first request."""
        is_empty = self._bucket is not None and self.tokens < 1
        return max(self._token_at - now, 0.0) if is_empty else 0.0

    def is_wanting(self, now: float) -> bool:
        """Return whether to draw permits now."""
        return self._wanted > 0 and now >= self._draw_after

    def has_leftovers(self, now: float) -> bool:
        """Return whether permits were unused for so long that other relays should have them."""
        return self.tokens > 0 and now - self._drawn_at >= KEPT_SECONDS

    def empty(self, now: float) -> tuple[int, int]:
        """Empty the cache. Return the numbers of wanted and of returned permits. It returns all unused ones."""
        wanted, returned = self._wanted if self.is_wanting(now) else 0, self.tokens
        self._wanted = self.tokens = 0
        return wanted, returned

    def fill(self, granted: int, wanted: int, token_in: float, now: float) -> None:
        """Add the permits that were granted; the next one comes in ``token_in`` seconds."""
        self.tokens += granted
        # Discard requests that came during the exchange, when the cache was empty. Otherwise, the next draw would give
        # these new permits back unused.
        self._wanted = 0
        self._drawn_at = now
        pause = min(max(token_in, DRAW_PAUSE_SECONDS), LONGEST_DRAW_PAUSE_SECONDS) if granted < wanted else 0.0
        self._draw_after = now + pause
        self._token_at = now + max(token_in, pause)

    def fill_alone(self, wanted: int, now: float) -> None:
        """Add the permits that the rate allows a relay that is alone."""
        if self._bucket:
            self.fill(self._bucket.draw(wanted, now), wanted, self._bucket.seconds_to_next(), now)
