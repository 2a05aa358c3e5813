"""The only place that reads the environment.

Settings come from `SLIPWAY_*` variables first, then from `platform.json`, which `slipway up` and
`slipway bootstrap` write (the one that ran last names the platform that the command line means), then from the
defaults below.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ROOT = Path(__file__).resolve().parent.parent
"""The checkout (or, in an image, the folder that holds `flows/` and `tasks/`)."""


class Settings(BaseSettings):
    """Where this process finds the platform. Frozen; get it with `settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="SLIPWAY_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: Path = ROOT / ".slipway"
    """Everything the embedded platform keeps: data, databases, logs, pids."""
    platform: Literal["embedded", "cluster"] = "embedded"
    store: str = ""
    """Root of the object store: a folder, or `s3://bucket/prefix`. Default: `<home>/store`."""
    s3_endpoint: str | None = None
    """Endpoint of an S3 server that is not Amazon's. Keys come from the usual AWS_* variables."""
    prefect_url: str = ""
    """Prefect API, ending in `/api`."""
    mlflow_url: str = ""
    artifacts: str = ""
    """What `mlflow-artifacts:/` stands for: where a cluster's MLflow server keeps artifacts, e.g. `s3://slipway/mlflow`."""
    platform_namespace: str = "slipway"
    """Namespace of the cluster's servers and workers."""
    training_namespace: str = "slipway-training"
    """Namespace of the pods that retrain and score."""
    serving_namespace: str = "slipway-serving"
    """Namespace of the served models, and of the pods that release them."""
    notebooks_namespace: str = "slipway-notebooks"
    """Namespace of JupyterHub and its users' servers."""
    hub_page: str = ""
    """What a person opens, where a page of a cluster has a name outside of it; without the last slash."""
    prefect_page: str = ""
    mlflow_page: str = ""
    models_page: str = ""
    """The same of the models, which are below it at `/seldon/NAMESPACE/MODEL`."""
    model_server_image: str = ""
    """The image that serves a model on a cluster, by digest."""
    initializer_image: str = ""
    """The image that fetches a model for its server, by digest."""
    images: str = ""
    """References of the images built for this platform, if housekeeping is to clean their registry."""
    registry_login: SecretStr = SecretStr("")
    """For that: what `docker login` writes."""
    routes: Literal["istio", "gateway-api", "none"] = "none"
    """What leads to models from outside a cluster."""
    forwarded: bool = False
    """Whether `prefect_url` is a forward that ends with this process (see `tasks/reach.py`)."""
    commit: str = ""
    """Git commit of the code in an image, where there is no checkout to ask."""
    prefect_auth: SecretStr = Field(default=SecretStr(""), validation_alias="PREFECT_API_AUTH_STRING")
    """`user:password` of a Prefect server that asks for it; Prefect's own variable."""
    mlflow_user: str = Field(default="", validation_alias="MLFLOW_TRACKING_USERNAME")
    mlflow_password: SecretStr = Field(default=SecretStr(""), validation_alias="MLFLOW_TRACKING_PASSWORD")
    """Of an MLflow server that asks for them; MLflow's own variables."""
    trigger_url: str = ""
    """On a hub: the service that starts flows for notebooks, which do not reach Prefect."""
    hub_token: SecretStr = Field(default=SecretStr(""), validation_alias="JUPYTERHUB_API_TOKEN")
    """What the hub gave this notebook to show who it is."""
    serving_rest_url: str = ""
    """Base URL of the embedded model server's REST endpoint, e.g. `http://127.0.0.1:9000`."""
    serving_grpc: str = ""
    """host:port of the embedded model server's gRPC endpoint."""
    pod_name: str = Field(default="", validation_alias="POD_NAME")
    """Of a pod that runs a flow on a cluster: its name, namespace and address."""
    pod_namespace: str = Field(default="", validation_alias="POD_NAMESPACE")
    pod_ip: str = Field(default="", validation_alias="POD_IP")
    region: str = Field(default="us-east-1", validation_alias="AWS_DEFAULT_REGION")
    """Region of the object store."""
    java_home: str = Field(default="", validation_alias="JAVA_HOME")
    """Where Java lies, if not on PATH; Spark looks there first."""
    spark_namespace: str = ""
    """Namespace of Spark's executors on a cluster, if it is another than the driver's, as a notebook's is."""
    spark_image: str = ""
    """The image of Spark's executors on a cluster: that of the flow's own pod."""
    spark_executors: int = Field(default=2, ge=1)
    spark_executor_cpu: str = "1"
    """What an executor asks for, as Kubernetes writes it: `300m`, `2`."""
    spark_executor_memory: str = "2Gi"
    """What an executor asks for, and its limit: half for Java, half for Python."""
    spark_timeout: float = Field(default=600.0, gt=0)
    """Seconds that Spark waits for its first executor."""
    release_timeout: float = Field(default=120.0, gt=0)
    """Seconds a predictor may take to become ready."""
    lock_timeout: float = Field(default=900.0, ge=0)
    """Seconds to wait for another retrain or release of the same model to end."""
    lock_lease: float = Field(default=60.0, ge=60)
    """Seconds after which the lock of a run that died is free again (Prefect accepts no less than 60)."""
    backup_passphrase: SecretStr = SecretStr("")
    """Encrypts the passwords and keys in a backup, and reads them again."""
    notify_webhook: SecretStr = SecretStr("")
    """Embedded: who hears of a scheduled run that failed or is held, as the key `url` of the cluster's Secret."""
    notify_email: SecretStr = SecretStr("")
    """The same by e-mail: `mailtos://user:password@host:587/?from=...&to=...`."""
    fault: str = ""
    """Test only: name of the point at which this process kills itself (see `tasks/faults.py`)."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        """Servers and flow runs work in folders of their own, and must mean the same home."""
        return home.expanduser().resolve()

    @property
    def store_root(self) -> str:
        return (self.store or str(self.home / "store")).rstrip("/")

    @property
    def inside(self) -> bool:
        """Whether this process is a pod of the cluster, where the cluster's own addresses answer."""
        return self.platform == "cluster" and "KUBERNETES_SERVICE_HOST" in os.environ

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        found = {**init_settings(), **env_settings()}
        home = Path(found.get("home", settings_cls.model_fields["home"].default))
        written = platform_file(home)
        if found.get("platform", written.get("platform", "embedded")) != written.get("platform", "embedded"):
            written = {}  # of the other platform
        return init_settings, env_settings, InitSettingsSource(settings_cls, written)


