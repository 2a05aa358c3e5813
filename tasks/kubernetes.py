"""Thin access to the Kubernetes API: manifests are plain dicts, errors say what to do about them.

In a pod the service account is used, elsewhere the kubeconfig as kubectl finds it (KUBECONFIG or
`~/.kube/config`). Everything that writes is server-side apply under one field manager, so it may be repeated.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tasks.errors import PlatformError
from tasks.kubeconfig import configuration

if TYPE_CHECKING:
    from httpx2 import HTTPStatusError
    from lightkube import Client

Manifest = dict[str, Any]
T = TypeVar("T")

FIELD_MANAGER = "slipway"
ATTEMPTS = 5
"""How often a request is made while the API server, or a webhook behind it, fails for a moment."""
PAUSE = 1.0
"""Seconds between two of them."""
POLL = 0.5
"""Seconds between two looks at something that is waited for."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, as its manifests name it and as its path does."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")
POD_LOG = Kind("v1", "Pod/log", "pods/log")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
EVENT = Kind("v1", "Event", "events")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
JOB = Kind("batch/v1", "Job", "jobs")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
INGRESS_CLASS = Kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
STORAGE_CLASS = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
CRD = Kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
SELDON_DEPLOYMENT = Kind("machinelearning.seldon.io/v1", "SeldonDeployment", "seldondeployments")
GATEWAY = Kind("networking.istio.io/v1beta1", "Gateway", "gateways")
VIRTUAL_SERVICE = Kind("networking.istio.io/v1beta1", "VirtualService", "virtualservices")
GATEWAY_OF_THE_API = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
GATEWAY_CLASS = Kind("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses", namespaced=False)
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
VALIDATING_WEBHOOK = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)


class Conflict(PlatformError):
    """Somebody else wrote the object since it was read."""


KINDS = {(kind.api_version, kind.name): kind for kind in list(globals().values()) if isinstance(kind, Kind)}


class Cluster:
    """The API server, seen from one namespace. Every method may be repeated; each raises PlatformError."""

    def __init__(self, api: "Client", namespace: str) -> None:
        self._api, self.namespace = api, namespace

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """The object as it is now, or None if there is none (or no such kind)."""
        try:
            with _said("get", kind, name):
                found = often(lambda: self._api.get(_resource(kind), name, **self._place(kind, namespace)))
        except PlatformError as error:
            if _status(error.__cause__) == 404:
                return None
            raise
        return _plain(found)

    def list(
        self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Manifest]:
        """All objects of `kind` with these labels; none if there is no such kind. `namespace` "*": anywhere."""
        place: dict[str, Any] = self._place(kind, namespace)
        try:
            with _said("list", kind, ""):
                found = often(
                    lambda: list(self._api.list(_resource(kind), labels=dict(labels or {}), **place))
                )
        except PlatformError as error:
            if _status(error.__cause__) == 404:
                return []
            raise
        return [_plain(each) for each in found]

    def apply(self, manifest: Manifest) -> Manifest:
        """Create the object or make it as `manifest` says (server-side apply); gives what came out.

        Fields that an earlier apply set and this one leaves out are removed; fields of others stay.
        """
        from lightkube.types import PatchType

        kind, name = kind_of(manifest), str(manifest["metadata"]["name"])
        place = self._place(kind, manifest["metadata"].get("namespace"))
        with _said("patch", kind, name):
            applied = often(
                lambda: self._api.patch(
                    _resource(kind), name, manifest, patch_type=PatchType.APPLY, force=True, **place
                )
            )
        return _plain(applied)

    def create(self, manifest: Manifest) -> bool:
        """Create the object; False if there is one of the name. May be repeated: a look tells whose it is."""
        kind, name = kind_of(manifest), str(manifest["metadata"]["name"])
        place = self._place(kind, manifest["metadata"].get("namespace"))
        try:
            with _said("create", kind, name):
                often(lambda: self._api.create(_resource(kind)(manifest), **place))
        except Conflict:
            return False
        return True

    def merge(self, kind: Kind, name: str, change: Manifest, namespace: str | None = None) -> Manifest:
        """Change some fields of an object that exists (JSON merge patch: null removes, lists are replaced).

        With `metadata.resourceVersion` in `change`: only if nobody wrote it since. Raises Conflict if so.
        """
        from lightkube.types import PatchType

        with _said("patch", kind, name):
            patched = often(
                lambda: self._api.patch(
                    _resource(kind), name, change, patch_type=PatchType.MERGE, **self._place(kind, namespace)
                )
            )
        return _plain(patched)

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Ask for the deletion of the object and of what it owns; False if there was none."""
        from lightkube.types import CascadeType

        place: dict[str, Any] = self._place(kind, namespace)
        try:
            with _said("delete", kind, name):
                often(
                    lambda: self._api.delete(_resource(kind), name, cascade=CascadeType.BACKGROUND, **place)
                )
        except PlatformError as error:
            if _status(error.__cause__) == 404:
                return False
            raise
        return True

    def logs(self, pod: str, container: str | None = None, lines: int = 30) -> str:
        """The end of a container's log (of its last run, if it waits for a restart); empty if it has none."""
        try:
            with _said("get", POD_LOG, pod):
                found = self._api.log(pod, namespace=self.namespace, container=container, tail_lines=lines)
                return "".join(found)
        except PlatformError as error:
            if _status(error.__cause__) in (400, 404):
                return ""
            raise

    def _place(self, kind: Kind, namespace: str | None) -> dict[str, Any]:
        return {"namespace": namespace or self.namespace} if kind.namespaced else {}


