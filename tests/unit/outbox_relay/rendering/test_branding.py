"""A brand in settings and a theme in a folder: their effects, and errors in themes."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.catalog import BrokenTemplateError
from outbox_relay.rendering.preview import SAMPLE_KEYS, Preview, preview, sample_message
from outbox_relay.rendering.renderer import Renderer
from shared.templates import TEMPLATES, Template
from shared.vocabulary import Channel, Locale

SENDER = Sender("Signpost", "no-reply@signpost.example")
USUAL = Branding(Brand("Signpost"))
FULL = Brand(
    "Acme & Sons",
    "#ffcc00",
    "https://acme.example/logo.png?a=1&b=2",
    support="help@acme.example",
    footer="Acme <Ltd>, 1 High Street",
)
MOST_BYTES = 9_000


def renderer_in(branding: Branding) -> Renderer:
    return Renderer(SAMPLE_KEYS, "https://signpost.example", SENDER, branding=branding)


def shown_in(branding: Branding, template: Template = Template("activation"), locale: Locale = Locale.EN) -> Preview:
    return preview(renderer_in(branding), template, Channel.EMAIL, locale)


class Tags(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        # Content for Outlook only is a comment for other readers. Here it counts, too.
        self.feed(re.sub(r"<!--\[if mso \| IE\]>|<!\[endif\]-->", "", html))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def branded() -> Renderer:
    return renderer_in(Branding(FULL, console_url="https://console.example"))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("locale", Locale)
def test_each_mail_is_small_and_accessible(branded: Renderer, template: Template, locale: Locale) -> None:
    message = sample_message(template, Channel.EMAIL, locale)
    shown = preview(branded, template, Channel.EMAIL, locale)
    tags = Tags(shown.html or "").found
    assert len(branded.render(message)) < MOST_BYTES
    assert {about.get("lang") for tag, about in tags if tag == "html"} == {locale.value}
    assert [about["alt"] for tag, about in tags if tag == "img"] == ["Acme & Sons"]
    data = [about for tag, about in tags if tag == "table" and about.get("role") != "presentation"]
    assert len(data) == (1 if template is Template("operator_digest") else 0)
    assert sum("mso-padding-alt:0px" in (about.get("style") or "") for tag, about in tags if tag == "a") <= 1


def test_a_brand_appears_in_text_and_html_and_is_escaped() -> None:
    shown = shown_in(Branding(FULL))
    assert shown.text.rstrip().endswith("Acme & Sons\nAcme <Ltd>, 1 High Street")
    assert "Write to help@acme.example." in shown.text
    assert shown.html is not None
    assert "Acme &lt;Ltd&gt;, 1 High Street" in shown.html
    assert 'src="https://acme.example/logo.png?a=1&amp;b=2"' in shown.html
    assert "background:#ffcc00;color:#000000" in shown.html


def test_without_a_brand_a_mail_shows_the_senders_name_and_no_picture() -> None:
    shown = shown_in(USUAL)
    assert "<img" not in str(shown.html)
    assert "Questions?" not in shown.text


def test_a_digest_links_to_the_console_if_there_is_one() -> None:
    linked = shown_in(Branding(FULL, console_url="https://console.example"), Template("operator_digest"))
    assert "https://console.example" in linked.text
    assert 'href="https://console.example"' in str(linked.html)
    assert "href" not in str(shown_in(USUAL, Template("operator_digest")).html)


@pytest.fixture
def theme(tmp_path: Path) -> Path:
    (tmp_path / "welcome").mkdir()
    (tmp_path / "activation").mkdir()
    return tmp_path


def test_a_theme_overrides_and_can_extend_the_default_templates(theme: Path) -> None:
    (theme / "welcome" / "subject.txt").write_text("{{ _('Ahoy from %(product)s', product=product) }}")
    (theme / "layout.mjml").write_text(
        '{% extends "signpost/layout.mjml" %}{% block why %}Sent with <b>care</b>.{% endblock %}'
    )
    (theme / "welcome" / "fr.po").write_text('msgid "Ahoy from %(product)s"\nmsgstr "Ohé de %(product)s"\n')
    branding = Branding(Brand("Acme"), theme)
    assert shown_in(branding, Template("welcome")).subject == "Ahoy from Acme"
    french = shown_in(branding, Template("welcome"), Locale.FR)
    assert french.subject == "Ohé de Acme"
    assert "Bonjour Ada" in french.text


def test_a_changed_file_of_a_theme_is_used_from_the_next_renderer_on(theme: Path) -> None:
    subject = theme / "welcome" / "subject.txt"
    for text in ("Ahoy", "Ahoy again"):
        subject.write_text(text)
        assert shown_in(Branding(Brand("Acme"), theme), Template("welcome")).subject == text


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("welcom/body.txt", "Hello", "no template has a file of this name"),
        ("welcome/body.txt", "{{ nme }}", "line 1: 'nme' is undefined"),
        ("welcome/body.txt", "\n{% if %}", "line 2: "),
        ("welcome/body.txt", "{{ code }}", "'code' is undefined"),
        ("welcome/subject.txt", "{{ _('%(who)s') }}", "who"),
        ("welcome/body.mjml", "<mjml><mj-body>", "unexpected end of stream"),
        ("activation/body.txt", "Hello", "leaves out the code"),
        ("activation/sms.txt", "Hello", "leaves out the code"),
        ("parts.mjml", "{% macro", "parts.mjml"),
        ("welcome/body.txt", '{% extends "welcome/body.txt" %}', "includes itself"),
        ("welcome/subject.txt", " ", "is empty"),
        ("welcome/body.txt", "{{ 'x' * 100001 }}", "longer than 100,000 bytes"),
    ],
)
def test_an_error_in_a_theme_names_its_file(theme: Path, file: str, content: str, expected: str) -> None:
    path = theme / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(BrokenTemplateError) as broken:
        renderer_in(Branding(Brand("Acme"), theme))
    assert file in str(broken.value)
    assert expected in str(broken.value)


def test_a_subject_of_two_lines_is_rejected(theme: Path) -> None:
    (theme / "welcome" / "subject.txt").write_text("Hello\nBcc: eve@example.org")
    with pytest.raises(BrokenTemplateError, match="welcome"):
        renderer_in(Branding(Brand("Acme"), theme))


@pytest.mark.parametrize(("locale", "words"), [(Locale.EN, "Open Acme"), (Locale.FR, "Ouvrir Acme")])
def test_the_welcome_links_to_the_product_if_its_address_is_set(locale: Locale, words: str) -> None:
    with_link, without = (
        shown_in(Branding(Brand("Acme", app_url=url)), Template("welcome"), locale)
        for url in ("https://app.acme.example", None)
    )
    assert "https://app.acme.example" in with_link.text
    assert f">{words}</a>" in str(with_link.html)
    assert f">{words}</a>" not in str(without.html)
