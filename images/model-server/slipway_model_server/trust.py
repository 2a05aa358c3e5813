"""What must hold before anything of a stored model is loaded, and the loading itself.

MLflow loads whatever a model's own MLmodel file trusts, so a changed model vouches for itself. Here only two
things count: the digest that the caller was given, and our own table of types.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from slipway_model_server.digest import ModelRefused, read_folder
from slipway_model_server.estimators import trusted_types

__all__ = ["ColumnType", "Model", "ModelRefused", "Served", "check_model", "load_model"]

MODEL = "model.skops"
MLMODEL = "MLmodel"
GOLDEN = "extra_files/golden.json"

ColumnType = Literal["int64", "float64", "string", "bool", "datetime"]
SIGNATURE_TYPES: dict[str, ColumnType] = {
    "long": "int64",
    "double": "float64",
    "string": "string",
    "boolean": "bool",
    "datetime": "datetime",
}

DATATYPES: dict[ColumnType, str] = {
    "float64": "FP64",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
}
"""What the Open Inference Protocol calls each type: server and client speak by this one table."""

# Every other key, and every other value of these, would make MLflow run or fetch something else.
SKLEARN: dict[str, tuple[Any, ...] | None] = {
    "serialization_format": ("skops",),
    "pickled_model": (MODEL,),
    "code": (None,),
    "sklearn_version": None,
    "skops_trusted_types": None,
    "extra_files": None,
}
PYFUNC: dict[str, tuple[Any, ...] | None] = {
    "code": (None,),
    "loader_module": ("mlflow.sklearn",),
    "model_path": (MODEL,),
    "predict_fn": ("predict",),
    "env": None,
    "python_version": None,
}
REQUIRED = {"sklearn": ("pickled_model", "serialization_format"), "python_function": ("loader_module",)}


@dataclass(frozen=True)
class Served:
    """One column as the model's signature has it. `nullable`: a row may lack the value."""

    type: ColumnType
    nullable: bool


@dataclass(frozen=True)
class Model:
    """A loaded model: its fitted Pipeline, its columns in the signature's order, the digest it has.

    `classes`: the labels in the order of `predict_proba`'s columns, or None for a regressor. `golden`: where
    the golden rows lie, or None if the model was stored without them.
    """

    pipeline: Any
    columns: dict[str, Served]
    classes: tuple[Any, ...] | None
    digest: str
    golden: Path | None


@dataclass(frozen=True)
class Checked:
    """What `check_model` found in order; `skops` are the bytes that the digest was taken over."""

    columns: dict[str, Served]
    skops: bytes
    types: tuple[str, ...]
    digest: str


def check_model(folder: Path | str, expected_digest: str) -> Checked:
    """Check a stored model without loading any of it.

    Raises ModelRefused if the bytes are not those of `expected_digest`, if it is anything but scikit-learn
    stored with skops, or if it holds (or claims to trust) a type beyond skops' defaults and our table.
    """
    if not expected_digest:
        raise ModelRefused(f"{folder}: no digest was given to check the model against")
    digest, content = read_folder(Path(folder), (MODEL, MLMODEL))
    if digest != expected_digest:
        raise ModelRefused(f"{folder}: its digest is {digest}, not {expected_digest}: the files have changed")
    if MLMODEL not in content:
        raise ModelRefused(f"{folder}: has no {MLMODEL} file; it is not a model that MLflow stored")
    try:
        document = yaml.safe_load(content[MLMODEL])
    except yaml.YAMLError as error:
        raise ModelRefused(f"{MLMODEL}: is not plain YAML ({' '.join(str(error).split())})") from error
    check_flavors(document)
    columns = signature_columns(document)
    if MODEL not in content:
        raise ModelRefused(f"{folder}: has no file {MODEL}")
    return Checked(columns, content[MODEL], check_types(content[MODEL]), digest)


