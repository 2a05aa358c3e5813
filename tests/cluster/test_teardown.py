"""`slipway teardown`: what is kept goes on, the next bootstrap takes it over, and else nothing is left."""

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tasks.pods import priority_class
from tasks.seldon_core import DEFINITION
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.releasing import Model, releaser
from tests.cluster.second import Second

VOLUMES = ["data-object-store-0", "data-postgres-0", "home-prefect-0"]
KEPT = {
    *(f"persistentvolumeclaim/{name}" for name in VOLUMES),
    *(f"secret/slipway-{name}" for name in ("mlflow", "notebook", "postgres", "prefect", "s3", "s3-admin")),
}
"""All that is left in the platform's namespace: the volumes, and the passwords to what is on them."""
KUBERNETES_OWN = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
"""In every namespace."""
COMES_AND_GOES = (
    "events", "events.events.k8s.io", "certificatesigningrequests.certificates.k8s.io",
    "ipaddresses.networking.k8s.io",  # one for each Service
)  # fmt: skip
REMEMBERED = """
from tasks import tracking
from tasks.prefect_api import ask
mlflow = tracking.client()
experiments = [each.experiment_id for each in mlflow.search_experiments()]
flow_runs = ask("POST", f"{settings().prefect_url}/flow_runs/filter", {}).raise_for_status().json()
aliases = {name: tracking.alias(MODEL, name) for name in ("champion", "previous")}
give({
    "versions": [[each.number, each.digest, each.uri] for each in tracking.versions(MODEL)],
    "aliases": {name: found and found.number for name, found in aliases.items()},
    "runs": sorted([run.info.run_id, run.info.status] for run in mlflow.search_runs(experiments)),
    "flow_runs": sorted([run["id"], run["state_type"]] for run in flow_runs),
})
"""
"""What of the model the servers know, seen from a pod."""


def objects(place: Outside, *scope: str) -> set[str]:
    """Every object that the API knows there: `kind/name`. `scope`: a namespace; none for the cluster's own."""
    kinds = ("api-resources", "--verbs=list", f"--namespaced={str(bool(scope)).lower()}", "--output=name")
    known = [kind for kind in kubectl(place, *kinds).split() if kind not in COMES_AND_GOES]
    found = kubectl(place, "get", ",".join(known), *scope, "--ignore-not-found", "--output=name")
    return set(found.split())


def settled(
    place: Outside, wanted: set[str], *scope: str, but_for: set[str], patience: float = 60
) -> set[str]:
    """What is there but for `but_for`, as soon as it is `wanted`: a volume goes a moment after its claim."""
    until = time.monotonic() + patience
    while (found := objects(place, *scope) - but_for) != wanted and time.monotonic() < until:
        time.sleep(2)
    return found


def volumes(place: Outside, namespace: str) -> set[str]:
    """The volumes that the namespace has claimed."""
    line = '{range .items[*]}{.metadata.name} {.spec.claimRef.namespace}{"\\n"}{end}'
    claimed = [each.split() for each in kubectl(place, "get", "pv", f"--output=jsonpath={line}").splitlines()]
    return {f"persistentvolume/{name}" for name, *by in claimed if by == [namespace]}


@pytest.fixture
def before(cli: Outside) -> set[str]:
    """The cluster's own objects without the second platform."""
    return objects(cli)


