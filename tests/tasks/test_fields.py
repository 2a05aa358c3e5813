from typing import Any

import pytest

from tasks.fields import differing, holds, said


def lines(there: Any, wanted: Any, **how: bool) -> list[str]:
    return said(differing(there, wanted, **how))


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"spec": {"replicas": 0}}, {"spec": {"replicas": 1}}, ["spec.replicas is 0, wanted 1"]),
        ({"a": 1}, {}, ["a is 1, wanted unset"]),
        ({}, {"a": "x"}, ['a is unset, wanted "x"']),
        (
            {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]},
            {"containers": [{"name": "b"}, {"name": "a", "image": "y"}]},
            ['containers[a].image is "x", wanted "y"'],
        ),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": []},
            ['env[A] is {"name": "A", "value": "1"}, wanted unset'],
        ),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 81}]}, ["ports[0].port is 80, wanted 81"]),
        ({"args": ["a"]}, {"args": ["a", "b"]}, ['args is ["a"], wanted ["a", "b"]']),
    ],
)
def test_each_field_that_differs_is_named(there: Any, wanted: Any, words: list[str]) -> None:
    assert lines(there, wanted) == words


def test_of_an_object_that_is_only_partly_ours_only_our_part_counts() -> None:
    there = {"labels": {"ours": "1", "theirs": "2"}, "status": {}}
    assert lines(there, {"labels": {"ours": "1"}}, only_wanted=True) == []
    assert lines(there, {"labels": {"ours": "3"}}, only_wanted=True) == ['labels.ours is "1", wanted "3"']


def test_of_a_secret_no_value_is_shown() -> None:
    assert said(differing({"data": {"key": "planted"}}, {"data": {"key": "other"}}), secret=True) == [
        "data.key differs"
    ]


def test_a_long_value_is_cut() -> None:
    (line,) = lines({"a": "x" * 200}, {"a": ""})
    assert len(line) < 100


@pytest.mark.parametrize(
    ("there", "wanted", "but_for", "held"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, None, True),
        ({"b": 2}, {"a": {}}, None, False),
        ([{"name": "x", "port": 1}, {"name": "y"}], [{"name": "y"}], None, True),
        (["a", "b"], ["a"], None, False),
        ({"p": [{"name": "x", "traffic": 0}]}, {"p": [{"name": "x", "traffic": 100}]}, "traffic", True),
        ({"p": [{"name": "x", "traffic": 0}]}, {"p": [{"name": "x", "traffic": 100}]}, None, False),
        (1, 2, None, False),
    ],
)
def test_what_is_there_may_say_more(there: Any, wanted: Any, but_for: str | None, held: bool) -> None:
    assert holds(there, wanted, but_for) == held
