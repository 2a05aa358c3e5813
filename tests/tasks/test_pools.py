"""Templates of work pools: markers are filled, and none is left."""

import json

import pytest

from tasks.errors import PlatformError
from tasks.markers import filled, markers
from tasks.pools import POOLS, template


def test_markers_stand_for_what_the_lock_says() -> None:
    known = markers({"flow": "example/flow@sha256:1"}, {"platform": "p", "training": "t"})
    given = {"a": ["@image:flow", {"b": "@namespace:training"}, "@priority:serving"], "c": "me@here", "d": 1}
    assert filled(given, known, "x.json") == {
        "a": ["example/flow@sha256:1", {"b": "t"}, "p-serving"],
        "c": "me@here",
        "d": 1,
    }


def test_a_marker_that_means_nothing_names_the_file() -> None:
    with pytest.raises(PlatformError, match=r"x\.json: has the marker @image:flow.*Known: image:other"):
        filled({"a": "@image:flow"}, {"image:other": "x"}, "x.json")


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_has_a_template_of_each_kind_with_the_compute_of_a_model(pool: str) -> None:
    images = {name: f"example/{name}@sha256:1" for name in ("flow", "flow-spark")}
    known = markers(images, {"platform": "p", "training": "t", "serving": "s"})
    kubernetes, process = template(pool, "kubernetes", known), template(pool, "process")
    for made in (kubernetes, process):
        assert {"cpu", "memory"} <= made["variables"]["properties"].keys()
    assert '"@' not in json.dumps([kubernetes, process])
