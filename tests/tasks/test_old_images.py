"""Which images go, by table; and how a registry is asked, on a stand-in for one."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import old_images
from tasks.lock_parts import LOADED
from tasks.oci import HUB, Registry, RegistryRefused, Stored, login
from tasks.old_images import OldImages, find, key, old, remove, split, unused
from tasks.settings import settings
from tests.tasks.registry_standin import PASSWORD, USER, StandIn, running

NOW = datetime.now(UTC)
BEFORE = NOW - timedelta(days=30)
TAG, OTHER = "0.1.0-0123456789ab", "0.2.0-ba9876543210"


def image(digest: str, *tags: str, children: tuple[str, ...] = ()) -> Stored:
    return Stored("example.com", "team/flow", digest, tags or (TAG,), children)


@pytest.mark.parametrize(
    ("stored", "used", "going"),
    [
        ([image("a"), image("b")], {"a"}, ["b"]),
        ([image("a", TAG, "latest")], set(), []),  # somebody else named it, too
        ([image("a", "0.1.0")], set(), []),
        ([image("index", children=("a", "b")), image("a")], {"index"}, []),
        ([image("index", children=("a", "b")), image("a")], {"b"}, ["a"]),
        ([], {"a"}, []),
    ],
)
def test_only_what_make_images_named_and_nothing_refers_to_is_unused(
    stored: list[Stored], used: set[str], going: list[str]
) -> None:
    assert [each.digest for each in unused(stored, used)] == going


def test_an_image_goes_when_it_has_been_unused_for_so_long_and_its_time_begins_anew_after_use() -> None:
    long, short, new = image("long"), image("short"), image("new")
    seen = {
        key(long): BEFORE - timedelta(days=1),
        key(short): NOW - timedelta(days=29),
        key(image("used")): BEFORE,
    }
    going, left = old([long, short, new], seen, NOW, BEFORE)
    assert going == (long,)
    assert left == {key(long): seen[key(long)], key(short): seen[key(short)], key(new): NOW}


@pytest.fixture
def registry() -> Iterator[StandIn]:
    with running(StandIn()) as made:
        yield made


def test_every_image_is_found_on_all_pages_with_all_its_tags(registry: StandIn) -> None:
    digest = registry.push("team/flow", "a")
    registry.tags["team/flow"] |= {"b": digest, "c": digest}
    index = registry.push("team/flow", "d", manifests=[{"digest": digest}])
    found = {each.digest: each for each in Registry(registry.host, None).images("team/flow")}
    assert found[digest].tags == ("a", "b", "c")
    assert found[index].children == (digest,)
    assert Registry(registry.host, None).images("team/nothing") == []


@pytest.mark.parametrize("keeps_tags", [True, False])
def test_an_image_goes_with_its_tags(registry: StandIn, keeps_tags: bool) -> None:
    registry.keeps_tags = keeps_tags
    digest, other = registry.push("team/flow", "a"), registry.push("team/flow", "c")
    registry.tags["team/flow"]["b"] = digest
    asked = Registry(registry.host, None)
    asked.delete(next(each for each in asked.images("team/flow") if each.digest == digest))
    assert registry.tags["team/flow"] == {"c": other}


@pytest.mark.parametrize("asks", ["basic", "bearer"])
def test_a_registry_that_asks_for_a_login_gets_it(asks: str) -> None:
    with running(StandIn(asks=asks)) as registry:  # type: ignore[arg-type]
        digest = registry.push("team/flow", TAG)
        # Where a password would be sent it is https; a stand-in has none.
        address = f"http://{registry.host}"
        asked = Registry(registry.host, (USER, PASSWORD), address)
        (found,) = asked.images("team/flow")
        asked.delete(found)
        assert registry.deleted == [digest]
        wrong = Registry(registry.host, (USER, "wrong"), address)
        with pytest.raises(RegistryRefused, match=r"does not let this login look at team/flow \(401\)"):
            wrong.images("team/flow")


def test_a_password_is_never_sent_without_encryption(registry: StandIn) -> None:
    with pytest.raises(RegistryRefused, match="does not answer"):
        Registry(registry.host, (USER, PASSWORD)).images("team/flow")


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"auth": base64.b64encode(b"me:p:w").decode()}, ("me", "p:w")),
        ({"username": "me", "password": "pw"}, ("me", "pw")),
        ({}, None),
    ],
)
def test_the_login_is_what_docker_writes(entry: dict[str, str], found: tuple[str, str] | None) -> None:
    document = json.dumps({"auths": {"example.com": entry, "https://index.docker.io/v1/": entry}})
    assert login(document, "example.com") == login(document, HUB) == found
    assert login(document, "another.com") is None
    assert login("", "example.com") is None


@pytest.fixture
def cluster(registry: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Housekeeping's settings on a cluster. What refers to images stands in for a cluster that is not here."""
    live = registry.push("team/flow", TAG)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_PLATFORM", "cluster")
    monkeypatch.setenv(
        "SLIPWAY_IMAGES", f"{registry.host}/team/flow@{live} {LOADED}/mlflow@sha256:{'1' * 64}"
    )
    settings.cache_clear()
    monkeypatch.setattr(old_images, "references", lambda: {live})
    yield registry
    settings.cache_clear()


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> datetime:
    """It is so many days later; what was last used before the returned time is old."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls.fromtimestamp((NOW + timedelta(days=days)).timestamp(), UTC)

    monkeypatch.setattr(old_images, "datetime", Later)
    return NOW + timedelta(days=days - 30)


def test_what_nothing_names_goes_after_so_many_days_and_what_is_named_never(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = cluster.push("team/flow", OTHER)
    first = find(later(monkeypatch, 0))
    assert first.images == ()
    assert first.notes == ("slipway/mlflow was loaded into the nodes: no registry has it.",)
    remove(first)
    assert find(later(monkeypatch, 29)).images == ()
    found = find(later(monkeypatch, 31))
    assert [each.digest for each in found.images] == [gone]
    assert [each.digest for each in remove(found).images] == cluster.deleted == [gone]
    assert remove(find(later(monkeypatch, 99))).images == ()
    assert old_images.read_seen() == {}
    assert list(cluster.tags["team/flow"]) == [TAG]


def test_what_came_to_be_used_since_it_was_found_stays(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cluster.push("team/flow", OTHER)
    found = OldImages((Stored(cluster.host, "team/flow", digest, (OTHER,)),))
    monkeypatch.setattr(old_images, "references", lambda: {digest})
    assert remove(found).images == ()
    assert cluster.deleted == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(405, "deletes nothing (405)"), (403, "does not let this login delete from team/flow (403)")],
)
def test_a_registry_that_deletes_nothing_is_said_plainly_and_is_no_error(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    cluster.push("team/flow", OTHER)
    cluster.deletes = status
    remove(find(later(monkeypatch, 0)))
    found = remove(find(later(monkeypatch, 31)))
    assert found.images == ()
    assert any(words in note for note in found.notes)
    assert len(old_images.read_seen()) == 1


def test_a_registry_that_does_not_answer_is_said_plainly(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_IMAGES", f"127.0.0.1:1/team/flow@sha256:{'1' * 64}")
    settings.cache_clear()
    assert "registry 127.0.0.1:1: does not answer (ConnectError)" in find(BEFORE).notes[0]


@pytest.mark.parametrize("asks", ["nothing", "bearer"])
@pytest.mark.parametrize("says", [b"<html>Please log in</html>", b"[]", b"\xff"])
def test_an_answer_of_something_else_than_a_registry_is_a_refusal(asks: str, says: bytes) -> None:
    with running(StandIn(asks=asks, says=says)) as registry:  # type: ignore[arg-type]
        asked = Registry(registry.host, (USER, PASSWORD), f"http://{registry.host}")
        with pytest.raises(RegistryRefused, match="answers with what is no JSON object"):
            asked.images("team/flow")


def test_without_the_locks_word_or_a_cluster_nothing_is_looked_at(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_IMAGES", "")
    settings.cache_clear()
    assert "registry.clean" in find(BEFORE).notes[0]
    assert remove(find(BEFORE)) == find(BEFORE)
    monkeypatch.setenv("SLIPWAY_PLATFORM", "embedded")
    settings.cache_clear()
    assert find(BEFORE) == OldImages()


def test_a_reference_is_a_registry_and_a_repository() -> None:
    assert split(f"example.com:5000/team/flow@sha256:{'1' * 64}") == ("example.com:5000", "team/flow")
