"""Which deployment a command on a cluster runs."""

import pytest

from tasks.compute import ENGINES, Entry, choose
from tasks.errors import SpecError
from tasks.pools import POOLS
from tasks.spec import Engine, ModelSpec, load_spec


@pytest.fixture
def spec() -> ModelSpec:
    """flight-delays; its engine is polars."""
    return load_spec("flight-delays")


OWN = Entry("flight-delays", "pandas", "flight-delays", None)
SPARK = Entry("flight-delays-spark", "spark", "flight-delays", "spark")
OTHER = Entry("iris", "pandas", "iris", None)


def test_every_pool_with_engines_is_a_pool() -> None:
    assert set(ENGINES) < set(POOLS)


@pytest.mark.parametrize(
    ("engine", "entries", "chosen"),
    [
        (None, [OTHER, SPARK, OWN], OWN),
        ("pandas", [OTHER, SPARK, OWN], OWN),
        ("polars", [SPARK, OWN], OWN),
        ("spark", [OTHER, OWN, SPARK], SPARK),
        (None, [SPARK], SPARK),
    ],
)
def test_the_one_named_after_the_model_unless_the_engine_needs_another(
    spec: ModelSpec, engine: Engine | None, entries: list[Entry], chosen: Entry
) -> None:
    assert choose("retrain", spec, engine, entries) == chosen


def test_an_engine_in_no_pool_of_the_model_ends_with_2_and_the_next_step(spec: ModelSpec) -> None:
    with pytest.raises(
        SpecError, match=r"engine spark: is in no pool .*retrain/flight-delays runs in pool pandas"
    ) as raised:
        choose("retrain", spec, "spark", [OWN, OTHER])
    assert raised.value.exit_code == 2
    assert "in the pool spark to prefect.yaml" in raised.value.next_step


def test_a_spec_for_spark_is_not_run_in_a_pool_without_it(spec: ModelSpec) -> None:
    with pytest.raises(SpecError, match="engine spark"):
        choose("retrain", spec.model_copy(update={"engine": "spark"}), None, [OWN])


def test_a_model_without_a_deployment_is_named(spec: ModelSpec) -> None:
    with pytest.raises(SpecError, match=r"model flight-delays: has no deployment of the flow retrain"):
        choose("retrain", spec, None, [OTHER])
