"""`slipway teardown`: what is kept, that the next bootstrap finds it again, and that else nothing is left."""

import time
from typing import Any

import pytest

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
COMES_AND_GOES = ("events", "events.events.k8s.io", "certificatesigningrequests.certificates.k8s.io")
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


@pytest.fixture
def torn_down(before: set[str], second: Second) -> tuple[Model, dict[str, Any], dict[str, Any]]:
    """A platform with a live model, taken away: the model, what was known of it, and what teardown said."""
    second.bootstrap()
    with releaser(second.cli, second.lock, keep=True) as pod:
        model = pod.model("kept", versions=2)
        for number in (1, 2):
            released = model.release(number)
            assert released.get("outcome") == "released", released
        known = remembered(model)
    return model, known, second.teardown()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_teardown_keeps_the_data_and_the_next_bootstrap_finds_it_again(
    before: set[str], second: Second, torn_down: tuple[Model, dict[str, Any], dict[str, Any]]
) -> None:
    model, known, said = torn_down
    platform = second.lock.namespaces.platform
    assert said["models"] == [model.name]
    assert set(said["namespaces"]) == set(second.namespaces) - {platform}
    assert said["kept_volumes"] == VOLUMES
    assert settled(second.cli, KEPT, "--namespace", platform, but_for=KUBERNETES_OWN) == KEPT
    left = {f"namespace/{platform}", *volumes(second.cli, platform)}
    assert len(left) == 1 + len(VOLUMES)
    assert settled(second.cli, left, but_for=before) == left

    assert second.bootstrap()["changed"]
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
        assert again.live()["version"] is None  # data are kept, what serves them is not
        released = again.release(2)
        assert (released.get("outcome"), released.get("version")) == ("released", 2), released
        assert again.live()["disagreements"] == []

    said = second.teardown("--delete-data")
    assert (set(said["namespaces"]), said["kept_volumes"]) == (set(second.namespaces), [])
    assert settled(second.cli, set(), but_for=before) == set()


def test_teardown_of_what_is_not_there_does_nothing(second: Second) -> None:
    said = second.teardown()
    assert not any(said.values()), said