def remembered(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = model.releaser.python(REMEMBERED, MODEL=model.name)
    return found


def left_of(place: Outside, namespace: str, kinds: str) -> set[str]:
    found = kubectl(place, "get", kinds, "--namespace", namespace, "--ignore-not-found", "--output=name")
    return set(found.split())


SERVED = {
    "secret/slipway-model-store",
    "serviceaccount/default",
    "serviceaccount/model",
    *(f"networkpolicy.networking.k8s.io/{name}" for name in ("default-deny", "dns", "models")),
}
"""What stays in the serving namespace beside what the operator made of a model."""
OURS = "secrets,serviceaccounts,networkpolicies,roles,rolebindings,jobs,leases"


@dataclass(frozen=True)
class Before:
    """What was known of a live model before its platform was taken away, and what teardown said."""

    model: Model
    known: dict[str, Any]
    pods: dict[str, str]
    said: dict[str, Any]


@pytest.fixture
def torn_down(before: set[str], second: Second) -> Before:
    second.bootstrap()
    with releaser(second.cli, second.lock, keep=True) as pod:
        model = pod.model("kept", versions=2)
        for number in (1, 2):
            released = model.release(number)
            assert released.get("outcome") == "released", released
        known, pods = remembered(model), model.pods()
    return Before(model, known, pods, second.teardown())


def asks(second: Second, model: Model) -> str:
    """What the model server answers for, asked through the Kubernetes API: nothing else is there any more."""
    service = f"/api/v1/namespaces/{model.releaser.namespace}/services/{model.name}-live:9000/proxy"
    found: str = json.loads(kubectl(second.cli, "get", "--raw", f"{service}/v2/models/{model.name}"))["name"]
    return found


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_teardown_keeps_models_and_data_and_the_next_bootstrap_takes_them_over(
    before: set[str], second: Second, torn_down: Before
) -> None:
    model, known, said = torn_down.model, torn_down.known, torn_down.said
    names = second.lock.namespaces
    assert (said["models"], said["kept_models"]) == ([], [model.name])
    assert set(said["namespaces"]) == set(second.namespaces) - {names.platform, names.serving}
    assert (said["kept_volumes"], said["kept_homes"]) == (VOLUMES, [])
    assert settled(second.cli, KEPT, "--namespace", names.platform, but_for=KUBERNETES_OWN) == KEPT
    assert left_of(second.cli, names.serving, OURS) == SERVED
    priority = f"priorityclass.scheduling.k8s.io/{priority_class(names.platform, 'serving')}"
    left = {f"namespace/{names.platform}", f"namespace/{names.serving}", priority}
    left |= volumes(second.cli, names.platform)
    definition = f"customresourcedefinition.apiextensions.k8s.io/{DEFINITION}"
    kinds = {each for each in objects(second.cli) if each.endswith(f".{DEFINITION.partition('.')[2]}")}
    assert settled(second.cli, left, but_for=before | {definition} | kinds) == left
    assert (model.pods(), asks(second, model)) == (torn_down.pods, model.name)

    assert second.bootstrap()["changed"]
    assert model.pods() == torn_down.pods, "bootstrap restarts nothing that serves"
    with releaser(second.cli, second.lock) as pod:
        again = pod.known(model.name)
        now = remembered(again)
        assert (known["versions"], known["aliases"]) == (now["versions"], now["aliases"])
        assert [number for number, *_ in known["versions"]] == [2, 1]
        assert known["aliases"] == {"champion": 2, "previous": 1}
        assert known["runs"]
        assert [run for run in known["runs"] if run not in now["runs"]] == []
        assert known["flow_runs"]
        assert [run for run in known["flow_runs"] if run not in now["flow_runs"]] == []
        assert (again.live()["version"], again.live()["disagreements"]) == (2, [])
        assert again.publish(0.5) == [3]
        released = again.release(3)
        assert (released.get("outcome"), released.get("version")) == ("released", 3), released

    said = second.teardown("--delete-models", "--delete-data")
    assert set(said["namespaces"]) == set(second.namespaces)
    assert (said["kept_models"], said["kept_volumes"], said["kept"]) == ([], [], [])
    assert settled(second.cli, set(), but_for=before) == set()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_data_go_without_the_models_and_the_models_after_them(
    before: set[str], second: Second, torn_down: Before
) -> None:
    model, names = torn_down.model, second.lock.namespaces
    said = second.teardown("--delete-data")
    assert (said["namespaces"], said["kept_models"]) == ([names.platform], [model.name])
    assert (model.pods(), asks(second, model)) == (torn_down.pods, model.name)
    said = second.teardown("--delete-models")
    assert (said["models"], said["namespaces"], said["kept"]) == ([model.name], [names.serving], [])
    assert settled(second.cli, set(), but_for=before) == set()


def test_teardown_of_what_is_not_there_does_nothing(second: Second) -> None:
    said = second.teardown()
    assert not any(said.values()), said
