"""The only place that reads the environment.

Settings come from `SLIPWAY_*` variables first, then from `platform.json`, which the embedded platform writes
when it starts (addresses of its servers), then from the defaults below.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
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

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="ignore")

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
    serving_rest_url: str = ""
    """Base URL of the embedded model server's REST endpoint, e.g. `http://127.0.0.1:9000`."""
    serving_grpc: str = ""
    """host:port of the embedded model server's gRPC endpoint."""
    release_timeout: float = Field(default=120.0, gt=0)
    """Seconds a predictor may take to become ready."""
    lock_timeout: float = Field(default=900.0, ge=0)
    """Seconds to wait for another retrain or release of the same model to end."""
    lock_lease: float = Field(default=60.0, ge=60)
    """Seconds after which the lock of a run that died is free again (Prefect accepts no less than 60)."""
    fault: str = ""
    """Test only: name of the point at which this process kills itself (see `tasks/faults.py`)."""

    @property
    def store_root(self) -> str:
        return (self.store or str(self.home / "store")).rstrip("/")

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
        return init_settings, env_settings, InitSettingsSource(settings_cls, platform_file(home))


def platform_file(home: Path) -> dict[str, Any]:
    """The addresses that the embedded platform under `home` wrote, or nothing if it never started."""
    try:
        written = json.loads((home / "platform.json").read_text())
    except FileNotFoundError:
        return {}
    addresses: dict[str, Any] = written["settings"]
    return addresses


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read once. `settings.cache_clear()` after the platform has started."""
    return Settings()
