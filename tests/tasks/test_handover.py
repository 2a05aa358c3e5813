"""Results of every flow survive their way through a Prefect artifact."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tasks import handover
from tasks.handover import RESULTS
from tasks.housekeeping import Housekeeping
from tasks.prediction import NewCategories
from tasks.releasing import ReleaseResult
from tasks.results import RetrainResult
from tasks.scoring import ScoreResult

RELEASED = ReleaseResult(
    model="m", outcome="released", version=2, previous=1, rest_url="http://r", grpc_url="g:1", note="n"
)
EXAMPLES: dict[str, Any] = {
    "retrain": RetrainResult(
        model="m", outcome="released", reasons=("a", "b"), run_key="k", version=2,
        table=(("metric", "1", "2", ">= 3"),), release=RELEASED,
    ),
    "release": RELEASED,
    "rollback": RELEASED,
    "score": ScoreResult(
        "m", 2, "sha256:1", "run", "polars", "f", "s3://b/scores", 10,
        {"carrier": NewCategories(rows=3, values=("XX",))},
    ),
    "housekeeping": Housekeeping(True, ("a/b",), ("s3://b/prepared/m/k",), ("m m-1",), ("m r (2026-01-01)",)),
}  # fmt: skip


@pytest.mark.parametrize("flow", RESULTS)
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "document"])
def test_what_a_flow_returns_is_what_a_follower_gets(flow: str, as_text: bool) -> None:
    result = EXAMPLES[flow]
    document = handover._adapter(flow).dump_python(result, mode="json")
    client: Any = SimpleNamespace(
        read_artifacts=lambda **_: [SimpleNamespace(data=json.dumps(document) if as_text else document)]
    )
    assert handover.kept(client, flow, uuid4()) == result


def test_a_run_that_left_nothing_has_no_result() -> None:
    client: Any = SimpleNamespace(read_artifacts=lambda **_: [])
    assert handover.kept(client, "retrain", uuid4()) is None
    assert handover.kept(client, "somebody-elses", uuid4()) is None
