"""The manifests of a served model: what a release changes, and what it never touches."""

from copy import deepcopy
from typing import Any

import pytest

from infra.devcluster.seldon_standin.defaults import defaulted
from infra.devcluster.seldon_standin.manifests import components
from tasks.serving import Predictor
from tasks.serving import seldon_manifest as manifests
from tasks.serving.seldon import disagreements
from tasks.serving.seldon_routes import gateways_of
from tasks.spec_schema import ServingSpec

PRIORITY = "slipway-serving"
IMAGE = "docker.io/slipway/model-server@sha256:aa"


def version(number: int) -> Predictor:
    return Predictor(number, f"sha256:{number}", f"s3://slipway/mlflow/1/models/m-{number}/artifacts")


def predictor(number: int, **needs: Any) -> dict[str, Any]:
    return manifests.predictor_manifest("iris", version(number), ServingSpec(**needs), IMAGE, PRIORITY)


def stored(predictors: list[dict[str, Any]]) -> dict[str, Any]:
    """The SeldonDeployment as it stands in the cluster: with all that the operator filled in."""
    resource = deepcopy(manifests.deployment_manifest("iris", "serving", predictors))
    resource["spec"] = defaulted(resource["spec"])
    resource["metadata"]["uid"] = "1"
    return resource


def pods(resource: dict[str, Any]) -> dict[str, Any]:
    """The pod template of each predictor, as the operator derives it: a change is a restart."""
    return {
        each["metadata"]["labels"]["version"]: each["spec"]["template"]
        for each in components(resource).deployments
    }


def traffic(predictors: list[dict[str, Any]]) -> dict[str, int]:
    return {each["name"]: each["traffic"] for each in predictors}


def test_a_whole_release_restarts_no_predictor() -> None:
    """A candidate comes, traffic moves, the old one goes: each template stays as it was made."""
    first = stored(manifests.with_candidate(None, predictor(1), None))
    both = stored(manifests.with_candidate(first, predictor(2), 1))
    moved = stored(manifests.with_traffic(manifests.predictors_of(both), 2))
    last = manifests.find_predictor(moved, 2)
    assert last is not None
    alone = stored(manifests.with_traffic([last], 2))

    assert pods(both)["v1"] == pods(first)["v1"] == pods(moved)["v1"]
    assert pods(both)["v2"] == pods(moved)["v2"] == pods(alone)["v2"]
    weights = [traffic(manifests.predictors_of(each)) for each in (first, both, moved, alone)]
    assert weights == [{"v1": 100}, {"v1": 100, "v2": 0}, {"v1": 0, "v2": 100}, {"v2": 100}]


def test_a_champion_made_by_an_older_slipway_is_applied_again_as_it_stands() -> None:
    old = predictor(1)
    old["componentSpecs"][0]["spec"]["containers"][0]["env"] = [
        {"name": "SLIPWAY_MODEL_DIGEST", "value": "x"}
    ]
    first = stored([old | {"traffic": 100}])

    both = manifests.with_candidate(first, predictor(2), 1)

    assert both[0] == manifests.predictors_of(first)[0]


@pytest.mark.parametrize(
    ("what", "standing", "wanted", "kept"),
    [
        ("left by a killed release", predictor(2), predictor(2), True),
        ("with other resources", predictor(2), predictor(2, memory="1Gi"), False),
        ("with other replicas", predictor(2), predictor(2, replicas=2), False),
        (
            "of another image",
            manifests.predictor_manifest("iris", version(2), ServingSpec(), "x", PRIORITY),
            predictor(2),
            False,
        ),
        (
            "of another model",
            manifests.predictor_manifest(
                "iris", Predictor(2, "sha256:3", "s3://x"), ServingSpec(), IMAGE, PRIORITY
            ),
            predictor(2),
            False,
        ),
    ],
)
def test_a_candidate_that_stands_already(what: str, standing: Any, wanted: Any, kept: bool) -> None:
    before = stored([predictor(1) | {"traffic": 100}, standing])

    after = manifests.with_candidate(before, wanted, 1)

    assert (after == manifests.predictors_of(before)) == kept, what
    assert kept or after[1] == wanted
    assert traffic(after) == {"v1": 100, "v2": 0}


def test_a_served_pod_has_the_priority_of_models() -> None:
    for template in pods(stored(manifests.with_candidate(None, predictor(1), None))).values():
        assert template["spec"]["priorityClassName"] == PRIORITY


def test_what_killed_releases_left_makes_room() -> None:
    before = stored([predictor(3), predictor(1) | {"traffic": 100}, predictor(2)])
    assert traffic(manifests.with_candidate(before, predictor(4), 1)) == {"v1": 100, "v4": 0}
    assert traffic(manifests.with_candidate(before, predictor(4), None)) == {"v4": 100}


