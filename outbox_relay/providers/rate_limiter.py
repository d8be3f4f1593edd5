"""What a provider may be given at most: its caps, and the tokens that a rate is counted in; no IO.

The fleet's tokens are in the provider's row. A relay draws some of them ahead, into a purse.
"""

from dataclasses import dataclass

from outbox_relay.model import Rate

DRAW_PAUSE_SECONDS = 0.25
"""Between draws of an exhausted rate: so the row is changed by the batch and not by the message."""
LONGEST_DRAW_PAUSE_SECONDS = 5.0
"""Another relay may have given tokens back long before the next one falls due."""
KEPT_SECONDS = 1.0
"""How long tokens are kept unused before they go back to the other relays."""


@dataclass
class Bucket:
    """The tokens of a rate as one process counts them by itself; moments are of a monotonic clock."""

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
    """The tokens that this relay holds of a provider's rate; without a rate there is no end of them."""

    def __init__(self, rate: Rate | None, now: float) -> None:
        self.tokens = 0
        self._wanted = 0
        self._drawn_at = self._draw_after = self._token_at = now
        self._spent_at = float("-inf")
        self._bucket = Bucket(rate, refilled=now) if rate else None

    def affordable(self, limit: int, now: float) -> int:
        """Return how many of ``limit`` letters there are tokens for; what is missing is wanted from now on."""
        if self._bucket is None:
            return limit
        if self.tokens < limit and now >= self._draw_after:
            self._wanted = limit
        return min(limit, self.tokens)

    def spend(self, now: float) -> None:
        """Take out one letter's token."""
        if self._bucket:
            self.tokens -= 1
            self._spent_at = now if self.tokens < 1 else self._spent_at

    def is_short(self, now: float, window: float) -> bool:
        """Tell whether letters wait for tokens, or have used up what there was within so many seconds.

        An empty purse alone proves nothing: one that nobody needs is empty, too.
        """
        return self.wait(now) > 0 or now - self._spent_at < window

    def wait(self, now: float) -> float:
        """Return in how many seconds there may be tokens; 0 when there are, or when nobody has asked yet."""
        is_empty = self._bucket is not None and self.tokens < 1
        return max(self._token_at - now, 0.0) if is_empty else 0.0

    def is_wanting(self, now: float) -> bool:
        """Tell whether tokens are to be drawn now."""
        return self._wanted > 0 and now >= self._draw_after

    def has_leftovers(self, now: float) -> bool:
        """Tell whether tokens have lain here unused for so long that others should have them."""
        return self.tokens > 0 and now - self._drawn_at >= KEPT_SECONDS

    def empty(self, now: float) -> tuple[int, int]:
        """Return how many tokens are wanted, and those that go back: all."""
        wanted, returned = self._wanted if self.is_wanting(now) else 0, self.tokens
        self._wanted = self.tokens = 0
        return wanted, returned

    def fill(self, granted: int, wanted: int, token_in: float, now: float) -> None:
        """Take in what was granted; the next whole token comes in so many seconds."""
        self.tokens += granted
        # Whoever asked meanwhile looked into an empty purse. Left to stand, that would send these back unseen.
        self._wanted = 0
        self._drawn_at = now
        pause = min(max(token_in, DRAW_PAUSE_SECONDS), LONGEST_DRAW_PAUSE_SECONDS) if granted < wanted else 0.0
        self._draw_after = now + pause
        self._token_at = now + max(token_in, pause)

    def fill_alone(self, wanted: int, now: float) -> None:
        """Take in what the rate allows a relay that knows of no other."""
        if self._bucket:
            self.fill(self._bucket.draw(wanted, now), wanted, self._bucket.seconds_to_next(), now)
