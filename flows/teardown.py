"""The platform -> a cluster as it was before bootstrap. Data volumes are kept unless asked otherwise."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from flows.steps import step
from tasks import lease, platform_lock, removal

load_lock = step(platform_lock.load_lock, "lock")
connect = step(removal.connect, "cluster")
remove_models = step(removal.remove_models, "models")
remove_releases = step(removal.remove_releases, "components")
remove_namespaces = step(removal.remove_namespaces, "namespaces")
volumes = step(removal.volumes, "volumes")


@dataclass(frozen=True)
class TornDown:
    """What was removed, and which volume claims were kept with their passwords."""

    models: tuple[str, ...]
    components: tuple[str, ...]
    namespaces: tuple[str, ...]
    kept_volumes: tuple[str, ...]


@flow(name="teardown", flow_run_name="teardown", persist_result=False)
def teardown(file: Path = platform_lock.LOCK, delete_data: bool = False) -> TornDown:
    """Remove what bootstrap made. The next bootstrap finds the kept volumes again, with every run and model."""
    lock = load_lock(file)
    cluster = connect(lock)
    with lease.held(cluster, "teardown"):
        return TornDown(
            remove_models(cluster, lock),
            remove_releases(cluster, lock),
            remove_namespaces(cluster, lock, delete_data),
            volumes(cluster),
        )
