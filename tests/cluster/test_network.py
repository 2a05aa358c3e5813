"""From where what can be reached: connections that must work, and all the others, which must fail."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl, run

SPACES = load_lock().namespaces
PLATFORM, TRAINING, SERVING = SPACES.platform, SPACES.training, SPACES.serving
STORE, POSTGRES, MLFLOW, PREFECT, KUBERNETES = "store", "postgres", "mlflow", "prefect", "kubernetes"
METADATA, INSIDE = "metadata of a cloud", "a port of the store that asks for no key"

CONNECT = """
    import json, socket, time

    def reached():
        found = []
        for name, (host, port) in {targets!r}.items():
            try:
                socket.create_connection((host, port), timeout=3).close()
                found.append(name)
            except OSError:
                pass
        return sorted(found)

    # A network may take a moment to know a new pod: what counts is where it settles.
    until = time.monotonic() + 45
    while (last := reached()) != {wanted!r} and time.monotonic() < until:
        time.sleep(1)
    time.sleep(1)
    print(json.dumps([last, reached()]))
"""


@pytest.fixture(scope="module")
def targets(platform_up: Outside) -> dict[str, tuple[str, int]]:
    where = ["--namespace", PLATFORM, "--output", "jsonpath={.status.podIP}"]
    store = kubectl(platform_up, "get", "pod", "object-store-0", *where)
    return {
        STORE: (f"s3.{PLATFORM}.svc", 8333),
        POSTGRES: (f"postgres.{PLATFORM}.svc", 5432),
        MLFLOW: (f"mlflow.{PLATFORM}.svc", 5000),
        PREFECT: (f"prefect.{PLATFORM}.svc", 4200),
        KUBERNETES: ("kubernetes.default.svc", 443),
        METADATA: ("169.254.169.254", 80),
        INSIDE: (store, 18333),
    }


PODS: dict[str, tuple[str, dict[str, str], set[str]]] = {
    "a retrain": (TRAINING, {"slipway.io/role": "training"}, {STORE, MLFLOW, PREFECT}),
    "a Spark driver": (TRAINING, {"slipway.io/role": "spark-driver"}, {STORE, MLFLOW, PREFECT, KUBERNETES}),
    "an executor": (TRAINING, {"spark-role": "executor"}, {STORE}),
    "any pod of training": (TRAINING, {}, set()),
    "a release": (SERVING, {"slipway.io/role": "release"}, {STORE, MLFLOW, PREFECT, KUBERNETES}),
    "a model": (SERVING, {"seldon-deployment-id": "network-test"}, {STORE}),
    "any pod of serving": (SERVING, {}, set()),
    "a worker": (PLATFORM, {"app.kubernetes.io/name": "worker"}, {PREFECT, KUBERNETES}),
    "a verification": (PLATFORM, {"slipway.io/role": "verification"}, {STORE, POSTGRES, MLFLOW, PREFECT}),
    "any pod of the platform": (PLATFORM, {}, set()),
    "a pod elsewhere": ("default", {}, {KUBERNETES}),
    "a pod elsewhere that says it is a release": ("default", {"slipway.io/role": "release"}, {KUBERNETES}),
}


@pytest.fixture(scope="module")
def reached(platform_up: Outside, targets: dict[str, tuple[str, int]]) -> dict[str, list[list[str]]]:
    """What each pod reached, twice: all look at once."""

    def look(name: str) -> list[list[str]]:
        namespace, labels, wanted = PODS[name]
        script = CONNECT.format(targets=targets, wanted=sorted(wanted))
        found: list[list[str]] = run(platform_up, namespace, script, labels=labels)
        return found

    with ThreadPoolExecutor(6) as beside:
        return dict(zip(PODS, beside.map(look, PODS), strict=True))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_reaches_what_it_needs_and_nothing_else(name: str, reached: dict[str, list[list[str]]]) -> None:
    wanted = sorted(PODS[name][2])
    assert reached[name] == [wanted, wanted]
