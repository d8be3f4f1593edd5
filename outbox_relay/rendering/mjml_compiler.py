"""Compile MJML to the HTML of an e-mail, and remove what has no effect for our templates."""

import re

from mjml import mjml2html

# MJML's output for Outlook 2003, for old versions of Internet Explorer, for several columns in Thunderbird, and for
# high-resolution pictures in Outlook. Our templates have one column and no such pictures.
_OBSOLETE = re.compile(
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
# Each block is one line. So reviewers see what changes, and each line end saves a soft line break of quoted-printable.
_BLOCK = re.compile(r"><(?=(?:body|div|h1|p|table|style|title|tr|!--\[if)\b)")


def compile_mjml(mjml: str) -> str:
    """Compile MJML to an HTML page. Raises ValueError if it is invalid."""
    return _slim(mjml2html(mjml, disable_comments=True, fonts={}))


def _slim(html: str) -> str:
    """Remove what has no effect, since it would be sent with each message."""
    html = _END_AND_BEGINNING.sub("", _OBSOLETE.sub("", html))
    if "<v:" not in html:  # VML, with which Outlook draws pictures behind text
        html = _NAMESPACES.sub("", html, count=3)
    html = _STYLE.sub(lambda found: _SPACE_IN_STYLE.sub(r"\1", found[0]).replace(";}", "}").strip(), html)
    html = _BETWEEN_TAGS.sub(lambda found: ">\n<" if "\n" in found[0] else "> <", html)
    return _BLOCK.sub(">\n<", html)
