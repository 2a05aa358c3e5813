"""What the stand-in does to a namespace, round by round: like the real operator, including its weaknesses."""

from copy import deepcopy
from typing import Any

from infra.devcluster.seldon_standin.manifests import components
from infra.devcluster.seldon_standin.reconciling import Action, Round, contains, decide
from infra.devcluster.seldon_standin.status import held_back

from .standin import Manifest, predictor, seldon_deployment, server

NOW = "2026-01-01T00:00:00Z"
SERVING = {
    "replicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
    "conditions": [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
    ],
}
STARTING = {
    "replicas": 1,
    "unavailableReplicas": 1,
    "conditions": [
        {
            "type": "Available",
            "status": "False",
            "reason": "MinimumReplicasUnavailable",
            "message": "not yet",
        },
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
    ],
}
GIVEN_UP = STARTING | {
    "conditions": [
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
    ]
}
NO_PODS: Manifest = {"unavailableReplicas": 1}


class Namespace:
    """Live objects, changed as the API server would by what a round decides."""

    def __init__(self, *predictors: Manifest) -> None:
        self.resource = seldon_deployment(*predictors)
        self.objects: dict[str, dict[str, Manifest]] = {"Deployment": {}, "Service": {}}

    def apply(self, *predictors: Manifest) -> None:
        self.resource["spec"] = seldon_deployment(*predictors)["spec"]

    def pods(self, name: str, status: Manifest) -> None:
        self.objects["Deployment"][name]["status"] = deepcopy(status)

    def round(self, now: str = NOW) -> Round:
        this = decide(
            self.resource,
            components(self.resource),
            self.objects["Deployment"],
            self.objects["Service"],
            now,
        )
        for action in this.actions:
            self._carry_out(action)
        self.resource["status"] = this.status
        return this

    def _carry_out(self, action: Action) -> None:
        kept = self.objects[action.manifest["kind"]]
        name = action.manifest["metadata"]["name"]
        if action.verb == "delete":
            del kept[name]
        else:
            kept[name] = deepcopy(action.manifest)

    @property
    def state(self) -> str:
        return str(self.resource["status"]["state"])

    def conditions(self) -> dict[str, str]:
        return {each["type"]: each["status"] for each in self.resource["status"]["conditions"]}

    def names(self, kind: str) -> set[str]:
        return set(self.objects[kind])


def serving(*predictors: Manifest) -> Namespace:
    namespace = Namespace(*predictors)
    namespace.round()
    for name in namespace.names("Deployment"):
        namespace.pods(name, SERVING)
    namespace.round()
    assert namespace.state == "Available"
    return namespace


def did(this: Round) -> list[str]:
    return [f"{action.verb} {action.manifest['metadata']['name']}" for action in this.actions]


def test_a_new_one_is_created_then_creating_then_available() -> None:
    namespace = Namespace(predictor("v1"))
    assert did(namespace.round()) == [
        "create flights-v1-flights",
        "create flights-v1",
        "create flights-v1-0-flights",
    ]
    assert namespace.state == "Creating"
    assert namespace.conditions() == {
        "HpasReady": "True",
        "KedaReady": "True",
        "PdbsReady": "True",
        "Ready": "False",
        "ServicesReady": "False",
    }
    namespace.pods("flights-v1-0-flights", STARTING)
    assert did(namespace.round()) == []
    assert namespace.state == "Creating"
    namespace.pods("flights-v1-0-flights", SERVING)
    assert did(namespace.round()) == []
    assert namespace.state == "Available"
    status = namespace.resource["status"]
    assert status["deploymentStatus"] == {"flights-v1-0-flights": {"replicas": 1, "availableReplicas": 1}}
    assert status["serviceStatus"]["flights-v1"]["httpEndpoint"] == "flights-v1.serving:9000"
    assert len(namespace.conditions()) == 8
    assert set(namespace.conditions().values()) == {"True"}


def test_status_never_says_which_spec_it_is_of() -> None:
    assert "observedGeneration" not in serving(predictor("v1")).resource["status"]


def test_an_unchanged_one_is_left_alone() -> None:
    namespace = serving(predictor("v1"))
    before = deepcopy(namespace.objects), deepcopy(namespace.resource)
    assert did(namespace.round("2026-01-01T00:00:09Z")) == []
    assert (namespace.objects, namespace.resource) == before, "times of conditions included"


def test_shifting_traffic_touches_nothing() -> None:
    namespace = serving(predictor("v1", 100), predictor("v2", 0))
    namespace.apply(predictor("v1", 0), predictor("v2", 100))
    assert did(namespace.round()) == []


def test_a_predictor_that_left_goes_once_the_others_serve_and_its_services_after_it() -> None:
    declared = [{"name": "metrics", "containerPort": 6000}]
    namespace = serving(predictor("v1", 0, ports=declared), predictor("v2", 100, ports=declared))
    namespace.apply(predictor("v2", 100, ports=declared))
    assert did(namespace.round()) == ["delete flights-v1-0-flights"]
    assert "flights-v1" in namespace.names("Service")
    namespace.round()
    assert sorted(did(namespace.round())) == ["delete flights-v1", "delete flights-v1-flights"]
    assert namespace.names("Service") == {"flights-v2", "flights-v2-flights"}


