from bench.distances import critical_distance, distance

SAMPLES = 1_000
EVEN = [number / SAMPLES for number in range(SAMPLES)]


def test_a_sample_is_at_no_distance_from_itself_in_another_order() -> None:
    assert distance(EVEN, EVEN[::-1]) == 0


def test_samples_that_have_nothing_in_common_are_as_far_apart_as_can_be() -> None:
    assert distance(EVEN, [value + 1 for value in EVEN]) == 1


def test_two_distributions_that_differ_by_a_tenth_are_told_apart() -> None:
    assert distance(EVEN, [value + 0.1 for value in EVEN]) > critical_distance(SAMPLES)


def test_the_more_samples_the_less_is_left_to_chance() -> None:
    assert critical_distance(4 * SAMPLES) == critical_distance(SAMPLES) / 2
