"""Names of parameters become the numbers that PostgreSQL wants."""

from outbox_relay.db.prepared import numbered


def test_each_name_has_one_number_in_the_order_in_which_they_first_appear() -> None:
    statement = "select %(b)s, %(a)s::text from words where word = %(b)s"
    assert numbered(statement) == (b"select $1, $2::text from words where word = $1", ("b", "a"))


def test_a_per_cent_sign_is_written_twice() -> None:
    assert numbered("select 'a' like 'a%%'") == (b"select 'a' like 'a%'", ())
