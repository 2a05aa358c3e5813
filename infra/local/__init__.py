"""The embedded platform: Prefect, MLflow, the model server and one worker per work pool, on this machine."""

from infra.local.platform import down, up
from infra.local.status import ServiceStatus, Status, status

__all__ = ["ServiceStatus", "Status", "down", "status", "up"]
