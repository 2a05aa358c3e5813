import re
from pathlib import Path

import pytest
import yaml
from slipway_model_server.estimators import ESTIMATORS

from tasks.errors import SpecError
from tasks.spec import MODELS, load_spec, parse_spec
from tests.tasks.specs import PATH, content, parsed, refused


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_of_the_repository_is_right_and_named_like_its_file(path: Path) -> None:
    assert load_spec(path.stem).name == path.stem
    assert load_spec(str(path)) == load_spec(path.stem)
    assert load_spec(path.stem).path == path


def test_a_spec_may_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(yaml.safe_dump(content()))
    assert load_spec(str(file)).path == file


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"model 'irsi': no spec .*known models: .*iris"):
        load_spec("irsi")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone.yaml: cannot be read"):
        load_spec(str(tmp_path / "gone.yaml"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"binary.yaml: cannot be read"):
        load_spec(str(binary))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML"),
        ("", "holds NoneType, not a mapping"),
        ("- a", "holds list, not a mapping"),
        ("name: !!python/object:os.system {}", "is not YAML"),
    ],
)
def test_what_is_not_a_mapping_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(text, PATH)


def test_a_key_given_twice_is_refused_with_its_line() -> None:
    text = yaml.safe_dump(content(), sort_keys=False) + "engine: pandas\nengine: polars\n"
    with pytest.raises(
        SpecError, match=rf"example.yaml:{line_of(text, 'engine: polars')}: key 'engine': is given twice"
    ):
        parse_spec(text, PATH)


COLUMNS = content()["columns"]
GATE = content()["gate"]


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"engine": "dask"}, "engine", ("found 'dask'", "'pandas', 'polars' or 'spark'")),
        ({"name": "My Model"}, "name", ("found 'My Model'", "pattern")),
        ({"name": "iris-candidate-3"}, "name", ("must not end in -candidate-<number>",)),
        ({"minimum_rows": "many"}, "minimum_rows", ("found 'many'", "valid integer")),
        ({"minimum_rows": 1.5}, "minimum_rows", ("found 1.5", "integer")),
        ({"problem": "clustering"}, "problem", ("found 'clustering'", "'classification' or 'regression'")),
        ({"sources": {}}, "sources", ("found {}", "at least 1")),
        ({"extra": 1}, "extra", ("unknown key 'extra'", "Allowed here: candidates, columns, description")),
        ({"gate": {**GATE, "minimm": 1}}, "gate.minimm", ("unknown key", "Allowed here: confidence, margin")),
        ({"gate": {**GATE, "metric": "auc"}}, "gate.metric", ("unknown metric 'auc'", "roc_auc")),
        ({"gate": {**GATE, "metric": "r2"}}, "gate.metric", ("r2 does not fit problem classification", "f1")),
        ({"gate": {"metric": "f1"}}, "gate.minimum", ("is missing", "Add it")),
        (
            {"gate": {**GATE, "slices": {"size": 0.1}}},
            "gate.slices.size",
            ("float64 column has too many values",),
        ),
        ({"split": {"by": "chance"}}, "split", ("'random', 'group', 'time'",)),
        (
            {"split": {"by": "random", "tst": 0.1}},
            "split.tst",
            ("unknown key", "Allowed here: by, seed"),
        ),
        ({"split": {"by": "random", "test": 1.0}}, "split.test", ("found 1.0", "less than 1")),
        ({"split": {"by": "time", "column": "seen", "last_days": 3}}, "split.column", ("nullable datetime",)),
        ({"split": {"by": "time", "column": "count", "last_days": 3}}, "split.column", ("int64 column",)),
        ({"split": {"by": "time", "column": "day"}}, "split", ("exactly one of cut and last_days",)),
        ({"split": {"by": "time", "column": "day", "cut": "soon"}}, "split.cut", ("found 'soon'",)),
        ({"key": ["id", "id"]}, "key", ("named twice",)),
        ({"key": ["size"]}, "key", ("column size is nullable",)),
        ({"target": "size"}, "target", ("is also one of columns",)),
        ({"target": "id"}, "target", ("is also a key",)),
        ({"seed": "no-function"}, "seed", ("found 'no-function'", "pattern")),
        ({"columns": {"__target__": {"type": "int64"}}}, "columns", ("__target__ is reserved",)),
        ({"columns": {"a": {"type": "int32"}}}, "columns.a.type", ("found 'int32'", "'int64', 'float64'")),
        ({"columns": {"a": {"type": "string", "minimum": 0.0}}}, "columns.a", ("need a numeric column",)),
        (
            {"columns": {"a": {"type": "float64", "minimum": 2.0, "maximum": 1.0}}},
            "columns.a",
            ("above maximum",),
        ),
        ({"columns": {"a": {"type": "int64", "categories": ["x"]}}}, "columns.a", ("'x' is not a int64",)),
        ({"columns": {"a": {"type": "string", "role": "numeric"}}}, "columns.a", ("role numeric",)),
        (
            {"columns": {"gate": {"type": "string", "metric": "f1"}}},
            "columns.gate.metric",
            ("categories, max",),
        ),
        ({"candidates": {}}, "candidates", ("at least 1",)),
        (
            {"candidates": {"Big One": {"estimator": "x"}}},
            "candidates.Big One",
            ("name 'Big One' does not fit",),
        ),
    ],
)
def test_a_wrong_spec_is_refused_with_file_line_key_what_was_found_and_what_is_allowed(
    changes: dict, key: str, words: tuple[str, ...]
) -> None:
    document = content(**changes)
    text = yaml.safe_dump(document, sort_keys=False)
    error = refused(document)
    place = re.fullmatch(r"/specs/example\.yaml:(\d+): (.*)", error.obj)
    assert place is not None
    assert place[2] == key
    for word in words:
        assert word in str(error)
    last = key.rsplit(".", 1)[-1]
    if f"{last}:" in text:
        assert f"{last}:" in text.splitlines()[int(place[1]) - 1]


