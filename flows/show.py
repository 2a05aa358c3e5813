"""Results for people: what was decided and why, where to look, what to paste."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(result: Any, stream: Any) -> None:
    """Print `result` on `stream`, by its type."""
    out = Console(file=stream, highlight=False)
    by_type: dict[str, Callable[[Console, Any], None]] = {
        "Status": _status,
        "ClusterStatus": _cluster_status,
        "Stopped": _stopped,
        "Retrained": _retrain,
        "ReleaseResult": _release,
        "Models": _models,
        "Bootstrapped": _bootstrapped,
        "Plan": _plan,
        "TornDown": _torn_down,
        "Housekeeping": _housekeeping,
    }
    by_type.get(type(result).__name__, _fields)(out, result)


def _line(out: Console, text: str, style: str = "") -> None:
    """One line that is never wrapped nor read as markup: links and commands stay whole when copied."""
    out.print(Text(text, style=style), soft_wrap=True)


def _status(out: Console, status: Any) -> None:
    if not status.services:
        _line(out, f"The platform was never started under {status.home}. Start it with `slipway up`.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "condition", "pid", "address"):
        table.add_column(heading, overflow="fold")
    colours = {"running": "green", "stopped": "dim", "not answering": "red"}
    for one in status.services:
        condition = Text(one.condition, style=colours[one.condition])
        table.add_row(one.name, condition, str(one.pid or ""), one.url or "")
    out.print(table)
    _line(out, f"Logs and data: {status.home}", "dim")


def _cluster_status(out: Console, status: Any) -> None:
    if not status.parts:
        _line(
            out, f"Nothing of the platform is in namespace {status.namespace}. `slipway bootstrap` makes it."
        )
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "condition", "ready", "address in the cluster"):
        table.add_column(heading, overflow="fold")
    colours = {"running": "green", "stopped": "dim", "not ready": "red"}
    for one in status.parts:
        condition = Text(one.condition, style=colours[one.condition])
        table.add_row(one.kind, one.name, condition, one.ready, one.address or "")
    out.print(table)
    _usage(out, status)


def _usage(out: Console, status: Any) -> None:
    """What the pods of each owner asked for and use."""
    if status.usage:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "name", "pods"):
            table.add_column(heading, overflow="fold")
        for heading in ("cpu asked", "used", "memory asked", "used"):
            table.add_column(heading, justify="right")
        for one in status.usage:
            figures = (
                _cores(one.cpu_requested), _cores(one.cpu_used),
                _mebibytes(one.memory_requested), _mebibytes(one.memory_used),
            )  # fmt: skip
            table.add_row(one.owner, one.name, str(one.pods), *figures)
        _line(out, "")
        out.print(table)
    if status.unmeasured:
        _line(out, f"What is used is not known: {status.unmeasured}.", "dim")


def _cores(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _mebibytes(number: int | None) -> str:
    return "" if number is None else f"{number / 2**20:,.0f} Mi"


def _stopped(out: Console, result: Any) -> None:
    _line(
        out, f"Stopped {', '.join(result.stopped)}. Data stay." if result.stopped else "Nothing was running."
    )


def _retrain(out: Console, retrained: Any) -> None:
    result = retrained.result
    _line(out, f"\n{result.model}: {result.outcome}", "bold")
    for reason in result.reasons:
        _line(out, f"  {reason}")
    if result.table:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "candidate", "champion", "threshold"):
            table.add_column(heading, overflow="fold")
        for row in result.table:
            table.add_row(*(Text(cell) for cell in row))
        out.print(table)
    for name, url in (("Prefect run", result.prefect_url), ("MLflow run", result.mlflow_url)):
        if url:
            _line(out, f"{name}  {url}")
    if result.release is not None:
        _line(out, str(result.release), "bold")
    _curl(out, retrained.curl)


def _release(out: Console, result: Any) -> None:
    _line(out, str(result), "bold")
    _line(out, f"REST  {result.rest_url}\ngRPC  {result.grpc_url}")
    _curl(out, result.curl)


def _models(out: Console, found: Any) -> None:
    if not found.models:
        _line(out, "No model is live. `slipway retrain MODEL` makes one so.")
    for model in found.models:
        _line(out, str(model), "" if model.well else "red")


def _bootstrapped(out: Console, result: Any) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("component", "", "version", "address", "verified by"):
        table.add_column(heading, overflow="fold")
    for row in result.components:
        cells = (row.component, row.did, row.version, row.address, row.verified_by)
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)
    for line in result.kept:
        _line(out, line)
    changed = f"Changed: {', '.join(result.changed)}." if result.changed else "Nothing had to be changed."
    _line(out, f"{changed} Commands use this cluster now ({result.settings}).", "bold")


def _torn_down(out: Console, result: Any) -> None:
    for kind in ("models", "components", "namespaces"):
        names = getattr(result, kind)
        if names:
            _line(out, f"Removed {kind}: {', '.join(names)}.")
    for line in result.kept or ("Nothing was kept.",):
        _line(out, line, "bold")


def _plan(out: Console, plan: Any) -> None:
    for change in plan.changes:
        _line(out, f"{change.part}: {change.does}", "bold")
        for line in change.why:
            _line(out, f"  {line}")
    changed = f"{len(plan.changes)} parts would be changed by `slipway bootstrap`."
    _line(out, changed if plan.changes else "Nothing has to be changed.", "bold")


def _housekeeping(out: Console, result: Any) -> None:
    kinds = ("jobs", "data", "models", "runs", "images")
    for kind in kinds:
        for name in getattr(result, kind):
            _line(out, f"{kind}  {name}")
    for note in result.notes:
        _line(out, note, "dim")
    counts = ", ".join(f"{len(getattr(result, kind))} {kind}" for kind in kinds)
    _line(out, f"{'Would remove' if result.dry_run else 'Removed'} {counts}.", "bold")


def _curl(out: Console, curl: str) -> None:
    if curl:
        _line(out, f"Ask it:\n{curl}")
    if ".svc:" in curl:
        _line(
            out,
            "Addresses in the cluster; `slipway open prefect|mlflow|MODEL` leads there from outside.",
            "dim",
        )


def _fields(out: Console, result: Any) -> None:
    from flows.console import plain

    document = plain(result)
    for name, value in document.items() if isinstance(document, dict) else (("", document),):
        if name == "curl":
            _curl(out, value)
        elif value is not None:
            _line(out, f"{name.replace('_', ' ')}: {value}".removeprefix(": "))
