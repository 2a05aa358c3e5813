"""A cluster that is only read: of what would be written to it, it takes notes."""

from collections.abc import Mapping
from copy import deepcopy

from tasks import fields
from tasks.kubernetes import Cluster, Kind, Manifest, kind_of


class Noting(Cluster):
    """What `Cluster` does, but for writing: `notes` has a line for each field that would change."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self.namespace = cluster, cluster.namespace
        self.notes: list[str] = []

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        return self._cluster.get(kind, name, namespace)

    def list(
        self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Manifest]:
        return self._cluster.list(kind, labels, namespace)

    def logs(self, pod: str, container: str | None = None, lines: int = 30) -> str:
        return self._cluster.logs(pod, container, lines)

    def apply(self, manifest: Manifest) -> Manifest:
        kind, metadata = kind_of(manifest), manifest["metadata"]
        self._note(kind, metadata["name"], metadata.get("namespace"), manifest)
        return {**deepcopy(manifest), "metadata": {"generation": 1, **metadata}}

    def create(self, manifest: Manifest) -> bool:
        self.apply(manifest)
        return True

    def merge(self, kind: Kind, name: str, change: Manifest, namespace: str | None = None) -> Manifest:
        self._note(kind, name, namespace, change)
        return deepcopy(change)

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        there = self.get(kind, name, namespace) is not None
        if there:
            self.notes.append(f"{self._title(kind, name, namespace)} is to go")
        return there

    def _note(self, kind: Kind, name: str, namespace: str | None, wanted: Manifest) -> None:
        there, about = self.get(kind, name, namespace), self._title(kind, name, namespace)
        if there is None:
            self.notes.append(f"{about} is not there")
            return
        found = fields.differing(there, wanted, only_wanted=True)
        self.notes += [f"{about}: {line}" for line in fields.said(found, kind.name == "Secret")]

    def _title(self, kind: Kind, name: str, namespace: str | None) -> str:
        return f"{kind.name} {name}" + (f" in {namespace or self.namespace}" if kind.namespaced else "")
