"""How the services of the platform are reached from outside the cluster: the section `reach` of the lock."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tasks.lock_parts import Part, Several

DOMAIN = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
Host = Annotated[str, StringConstraints(pattern=rf"^(\*\.)?{DOMAIN}$")]
Named = Annotated[str, StringConstraints(pattern=rf"^{DOMAIN}$")]
"""A Secret, a class: what Kubernetes lets be called like a domain."""
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _source(given: str) -> str:
    if "/" in given:
        ip_network(given)  # raises ValueError, which says what is wrong with it
    elif not NAMESPACE.fullmatch(given):
        raise ValueError(f"{given} is no namespace; an address is written as a range, such as 10.0.0.1/32")
    return given


Source = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9:]([a-z0-9./:-]*[a-z0-9])?$"), AfterValidator(_source)
]
Sources = Annotated[tuple[Source, ...], Several]


class Door(Part):
    """How a service is reached from outside the cluster."""

    host: Host | None = None
    tls: Named | None = None
    """Secret with the host's certificate."""
    tls_elsewhere: bool = False
    """Whether what is before the controller has the certificate, a cloud's load balancer for example."""
    ingress_class: Named | None = None
    gateway_class: Named | None = None
    """Of a Gateway of the Gateway API."""

    @property
    def url(self) -> str:
        """What a person opens; empty if no one name leads there."""
        if not self.host or self.host.startswith("*"):
            return ""
        return f"{'https' if self.tls or self.tls_elsewhere else 'http'}://{self.host}"


class PageDoor(Door):
    """Of a page for browsers: an Ingress or a Gateway is made for it, with a host alone neither."""

    let_in: Sources = ()
    """From where its traffic comes: namespaces of a controller's pods, or ranges of addresses."""
    annotations: dict[str, str] = Field(default={})
    """Of the Ingress or Gateway: what only one controller understands."""


class ModelsDoor(Door):
    istio: dict[str, str] = Field(default={"istio": "ingressgateway"})
    """Labels of the pods of Istio's ingress gateway."""


class Reach(Part):
    hub: PageDoor = PageDoor()
    prefect: PageDoor = PageDoor()
    mlflow: PageDoor = PageDoor()
    models: ModelsDoor = ModelsDoor()

    @property
    def pages(self) -> dict[str, PageDoor]:
        """Those of the pages that have a host."""
        doors = {"hub": self.hub, "mlflow": self.mlflow, "prefect": self.prefect}
        return {name: door for name, door in doors.items() if door.host}

    @model_validator(mode="after")
    def _right(self) -> "Reach":
        doors = {"hub": self.hub, "prefect": self.prefect, "mlflow": self.mlflow, "models": self.models}
        hosts: dict[str, str] = {}
        for name, door in doors.items():
            for key, wrong in _wrong(door):
                raise ValueError(f"reach.{name}.{key}: {wrong}")
            if door.host in hosts:
                raise ValueError(f"reach.{name}.host: {door.host} is the host of {hosts[door.host]} already")
            if door.host:
                hosts[door.host] = name
        return self


def _wrong(door: Door) -> Iterator[tuple[str, str]]:
    """By key, what cannot be."""
    if door.tls and not door.host:
        yield "tls", "is the certificate of a host, and `host` is not set"
    if door.tls and door.tls_elsewhere:
        yield "tls_elsewhere", "says that no Secret is needed, and `tls` names one"
    if isinstance(door, PageDoor):
        yield from _wrong_page(door)
    elif door.ingress_class:
        yield (
            "ingress_class",
            "an Ingress has no weights for a model's predictors, nor gRPC; install Istio or the Gateway API, "
            "and name a `gateway_class`",
        )


def _wrong_page(door: PageDoor) -> Iterator[tuple[str, str]]:
    if door.host and door.host.startswith("*"):
        yield "host", f"{door.host} is many names, and a page has one"
    if door.ingress_class and door.gateway_class:
        yield (
            "gateway_class",
            "there is an `ingress_class` too, and one way in is enough: take one of them out",
        )
    for key in ("ingress_class", "gateway_class", "let_in", "annotations", "tls_elsewhere"):
        if getattr(door, key) and not door.host:
            yield key, "asks for a `host`, which is not set"
    if door.annotations and not (door.ingress_class or door.gateway_class):
        yield "annotations", "without a class nothing is made that could have them"
    if door.host and not door.let_in:
        yield (
            "let_in",
            "is missing: the network lets nothing in but what it names, such as the namespace of the controller's "
            "pods (ingress-nginx) or the addresses of a load balancer (10.0.0.0/24)",
        )


def told(reach: Reach) -> dict[str, Any]:
    """Pure: what charts are told of each page that has a host."""
    return {
        name: {
            "host": door.host,
            "url": door.url,
            "tls": door.tls,
            "ingressClass": door.ingress_class,
            "gatewayClass": door.gateway_class,
            "annotations": door.annotations,
            "namespaces": [each for each in door.let_in if "/" not in each],
            "addresses": [each for each in door.let_in if "/" in each],
        }
        for name, door in reach.pages.items()
    }
