"""Render claimed messages: every template is compiled when the relay starts, and filled with values for each message.

Read ``renderer`` first. It compiles templates that ``catalog`` renders in each language, with the ``branding``, into a
``compiled_template``: fixed bytes with placeholders, built by ``mail`` or ``sms``. ``values`` computes the
values, and ``dkim`` signs the result. ``preview`` shows a message with sample values.
"""