def check_flavors(document: Any) -> None:
    """Raise ModelRefused unless the MLmodel `document` describes exactly what we load, in our way."""
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict) or "sklearn" not in flavors:
        raise ModelRefused(f"{MLMODEL}: has no flavor sklearn")
    for flavor, keys in sorted(flavors.items(), key=lambda item: item[0] != "sklearn"):
        allowed = {"sklearn": SKLEARN, "python_function": PYFUNC}.get(flavor)
        if allowed is None or not isinstance(keys, dict):
            raise ModelRefused(f"{MLMODEL}: flavor {flavor!r} is not one we serve")
        for key in REQUIRED[flavor]:
            if key not in keys:
                raise ModelRefused(f"{MLMODEL}: flavors.{flavor}.{key} is missing")
        for key, values in allowed.items():
            if values is not None and key in keys and keys[key] not in values:
                raise ModelRefused(
                    f"{MLMODEL}: flavors.{flavor}.{key} is {keys[key]!r}, allowed is {values[0]!r}"
                )
        for key in keys:
            if key not in allowed:
                raise ModelRefused(f"{MLMODEL}: flavors.{flavor}.{key} is not allowed (found {keys[key]!r})")
    claimed = flavors["sklearn"].get("skops_trusted_types") or []
    if not isinstance(claimed, list):
        raise ModelRefused(f"{MLMODEL}: flavors.sklearn.skops_trusted_types is not a list")
    strange = sorted({str(name) for name in claimed} - trusted_types())
    if strange:
        raise ModelRefused(
            f"{MLMODEL}: wants types trusted that our table does not have: {', '.join(strange)}"
        )


def signature_columns(document: dict[str, Any]) -> dict[str, Served]:
    """The columns of an MLmodel `document`'s signature, in order."""
    signature = document.get("signature") or {}
    try:
        inputs = json.loads(signature.get("inputs") or "[]")
        found = [(entry["name"], entry["type"], entry.get("required", True)) for entry in inputs]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelRefused(f"{MLMODEL}: signature.inputs does not list named columns ({error!r})") from error
    if not found:
        raise ModelRefused(f"{MLMODEL}: has no signature, so no request could be checked")
    columns: dict[str, Served] = {}
    for name, kind, required in found:
        if not isinstance(name, str) or name in columns:
            raise ModelRefused(f"{MLMODEL}: signature column {name!r} is not a text, or is there twice")
        if kind not in SIGNATURE_TYPES:
            raise ModelRefused(
                f"{MLMODEL}: signature column {name!r} has type {kind!r}; "
                f"served are {', '.join(SIGNATURE_TYPES)}"
            )
        columns[name] = Served(SIGNATURE_TYPES[kind], nullable=not required)
    return columns


def check_types(data: bytes) -> tuple[str, ...]:
    """The types in the skops file `data` beyond skops' defaults; ModelRefused if our table lacks one."""
    import skops.io

    try:
        found = skops.io.get_untrusted_types(data=data)
    # A hostile file may fail anywhere in skops' reading of it; whatever it raises, the answer is no.
    except Exception as error:
        raise ModelRefused(
            f"{MODEL}: cannot be read as a skops file ({type(error).__name__}: {error})"
        ) from error
    strange = sorted(set(found) - trusted_types())
    if strange:
        raise ModelRefused(f"{MODEL}: holds types that our table does not have: {', '.join(strange)}")
    return tuple(found)


def load_model(folder: Path | str, expected_digest: str) -> Model:
    """Check (`check_model`), then load. Raises ModelRefused."""
    import skops.io
    from sklearn.pipeline import Pipeline

    checked = check_model(folder, expected_digest)
    with io.BytesIO(checked.skops) as file:
        pipeline = skops.io.load(cast(Any, file), trusted=list(checked.types))
    if type(pipeline) is not Pipeline or not hasattr(pipeline, "predict"):
        raise ModelRefused(f"{MODEL}: holds a {type(pipeline).__name__}, not a Pipeline that predicts")
    fitted_on = list(getattr(pipeline, "feature_names_in_", checked.columns))
    if fitted_on != list(checked.columns):
        raise ModelRefused(
            f"{MLMODEL}: signature has the columns {', '.join(checked.columns)}; "
            f"{MODEL} was fitted on {', '.join(fitted_on)}"
        )
    classes = getattr(pipeline, "classes_", None)
    golden = Path(folder) / GOLDEN
    return Model(
        pipeline=pipeline,
        columns=checked.columns,
        classes=None if classes is None else tuple(classes.tolist()),
        digest=checked.digest,
        golden=golden if golden.is_file() else None,
    )
