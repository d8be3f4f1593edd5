"""What rendering raises."""


class RenderingError(Exception):
    """The message cannot be put into words as it stands, now or later. Its text holds no value of the message."""