TREE = "sklearn.tree.DecisionTreeClassifier"


@pytest.mark.parametrize(
    ("candidate", "key", "words"),
    [
        (
            {"estimator": "sklearn.linear_model.Ridge"},
            "estimator",
            "is a regressor; problem classification needs",
        ),
        ({"estimator": "sklearn.preprocessing.StandardScaler"}, "estimator", "is a transformer"),
        (
            {"estimator": "sklearn.linear_model.LogisticRegresion"},
            "estimator",
            "nearest: sklearn.linear_model.Log",
        ),
        ({"estimator": "os.system"}, "estimator", "not in the table of allowed estimators"),
        (
            {"estimator": TREE, "parameters": {"base": {"estimator": "os.system"}}},
            "parameters.base.estimator",
            "'os.system' is not in",
        ),
        (
            {
                "estimator": TREE,
                "parameters": {"list": [{"name": "a", "estimator": "os.system", "parameters": {}}]},
            },
            "parameters.list.0.estimator",
            "'os.system' is not in",
        ),
        (
            {
                "estimator": TREE,
                "search": {"method": "grid", "parameters": {"base": [{"estimator": "os.system"}]}},
            },
            "search.parameters.base.0.estimator",
            "'os.system' is not in",
        ),
        (
            {"estimator": TREE, "encoders": {"numeric": [{"estimator": TREE}]}},
            "encoders",
            "is not a transformer",
        ),
        ({"estimator": TREE, "search": {"method": "random", "parameters": {"a": [1]}}}, "search", "needs it"),
        (
            {"estimator": TREE, "search": {"method": "grid", "parameters": {"a": []}}},
            "search.parameters.a",
            "at least",
        ),
        (
            {"estimator": TREE, "search": {"method": "grid", "parameters": {}}},
            "search.parameters",
            "at least 1",
        ),
        (
            {"estimator": TREE, "parametres": {}},
            "parametres",
            "Allowed here: encoders, estimator",
        ),
    ],
)
def test_a_wrong_candidate_is_refused(candidate: dict, key: str, words: str) -> None:
    error = refused(content(candidates={"first": candidate}))
    assert error.obj.endswith(f"candidates.first{'.' if key else ''}{key}")
    assert words in str(error)


def test_values_that_json_cannot_hold_are_refused() -> None:
    for value in (".nan", ".inf", "!!binary aGVsbG8="):
        with pytest.raises(SpecError):
            parse_spec(yaml.safe_dump(content()) + f"description: {value}\n", PATH)


def test_every_estimator_of_the_table_can_be_named() -> None:
    for path, entry in ESTIMATORS.items():
        if entry.kind != "transformer":
            problem = "classification" if entry.kind == "classifier" else "regression"
            assert parsed(content(problem, candidates={"first": {"estimator": path}}))


def test_dates_may_be_written_as_yaml_dates() -> None:
    text = yaml.safe_dump(content()).replace("by: random", "by: time\n  column: day\n  cut: 2013-10-01")
    assert str(parse_spec(text.replace("  test: 0.25\n", ""), PATH).split.cut).startswith("2013-10-01")


def test_a_frozen_spec() -> None:
    with pytest.raises(Exception, match="frozen"):
        parsed(content()).engine = "pandas"  # type: ignore[misc]


def test_the_digest_ignores_comments_and_order_and_nothing_else() -> None:
    document = content()
    text = yaml.safe_dump(document, sort_keys=True)
    reordered = "# a comment\n" + yaml.safe_dump(dict(reversed(document.items())), sort_keys=False)
    assert parse_spec(text, PATH).digest == parse_spec(reordered, Path("/elsewhere.yaml")).digest
    assert parsed(content(minimum_rows=101)).digest != parsed(document).digest


def test_extra_columns_are_what_prepare_must_return_beside_the_models() -> None:
    spec = parsed(
        content(
            split={"by": "group", "columns": ["customer", "colour"]}, gate={**GATE, "slices": {"origin": 0.1}}
        )
    )
    assert spec.extra_columns == ("id", "customer", "origin")
    assert parsed(content(key=["count"])).extra_columns == ()
