"""A release, from its apply to its smoke tests, against `kubectl apply` of its manifest until the pod is ready.

Nothing is live before either: the predictor of a first release has the manifest of a bare one to the letter.
"""

import json
import statistics
from typing import Any

from tasks.kubernetes import POD, Cluster, client, poll
from tasks.serving.seldon_manifest import DEPLOYMENT_LABEL
from tasks.serving.seldon_pods import is_ready
from tests.bench.cluster.start import between
from tests.bench.report import figure
from tests.bench.timing import seconds, turns
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.releasing import Model, releaser

TURNS = 3
LIMIT = 1.15
PATIENCE = 180.0
LOOK = 0.1
CANDIDATE, LIVE = "prove the candidate at its own address", "prove the stable address"
"""Steps of a release: the first begins with the apply, and each ends with a smoke test."""
STEPS = """
import time
from flows.release import release
from tasks.prefect_api import ask
state = release(PATH, version=1, return_state=True)
state.result()
query = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
until = time.monotonic() + 30
while True:
    found = ask("POST", f"{settings().prefect_url}/task_runs/filter", query).raise_for_status().json()
    steps = {each["name"]: [each["start_time"], each["end_time"]] for each in found if each["end_time"]}
    if set(NAMES) <= set(steps) or time.monotonic() > until:
        break
    time.sleep(0.5)
give(steps)
"""
"""Python for the releaser's pod: one release, and when each of its steps began and ended."""
MANIFEST = """
from tasks import tracking
from tasks.pods import priority_class
from tasks.serving import Predictor, seldon_manifest as manifests
from tasks.spec import load_spec
spec, version = load_spec(PATH), tracking.get_version(MODEL, 1)
predictor = Predictor(version.number, version.digest, version.uri)
priority = priority_class(settings().platform_namespace, "serving")
image = settings().model_server_image
candidate = manifests.predictor_manifest(MODEL, predictor, spec.serving, image, priority)
predictors = manifests.with_candidate(None, candidate, None)
give(manifests.deployment_manifest(MODEL, settings().serving_namespace, predictors))
"""


def measure(cli: Outside) -> dict[str, Any]:
    with cli.here(), releaser(cli) as pod:
        model, cluster = pod.model("bench"), client(pod.namespace)
        manifest = pod.python(MANIFEST, PATH=model.path, MODEL=model.name)

        def released() -> tuple[float, float]:
            found = from_apply(pod.python(STEPS, PATH=model.path, NAMES=[CANDIDATE, LIVE]))
            remove(cli, cluster, model)
            return found

        def bare() -> tuple[float, float]:
            took = seconds(lambda: apply(cli, cluster, model, manifest))
            remove(cli, cluster, model)
            return took, took

        taken = turns({"release": released, "bare": bare}, TURNS)
    medians = {
        name: [statistics.median(part) for part in zip(*each, strict=True)] for name, each in taken.items()
    }
    return compared(medians["release"], medians["bare"][0])


def compared(release: list[float], bare: float) -> dict[str, Any]:
    """Pure: the two moments of a release against the bare pod's readiness."""
    moments = zip(("smoke-tested beside", "live and smoke-tested again"), release, strict=True)
    return {
        moment: figure(ours / bare, limit=LIMIT, ours_s=ours, bare_s=bare, turns=TURNS)
        for moment, ours in moments
    }


def from_apply(steps: dict[str, list[str]]) -> tuple[float, float]:
    """Pure: seconds until the smoke test at the candidate's own address, and until that at the stable one."""
    missing = {CANDIDATE, LIVE} - set(steps)
    if missing:
        raise RuntimeError(
            f"Prefect does not know when {' and '.join(sorted(missing))} ended; it has {steps}"
        )
    applied = steps[CANDIDATE][0]
    return between(applied, steps[CANDIDATE][1]), between(applied, steps[LIVE][1])


def apply(cli: Outside, cluster: Cluster, model: Model, manifest: dict[str, Any]) -> None:
    """Apply, and return when the pod is ready."""
    file = cli.home / "bare.json"
    file.write_text(json.dumps(manifest))
    kubectl(cli, "apply", "--filename", str(file))
    if poll(lambda: any(map(is_ready, pods(cluster, model))) or None, PATIENCE, LOOK) is None:
        raise RuntimeError(f"no pod of {model.name} is ready after {PATIENCE:g} s: {pods(cluster, model)}")


def remove(cli: Outside, cluster: Cluster, model: Model) -> None:
    """Back to nothing, and no pod of it that still ends."""
    place = ("--namespace", cluster.namespace, "--ignore-not-found")
    kubectl(cli, "delete", "service", f"{model.name}-live", *place)
    kubectl(cli, "delete", "seldondeployment", model.name, *place)
    if poll(lambda: None if pods(cluster, model) else True, PATIENCE) is None:
        raise RuntimeError(f"pods of {model.name} are still there after {PATIENCE:g} s")


def pods(cluster: Cluster, model: Model) -> list[dict[str, Any]]:
    return cluster.list(POD, {DEPLOYMENT_LABEL: model.name})
