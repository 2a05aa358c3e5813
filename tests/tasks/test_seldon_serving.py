"""`SeldonServing` over a cluster in memory, whose operator makes what the stand-in operator says, at once."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.devcluster.seldon_standin.defaults import defaulted
from infra.devcluster.seldon_standin.manifests import components
from tasks.errors import PlatformError, ServingError, SpecError
from tasks.kubernetes import DEPLOYMENT, EVENT, POD, SELDON_DEPLOYMENT, SERVICE, Kind
from tasks.serving import Predictor, Served
from tasks.serving import seldon_manifest as manifests
from tasks.serving.seldon import SeldonServing
from tasks.spec_schema import ServingSpec

Manifest = dict[str, Any]
Manifests = list[Manifest]
NEEDS = ServingSpec()


@dataclass
class Memory:
    """What `Cluster` does, in a dict. `broken`: the state of the server's container by predictor."""

    namespace: str = "serving"
    stored: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    broken: dict[str, Manifest] = field(default_factory=dict)
    forgotten: list[Manifest] = field(default_factory=list)
    """Deployments that the operator does not remove."""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        if kind == SERVICE and (kind.name, name) not in self.stored:
            return next((each for each in self._made(SERVICE) if each["metadata"]["name"] == name), None)
        return deepcopy(self.stored.get((kind.name, name)))

    def list(self, kind: Kind, labels: Manifest | None = None, namespace: str | None = None) -> Manifests:
        wanted = (labels or {}).items()
        found = [each for (name, _), each in self.stored.items() if name == kind.name]
        found += self._made(kind) if kind != EVENT else []
        return [each for each in found if wanted <= each["metadata"]["labels"].items()]

    def apply(self, manifest: Manifest) -> Manifest:
        manifest = deepcopy(manifest)
        if manifest["kind"] == "SeldonDeployment":
            manifest["spec"] = defaulted(manifest["spec"])
            manifest["metadata"]["uid"] = "1"
            weights = {each["name"]: each["traffic"] for each in manifest["spec"]["predictors"]}
            assert sum(weights.values()) == 100, weights
            self.written.append(f"weights {weights}")
        else:
            self.written.append(f"selector {manifest['spec']['selector']['seldon-app']}")
        self.stored[manifest["kind"], manifest["metadata"]["name"]] = manifest
        return manifest

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        self.written.append(f"delete {kind.name} {name}")
        self.forgotten = [each for each in self.forgotten if each["metadata"]["name"] != name]
        return self.stored.pop((kind.name, name), None) is not None

    def logs(self, pod: str, container: str | None = None, lines: int = 30) -> str:
        return f"log of {container} in {pod}"

    def _made(self, kind: Kind) -> Manifests:
        resources = [each for (name, _), each in self.stored.items() if name == SELDON_DEPLOYMENT.name]
        made = [components(each) for each in resources]
        deployments = [each for one in made for each in one.deployments] + self.forgotten
        if kind == DEPLOYMENT:
            return deployments
        if kind == SERVICE:
            return [each for one in made for each in one.services]
        return [self._pod(each) for each in deployments] if kind == POD else []

    def _pod(self, deployment: Manifest) -> Manifest:
        template = deepcopy(deployment["spec"]["template"])
        template["metadata"]["name"] = deployment["metadata"]["name"] + "-x"
        state = self.broken.get(template["metadata"]["labels"]["version"])
        server = {
            "name": template["spec"]["containers"][0]["name"],
            "ready": state is None,
            "state": state or {},
        }
        conditions = [{"type": "Ready", "status": str(state is None)}]
        return {**template, "status": {"conditions": conditions, "containerStatuses": [server]}}


