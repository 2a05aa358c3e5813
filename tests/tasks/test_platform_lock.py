from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.platform_lock import (
    LOCK,
    PlatformLock,
    Refused,
    load_lock,
    parse_images,
    parse_lock,
    require_digests,
    with_images,
)

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
PATH = Path("platform.yaml")
LOCAL = Path("images.local.yaml")


def content(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "namespaces": {"platform": "slipway", "training": "slipway-training", "serving": "slipway-serving"},
        "store": {"bucket": "slipway", "endpoint": "http://s3.slipway.svc:8333"},
        "postgres": {"host": "postgres.slipway.svc"},
        "images": {
            "flow": {"image": "docker.io/slipway/flow", "tag": "0.1.0", "digest": DIGEST},
            "postgres": {"image": "docker.io/library/postgres", "tag": "15", "digest": None},
        },
        "components": [
            {
                "name": "postgres",
                "chart": "infra/charts/postgres",
                "images": ["postgres"],
                "verify": "postgres",
            },
            {"name": "prefect", "chart": "infra/charts/prefect", "images": ["flow"], "verify": "prefect"},
            {"name": "seldon-core", "verify": "seldon-core", "installed": False},
        ],
    }
    return deepcopy({**whole, **changes})


def parsed(**changes: Any) -> PlatformLock:
    return parse_lock(yaml.safe_dump(content(**changes)), PATH)


def test_the_lock_of_the_repository_is_right() -> None:
    lock = load_lock(LOCK, Path("none"))
    assert [one.name for one in lock.components][-1] == "seldon-core"
    assert {image.image.rpartition("/")[2] for image in lock.images.values()} >= {"flow", "mlflow"}


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        (
            {"extra": 1},
            "extra",
            ("is an unknown key", "Allowed here: components, images, kubernetes, namespaces"),
        ),
        ({"store": {"bucket": "slipway"}}, "store.endpoint", ("is missing", "Add it")),
        ({"store": {"bucket": "B", "endpoint": "http://s3"}}, "store.bucket", ("found 'B'", "pattern")),
        ({"store": {"bucket": "abc", "endpoint": "s3"}}, "store.endpoint", ("found 's3'", "pattern")),
        ({"postgres": {"host": "h", "port": "5432"}}, "postgres.port", ("found '5432'", "integer")),
        ({"postgres": {"host": "h", "porrt": 1}}, "postgres.porrt", ("Allowed here: external, host, port",)),
        (
            {"namespaces": {"platform": "a", "training": "a", "serving": "b"}},
            "namespaces",
            ("the namespaces must differ",),
        ),
        (
            {"images": {"flow": {"image": "docker.io/slipway/flow", "tag": "1", "digest": "sha256:1"}}},
            "images.flow.digest",
            ("found 'sha256:1'", "pattern"),
        ),
        (
            {"components": [{"name": "x", "images": ["y"]}]},
            "components.0.images",
            ("found y", "flow, postgres"),
        ),
        ({"components": [{"name": "x"}, {"name": "x"}]}, "components.1.name", ("two components",)),
        (
            {"components": [{"name": "x", "verfy": "mlflow"}]},
            "components.0.verfy",
            ("Allowed here: address",),
        ),
        ({"components": [{"name": "x", "verify": "y"}]}, "components.0.verify", ("found 'y'", "'mlflow'")),
    ],
)
def test_a_refusal_names_file_key_what_was_found_and_what_is_allowed(
    changes: dict[str, Any], key: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(Refused) as refused:
        parsed(**changes)
    assert refused.value.obj == f"platform.yaml: {key}"
    for word in words:
        assert word in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["a: [1", "- a", "a: 2020-01-01"])
def test_what_is_no_lock_at_all_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"platform\.yaml"):
        parse_lock(text, PATH)


def test_local_images_stand_in_for_those_of_the_lock() -> None:
    text = yaml.safe_dump(
        {"images": {"flow": {"image": "docker.io/slipway/flow", "tag": "l", "digest": OTHER}}}
    )
    lock = with_images(parsed(), parse_images(text, LOCAL), LOCAL)
    assert lock.image("flow") == f"docker.io/slipway/flow@{OTHER}"
    assert lock.images["postgres"] == parsed().images["postgres"]


def test_a_local_image_that_the_lock_does_not_know_is_refused() -> None:
    images = parse_images(yaml.safe_dump({"images": {"flwo": {"image": "a/b", "tag": "1"}}}), LOCAL)
    with pytest.raises(Refused, match=r"unknown image 'flwo'. Allowed here: flow, postgres"):
        with_images(parsed(), images, LOCAL)


def test_an_image_without_digest_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        Refused, match=r"images.postgres.digest: .*no digest. Run `make images`, or set a digest"
    ):
        require_digests(parsed())


def test_what_the_user_brings_needs_no_image() -> None:
    require_digests(parsed(postgres={"host": "db.example.com", "external": True}))


def test_charts_are_told_images_by_reference_and_the_sections_of_the_lock() -> None:
    told = parsed().values()["global"]
    assert told["images"] == {"flow": f"docker.io/slipway/flow@{DIGEST}"}
    assert told["namespaces"]["training"] == "slipway-training"
    assert told["store"] == {
        "bucket": "slipway", "endpoint": "http://s3.slipway.svc:8333", "region": "us-east-1", "external": False,
    }  # fmt: skip
    assert told["postgres"] == {"host": "postgres.slipway.svc", "port": 5432, "external": False}
