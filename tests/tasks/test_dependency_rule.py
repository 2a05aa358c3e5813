"""The design's dependency rule, read from the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import ROOT

TASKS = sorted((ROOT / "tasks").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").glob("*.py"))
HEAVY = {
    "boto3", "joblib", "lightkube", "matplotlib", "mlflow", "pandas", "pandera", "polars", "prefect", "pyarrow",
    "pyspark", "scipy", "skops", "sklearn", "tritonclient",
}  # fmt: skip
PURE = ("gate.py", "spec_schema.py", "report.py")
DOES_IO = {
    "boto3",
    "httpx",
    "io",
    "os",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "tasks.store",
    "urllib.request",
}
READS_ENVIRONMENT = ("tasks/settings.py", "tasks/__init__.py")
"""The second only sets, before any library reads it."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def at_import(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not those of functions, nor for a type checker only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.stmt):
            yield node
        yield from at_import(node)


def imported(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, str]]:
    """Module and name of each import: `import a.b` is ("a.b", "")."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", TASKS, ids=name)
def test_a_task_imports_no_flow_and_no_platform(path: Path) -> None:
    modules = {module.partition(".")[0] for module, _ in imported(ast.walk(of(path)))}
    assert not modules & {"flows", "infra", "tests"}


@pytest.mark.parametrize("path", [*TASKS, *FLOWS], ids=name)
def test_no_private_name_of_another_module_is_imported(path: Path) -> None:
    private = [
        f"{module}.{what}"
        for module, what in imported(ast.walk(of(path)))
        if module.partition(".")[0] in ("flows", "tasks", "infra") and what.startswith("_")
    ]
    assert not private


@pytest.mark.parametrize("path", [path for path in TASKS if path.parent.name != "features"], ids=name)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    modules = {module.partition(".")[0] for module, _ in imported(at_import(of(path)))}
    assert not modules & HEAVY


def test_the_command_line_imports_nothing_heavy() -> None:
    modules = {module.partition(".")[0] for module, _ in imported(at_import(of(ROOT / "flows" / "cli.py")))}
    assert not modules & HEAVY


@pytest.mark.parametrize("file", PURE)
def test_what_decides_does_no_io(file: str) -> None:
    tree = of(ROOT / "tasks" / file)
    modules = {module for module, _ in imported(ast.walk(tree))}
    modules |= {f"{module}.{what}" for module, what in imported(ast.walk(tree))}
    assert not modules & DOES_IO
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not {
        call
        for call in calls
        if call == "open" or call.endswith((".read_text", ".write_text", ".read_bytes"))
    }


@pytest.mark.parametrize("path", FLOWS, ids=name)
def test_a_flow_reads_like_a_table_of_contents(path: Path) -> None:
    decorated = [
        node for node in ast.walk(of(path))
        if isinstance(node, ast.FunctionDef) and any("flow" in ast.unparse(d) for d in node.decorator_list)
    ]  # fmt: skip
    if decorated:
        assert len(path.read_text().splitlines()) <= 150


@pytest.mark.parametrize(
    "path", [path for path in [*TASKS, *FLOWS] if name(path) not in READS_ENVIRONMENT], ids=name
)
def test_only_settings_reads_the_environment(path: Path) -> None:
    read = [
        ast.unparse(node) for node in ast.walk(of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]  # fmt: skip
    assert not read