class Asked(SeldonServing):
    """Its endpoints answer what the stable Service selects."""

    def _ask(self, model: str, rest: str) -> Served | None:
        told = self.told(model)
        return None if told is None else told.served

    def _wait_until_it_answers(self, model: str, predictor: Predictor) -> None:
        return


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def server(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> SeldonServing:
    monkeypatch.setattr("tasks.serving.seldon.OPERATOR_SECONDS", 0.0)
    monkeypatch.setattr("tasks.serving.seldon.LOOK", 0.01)
    return Asked(memory, "model-server@sha256:aa", "slipway-serving", True, 0.05)  # type: ignore[arg-type]


def version(number: int) -> Predictor:
    return Predictor(number, f"sha256:{number}", f"s3://slipway/{number}")


def test_a_release_from_nothing_to_the_second_version(server: SeldonServing, memory: Memory) -> None:
    assert (server.told("iris"), server.answering("iris"), server.models()) == (None, None, [])
    server.start_candidate("iris", version(1), NEEDS)
    assert (server.told("iris"), server.answering("iris"), server.image("iris")) == (None, None, None)
    server.move_traffic("iris", version(1))
    server.retire_candidates("iris")
    server.start_candidate("iris", version(2), NEEDS)
    assert server.told("iris") == version(1)
    server.move_traffic("iris", version(2))
    server.retire_candidates("iris")

    assert memory.written == [
        "weights {'v1': 100}",
        "selector iris-v1",
        "weights {'v1': 100, 'v2': 0}",
        "weights {'v1': 0, 'v2': 100}",
        "selector iris-v2",
        "weights {'v2': 100}",
    ]
    assert (server.told("iris"), server.answering("iris")) == (version(2), version(2).served)
    assert (server.models(), server.image("iris"), server.findings("iris")) == (["iris"], "sha256:aa", [])


def test_what_is_done_already_writes_nothing(server: SeldonServing, memory: Memory) -> None:
    server.start_candidate("iris", version(1), NEEDS)
    server.move_traffic("iris", version(1))
    before = memory.written.copy()
    server.start_candidate("iris", version(1), NEEDS)
    server.retire_candidates("iris")
    assert memory.written == before


def test_addresses(server: SeldonServing) -> None:
    assert server.candidate("iris", 7).infer_url == "http://iris-v7.serving.svc:9000/v2/models/iris/infer"
    assert server.stable("iris").grpc == "iris-live.serving.svc:9500"


def test_a_candidate_that_cannot_start_is_known_at_once(server: SeldonServing, memory: Memory) -> None:
    memory.broken["v2"] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    server.start_candidate("iris", version(1), NEEDS)
    server.move_traffic("iris", version(1))

    with pytest.raises(ServingError, match=r"predictor iris-v2: .*no such image"):
        server.start_candidate("iris", version(2), NEEDS)
    assert "log of iris in iris-v2-0-iris-x" in server.log_tail("iris", 2)
    server.retire_candidates("iris")

    assert server.told("iris") == version(1)
    assert "no pods of iris-v2" in server.log_tail("iris", 2)


def test_one_that_only_takes_long_is_given_its_time(server: SeldonServing, memory: Memory) -> None:
    memory.broken["v1"] = {"running": {}}
    with pytest.raises(
        ServingError, match=r"is not ready after 0.05 s: 0 of 1 pods .* runs and is not ready"
    ):
        server.start_candidate("iris", version(1), NEEDS)


def test_without_a_live_version_the_whole_model_goes(server: SeldonServing, memory: Memory) -> None:
    server.start_candidate("iris", version(1), NEEDS)
    server.move_traffic("iris", None)
    server.retire_candidates("iris")
    server.retire_candidates("iris")
    assert (memory.stored, server.models()) == ({}, [])


def test_a_deployment_that_the_operator_forgets_is_removed(server: SeldonServing, memory: Memory) -> None:
    server.start_candidate("iris", version(1), NEEDS)
    server.move_traffic("iris", version(1))
    server.start_candidate("iris", version(2), NEEDS)
    memory.forgotten = [
        each for each in memory.list(DEPLOYMENT) if each["metadata"]["labels"]["version"] == "v2"
    ]

    server.retire_candidates("iris")

    assert memory.forgotten == []


def test_a_live_version_without_its_predictor(server: SeldonServing, memory: Memory) -> None:
    server.start_candidate("iris", version(1), NEEDS)
    memory.apply(manifests.live_service("iris", "serving", 5))

    assert (server.told("iris"), server.answering("iris")) == (None, None)
    assert (
        "Service iris-live selects v5, which SeldonDeployment iris does not have"
        in server.findings("iris")[0]
    )
    with pytest.raises(ServingError, match="has no predictor v5, which iris-live selects"):
        server.retire_candidates("iris")
    with pytest.raises(ServingError, match="has no predictor v3 that traffic could go to"):
        server.move_traffic("iris", version(3))


def test_refused_before_anything_is_written(server: SeldonServing, memory: Memory) -> None:
    with pytest.raises(SpecError, match="begins with a letter"):
        server.start_candidate("2024-iris", version(1), NEEDS)
    without = Asked(memory, "", "slipway-serving", True, 0.05)  # type: ignore[arg-type]
    with pytest.raises(PlatformError, match="slipway bootstrap"):
        without.start_candidate("iris", version(1), NEEDS)
    assert memory.written == []
