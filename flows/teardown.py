"""The platform -> a cluster as it was before bootstrap. Models and data are kept unless asked otherwise."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from flows.steps import step
from tasks import lease, platform_lock, removal

load_lock = step(platform_lock.load_lock, "lock")
connect = step(removal.connect, "cluster")
remove_models = step(removal.remove_models, "models")
remove_releases = step(removal.remove_releases, "components")
find_kept = step(removal.find_kept, "what stays")
remove_namespaces = step(removal.remove_namespaces, "namespaces")
remove_rest = step(removal.remove_rest, "rest")


@dataclass(frozen=True)
class TornDown:
    """What was removed; models and volume claims that were kept, and in words how to delete them."""

    models: tuple[str, ...]
    components: tuple[str, ...]
    namespaces: tuple[str, ...]
    kept_models: tuple[str, ...]
    kept_volumes: tuple[str, ...]
    kept_homes: tuple[str, ...]
    kept: tuple[str, ...]


@flow(name="teardown", flow_run_name="teardown", persist_result=False)
def teardown(
    file: Path = platform_lock.LOCK, delete_models: bool = False, delete_data: bool = False
) -> TornDown:
    """Remove what bootstrap made, in order; a namespace that holds what is kept stays.

    `delete_models`: the released models, too, which otherwise go on answering. `delete_data`: the volumes, of the
    platform and of the hub's users. The next bootstrap takes over what was kept, with every run and model.
    """
    lock = load_lock(file)
    cluster = connect(lock)
    with lease.held(cluster, "teardown"):
        models = remove_models(cluster, lock, delete_models)
        components = remove_releases(cluster, lock)
        kept = find_kept(cluster, lock, delete_models, delete_data)
        remove_rest(cluster, lock, kept)
        namespaces = remove_namespaces(cluster, lock, kept, delete_data)
    in_words = removal.said(kept, lock, delete_data)
    return TornDown(models, components, namespaces, kept.models, kept.volumes, kept.homes, in_words)
