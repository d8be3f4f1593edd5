"""What rendering raises."""


class RenderingError(Exception):
    """The message cannot be put into words as it stands, now or later. Its text holds no value of the message."""


class BrokenTemplateError(Exception):
    """A template cannot be used. Its text begins with the template's file."""
