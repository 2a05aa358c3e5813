"""Secrets that a chart's pods read and that somebody else makes: looked for before Helm is let loose.

A pod that names a Secret which is not there waits in ContainerCreating, and says so nowhere that Helm looks.
"""

from collections.abc import Iterator
from typing import Any

from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.kubernetes import SECRET, Cluster, Manifest

Needed = tuple[str, str, str]
"""Namespace, name and key."""


def check(cluster: Cluster, chart: Chart) -> None:
    """Raise PlatformError naming the first key of a Secret that a container reads and that is missing."""
    for namespace, name, key in needed(chart.objects, chart.namespace):
        secret = cluster.get(SECRET, name, namespace)
        if secret is None or key not in (secret.get("data") or {}):
            raise PlatformError(
                f"Secret {name} in {namespace}",
                "is not there" if secret is None else f"has no key {key}",
                f"The component {chart.name} reads {key} of it: create it, then run `slipway bootstrap` again.",
            )


def needed(objects: list[Manifest], namespace: str) -> list[Needed]:
    """Pure: what containers read from Secrets, and the chart itself does not bring."""
    own = {
        (each["metadata"].get("namespace", namespace), each["metadata"]["name"])
        for each in objects
        if each["kind"] == "Secret"
    }
    found = {
        (space, reference["name"], reference["key"])
        for each in objects
        if "template" in (each.get("spec") or {})
        for space in (each["metadata"].get("namespace", namespace),)
        for reference in references(each["spec"]["template"]["spec"])
    }
    return sorted(one for one in found if one[:2] not in own)


def references(pod: Manifest) -> Iterator[dict[str, Any]]:
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference and not reference.get("optional"):
                yield reference
