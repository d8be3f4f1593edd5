from bench.__main__ import LENGTHY, PARTS, parts_of
from bench.progress import LIKELY, seconds_left


def test_each_part_has_a_likely_time() -> None:
    assert set(LIKELY) == set(PARTS)


def test_what_is_left_is_reckoned_at_the_pace_of_what_is_over() -> None:
    likely = LIKELY["wal"].full + LIKELY["disk"].full
    assert seconds_left(["wal", "disk"], {}, quick=False) == likely
    assert seconds_left(["wal", "disk"], {"growth": LIKELY["growth"].full * 3}, quick=False) == likely * 3
    assert seconds_left([], {"growth": 1.0}, quick=False) == 0


def test_a_look_leaves_out_what_takes_its_time_unless_asked_for_it() -> None:
    assert not set(parts_of([], quick=True)) & set(LENGTHY)
    assert parts_of([], quick=False) == list(PARTS)
    assert parts_of(["memory"], quick=True) == ["memory"]