def test_nothing_leaves_while_a_wanted_one_does_not_serve() -> None:
    namespace = serving(predictor("v1"))
    namespace.apply(predictor("v2"))
    namespace.round()
    namespace.pods("flights-v2-0-flights", STARTING)
    assert did(namespace.round()) == []
    assert "flights-v1-0-flights" in namespace.names("Deployment")


def test_one_that_never_had_a_pod_is_forgotten_when_its_predictor_leaves() -> None:
    namespace = serving(predictor("v1", 100))
    namespace.apply(predictor("v1", 100), predictor("v2", 0))
    namespace.round()
    namespace.pods("flights-v2-0-flights", NO_PODS)  # refused by a quota, or by pod security
    namespace.round()
    namespace.apply(predictor("v1", 100))
    for _ in range(3):
        namespace.round()
    assert "flights-v2-0-flights" in namespace.names("Deployment")
    assert "flights-v2" not in namespace.names("Service")


def test_a_service_of_others_with_our_label_is_deleted() -> None:
    namespace = serving(predictor("v1"))
    for name, labels in (
        ("flights-live", {"seldon-deployment-id": "flights"}),
        ("stable", {"seldon-app": "x"}),
    ):
        metadata = {"name": name, "namespace": "serving", "labels": labels}
        namespace.objects["Service"][name] = {"kind": "Service", "metadata": metadata, "spec": {}}
    assert did(namespace.round()) == ["delete flights-live"]


def test_while_a_candidate_is_new_status_still_calls_the_deployments_ready() -> None:
    namespace = serving(predictor("v1", 100))
    namespace.apply(predictor("v1", 100), predictor("v2", 0))
    namespace.round()
    assert (namespace.state, namespace.conditions()["DeploymentsReady"]) == ("Creating", "True")
    namespace.pods("flights-v2-0-flights", STARTING)
    namespace.round()
    assert namespace.conditions()["DeploymentsReady"] == "False"


def test_a_deployment_past_its_deadline_makes_it_failed() -> None:
    namespace = serving(predictor("v1", 100))
    namespace.apply(predictor("v1", 100), predictor("v2", 0))
    namespace.round()
    namespace.pods("flights-v2-0-flights", GIVEN_UP)
    namespace.round()
    assert namespace.state == "Failed"


def test_a_stale_deployment_is_believed() -> None:
    """The Deployment's own controller has not seen the new image yet, and still counts the old pod as ready."""
    namespace = serving(predictor("v1"))
    namespace.apply(predictor("v1", image="broken"))
    assert did(namespace.round()) == ["replace flights-v1-0-flights"]
    namespace.pods("flights-v1-0-flights", SERVING)
    namespace.round()
    assert namespace.state == "Available"


def test_a_changed_deployment_is_put_back_and_its_other_fields_are_dropped() -> None:
    namespace = serving(predictor("v1"))
    live = namespace.objects["Deployment"]["flights-v1-0-flights"]
    server(live)["image"] = "edited by hand"
    assert did(namespace.round()) == ["replace flights-v1-0-flights"]
    assert server(namespace.objects["Deployment"]["flights-v1-0-flights"])["image"] == "server"


def test_a_difference_that_no_write_settles_does_not_block() -> None:
    namespace = serving(predictor("v1"))
    name = "flights-v1-0-flights"
    server(namespace.objects["Deployment"][name])["image"] = "written differently by the API server"
    this = decide(
        namespace.resource,
        components(namespace.resource),
        namespace.objects["Deployment"],
        namespace.objects["Service"],
        NOW,
        frozenset({name}),
    )
    assert (this.actions, this.status["state"]) == ([], "Available")


def test_status_shortly_after_a_change_still_has_the_old_verdict() -> None:
    namespace = serving(predictor("v1", 100))
    before = namespace.resource["status"]
    namespace.apply(predictor("v1", 100), predictor("v2", 0))
    after = namespace.round().status
    assert after["state"] == "Creating"
    assert held_back(before, after)["state"] == "Available"
    assert held_back(before, after)["conditions"] == before["conditions"]


def test_live_values_with_defaults_and_other_spellings_are_the_same() -> None:
    cases: list[tuple[Any, Any, bool]] = [
        ({"a": 1, "defaulted": True}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"cpu": "1"}, {"cpu": "1000m"}, True),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}, True),
        ({"cpu": "1"}, {"cpu": "2"}, False),
        ({}, {"env": []}, True),
        (None, {"value": ""}, True),
        ([{"name": "a", "x": 1}], [{"name": "a"}], True),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a"}], False),
    ]
    for found, wanted, same in cases:
        assert contains(found, wanted) == same, (found, wanted)
