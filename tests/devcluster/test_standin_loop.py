"""The stand-in's loop over an API that can be away: what it does with what a round decides."""

import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import httpx2
import pytest
from lightkube import ApiError
from lightkube.models.meta_v1 import Status

from infra.devcluster.seldon_standin import controller
from infra.devcluster.seldon_standin.controller import Controller

from .standin import Manifest, predictor, seldon_deployment, server

Name = tuple[str, str]
"""Kind and name: all is in one namespace."""


class Listed(list[Any]):
    resourceVersion = "0"


class Api:
    """As much of a client and an API server as the loop needs: versions, generations, watches, outages."""

    def __init__(self) -> None:
        self.objects: dict[Name, Manifest] = {}
        self.events: list[str] = []
        self.away = False
        self.writes = 0
        self.labels: dict[str, str] = {}
        self.changed = threading.Condition()
        self.history: list[Manifest] = []

    def store(self, item: Manifest) -> Manifest:
        kind, name = item["kind"], item["metadata"]["name"]
        with self.changed:
            before = self.objects.get((kind, name), {})
            same_spec = before.get("spec") == item.get("spec")
            generation = before.get("metadata", {}).get("generation", 0) + (not same_spec)
            item = deepcopy(item)
            item["metadata"]["generation"] = generation
            if {**before, "metadata": 0} == {**item, "metadata": 0} and same_spec and before:
                return deepcopy(before)
            self.writes += 1
            item["metadata"]["resourceVersion"] = str(self.writes)
            self.objects[kind, name] = item
            self.history.append(item)
            self.changed.notify_all()
            return deepcopy(item)

    def reach(self) -> None:
        if self.away:
            raise httpx2.ConnectError("connection refused")

    def list(self, resource: Any, namespace: str) -> Listed:
        self.reach()
        with self.changed:
            return Listed(
                resource.from_dict(deepcopy(item))
                for (kind, _), item in self.objects.items()
                if kind == resource.__name__
            )

    def watch(self, resource: Any, **_: Any) -> Iterator[tuple[str, Any]]:
        seen = 0
        while True:
            with self.changed:
                if len(self.history) == seen:
                    self.changed.wait(0.2)
                fresh, seen = self.history[seen:], len(self.history)
            self.reach()
            for item in fresh:
                if item["kind"] == resource.__name__:
                    yield "MODIFIED", resource.from_dict(deepcopy(item))

    def get(self, resource: Any, name: str, namespace: str = "") -> Any:
        self.reach()
        if resource.__name__ == "Namespace":
            return resource.from_dict({"metadata": {"name": name, "labels": self.labels}})
        if (resource.__name__, name) not in self.objects:
            raise ApiError(status=Status(code=404, message=f"{name} not found"))
        return resource.from_dict(deepcopy(self.objects[resource.__name__, name]))

    def create(self, item: Any) -> Any:
        self.reach()
        if item["kind"] == "Event":
            self.events.append(item["reason"])
            return item
        return self.store(dict(item))

    def replace(self, item: Any) -> Any:
        self.reach()
        return self.store(dict(item))

    def delete(self, resource: Any, name: str, **_: Any) -> None:
        self.reach()
        del self.objects[resource.__name__, name]

    def pods(self, name: str) -> None:
        counts = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
        conditions = [{"type": "Available", "status": "True"}]
        found = self.objects["Deployment", name]
        self.store(found | {"status": counts | {"conditions": conditions}})

    def state(self) -> str:
        status = self.objects["SeldonDeployment", "flights"].get("status") or {}
        return str(status.get("state", ""))


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until, "not within 10 s"
        time.sleep(0.01)


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    found.store(seldon_deployment(predictor("v1", 100)))
    yield found
    found.away = True  # its loop has nothing to do from now on


def start(api: Api, lag: float = 0.0) -> None:
    Controller(client=lambda: api, status_lag=lag, resync=0.2).start()  # type: ignore[arg-type, return-value]


def test_a_seldon_deployment_becomes_available(api: Api) -> None:
    start(api)
    eventually(lambda: ("Deployment", "flights-v1-0-flights") in api.objects)
    eventually(lambda: api.state() == "Creating")
    api.pods("flights-v1-0-flights")
    eventually(lambda: api.state() == "Available")
    assert api.events == ["CreateService", "CreateService", "CreateDeployment"]
    settled = api.writes
    time.sleep(0.5)  # more than one resync
    assert api.writes == settled, "nothing is written when nothing changed"


def test_an_outage_costs_only_time(api: Api) -> None:
    api.away = True
    start(api)
    time.sleep(0.3)
    api.away = False
    eventually(lambda: ("Deployment", "flights-v1-0-flights") in api.objects)
    api.away = True
    time.sleep(0.5)
    api.away = False
    api.pods("flights-v1-0-flights")
    eventually(lambda: api.state() == "Available")


def test_after_a_change_status_lags_behind_the_work(api: Api) -> None:
    start(api, lag=1.5)
    eventually(lambda: ("Deployment", "flights-v1-0-flights") in api.objects)
    api.pods("flights-v1-0-flights")
    eventually(lambda: api.state() == "Available")
    changed = seldon_deployment(predictor("v1", 100), predictor("v2", 0))["spec"]
    api.store(api.objects["SeldonDeployment", "flights"] | {"spec": changed})
    eventually(lambda: ("Deployment", "flights-v2-0-flights") in api.objects)
    assert api.state() == "Available", "stale"
    eventually(lambda: api.state() == "Creating")


def test_a_deleted_deployment_comes_back_and_an_edited_one_is_put_right(api: Api) -> None:
    start(api)
    name = ("Deployment", "flights-v1-0-flights")
    eventually(lambda: name in api.objects)
    del api.objects[name]
    eventually(lambda: name in api.objects)
    edited = deepcopy(api.objects[name])
    server(edited)["image"] = "edited"
    api.store(edited)
    eventually(lambda: server(api.objects[name])["image"] == "server")


def test_what_cannot_be_served_is_failed_with_the_reason_and_said_once(api: Api) -> None:
    refused = seldon_deployment(predictor("v1") | {"annotations": {}})
    api.store(api.objects["SeldonDeployment", "flights"] | {"spec": refused["spec"]})
    start(api)
    eventually(lambda: api.state() == "Failed")
    status = api.objects["SeldonDeployment", "flights"]["status"]
    assert "no executor" in status["description"]
    time.sleep(0.5)
    assert api.events == ["InternalError"]
    assert not any(kind == "Deployment" for kind, _ in api.objects)


def test_namespaces_of_another_operator_are_left_to_it(api: Api) -> None:
    api.labels = {"seldon.io/controller-id": "other"}
    start(api)
    time.sleep(0.5)
    assert api.writes == 1
    api.labels = {}
    eventually(lambda: ("Deployment", "flights-v1-0-flights") in api.objects)


def test_due_takes_the_earliest_and_keeps_one_entry_each() -> None:
    due = controller.Due()
    due.add(("a", "late"), 0.2)
    due.add(("a", "now"))
    due.add(("a", "late"), 0.1)
    due.add(("a", "late"), 30)
    assert [due.take(), due.take()] == [("a", "now"), ("a", "late")]
