import phonenumbers
from babel import Locale

from api_service.schemas.fields import COUNTRIES

WITHOUT_A_PHONE_PLAN = {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
NOT_YET_IN_ISO = {"AC", "TA", "XK"}
"""Ascension, Tristan da Cunha and Kosovo have numbers, and no code of their own."""


def test_they_are_the_countries_that_have_numbers_and_those_where_nobody_lives() -> None:
    assert len(COUNTRIES) == 249
    assert phonenumbers.SUPPORTED_REGIONS - NOT_YET_IN_ISO == COUNTRIES - WITHOUT_A_PHONE_PLAN


def test_each_has_a_name() -> None:
    assert set(Locale("en").territories) >= COUNTRIES
