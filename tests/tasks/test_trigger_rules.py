import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.deployments import FILE
from tasks.errors import SlipwayError
from tasks.spec import NotebooksSpec, load_spec
from tasks.trigger_rules import READABLE, WRITABLE, Asked, NotAllowed, User, check, check_place, listed, tags

ROOT = "s3://slipway"
ANNA = User("anna", ("data-scientists",))


def test_only_retrain_and_score_of_prefect_yaml_are_listed() -> None:
    found = listed(yaml.safe_load(FILE.read_text()))
    assert {name.partition("/")[0] for name in found} == {"retrain", "score"}
    assert found["retrain/flight-delays-spark"] == "flight-delays"


def test_what_is_listed_may_be_started_by_a_group_of_the_spec() -> None:
    asked = Asked(flow="score", name="iris", parameters={"destination": "store://scratch/anna/scores"})
    check(ANNA, asked, load_spec("iris"), ROOT)


@pytest.mark.parametrize("groups", [(), ("admins",), ("data-scientists-too",)])
def test_no_other_group_may(groups: tuple[str, ...]) -> None:
    with pytest.raises(
        NotAllowed, match=r"by data-scientists; ben is in .*notebooks\.groups.* of iris\.yaml"
    ):
        check(User("ben", groups), Asked(flow="retrain", name="iris"), load_spec("iris"), ROOT)


def test_a_model_whose_spec_names_no_group_is_nobodys() -> None:
    spec = load_spec("iris").model_copy(update={"notebooks": NotebooksSpec()})
    with pytest.raises(NotAllowed, match="by no group"):
        check(ANNA, Asked(flow="retrain", name="iris"), spec, ROOT)


def test_who_may_ask_is_no_part_of_what_a_model_is_made_from() -> None:
    spec = load_spec("iris")
    assert spec.model_copy(update={"notebooks": NotebooksSpec(groups=("others",))}).digest == spec.digest


@pytest.mark.parametrize(
    "uri", ["store://scratch/a", "s3://slipway/scratch/a/b.parquet", "store://scratch/day=1/x/"]
)
def test_a_notebooks_own_folder_is_a_place_for_scores(uri: str) -> None:
    check_place("destination", uri, ROOT, WRITABLE)


@pytest.mark.parametrize(
    "uri",
    [
        "store://scratch", "store://scratch/", "store://datasets/a", "store://mlflow/1", "s3://slipway/mlflow/1",
        "s3://slipway/records/iris/1.json", "s3://other/scratch/a", "s3://slipwayscratch/a", "/scratch/a",
        "scratch/a", "store://scratch/../mlflow/a", "store://scratch/./a", "store://scratch//a", "store:///scratch/a",
        "store://scratch/a?b", "store://scratch/*", "store://scratch/%2e%2e/a", "S3://slipway/scratch/a", "",
    ],
)  # fmt: skip
def test_nowhere_else_is(uri: str) -> None:
    with pytest.raises(NotAllowed, match=r"store://scratch/\.\.\."):
        check_place("destination", uri, ROOT, WRITABLE)


@given(st.text(), st.sampled_from(["store://scratch/", "s3://slipway/datasets/", "store://", ""]))
def test_whatever_is_asked_for_lies_below_a_readable_folder_or_is_refused(text: str, start: str) -> None:
    uri = start + text
    try:
        check_place("source iris", uri, ROOT, READABLE)
    except SlipwayError:
        return
    key = uri.removeprefix("store://").removeprefix("s3://slipway/")
    assert key.partition("/")[0] in READABLE
    assert not {"", ".", ".."} & set(key.rstrip("/").split("/"))


@pytest.mark.parametrize(
    ("commit", "dirty", "tag"),
    [("", False, "no-commit"), ("a" * 40, False, "a" * 12), ("a" * 40, True, "a" * 12 + "+")],
)
def test_where_a_run_comes_from_is_shown(commit: str, dirty: bool, tag: str) -> None:
    asked = Asked(flow="retrain", name="iris", commit=commit, dirty=dirty)
    assert tags(ANNA, asked) == ("asked-by:anna", f"notebook:{tag}")