def platform_file(home: Path) -> dict[str, Any]:
    """The settings that `up` or `bootstrap` wrote under `home`, or nothing if neither ran."""
    try:
        written = json.loads((home / "platform.json").read_text())
    except FileNotFoundError:
        return {}
    found: dict[str, Any] = written["settings"]
    return found


def write_platform_file(home: Path, found: Mapping[str, Any]) -> None:
    """Make `found` what later commands under `home` use; what `up` wrote down beside its settings stays."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "platform.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps({**document, "settings": dict(found)}, indent=1))
    beside.replace(path)
    settings.cache_clear()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once. `settings.cache_clear()` after the platform has started."""
    return Settings()


def variable(name: str) -> str:
    """What a manifest, or whoever started this program, gave it. KeyError if nothing."""
    return os.environ[name]


def inherited(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that this process starts, with what is its own."""
    return {**os.environ, **own}


def set_variables(given: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set (None: remove) these variables of this process; gives what they were. Settings are read anew."""
    before = {name: os.environ.get(name) for name in given}
    for name, value in given.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    settings.cache_clear()
    return before


SERVERS_OWN = (
    "PREFECT_", "MLFLOW_", "_MLFLOW_", "MLSERVER_", "SLIPWAY_MODEL_", "SLIPWAY_NOTIFY_", "SLIPWAY_BACKUP_",
)  # fmt: skip
"""Prefixes of variables that would turn a process of the embedded platform to another one, or that are secret."""


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of the embedded platform: this one's, without what would misdirect it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SERVERS_OWN)}
    return {**kept, **extra}


def client_environment(found: Settings) -> dict[str, str]:
    """What Prefect's and MLflow's clients read to find the platform of `found`."""
    addresses = {"PREFECT_API_URL": found.prefect_url, "MLFLOW_TRACKING_URI": found.mlflow_url}
    variables = {name: url for name, url in addresses.items() if url}
    variables["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
    variables["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = "30"
    variables["DO_NOT_TRACK"] = "1"
    variables["MLFLOW_DISABLE_TELEMETRY"] = "true"
    variables["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    variables["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    if not found.inside:
        # Profiles under ~/.prefect may hold the address and key of another server.
        variables["PREFECT_HOME"] = str(found.home / "prefect")
        hosts = [h for h in os.environ.get("NO_PROXY", "").split(",") if h]
        variables["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return variables


def connect() -> Settings:
    """Point this process's Prefect and MLflow at the platform, whether they are imported yet or not."""
    found = settings()
    os.environ.update(client_environment(found))
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    return found
