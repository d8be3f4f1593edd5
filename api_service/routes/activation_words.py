"""The words of the activation page, in each language."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from shared.vocabulary import Locale


class Page(StrEnum):
    """What the page can have to say."""

    BUTTON = "button"
    DONE = "done"
    DECLINED = "declined"
    INVALID = "invalid"
    PASSWORD = "password"  # noqa: S105 - the name of a page
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - the name of a page
    TOO_OFTEN = "too_often"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Words:
    """A page's title, its text, and the labels of its buttons and its field if it has them."""

    title: str
    text: str
    button: str = ""
    field: str = ""
    decline: str = ""


# The pages with a form have the same buttons, and those that want a password the same field.
_asking_en = partial(Words, button="Confirm my address", decline="I did not register")
_asking_fr = partial(Words, button="Confirmer mon adresse", decline="Je n'ai pas créé de compte")
_password_en = partial(_asking_en, field="Password")
_password_fr = partial(_asking_fr, field="Mot de passe")

WORDS: Mapping[Locale, Mapping[Page, Words]] = {
    Locale.EN: {
        Page.BUTTON: _asking_en(
            title="Confirm your address",
            text="Did you create an account with this address? Press the button to activate it, with the password that "
            "was chosen then.",
        ),
        Page.DONE: Words(title="Your account is active", text="You can close this page and sign in."),
        Page.DECLINED: Words(
            title="Thank you for telling us",
            text="The registration is cancelled, and the link works no longer. There is nothing else to do.",
        ),
        Page.INVALID: Words(
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
        Page.TOO_OFTEN: Words(
            title="Too many wrong passwords",
            text="Please wait a minute, then open the link in your message again.",
        ),
        Page.UNAVAILABLE: Words(
            title="Please try again shortly",
            text="We cannot activate your account just now. Your link stays valid: reload this page in a minute.",
        ),
    },
    Locale.FR: {
        Page.BUTTON: _asking_fr(
            title="Confirmez votre adresse",
            text="Avez-vous créé un compte avec cette adresse ? Appuyez sur le bouton pour l'activer, avec le mot de "
            "passe choisi à ce moment-là.",
        ),
        Page.DONE: Words(title="Votre compte est actif", text="Vous pouvez fermer cette page et vous connecter."),
        Page.DECLINED: Words(
            title="Merci de nous l'avoir dit",
            text="L'inscription est annulée et le lien ne fonctionne plus. Vous n'avez rien d'autre à faire.",
        ),
        Page.INVALID: Words(
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
        Page.TOO_OFTEN: Words(
            title="Trop de mots de passe erronés",
            text="Veuillez attendre une minute, puis ouvrir à nouveau le lien de votre message.",
        ),
        Page.UNAVAILABLE: Words(
            title="Veuillez réessayer sous peu",
            text="Nous ne pouvons pas activer votre compte en ce moment. Votre lien reste valable : "
            "rechargez cette page dans une minute.",
        ),
    },
}
