"""What the operator fills in before it builds anything: graph types, ports, and a container for the server.

Ports go by position. Every container name gets the next HTTP and gRPC port, so containers of one name share
theirs; every container without a port named `metrics` gets the next metrics port, so removing the first
predictor changes the second one's.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from .names import Manifest

HTTP_PORT = 9000
GRPC_PORT = 9500
METRICS_PORT = 6000
PODINFO = {"name": "seldon-podinfo", "mountPath": "/etc/podinfo"}
NOT_A_SERVER = {
    "UNKNOWN_IMPLEMENTATION",
    "SIMPLE_MODEL",
    "SIMPLE_ROUTER",
    "RANDOM_ABTEST",
    "AVERAGE_COMBINER",
}
SERVER_IMAGES = {
    "MLFLOW_SERVER": "seldonio/mlserver:1.3.5-mlflow",
    "SKLEARN_SERVER": "seldonio/mlserver:1.3.5-sklearn",
    "XGBOOST_SERVER": "seldonio/mlserver:1.3.5-xgboost",
    "HUGGINGFACE_SERVER": "seldonio/mlserver:1.3.5-huggingface",
    "TEMPO_SERVER": "seldonio/mlserver:1.3.5-slim",
}


def is_server(unit: Manifest) -> bool:
    """Whether the unit names a prepackaged server, rather than a container of the user's."""
    return bool(unit.get("implementation")) and unit["implementation"] not in NOT_A_SERVER


def units(unit: Manifest) -> Iterator[Manifest]:
    """The unit and everything below it in the graph."""
    yield unit
    for child in unit.get("children") or []:
        yield from units(child)


def unit_of(predictor: Manifest, container: str) -> Manifest | None:
    return next((unit for unit in units(predictor["graph"]) if unit["name"] == container), None)


def containers(predictor: Manifest) -> Iterator[Manifest]:
    for component in predictor.get("componentSpecs") or []:
        yield from (component.get("spec") or {}).get("containers") or []


def container_of(predictor: Manifest, unit: str) -> Manifest | None:
    return next((container for container in containers(predictor) if container["name"] == unit), None)


def port_named(name: str, container: Manifest) -> int | None:
    ports = container.get("ports") or []
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)


@dataclass
class Ports:
    """Which ports were handed out so far, over all predictors of one SeldonDeployment."""

    names: list[str] = field(default_factory=list)
    metrics: int = METRICS_PORT

    def position(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def next_metrics(self) -> int:
        self.metrics += 1
        return self.metrics - 1


def defaulted(spec: Manifest) -> Manifest:
    """The spec of a SeldonDeployment with everything that the operator fills in."""
    filled = deepcopy(spec)
    ports = Ports()
    for predictor in filled["predictors"]:
        labels = predictor.setdefault("labels", {})
        labels.setdefault("version", predictor["name"])
        for unit in units(predictor["graph"]):
            _fill_unit(unit)
        for container in containers(predictor):
            position = ports.position(container["name"])
            matching = unit_of(predictor, container["name"])
            if matching is not None:
                _fill_container(matching, container, position, ports)
        for unit in units(predictor["graph"]):
            if is_server(unit):
                _fill_server(predictor, unit, ports)
    return filled


def _fill_unit(unit: Manifest) -> None:
    if not any(unit.get(key) for key in ("type", "methods", "implementation")):
        unit["type"] = "MODEL"
    if is_server(unit):
        unit["type"] = "MODEL"
    unit.setdefault("implementation", "UNKNOWN_IMPLEMENTATION")


def _fill_server(predictor: Manifest, unit: Manifest, ports: Ports) -> None:
    """A server that the user gave no container gets one."""
    container = container_of(predictor, unit["name"])
    if container is None:
        container = {"name": unit["name"]}
        components = predictor.setdefault("componentSpecs", [])
        if not components:
            components.append({"spec": {}})
        components[0].setdefault("spec", {}).setdefault("containers", []).append(container)
    _fill_container(unit, container, ports.position(unit["name"]), ports)
    if not container.get("image"):
        container["image"] = SERVER_IMAGES.get(unit["implementation"], "")


def _fill_container(unit: Manifest, container: Manifest, position: int, ports: Ports) -> None:
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    mounts = container.setdefault("volumeMounts", [])
    if all(mount["name"] != PODINFO["name"] for mount in mounts):
        mounts.append(dict(PODINFO))
    unit.setdefault("endpoint", {})
    unit["endpoint"]["httpPort"] = port_named("http", container) or HTTP_PORT + position
    unit["endpoint"]["grpcPort"] = port_named("grpc", container) or GRPC_PORT + position
    if port_named("metrics", container) is None:
        declared = container.setdefault("ports", [])
        declared.append({"name": "metrics", "containerPort": ports.next_metrics(), "protocol": "TCP"})
