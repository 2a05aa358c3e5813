"""The whole job with Spark as the engine, run by the worker of the pool that is for it."""

import pytest

from flows.trigger import trigger
from tasks.settings import ROOT
from tests.retrain.model import Model

pytestmark = [pytest.mark.platform, pytest.mark.spark]


def test_the_spark_pool_retrains_on_spark(model: Model) -> None:
    from prefect import flow

    deployed = flow.from_source(source=str(ROOT), entrypoint="flows/retrain.py:retrain")
    deployed.deploy(  # type: ignore[union-attr]
        name=model.name,
        work_pool_name="spark",
        parameters={"model": model.path, "engine": "spark"},
        print_next_steps=False,
    )

    done = trigger("retrain", model.name, timeout=240)

    assert (done.state, done.result.outcome, done.result.version) == ("Released", "released", 1)
