"""What of the benchmarks and of the cluster tests' helpers needs no cluster."""

from pathlib import Path
from typing import Any

import pytest

from tasks.kubernetes import kind_of
from tasks.platform_lock import LOCK, load_lock, parse_lock
from tests.bench import report
from tests.bench.cluster import plain, pod, release, start
from tests.bench.timing import turns
from tests.cluster.second import PREFIX, renamed

NONE = Path("infra/no-such-images.yaml")
DIGEST = f"sha256:{'0' * 64}"


def test_the_table_has_a_row_for_each_figure_and_says_which_limit_is_not_kept() -> None:
    found = {
        "release": {"late": report.figure(1.2, limit=1.15, turns=7), "early": report.figure(1.1, limit=1.15)},
        "start": report.figure(3.0, "s", ours_s=8.0),
        "served": {"rest": {"ratio": 0.9, "ours_ms": 3.0}},
    }
    shown = report.table(found, "Measured")
    rows = list(zip(*(column.cells for column in shown.columns), strict=True))
    assert rows == [
        ("release late", "1.2 x", "1.15 x", "NO", "7"),
        ("release early", "1.1 x", "1.15 x", "yes", ""),
        ("start", "3 s", "", "", ""),
        ("served rest", "0.9 x", "1.05 x", "yes", ""),
    ]


def test_a_part_that_there_is_not_is_refused_with_those_there_are() -> None:
    parts: dict[str, report.Part] = {"release": dict, "spark": dict}
    assert report.chosen([], parts) == ["release", "spark"]
    assert report.chosen(["spark"], parts) == ["spark"]
    with pytest.raises(SystemExit, match="no part sparks; parts: release, spark"):
        report.chosen(["sparks"], parts)


def test_what_was_measured_is_kept_when_a_later_part_fails(tmp_path: Path) -> None:
    def failing() -> dict[str, Any]:
        raise RuntimeError("no room")

    parts: dict[str, report.Part] = {"first": lambda: {"a": report.figure(1.0)}, "second": failing}
    with pytest.raises(RuntimeError, match="no room"):
        report.measure(["first", "second"], parts, tmp_path / "bench.json", "Measured")
    assert '"first"' in (tmp_path / "bench.json").read_text()


def test_turns_alternate_and_the_first_is_not_counted() -> None:
    order: list[str] = []

    def way(name: str) -> int:
        order.append(name)
        return len(order)

    assert turns({"a": lambda: way("a"), "b": lambda: way("b")}, 2) == {"a": [3, 5], "b": [4, 6]}
    assert order == ["a", "b"] * 3


def test_a_second_platform_shares_no_name_with_the_first() -> None:
    first = load_lock(local=NONE)
    second = parse_lock(renamed(LOCK.read_text(), first.namespaces.model_dump().values()), LOCK)
    assert second.namespaces.model_dump() == {
        part: f"{PREFIX}{name}" for part, name in first.namespaces.model_dump().items()
    }
    spaces = set(second.namespaces.model_dump().values())
    assert {second.namespace(one) for one in second.components} <= spaces
    addresses = [one.address for one in second.components if one.address]
    for address in (second.store.endpoint, second.postgres.host, *addresses):
        assert any(f".{space}.svc" in address for space in spaces)
    assert second.store.bucket == first.store.bucket
    assert second.images == first.images


def test_the_plain_worker_differs_from_ours_only_in_what_is_to_be_compared() -> None:
    lock = load_lock(local=NONE)
    images = {name: image.model_copy(update={"digest": DIGEST}) for name, image in lock.images.items()}
    objects = plain.objects(lock.model_copy(update={"images": images}))
    by_kind = {kind_of(each).name: each for each in objects}
    assert len(by_kind) == len(objects)
    outside = [each for each in objects if each["metadata"].get("namespace") not in (plain.NAMESPACE, None)]
    assert [(each["kind"], each["metadata"]["name"]) for each in outside] == [("NetworkPolicy", plain.NAME)]
    (worker,) = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each for each in worker["env"]}
    assert environment["PREFECT_WORKER_QUERY_SECONDS"]["value"] == "2"
    assert "secretKeyRef" in environment["PREFECT_API_AUTH_STRING"]["valueFrom"]
    assert worker["image"].endswith(f"/flow@{DIGEST}")


def test_each_pool_is_compared_with_the_plain_one_of_its_image() -> None:
    medians = {"pandas": 8.0, "spark": 9.5, "release": 8.5, "plain-flow": 7.5, "plain-flow-spark": 9.0}
    found = start.compared(medians)
    assert {name: each["value"] for name, each in found.items()} == {
        "pool pandas beyond plain": 0.5,
        "pool spark beyond plain": 0.5,
        "pool release beyond plain": 1.0,
    }


def test_a_release_is_timed_from_its_apply_to_each_of_its_smoke_tests() -> None:
    steps = {
        release.CANDIDATE: ["2026-11-25T10:00:00Z", "2026-11-25T10:00:12.500000Z"],
        "move traffic": ["2026-11-25T10:00:12.600000Z", "2026-11-25T10:00:13Z"],
        release.LIVE: ["2026-11-25T10:00:13Z", "2026-11-25T10:00:14Z"],
    }
    assert release.from_apply(steps) == (12.5, 14.0)
    del steps[release.LIVE]
    with pytest.raises(RuntimeError, match="when prove the stable address ended"):
        release.from_apply(steps)


def test_a_retrain_is_told_apart_from_its_release() -> None:
    taken = {"pod": [pod.Took(90.0, 70.0, 30.0)], "embedded": [pod.Took(60.0, 50.0, 10.0)]}
    assert pod.ratio(taken, "training")["value"] == 1.0
    assert pod.ratio(taken, "release")["value"] == 3.0
    assert pod.ratio(taken, "command")["value"] == 1.5
