"""/activate: the page behind the link in a message. Viewing it changes nothing; its buttons do.

Mail scanners open links and some run scripts. So GET only shows the buttons, and there is no script.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import RequestEntityTooLarge

from api_service.errors import InvalidOrExpiredError, PasswordRequiredError, WrongPasswordError
from api_service.http.accept_language import preferred_locale
from api_service.http.annotations import (
    FORM,
    HTML,
    RATE_LIMIT_HEADERS,
    RequestDoc,
    ResponseDoc,
    Tag,
    documented,
)
from api_service.http.problems import problem
from api_service.http.security_headers import safe_headers, style_named
from api_service.rate_limits import TooManyRequestsError
from api_service.routes.activations import by_link
from api_service.schemas.responses import ActivationFormSchema, DeclineFormSchema
from api_service.security.passwords import normalised
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.activate import activate, decline
from shared.db.engine import DATABASE_FAILURES
from shared.vocabulary import Locale
from shared.web.bodies import LONGEST_BODY_BYTES
from shared.web.problem_responses import database_unavailable


class Page(StrEnum):
    """The variants of the page."""

    BUTTON = "button"
    DONE = "done"
    DECLINED = "declined"
    INVALID = "invalid"
    PASSWORD = "password"  # noqa: S105 - the name of a variant
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - the name of a page
    TOO_OFTEN = "too_often"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class PageTexts:
    """The title and text of a variant, and the labels of its buttons and field."""

    title: str
    text: str
    button: str = ""
    field: str = ""
    decline: str = ""


# Variants with a form share the buttons; those that ask for a password share the field.
_form_en = partial(PageTexts, button="Confirm my address", decline="I did not register")
_form_fr = partial(PageTexts, button="Confirmer mon adresse", decline="Je n'ai pas créé de compte")
_password_en = partial(_form_en, field="Password")
_password_fr = partial(_form_fr, field="Mot de passe")

TEXTS: Mapping[Locale, Mapping[Page, PageTexts]] = {
    Locale.EN: {
        Page.BUTTON: _form_en(
            title="Confirm your address",
            text="Did you create an account with this address? Press the button to activate it, with the password that "
            "was chosen then.",
        ),
        Page.DONE: PageTexts(title="Your account is active", text="You can close this page and sign in."),
        Page.DECLINED: PageTexts(
            title="Thank you for telling us",
            text="The registration is cancelled, and the link works no longer. There is nothing else to do.",
        ),
        Page.INVALID: PageTexts(
            title="This link does not work",
            text="It may be incomplete, used already, or too old. Ask for a new message where you registered.",
        ),
        Page.PASSWORD: _password_en(
            title="Enter your password",
            text="Your address was registered more than once, perhaps by somebody else. Enter the password that you "
            "chose when you registered, so that the account becomes yours.",
        ),
        Page.WRONG_PASSWORD: _password_en(
            title="This is another password",
            text="The link belongs to a registration with another password. If you did not mistype yours, somebody "
            "else has registered your address: use the link in our other message.",
        ),
        Page.TOO_OFTEN: PageTexts(
            title="Too many wrong passwords",
            text="Please wait a minute, then open the link in your message again.",
        ),
        Page.UNAVAILABLE: PageTexts(
            title="Please try again shortly",
            text="We cannot activate your account just now. Your link stays valid: reload this page in a minute.",
        ),
    },
    Locale.FR: {
        Page.BUTTON: _form_fr(
            title="Confirmez votre adresse",
            text="Avez-vous créé un compte avec cette adresse ? Appuyez sur le bouton pour l'activer, avec le mot de "
            "passe choisi à ce moment-là.",
        ),
        Page.DONE: PageTexts(title="Votre compte est actif", text="Vous pouvez fermer cette page et vous connecter."),
        Page.DECLINED: PageTexts(
            title="Merci de nous l'avoir dit",
            text="L'inscription est annulée et le lien ne fonctionne plus. Vous n'avez rien d'autre à faire.",
        ),
        Page.INVALID: PageTexts(
            title="Ce lien ne fonctionne pas",
            text="Il est peut-être incomplet, déjà utilisé ou trop ancien. "
            "Demandez un nouveau message là où vous vous êtes inscrit.",
        ),
        Page.PASSWORD: _password_fr(
            title="Saisissez votre mot de passe",
            text="Votre adresse a été inscrite plusieurs fois, peut-être par quelqu'un d'autre. Saisissez le mot de "
            "passe que vous avez choisi en vous inscrivant, pour que le compte soit bien le vôtre.",
        ),
        Page.WRONG_PASSWORD: _password_fr(
            title="Ce n'est pas ce mot de passe",
            text="Le lien appartient à une inscription avec un autre mot de passe. Si vous ne vous êtes pas trompé, "
            "quelqu'un d'autre a inscrit votre adresse : utilisez le lien de notre autre message.",
        ),
        Page.TOO_OFTEN: PageTexts(
            title="Trop de mots de passe erronés",
            text="Veuillez attendre une minute, puis ouvrir à nouveau le lien de votre message.",
        ),
        Page.UNAVAILABLE: PageTexts(
            title="Veuillez réessayer sous peu",
            text="Nous ne pouvons pas activer votre compte en ce moment. Votre lien reste valable : "
            "rechargez cette page dans une minute.",
        ),
    },
}


blueprint = Blueprint("activation_page", __name__, url_prefix="/activate")

STYLE = style_named("activation")
SAFE_HEADERS = safe_headers(STYLE, form_action="'self'") | {
    "X-Robots-Tag": "noindex, nofollow",
    "Vary": "Accept-Language",
}
TOO_LARGE = ResponseDoc("A page: the form has more than 16 KiB.", media_type=HTML)


@blueprint.get("")
@documented(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("The page with the button.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is incomplete.", media_type=HTML),
    },
    parameters=("token",),
    needs_database=False,
)
def get_page() -> Response:
    """Show the buttons."""
    link_token = request.args.get("token", "")
    if not link_token:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.BUTTON, HTTPStatus.OK, link_token)


@blueprint.post("")
@documented(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the account is active.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.FORBIDDEN: ResponseDoc("A page: the registration's password is missing or wrong.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.TOO_MANY_REQUESTS: ResponseDoc(
            "A page: too many wrong passwords.", media_type=HTML, headers=("Retry-After", *RATE_LIMIT_HEADERS)
        ),
        HTTPStatus.SERVICE_UNAVAILABLE: ResponseDoc(
            "A page: the database is unavailable.", media_type=HTML, headers=("Retry-After",)
        ),
    },
    body=RequestDoc(ActivationFormSchema, media_type=FORM),
    needs_database=False,
)
def post_page() -> Response:
    """Activate the registration. If the address was registered several times, ask for the password."""
    form = read_form()
    link_token, password = form.get("token", ""), form.get("password")
    try:
        confirmation = by_link(link_token, normalised(password) if password else None)
        in_transaction(services().sessions, lambda session: activate(session, confirmation))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    except PasswordRequiredError:
        return _page(Page.PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    except WrongPasswordError:
        return _page(Page.WRONG_PASSWORD, HTTPStatus.FORBIDDEN, link_token)
    return _page(Page.DONE, HTTPStatus.OK)


@blueprint.post("/decline")
@documented(
    Tag.PAGES,
    {
        HTTPStatus.OK: ResponseDoc("A page: the registration is cancelled.", media_type=HTML),
        HTTPStatus.BAD_REQUEST: ResponseDoc("A page: the link is invalid.", media_type=HTML),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE: ResponseDoc(
            "A page: the database is unavailable.", media_type=HTML, headers=("Retry-After",)
        ),
    },
    body=RequestDoc(DeclineFormSchema, media_type=FORM),
    needs_database=False,
)
def post_declined() -> Response:
    """Cancel the registration, because the mailbox's owner did not register."""
    link_token = read_form().get("token", "")
    try:
        in_transaction(services().sessions, lambda session: decline(session, services().keys, link_token))
    except InvalidOrExpiredError:
        return _page(Page.INVALID, HTTPStatus.BAD_REQUEST)
    return _page(Page.DECLINED, HTTPStatus.OK)


def read_form() -> Mapping[str, str]:
    """Return the form. Raises RequestEntityTooLarge, also for chunked requests."""
    if len(request.get_data()) > LONGEST_BODY_BYTES:
        raise RequestEntityTooLarge
    return request.form


def _too_many_requests(error: TooManyRequestsError) -> Response:
    page = _page(Page.TOO_OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


blueprint.register_error_handler(TooManyRequestsError, _too_many_requests)


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_error: RequestEntityTooLarge) -> Response:
    # No valid link or password is as long.
    return _page(Page.INVALID, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _unavailable(error: Exception) -> Response:
    unavailable = database_unavailable(problem, error)
    page = _page(Page.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)
    page.headers["Retry-After"] = unavailable.headers["Retry-After"]
    return page


for failure in DATABASE_FAILURES:
    blueprint.register_error_handler(failure, _unavailable)


def _page(page: Page, status: HTTPStatus, link_token: str = "") -> Response:
    locale = preferred_locale()
    response = make_response(
        render_template(
            "activation.html", locale=locale, texts=TEXTS[locale][page], link_token=link_token, style=STYLE
        ),
        status,
    )
    response.headers.update(SAFE_HEADERS)
    response.headers["Content-Language"] = locale
    return response
