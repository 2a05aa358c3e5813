import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks import store
from tasks.errors import SlipwayError, SourceError


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("store://a/b.parquet", "{home}/store/a/b.parquet"),
        ("a/b.parquet", "/base/a/b.parquet"),
        ("../b.parquet", "/b.parquet"),
        ("/data/b.parquet", "/data/b.parquet"),
        ("s3://bucket/a/", "s3://bucket/a"),
    ],
)
def test_a_uri_means_one_place(home: Path, uri: str, expected: str) -> None:
    assert store.resolve(uri, Path("/base")) == expected.format(home=home)


def test_another_scheme_is_refused(home: Path) -> None:
    with pytest.raises(SourceError, match="scheme 'gs'"):
        store.resolve("gs://bucket/a", Path("/base"))


def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    uri = str(tmp_path / "a" / "b.json")
    assert not store.exists(uri)
    store.write_bytes(uri, b"one")
    store.write_bytes(uri, b"two")
    assert store.read_bytes(uri) == b"two"
    assert store.list_files(str(tmp_path)) == [uri]
    store.delete(str(tmp_path / "a"))
    store.delete(str(tmp_path / "a"))
    assert not store.exists(uri)


def test_reading_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing: does not exist"):
        store.read_bytes(str(tmp_path / "nothing"))


def test_a_reader_sees_the_old_object_or_the_whole_new_one(tmp_path: Path) -> None:
    uri = str(tmp_path / "object")
    contents = {b"a" * 300_000, b"b" * 500_000}
    store.write_bytes(uri, b"a" * 300_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                store.write_bytes(uri, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {store.read_bytes(uri) for _ in range(300)} <= contents
    finally:
        stop.set()
        writer.join()


def test_a_failed_write_leaves_the_old_object_and_says_how_much_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "object")
    store.write_bytes(uri, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SlipwayError, match=r"object: the disk is full: [\d,.]+ MB free"):
        store.write_bytes(uri, b"new")
    assert store.read_bytes(uri) == b"old"
    assert os.listdir(tmp_path) == ["object"]


def test_a_full_disk_is_named(small_disk: Path) -> None:
    store.write_bytes(str(small_disk / "kept"), b"x" * 500_000)
    with pytest.raises(SlipwayError, match=r"big: the disk is full: 0\.5 MB free"):
        store.write_bytes(str(small_disk / "big"), b"x" * 5_000_000)
    assert os.listdir(small_disk) == ["kept"]


def test_s3_stand_in_keeps_the_same_promises(bucket: Any) -> None:
    store.write_bytes("s3://data/a/one", b"1")
    store.write_bytes("s3://data/a/two", b"22")
    store.write_bytes("s3://data/ab", b"other")
    assert store.read_bytes("s3://data/a/two") == b"22"
    assert store.sizes("s3://data/a") == {"s3://data/a/one": 1, "s3://data/a/two": 2}
    assert store.exists("s3://data/a")
    assert not store.exists("s3://data/b")
    store.delete("s3://data/a")
    assert store.list_files("s3://data") == ["s3://data/ab"]
    with pytest.raises(SourceError, match=r"s3://data/a/one: .*NoSuchKey"):
        store.read_bytes("s3://data/a/one")


def test_an_absent_bucket_is_named(bucket: Any) -> None:
    with pytest.raises(SlipwayError, match=r"s3://nowhere/a: cannot be written: .*NoSuchBucket"):
        store.write_bytes("s3://nowhere/a", b"1")
