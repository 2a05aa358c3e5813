"""From where what can be reached: connections that must work, and all the others, which must fail."""

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl, run

PLATFORM, TRAINING, SERVING = load_lock().namespaces.model_dump().values()
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


@pytest.mark.parametrize(
    ("namespace", "labels", "reached"),
    [
        (TRAINING, {"slipway.io/role": "training"}, {STORE, MLFLOW, PREFECT}),
        (TRAINING, {"slipway.io/role": "spark-driver"}, {STORE, MLFLOW, PREFECT, KUBERNETES}),
        (TRAINING, {"spark-role": "executor"}, {STORE}),
        (TRAINING, {}, set()),
        (SERVING, {"slipway.io/role": "release"}, {STORE, MLFLOW, PREFECT, KUBERNETES}),
        (SERVING, {"seldon-deployment-id": "network-test"}, {STORE}),
        (SERVING, {}, set()),
        (PLATFORM, {"app.kubernetes.io/name": "worker"}, {PREFECT, KUBERNETES}),
        (PLATFORM, {"slipway.io/role": "verification"}, {STORE, POSTGRES, MLFLOW, PREFECT}),
        (PLATFORM, {}, set()),
        ("default", {}, {KUBERNETES}),
        ("default", {"slipway.io/role": "release"}, {KUBERNETES}),
    ],
)
def test_a_pod_reaches_what_it_needs_and_nothing_else(
    platform_up: Outside,
    targets: dict[str, tuple[str, int]],
    namespace: str,
    labels: dict[str, str],
    reached: set[str],
) -> None:
    wanted = sorted(reached)
    settled, again = run(
        platform_up, namespace, CONNECT.format(targets=targets, wanted=wanted), labels=labels
    )
    assert (settled, again) == (wanted, wanted)
