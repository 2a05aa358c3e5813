"""What the registry holds, and which objects of the store it refers to."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks import tracking
from tasks.errors import RegistryError
from tasks.tracking import RECORD, Version

PAGE = 500
"""Models that one request asks for."""


@dataclass(frozen=True)
class Referred:
    """Keys in the bucket: each of `needed` has objects; of `runs`, which logged beside their model, some have."""

    needed: frozenset[str]
    runs: frozenset[str]


def versions() -> list[Version]:
    """Every version of every model."""
    mlflow = tracking.client()
    models = tracking.every_page(
        lambda token: mlflow.search_registered_models(max_results=PAGE, page_token=token)
    )
    return [version for model in models for version in tracking.versions(model.name)]


def every(*found: Iterable[Version]) -> tuple[Version, ...]:
    """Pure: each version once, of several looks at the registry: it goes on while a backup is made."""
    return tuple({version.name: version for each in found for version in each}.values())


def champions(found: Iterable[Version]) -> tuple[Version, ...]:
    names = sorted({version.model for version in found})
    aliases = (tracking.alias(name, "champion") for name in names)
    return tuple(version for version in aliases if version is not None)


def referred(found: Iterable[Version], bucket: str) -> Referred:
    """The objects of the versions: artifacts, gate record, and what their runs and retrains logged."""
    needed: set[str] = set()
    runs: set[str] = set()
    for version in found:
        with tracking.asking(version.name):  # deleted meanwhile, for example
            needed.add(_key(version.uri, bucket, version))
            if RECORD in version.tags:  # none: released by force
                needed.add(_key(version.tags[RECORD], bucket, version))
            if version.run_id:
                runs |= {_key(tracking.plain_uri(uri), bucket, version) for uri in _logged(version)}
    return Referred(frozenset(needed), frozenset(runs))


def _logged(version: Version) -> list[str]:
    """Where the version's run, and the retrain that it is part of, logged."""
    run = tracking.client().get_run(version.run_id)
    parent = run.data.tags.get("mlflow.parentRunId")
    of_both = [run, *([tracking.client().get_run(parent)] if parent else [])]
    return [one.info.artifact_uri for one in of_both]


def _key(uri: str, bucket: str, version: Version) -> str:
    root = f"s3://{bucket}/"
    if not uri.startswith(root) or ".." in uri:
        raise RegistryError(
            version.name, f"refers to {uri}, outside {root}", "Delete the version, or move its files there."
        )
    return uri.removeprefix(root).strip("/")
