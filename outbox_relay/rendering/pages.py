"""From MJML to the HTML of an e-mail: tables for Outlook, columns for the rest, and little that nobody reads."""

import re

from mjml import mjml2html

# What MJML writes for Outlook 2003, for old Internet Explorers, for Thunderbird's columns, of which we have
# one, and for sharper pictures in Outlook, of which we have none.
_FOR_NOBODY = re.compile(
    r"<!--\[if lte mso 11\]>.*?<!\[endif\]-->|<!--\[if mso\]>\s*<noscript>.*?<!\[endif\]-->"
    r"|<style media=[^>]*>\.moz-text-html.*?</style>"
    r"|<!--\[if !mso\]><!--><meta http-equiv=\"X-UA-Compatible\"[^>]*><!--<!\[endif\]-->",
    re.DOTALL,
)
_END_AND_BEGINNING = re.compile(r"<!\[endif\]-->\s*<!--\[if mso \| IE\]>")
_NAMESPACES = re.compile(r' xmlns(?::[vo])?="[^"]*"')
_STYLE = re.compile(r"<style[^>]*>[^<]+")
_SPACE_IN_STYLE = re.compile(r"\s*([{};,])\s*|(?<=:)\s+")
_BETWEEN_TAGS = re.compile(r">\s+<")
# A line for each block: a change is seen in review, and each saves a soft break of quoted-printable.
_BLOCK = re.compile(r"><(?=(?:body|div|h1|p|table|style|title|tr|!--\[if)\b)")


def page_from(mjml: str) -> str:
    """Compile MJML to a page. Raises ValueError if it is none."""
    return _slim(mjml2html(mjml, disable_comments=True, fonts={}))


def _slim(html: str) -> str:
    """Drop what has no effect: every byte of it would go out with each message."""
    html = _END_AND_BEGINNING.sub("", _FOR_NOBODY.sub("", html))
    if "<v:" not in html:  # what Outlook draws for pictures behind text
        html = _NAMESPACES.sub("", html, count=3)
    html = _STYLE.sub(lambda found: _SPACE_IN_STYLE.sub(r"\1", found[0]).replace(";}", "}").strip(), html)
    html = _BETWEEN_TAGS.sub(lambda found: ">\n<" if "\n" in found[0] else "> <", html)
    return _BLOCK.sub(">\n<", html)
