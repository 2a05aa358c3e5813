"""A real JupyterHub of one process for the tests: the login of password.yaml or google.yaml, the file that the
chart runs (infra/jupyterhub/hub.py), the scopes of values.yaml. Servers are local processes. Nothing routes: what
asks, asks the hub itself."""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import yaml
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import SimpleLocalProcessSpawner

given = json.loads(os.environ["HUB_TEST"])
values = yaml.safe_load(Path(given["values"]).read_text())
custom = {**values["custom"], "groups": given["groups"]}


class NoProxy(Proxy):  # type: ignore[misc]
    """A stand-in for configurable-http-proxy, which takes no part here: it only remembers its routes."""

    should_start = False
    routes: dict[str, Any] = {}  # noqa: RUF012

    async def add_route(self, routespec: str, target: str, data: Any) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        return self.routes


class StandIn:
    """What the chart's module z2jh gives hub.py: the chart's values."""

    @staticmethod
    def get_config(key: str, default: Any = None) -> Any:
        found: Any = {"custom": custom}
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return default if found is None else found


sys.modules["z2jh"] = StandIn  # type: ignore[assignment]

c = get_config()  # type: ignore[name-defined]  # noqa: F821
for section, settings in given["login"].items():
    c[section].update(settings)
c.Authenticator.manage_groups = values["hub"]["config"]["Authenticator"]["manage_groups"]
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = given["public"]
c.JupyterHub.hub_bind_url = given["hub"]
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret_file = given["cookie_secret"]
c.JupyterHub.load_roles = [{"name": name, **role} for name, role in values["hub"]["loadRoles"].items()]
c.JupyterHub.load_roles.append(
    {"name": "test", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["test"]}
)
c.JupyterHub.services = [
    {"name": "trigger", "api_token": given["trigger_token"]},
    {"name": "test", "api_token": given["test_token"]},
]
c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.SimpleLocalProcessSpawner.home_dir_template = given["homes"] + "/{username}"
c.Spawner.cmd = given["server"]
c.Spawner.environment = {"TOKENS": given["homes"]}

runpy.run_path(given["hub_file"], init_globals={"c": c})
c.Spawner.pre_spawn_hook = None  # of pods
c.Spawner.post_stop_hook = None