@lru_cache(maxsize=8)
def client(namespace: str) -> Cluster:
    """The cluster that this process may use. PlatformError if there is no configuration for one."""
    from lightkube.core.exceptions import ConfigError

    try:
        api = api_client(namespace=namespace)
    except (ConfigError, OSError, KeyError, ValueError) as error:
        raise PlatformError(
            "Kubernetes",
            f"there is no usable configuration for a cluster ({error})",
            "Set KUBECONFIG to a kubeconfig that `kubectl get nodes` works with.",
        ) from error
    return Cluster(api, namespace)


def api_client(manager: str = FIELD_MANAGER, namespace: str | None = None) -> "Client":
    """The API itself, for what `Cluster` has no words for: questions about rights, dry runs."""
    import httpx2
    from lightkube import Client

    timeout = httpx2.Timeout(30.0)
    return Client(configuration(), namespace=namespace, field_manager=manager, timeout=timeout)


def kind_of(manifest: Manifest) -> Kind:
    """The Kind that `manifest` names. PlatformError if Slipway does not know it."""
    named = str(manifest.get("apiVersion")), str(manifest.get("kind"))
    if named not in KINDS:
        raise PlatformError(
            f"manifest of {'/'.join(named)}", "is of an unknown kind", "Add it to tasks/kubernetes.py."
        )
    return KINDS[named]


def poll(look: Callable[[], T | None], timeout: float, every: float = POLL) -> T | None:
    """What `look` gives as soon as it is not None; None if `timeout` seconds pass without that."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(min(every, max(0.0, deadline - time.monotonic())))


@lru_cache(maxsize=64)
def _resource(kind: Kind) -> Any:
    """lightkube's class for `kind`, of plain dicts: its typed models refuse what a newer cluster adds."""
    from lightkube.generic_resource import GenericGlobalResource, GenericNamespacedResource, create_api_info

    base = GenericNamespacedResource if kind.namespaced else GenericGlobalResource
    version = kind.api_version.rpartition("/")[2]
    return type(
        kind.name, (base,), {"_api_info": create_api_info(kind.group, version, kind.name, kind.plural)}
    )


def _plain(found: Any) -> Manifest:
    return cast(Manifest, found.to_dict())


def often(request: Callable[[], T]) -> T:
    """The answer to a request that may be repeated: again while the server is not there or fails for a moment."""
    import httpx2

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return request()
        except httpx2.HTTPStatusError as error:
            if attempt == ATTEMPTS or not (_status(error) == 429 or _status(error) >= 500):
                raise
        except httpx2.TransportError:
            if attempt == ATTEMPTS:
                raise
        time.sleep(PAUSE)
    raise AssertionError("unreachable")


@contextmanager
def _said(verb: str, kind: Kind, name: str) -> Iterator[None]:
    """Errors of the API, in words that name the object, what was observed and the next step."""
    import httpx2
    from lightkube.core.exceptions import ConfigError

    place = f"{kind.name} {name}".rstrip()
    try:
        yield
    except httpx2.HTTPStatusError as error:
        refused = Conflict if _status(error) == httpx2.codes.CONFLICT else PlatformError
        raise refused(place, *_refusal(verb, kind, error)) from error
    except (
        httpx2.HTTPError,
        ConfigError,
        OSError,
    ) as error:  # OSError: a credential plugin that is not there
        raise PlatformError(
            place,
            f"cannot {verb} it: the API server does not answer ({type(error).__name__}: {error})",
            "See whether `kubectl get nodes` works; KUBECONFIG names the cluster.",
        ) from error


def _status(error: BaseException | None) -> int:
    """The HTTP status that the API server refused with; 0 if it did not answer. An unknown path is no ApiError."""
    import httpx2

    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0


def _refusal(verb: str, kind: Kind, error: "HTTPStatusError") -> tuple[str, str]:
    """What was observed, and the next step."""
    code, message = error.response.status_code, " ".join((_message(error)).split())
    if code == 403:
        return (
            f"may not {verb} {kind.plural} ({message})",
            f"Grant this account the verb {verb} on {kind.plural}, or use one that has it.",
        )
    if code == 401:
        return (
            f"the API server does not accept this account ({message})",
            "Renew the kubeconfig's credentials.",
        )
    if code == 404:
        return (
            f"there is no such object ({message})",
            "See whether it, its namespace and its kind's CRD exist.",
        )
    if "webhook" in message:
        return f"{code} {message}", "See the pods and the certificate of the operator behind this webhook."
    return f"cannot {verb} it: {code} {message}", "Correct what the API server objects to."


def _message(error: "HTTPStatusError") -> str:
    from lightkube import ApiError

    said = error.status.message if isinstance(error, ApiError) else error.response.text
    return str(said or error)
