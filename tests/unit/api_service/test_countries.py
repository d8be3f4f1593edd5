import phonenumbers
from babel import Locale

from api_service.schemas.fields import COUNTRIES

WITHOUT_A_PHONE_PLAN = {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
NOT_YET_IN_ISO = {"AC", "TA", "XK"}
"""Ascension, Tristan da Cunha and Kosovo have phone numbers, but no ISO code."""


def test_the_list_has_countries_with_phone_numbers_and_uninhabited_ones() -> None:
    assert len(COUNTRIES) == 249
    assert phonenumbers.SUPPORTED_REGIONS - NOT_YET_IN_ISO == COUNTRIES - WITHOUT_A_PHONE_PLAN


def test_every_country_has_a_name() -> None:
    assert set(Locale("en").territories) >= COUNTRIES
