"""The Python functions of a model: finding and loading them, and the hash of the code that a run depends on."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks.errors import SpecError
from tasks.settings import ROOT
from tasks.spec import ModelSpec

Function = Callable[..., Any]


@dataclass(frozen=True)
class Functions:
    """`prepare(**frames)` and `target(**frames)` (None if the spec names a column); `files` hold their code."""

    prepare: Function
    target: Function | None
    files: tuple[Path, ...]


def load_functions(spec: ModelSpec) -> Functions:
    """Import the spec's module. Raises SpecError if it, or one of its functions, is missing or cannot be used."""
    file = module_file(spec)
    try:
        module = _from_file(file) if _is_file(spec) else importlib.import_module(spec.features)
    except Exception as error:
        raise SpecError(
            f"{spec.path}: features",
            f"{file} fails to import ({type(error).__name__}: {error})",
            "Correct it.",
        ) from error
    prepare = _function(spec, module, "prepare")
    target = _function(spec, module, "target") if spec.target is None else None
    return Functions(prepare, target, (file,))


def _function(spec: ModelSpec, module: ModuleType, name: str) -> Function:
    function = getattr(module, name, None)
    if not callable(function):
        wish = " (or name the target's column as 'target' in the spec)" if name == "target" else ""
        raise SpecError(
            f"{spec.path}: features",
            f"{spec.features} has no function {name}",
            f"Write {name}(**frames){wish}.",
        )
    needed_sources(spec, function)
    return function  # type: ignore[no-any-return]


def needed_sources(spec: ModelSpec, function: Function) -> tuple[str, ...]:
    """The sources that `function` takes: those it names as parameters, or all of them for `**frames`."""
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return tuple(spec.sources)
    for parameter in named:
        if parameter.name not in spec.sources and parameter.default is parameter.empty:
            raise SpecError(
                f"{spec.features}.{function.__name__}",
                f"takes {parameter.name!r}, which is no source of model {spec.name}",
                f"Name its parameters after the sources: {', '.join(spec.sources)}.",
            )
    return tuple(p.name for p in named if p.name in spec.sources)


def _is_file(spec: ModelSpec) -> bool:
    return spec.features.endswith(".py")


def module_file(spec: ModelSpec) -> Path:
    """The file of the spec's module, found without running it. Raises SpecError if there is none."""
    if _is_file(spec):
        file = (spec.path.parent / spec.features).resolve()
        if not file.is_file():
            raise SpecError(f"{spec.path}: features", f"there is no file {file}", "Correct the path.")
        return file
    try:
        found = importlib.util.find_spec(spec.features)
    except (ImportError, ValueError) as error:
        raise SpecError(
            f"{spec.path}: features", f"{spec.features!r}: {error}", "Correct the name."
        ) from error
    if found is None or found.origin is None:
        raise SpecError(
            f"{spec.path}: features",
            f"there is no module {spec.features}",
            "Give a dotted name such as tasks.features.iris, or a .py file beside the spec.",
        )
    return Path(found.origin)


def _from_file(file: Path) -> ModuleType:
    """A fresh module; its name holds the content's hash, so two specs never get each other's."""
    name = f"slipway_features_{hashlib.sha256(bytes(file) + file.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    sys.modules[name] = module
    return module


def code_hash(spec: ModelSpec) -> str:
    """sha256 (hex) of the code that a run of `spec` depends on: the Python files in the folder of its module
    (what it may import), `tasks/`, and the served package."""
    served = ROOT / "images" / "model-server" / "slipway_model_server"
    own = module_file(spec)
    digest = hashlib.sha256(own.name.encode())
    for folder, pattern in ((own.parent, "*.py"), (ROOT / "tasks", "**/*.py"), (served, "*.py")):
        _add_files(digest, folder, folder.glob(pattern))
    return digest.hexdigest()


def _add_files(digest: Any, folder: Path, files: Any) -> None:
    for file in sorted(files):
        digest.update(f"\n{file.relative_to(folder).as_posix()}\n".encode())
        stat = file.stat()
        digest.update(_content(file, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1024)
def _content(file: Path, changed: int, size: int) -> bytes:
    """A code file as it was at `changed`: a run asks for the same few dozen several times."""
    return file.read_bytes()
