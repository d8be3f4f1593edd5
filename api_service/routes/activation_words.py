"""The words of the activation page, in each language."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.vocabulary import Locale


class Page(StrEnum):
    """What the page can have to say."""

    BUTTON = "button"
    DONE = "done"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Words:
    """A page's title, its text, and the button's label if it has one."""

    title: str
    text: str
    button: str = ""


WORDS: Mapping[Locale, Mapping[Page, Words]] = {
    Locale.EN: {
        Page.BUTTON: Words(
            title="Confirm your address",
            text="Press the button to confirm that this address is yours. This activates your account.",
            button="Confirm my address",
        ),
        Page.DONE: Words(title="Your account is active", text="You can close this page and sign in."),
        Page.INVALID: Words(
            title="This link does not work",
            text="It may be incomplete, used already, or too old. Ask for a new message where you registered.",
        ),
        Page.UNAVAILABLE: Words(
            title="Please try again shortly",
            text="We cannot activate your account just now. Your link stays valid: reload this page in a minute.",
        ),
    },
    Locale.FR: {
        Page.BUTTON: Words(
            title="Confirmez votre adresse",
            text="Appuyez sur le bouton pour confirmer que cette adresse est bien la vôtre. Votre compte sera activé.",
            button="Confirmer mon adresse",
        ),
        Page.DONE: Words(title="Votre compte est actif", text="Vous pouvez fermer cette page et vous connecter."),
        Page.INVALID: Words(
            title="Ce lien ne fonctionne pas",
            text="Il est peut-être incomplet, déjà utilisé ou trop ancien. "
            "Demandez un nouveau message là où vous vous êtes inscrit.",
        ),
        Page.UNAVAILABLE: Words(
            title="Veuillez réessayer sous peu",
            text="Nous ne pouvons pas activer votre compte en ce moment. Votre lien reste valable : "
            "rechargez cette page dans une minute.",
        ),
    },
}
