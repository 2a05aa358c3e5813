"""A cluster in memory, for what teardown and bootstrap take away."""

from typing import Any

from tasks.kubernetes import NAMESPACE, Kind
from tasks.platform_lock import load_lock
from tasks.secrets import MADE_BY

Key = tuple[Kind, str, str]
NAMES = load_lock().namespaces
ALL = tuple(NAMES.model_dump().values())


class Memory:
    """Stands in for a cluster: what is deleted is gone at once, a namespace with all that is in it."""

    namespace = NAMES.platform

    def __init__(self, *objects: tuple[Kind, str, str] | tuple[Kind, str, str, dict[str, str]]) -> None:
        self.there: dict[Key, dict[str, Any]] = {}
        for kind, space, name, *labels in objects:
            metadata = {"name": name, "namespace": space, "labels": labels[0] if labels else {}}
            self.there[kind, space, name] = {"metadata": metadata}
        for space in ALL:
            self.there[NAMESPACE, "", space] = {"metadata": {"name": space, "labels": MADE_BY}}

    def place(self, kind: Kind, namespace: str | None) -> str:
        return (namespace or self.namespace) if kind.namespaced else ""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Any:
        return self.there.get((kind, self.place(kind, namespace), name))

    def list(self, kind: Kind, labels: Any = None, namespace: str | None = None) -> list[Any]:
        wanted, place = set((labels or {}).items()), self.place(kind, namespace)
        return [
            each
            for (found, space, _), each in self.there.items()
            if found == kind
            and (namespace == "*" or space == place)
            and wanted <= each["metadata"]["labels"].items()
        ]

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        if kind == NAMESPACE:
            for key in [key for key in self.there if key[1] == name]:
                del self.there[key]
        return self.there.pop((kind, self.place(kind, namespace), name), None) is not None

    def merge(self, kind: Kind, name: str, change: dict[str, Any], namespace: str | None = None) -> Any:
        found = self.get(kind, name, namespace)
        merged(found, change)
        return found

    def names(self, kind: Kind, namespace: str) -> set[str]:
        return {name for found, space, name in self.there if (found, space) == (kind, namespace)}


def merged(there: dict[str, Any], change: dict[str, Any]) -> None:
    """JSON merge patch."""
    for key, value in change.items():
        if isinstance(value, dict):
            merged(there.setdefault(key, {}), value)
        elif value is None:
            there.pop(key, None)
        else:
            there[key] = value
