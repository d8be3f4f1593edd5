"""Names, passwords, revisions and failure classes of organizations' databases."""

from uuid import UUID

import pytest

from outbox_relay.model import FailureClass
from outbox_relay.provisioning.model import Organization, failure_class_of
from shared.ids import uuid7
from shared.secrets import tenant_password
from tenants.schema import is_organization_database
from tests.support.keys import KEY

AN_ID = UUID("018f3e6a-7c1d-7b2a-9f00-1234567890ab")


def test_a_database_name_depends_on_the_id_only() -> None:
    organization = Organization(AN_ID)
    assert organization.database == "org_018f3e6a7c1d7b2a9f001234567890ab"
    assert is_organization_database(organization.database)


@pytest.mark.parametrize("name", ["postgres", "org_", "org_018F3E6A7C1D7B2A9F001234567890AB", "org_" + "0" * 33, "x"])
def test_names_of_other_databases_are_not_recognized(name: str) -> None:
    assert not is_organization_database(name)


def test_passwords_differ_by_organization_and_key_and_are_url_safe() -> None:
    one = tenant_password(AN_ID, KEY)
    assert len({one, tenant_password(uuid7(), KEY), tenant_password(AN_ID, KEY[::-1])}) == 3
    assert len(one) == 43
    assert set(one) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        (None, FailureClass.PROVIDER),  # no connection
        ("53300", FailureClass.PROVIDER),  # too many connections
        ("53100", FailureClass.PROVIDER),  # disk full
        ("42501", FailureClass.PROVIDER),  # our role may not
        ("55006", FailureClass.PROVIDER),  # the template is in use
        ("25006", FailureClass.PROVIDER),  # read only
        ("57P01", FailureClass.PROVIDER),  # shutting down
        ("58030", FailureClass.PROVIDER),  # an I/O error
        ("XX000", FailureClass.PROVIDER),
        ("40P01", FailureClass.TRANSIENT),
        ("55P03", FailureClass.TRANSIENT),
        ("22021", FailureClass.CONTENT),
        ("23514", FailureClass.CONTENT),
        ("42P01", FailureClass.CONTENT),
    ],
)
def test_only_errors_of_the_organization_itself_count_against_it(sqlstate: str | None, kind: FailureClass) -> None:
    assert failure_class_of(sqlstate) is kind
