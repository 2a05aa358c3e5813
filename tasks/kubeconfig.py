"""The kubeconfig as kubectl understands it, for a client that knows less.

lightkube 1.0 refuses credential plugins of `client.authentication.k8s.io/v1`, whose answer is that of v1beta1, and
tells none of them which version to answer in
(https://kubernetes.io/docs/reference/access-authn-authz/authentication/#input-and-output-formats).
"""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import UserExec

KNOWN = "client.authentication.k8s.io/v1beta1"
STABLE = "client.authentication.k8s.io/v1"
INFO = "KUBERNETES_EXEC_INFO"


def configuration() -> "SingleConfig":
    """In a pod its service account, else what KUBECONFIG or `~/.kube/config` says. Raises as lightkube does."""
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    found = KubeConfig.from_env().get()
    if found is None:
        raise ConfigError("it has no current context")
    if found.user is not None and found.user.exec is not None:
        _understood(found.user.exec)
    return found


def _understood(plugin: "UserExec") -> None:
    from lightkube.config.models import NameValue

    told = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    plugin.env = [*(plugin.env or []), NameValue(name=INFO, value=json.dumps(told))]
    if plugin.apiVersion == STABLE:
        plugin.apiVersion = KNOWN
