"""What a flow run hands to whoever follows it: its result as a Prefect artifact of the run.

Prefect's own results are files beside the run: in a pod they are gone with it, and another machine cannot read
them. An artifact needs nothing but the Prefect server, which a follower has.
"""

import importlib
import json
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

KIND = "slipway-result"
RESULTS = {
    "retrain": "tasks.results:RetrainResult",
    "release": "tasks.releasing:ReleaseResult",
    "rollback": "tasks.releasing:ReleaseResult",
    "score": "tasks.scoring:ScoreResult",
    "housekeeping": "tasks.housekeeping:Housekeeping",
}
"""What each flow returns: a pydantic model or a dataclass."""


def keep(flow: str, result: Any) -> None:
    """Leave `result` with the running flow run. What it did stays done if that fails: then it is a warning."""
    from prefect.artifacts import Artifact

    data = document(flow, result)
    try:
        Artifact(type=KIND, description=f"Result of {flow}", data=data).create()
    except Exception as error:  # noqa: BLE001 - the flow has done its work; nobody may take it for a failure
        logging.getLogger("prefect").warning("the result of %s could not be kept: %s", flow, error)


def document(flow: str, result: Any) -> Any:
    """The result of `flow` as JSON; None stays None."""
    return None if result is None else _adapter(flow).dump_python(result, mode="json")


def restored(flow: str, found: Any) -> Any:
    """What `document` was made from."""
    return None if found is None else _adapter(flow).validate_python(found)


def kept(client: "SyncPrefectClient", flow: str, run: UUID) -> Any:
    """The result that the run left, as what the flow returned; None if it left none."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType
    from prefect.client.schemas.sorting import ArtifactSort

    if flow not in RESULTS:
        return None
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=[KIND])
        ),
        sort=ArtifactSort.UPDATED_DESC,
        limit=1,
    )
    if not found:
        return None
    data = found[0].data
    return restored(flow, json.loads(data) if isinstance(data, str) else data)


def _adapter(flow: str) -> Any:
    from pydantic import TypeAdapter

    module, _, name = RESULTS[flow].partition(":")
    return TypeAdapter(getattr(importlib.import_module(module), name))
