"""A greeting never contains a URL, in any disguise."""

import re
import unicodedata
from email import message_from_bytes, policy
from html import unescape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2.utils import urlize

from outbox_relay.rendering.values import greeted_name
from tests.support.claimed import a_claimed_message
from tests.support.rendering import usual_renderer

DOTS = (".", "\u3002", "\uff0e", "\uff61", "\u2024", "\ufe52", "\u06d4", "\u0701", "\ua60e", ".\u034f", "\u0307.")
SLASHES = ("/", "\uff0f", "\u2044", "\u2215", "\u29f8", "\\", "\uff3c")
COLONS = (":", "\uff1a", "\u2236", "\ufe55", "\ua789")
INVISIBLE = ("", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\ufe0f", "\u202e", "\u180e")
LABELS = (
    "evil",
    "\u0435vil",
    "\uff45\uff56\uff49\uff4c",
    "xn--evl-4ve",
    "\U0001d41e\U0001d42f\U0001d422\U0001d425",
    "i❤",
    "例え",
    "münchen",
    "EVIL",
    "192",
    "e\u0301vil",
)
TOP_LEVELS = ("com", "рф", "\uff43\uff4f\uff4d", "xn--p1ai", "中国", "zip", "ws", "1")

hosts = st.builds(
    lambda label, before, dot, after, top: f"{label}{before}{dot}{after}{top}",
    *map(st.sampled_from, (LABELS, INVISIBLE, DOTS, ("",), TOP_LEVELS)),
)
schemes = st.builds(
    lambda scheme, colon, one, two: f"{scheme}{colon}{one}{two}",
    *map(
        st.sampled_from, (("http", "https", "hxxp", "javascript", "\uff48\uff54\uff54\uff50"), COLONS, SLASHES, SLASHES)
    ),
)
paths = st.builds(lambda slash, word: f"{slash}{word}", st.sampled_from(SLASHES), st.sampled_from(("prize", "", "é")))
around = st.sampled_from(("", "Ada ", "you won: ", "(", "😀", "Mr. ", "  "))
wwws = st.sampled_from(("www", "WWW", "\uff57\uff57\uff57"))
urls = (
    hosts
    | st.builds("{}{}".format, schemes, hosts | st.sampled_from(LABELS))
    | st.builds("{}{}".format, hosts, paths)
    | st.builds("{}{}{}".format, wwws, st.sampled_from((" .", ". ", " . ", ".")), hosts)
    | st.builds("ada{}{}".format, st.sampled_from("@\uff20\ufe6b"), hosts)
)


@given(before=around, url=urls, after=around)
@example(before="", url="evil\u034f.com", after="")
@example(before="", url="i❤.ws", after="")
@example(before="", url="www .x", after="")
@example(before="", url="www. evil", after="")
@example(before="", url="xn--evl-4ve", after="")
@example(before="Hello ", url="evil .com", after="")
def test_a_name_with_a_url_in_any_disguise_is_not_greeted(before: str, url: str, after: str) -> None:
    assert greeted_name(f"{before}{url}{after}") is None


@given(name=st.text(max_size=70) | st.text(alphabet="aA.:/@ w1\u200b\u034f\uff0e-'\u2019", max_size=20))
@example(name="evil.com")
@example(name="www.x")
@example(name="a@b.org")
def test_no_mail_reader_finds_a_link_in_a_greeting(name: str) -> None:
    greeted = greeted_name(name) or ""
    seen = "".join(each for each in unicodedata.normalize("NFKD", greeted) if not unicodedata.combining(each))
    assert "<a " not in urlize(seen, extra_schemes=["javascript:", "ftp:"])
    assert not re.search(r"\w\.\w|\w@\w|://|mailto:|tel:", seen)


@given(name=st.text(max_size=70) | st.text(alphabet="<>&\"'=ahref/ scipt:;", max_size=40))
@example(name="<a href=//evil>x</a>")
@example(name="&lt;b&gt;")
def test_a_name_adds_neither_markup_nor_link_nor_header(name: str) -> None:
    plain, named = (mail_to(each) for each in ("Ada", name))
    tags, links = re.compile(r"<[a-z/!][^>]*>", re.IGNORECASE), re.compile(r"href=\"([^\"]*)\"")
    assert tags.findall(named[1]) == tags.findall(plain[1])
    assert links.findall(named[1]) == links.findall(plain[1])
    assert named[0] == plain[0]
    assert (greeted_name(name) or "") in unescape(named[1])


@pytest.mark.parametrize(
    "name", ["Call 0800 123 456", "Your code is 123456", "١٢٣٤٥٦", "\uff11\uff12\uff13\uff14\uff15\uff16"]
)
def test_a_name_that_looks_like_a_code_or_phone_number_is_not_greeted(name: str) -> None:
    assert greeted_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "Sammy Davis Jr., Esq.", "M.-L. King", "St. John", "Gal·la Ferrer", "Mary O\u2019Neil", "D. J. Trump III",
        "Louis 14", "أحمد علي", "Nguyễn Thị Minh Khai", "José María", "देवी", "น้ำฝน", "王小明", "Ada (Countess)",
    ],
)  # fmt: skip
def test_names_of_people_are_greeted_unchanged(name: str) -> None:
    assert greeted_name(name) == name


def mail_to(name: str) -> tuple[list[str], str]:
    """Return the mail's headers and its HTML."""
    content = usual_renderer().render(a_claimed_message(payload={"name": name, "key_id": "k1"}))
    mail = message_from_bytes(content, policy=policy.default)
    _, html = mail.iter_parts()
    return [f"{header}: {value}" for header, value in mail.items()], str(html.get_content())
