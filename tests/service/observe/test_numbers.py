"""What is counted is what Prometheus reads, series come and go with what they count, and labels are bounded."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from models.window import WindowStats
from service.observe.lane_metrics import MOST_CLASSES, LaneMetrics
from service.observe.numbers import Family, Numbers, describe_numbers

SECONDS = Family(name="seconds", kind="histogram", help="h", labels=("room",), buckets=(0.1, 1.0))
CALLS = Family(name="calls", kind="counter", help="c", labels=("room", "why"))


def samples(*numbers: Numbers) -> dict[tuple[str, ...], float]:
    """Through Prometheus's own writer and reader."""
    from prometheus_client import CollectorRegistry, generate_latest

    class All:
        def collect(self) -> object:
            return describe_numbers(numbers)

    registry = CollectorRegistry()
    registry.register(All())  # type: ignore[arg-type]
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_histogram_counts_a_value_into_every_bucket_at_or_above_it() -> None:
    numbers = Numbers([SECONDS], common=("hall",))
    for value in (0.1, 0.5, 7.0):
        numbers.observe("seconds", value)
    assert samples(numbers) == {
        ("seconds_bucket", "le=0.1", "room=hall"): 1,
        ("seconds_bucket", "le=1.0", "room=hall"): 2,
        ("seconds_bucket", "le=+Inf", "room=hall"): 3,
        ("seconds_count", "room=hall"): 3,
        ("seconds_sum", "room=hall"): 7.6,
    }


def test_two_parts_of_one_family_are_two_series_and_one_that_is_gone_is_in_neither() -> None:
    hall, attic = (Numbers([CALLS], common=(room,)) for room in ("hall", "attic"))
    hall.add("calls", 2, "door")
    attic.add("calls", 3, "door")
    both = {("calls_total", "room=hall", "why=door"): 2.0, ("calls_total", "room=attic", "why=door"): 3.0}
    assert samples(hall, attic) == both
    assert samples(hall) == {("calls_total", "room=hall", "why=door"): 2.0}


def test_a_series_without_labels_of_its_own_is_there_before_anything_was_counted() -> None:
    assert samples(Numbers([SECONDS], common=("hall",)))["seconds_count", "room=hall"] == 0


def test_names_that_a_models_code_makes_up_do_not_make_series_without_end() -> None:
    metrics = LaneMetrics("letters:1")
    for i in range(500):
        metrics.window_answered(1, seconds=0, stats=WindowStats(), errors=[f"Error{i}"])
    classes = metrics.numbers.by_label("tandem_lane_error_rows")
    assert len(classes) == MOST_CLASSES + 1
    assert classes["other"] == 500 - MOST_CLASSES