@pytest.mark.parametrize(
    ("numbers", "to", "expected"),
    [
        ((1,), None, [100]),
        ((1, 2), 2, [0, 100]),
        ((1, 2), 7, [100, 0]),
        ((3, 1, 2), 1, [0, 100, 0]),
    ],
)
def test_weights_are_whole_and_sum_to_100(
    numbers: tuple[int, ...], to: int | None, expected: list[int]
) -> None:
    assert [
        each["traffic"] for each in manifests.with_traffic([predictor(n) for n in numbers], to)
    ] == expected


def test_a_predictor_can_be_read_back_from_the_cluster() -> None:
    resource = stored([predictor(1), predictor(12)])
    assert [manifests.read_predictor("iris", each) for each in manifests.predictors_of(resource)] == [
        version(1),
        version(12),
    ]
    assert manifests.read_predictor("other", resource["spec"]["predictors"][0]) is None


def test_the_stable_service_selects_one_version() -> None:
    service = manifests.live_service("iris", "serving", 3)
    assert service["metadata"]["name"] == "iris-live"
    assert service["spec"]["selector"] == {"seldon-app": "iris-v3"}
    assert manifests.selected_number(service, "iris") == 3
    assert manifests.selected_number(None, "iris") is None
    service["spec"]["selector"] = {"seldon-app": "iris-default"}
    assert manifests.selected_number(service, "iris") is None


def test_the_pod_is_as_restricted_as_a_restricted_namespace_asks() -> None:
    pod = predictor(1)["componentSpecs"][0]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["resources"]["limits"]["memory"]
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


def test_the_operator_adds_no_second_download_and_changes_no_patience() -> None:
    template = pods(stored([predictor(1)]))["v1"]["spec"]
    server = template["containers"][0]
    assert [each["name"] for each in template["initContainers"]] == ["iris-model-initializer"]
    assert template["initContainers"][0]["args"] == [version(1).uri, "/mnt/models"]
    assert server["readinessProbe"]["periodSeconds"] == 1
    assert server["readinessProbe"]["initialDelaySeconds"] == 0
    told = manifests.environment_of(server)
    assert told["MLSERVER_MODEL_IMPLEMENTATION"] == "slipway_model_server.runtime.Runtime"
    assert (told["MLSERVER_MODEL_NAME"], told["MLSERVER_HTTP_PORT"]) == ("iris", "9000")
    assert (told["SLIPWAY_MODEL_DIGEST"], told["SLIPWAY_MODEL_VERSION"]) == ("sha256:1", "1")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("200m", "200m"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("2", "2"),
        ("1.5", "1500m"),
        ("512Mi", "512Mi"),
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1000M", "1G"),
        ("2G", "2G"),
    ],
)
def test_quantities_are_written_as_the_cluster_writes_them(written: str, canonical: str) -> None:
    assert manifests.canonical(written) == canonical


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, set()),
        ({"spec": {}}, set()),
        ({"spec": {"gateways": ["mesh"]}}, set()),
        (
            {"spec": {"gateways": ["seldon-gateway", "istio-system/main"]}},
            {("serving", "seldon-gateway"), ("istio-system", "main")},
        ),
    ],
)
def test_gateways_that_routes_refer_to(written: Any, expected: set[tuple[str, str]]) -> None:
    assert gateways_of(written, "serving") == expected


def running(number: int, image: str = IMAGE, ready: str = "True") -> dict[str, Any]:
    spec = predictor(number)["componentSpecs"][0]["spec"]
    spec["containers"][0]["image"] = image
    status = {
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "iris", "ready": True}],
    }
    return {"metadata": {"name": f"iris-v{number}-x"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("what", "predictors", "there", "said"),
    [
        ("well", [predictor(2) | {"traffic": 100}], [running(2)], []),
        (
            "the selected one is gone",
            [predictor(1)],
            [running(2)],
            ["Service iris-live selects v2, which SeldonDeployment iris does not have"],
        ),
        (
            "weights",
            [predictor(1) | {"traffic": 100}, predictor(2)],
            [running(2)],
            ["gives v2 0 % of the traffic", "v1 still stands beside v2"],
        ),
        (
            "another image",
            [predictor(2) | {"traffic": 100}],
            [running(2, image="x")],
            ["pod iris-v2-x runs something else"],
        ),
        (
            "no pod is ready",
            [predictor(2) | {"traffic": 100}],
            [running(2, ready="False")],
            ["0 of 1 pods of v2 are ready"],
        ),
        (
            "one too few",
            [predictor(2, replicas=2) | {"traffic": 100}],
            [running(2)],
            ["1 of 2 pods of v2 are ready"],
        ),
    ],
)
def test_where_service_manifest_and_pods_disagree(
    what: str, predictors: Any, there: Any, said: list[str]
) -> None:
    resource = stored(predictors)
    told = manifests.find_predictor(resource, 2)

    found = disagreements("iris", 2, resource, told, there)

    assert len(found) == len(said), (what, found)
    assert all(part in text for part, text in zip(said, found, strict=True)), (what, found)
