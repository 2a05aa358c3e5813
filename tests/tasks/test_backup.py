"""Backups: what is checked and copied, and which are refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import backup, backup_places
from tasks.backup import Manifest
from tasks.backup_places import Bucket, Folder
from tasks.errors import PlatformError, SpecError
from tests.tasks.test_platform_lock import parsed


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, stand_in: str) -> Folder | Bucket:
    if request.param == "folder":
        return Folder(tmp_path / "backup")
    client = request.getfixturevalue("bucket")
    return Bucket(client, "data", "kept/monday")


def written(place: Folder | Bucket, **files: bytes) -> Manifest:
    found = {name: backup.put_bytes(place, name, content) for name, content in files.items()}
    manifest = Manifest(
        made=datetime.now(UTC),
        platform=backup.identity(parsed()),
        versions=("iris version 2",),
        files=found,
    )
    backup.put_bytes(place, backup.MANIFEST, manifest.model_dump_json().encode())
    return manifest


def test_what_was_put_is_what_is_read(place: Folder | Bucket) -> None:
    backup.check_empty(place)
    manifest = written(place, a=b"1", **{"objects/mlflow/1/model.skops": b"2" * 1000})
    assert place.names() == ["a", "manifest.json", "objects/mlflow/1/model.skops"]
    assert backup.read(place, parsed()) == manifest
    assert manifest.files["a"].size == 1
    with pytest.raises(SpecError, match="is not empty"):
        backup.check_empty(place)


def test_a_backup_that_is_not_whole_is_refused(place: Folder | Bucket) -> None:
    with pytest.raises(PlatformError, match=r"holds no manifest\.json"):
        backup.read(place, parsed())
    written(place, a=b"1")
    backup.put_bytes(place, "a", b"2")
    with pytest.raises(PlatformError, match="a: is not what the backup's manifest says"):
        backup.read(place, parsed())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store": {"bucket": "another", "endpoint": "http://s3.slipway.svc:8333"}}, "whose store.bucket is"),
        ({"postgres": {"host": "db.example.com", "external": True}}, "whose postgres.host is"),
        (
            {"namespaces": {"platform": "other", "training": "other-t", "serving": "other-s"}},
            'whose namespaces.platform is "slipway", and here it is "other"',
        ),
    ],
)
def test_a_backup_of_another_platform_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    written(Folder(tmp_path / "backup"))
    with pytest.raises(PlatformError, match=words):
        backup.read(Folder(tmp_path / "backup"), parsed(**changes))


def test_a_database_that_the_platform_does_not_have_is_refused(tmp_path: Path) -> None:
    written(Folder(tmp_path / "backup"), **{"databases/hub.dump": b"1", "databases/mlflow.dump": b"1"})
    with pytest.raises(PlatformError, match="holds the database hub, which this platform does not have"):
        backup.read(Folder(tmp_path / "backup"), parsed())


def test_a_folder_that_everybody_reads_holds_files_that_nobody_else_does(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    written(Folder(tmp_path), **{"databases/mlflow.dump": b"1", "objects/mlflow/1/model": b"2"})
    made = sorted(tmp_path.rglob("*"))
    assert len(made) == 7
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_the_marks_of_folders_are_no_objects(bucket: Any) -> None:
    place = Bucket(bucket, "data", "kept")
    for name in ("mlflow/1/", "mlflow/1/model"):
        bucket.put_object(Bucket="data", Key=f"kept/{name}", Body=b"")
    assert place.at("mlflow/1") == place.names() == ["mlflow/1/model"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("files", {"objects/../../passwd": {"size": 1, "sha256": "0"}}, "is outside of the backup"),
        ("format", 2, "has the format 2, and this is 1"),
        ("made", "once", "made: Input should be"),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(
    tmp_path: Path, key: str, value: object, words: str
) -> None:
    place = Folder(tmp_path / "backup")
    altered = {**json.loads(written(place).model_dump_json()), key: value}
    backup.put_bytes(place, backup.MANIFEST, json.dumps(altered).encode())
    with pytest.raises(PlatformError, match=words):
        backup.read(place, parsed())


def test_what_is_changed_on_the_way_is_what_the_manifest_describes(place: Folder | Bucket) -> None:
    backup.put_bytes(place, "a", b"plain")
    facts = backup.copy(
        place, "a", place, "b", lambda old, new: new.write_bytes(old.read_bytes() * 2) and None
    )
    assert facts.size == 10
    assert backup.get_bytes(place, "b") == b"plainplain"


def test_a_prefix_is_no_other_that_begins_like_it(bucket: Any) -> None:
    for key in ("kept/a/1", "kept/ab/1", "kept/a"):
        bucket.put_object(Bucket="data", Key=key, Body=b"x")
    whole = Bucket(bucket, "data")
    assert whole.at("kept/a") == ["kept/a", "kept/a/1"]
    assert Bucket(bucket, "data", "kept/ab").names() == ["1"]
    assert whole.names() == ["kept/a", "kept/a/1", "kept/ab/1"]


def test_a_folder_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Folder(tmp_path / "b").put("secrets.json", Path(__file__))
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0


def test_another_address_is_refused() -> None:
    with pytest.raises(SpecError, match="neither a folder nor s3://"):
        backup_places.place("gs://bucket/x")


def test_an_object_that_a_version_refers_to_must_be_there() -> None:
    there = {
        "mlflow/1/models/m-1/artifacts": ["mlflow/1/models/m-1/artifacts/model.skops"],
        "records/1.json": [],
    }
    listed: Callable[[str], list[str]] = lambda key: there.get(key, [])  # noqa: E731
    assert backup.objects(["mlflow/1/models/m-1/artifacts"], listed) == next(iter(there.values()))
    with pytest.raises(PlatformError, match=r"records/1\.json: is gone"):
        backup.objects(there, listed)
