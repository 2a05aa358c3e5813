"""The page that every run leaves: a Prefect artifact and an MLflow page. Pure: a RunReport in, text out.

The flow starts with `RunReport(...)` and adds what it learns with `dataclasses.replace`; any state of it can
be rendered, so a run that fails half-way still leaves what it knew.
"""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.gate import Evidence, GateDecision
from tasks.spec import GateSpec

STYLE = """body{font-family:system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{border:1px solid #ccc;padding:.3rem .7rem;text-align:left}
th{background:#f3f3f3}img{max-width:100%}code{background:#f3f3f3;padding:0 .2rem}"""


@dataclass(frozen=True)
class CandidateReport:
    """One candidate of the run. `metrics` are those of the test rows; `chosen` is the one that was judged."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    validation_score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    chosen: bool = False


@dataclass(frozen=True)
class RunReport:
    """What a run knows so far. Everything but the first three may be missing.

    `facts` are lines like engine, rows, snapshot; `pictures` PNG bytes by name; `traffic` says what happened
    to what production serves; `failure` is the message of the error that ended the run; `links` are URLs by
    title.
    """

    model: str
    gate: GateSpec
    started: str
    facts: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    candidates: tuple[CandidateReport, ...] = ()
    champion: str | None = None
    """The version that the candidate was compared with, e.g. `v7`."""
    evidence: Evidence | None = None
    decision: GateDecision | None = None
    registered: str | None = None
    traffic: str = "Untouched."
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None
    unchanged: str | None = None
    """Why the run had nothing to do, if so."""


def outcome(report: RunReport) -> str:
    """One word or two: what came of the run."""
    if report.failure is not None and report.decision is None:
        return "failed"
    if report.decision is not None:
        failed = report.failure is not None and report.decision.outcome != "insufficient evidence"
        return f"{report.decision.outcome}, then failed" if failed else report.decision.outcome
    return "unchanged" if report.unchanged is not None else "not decided"


def summary_table(report: RunReport) -> list[tuple[str, str, str, str]]:
    """Rows (what, candidate, champion, threshold) for the terminal and the page; empty without evidence."""
    found = report.evidence
    if found is None:
        return []
    rows = [(found.metric, _score(found.candidate), _score(found.champion), f">= {report.gate.minimum:g}")]
    if found.has_champion:
        interval = (
            "not known" if found.interval is None else f"[{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
        )
        what = f"candidate - champion, {found.confidence:.0%} interval"
        rows.append((what, interval, "", f"lower end >= {report.gate.margin:+g}"))
    for one in found.slices:
        if one.judged:
            what = f"{one.column} = {one.value} ({one.rows} rows)"
            rows.append((what, _score(one.candidate), _score(one.champion), f">= {one.floor:g}"))
    return rows


def render(report: RunReport) -> str:
    """The page as markdown, pictures as data URIs."""
    return "\n\n".join(_sections(report)) + "\n"


def render_html(report: RunReport) -> str:
    """The same page as one HTML document."""
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = renderer.render(render(report))
    title = html.escape(f"{report.model}: {outcome(report)}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
    )


def _sections(report: RunReport) -> Iterator[str]:
    yield f"# {_text(report.model)}: {outcome(report)}"
    if report.failure is not None:
        yield f"**The run failed.** {_text(report.failure)}"
    if report.unchanged is not None:
        yield f"**Unchanged.** {_text(report.unchanged)}"
    if report.decision is not None:
        yield "\n".join(f"- {_text(reason)}" for reason in report.decision.reasons)
    yield f"**Traffic.** {_text(report.traffic)}"
    if report.links:
        yield " · ".join(f"[{_text(title)}](<{url}>)" for title, url in report.links.items())
    if report.evidence is not None:
        yield from _judgement(report, report.evidence)
    if report.candidates:
        yield "## Candidates"
        yield _candidates(report)
        yield from _warnings(report)
    for name, png in report.pictures.items():
        data = base64.b64encode(png).decode()
        title = name.replace("_", " ")
        yield f"## {_text(title.capitalize())}\n\n![{_text(title)}](data:image/png;base64,{data})"
    yield "## Run"
    facts = {"started": report.started, "split": report.split, "registered": report.registered or ""}
    yield _table(("what", "value"), [(k, v) for k, v in {**facts, **report.facts}.items() if v])


def _judgement(report: RunReport, evidence: Evidence) -> Iterator[str]:
    champion = f"champion {report.champion}" if report.champion else "champion"
    yield f"## Judged on {evidence.rows} test rows"
    yield _table(("metric", "candidate", champion, "threshold"), summary_table(report))
    small = [one for one in evidence.slices if not one.judged]
    if small:
        yield f"Not judged, with fewer than {report.gate.slice_rows} test rows:"
        rows = [
            (f"{one.column} = {one.value}", str(one.rows), _score(one.candidate), _score(one.champion))
            for one in small
        ]
        yield _table(("slice", "rows", "candidate", champion), rows)
    if evidence.unreported_slices:
        yield f"{evidence.unreported_slices} more values with few rows are left out."


def _candidates(report: RunReport) -> str:
    metrics = list(dict.fromkeys(name for one in report.candidates for name in one.metrics))
    heading = (
        "candidate", f"validation {report.gate.metric}", *(f"test {name}" for name in metrics),
        "parameters", "fit",
    )  # fmt: skip
    rows = [
        (
            f"{one.name} (judged)" if one.chosen else one.name,
            _score(one.validation_score),
            *(_score(one.metrics.get(name)) for name in metrics),
            ", ".join(f"{key}={value}" for key, value in one.parameters.items()) or "as in the spec",
            "" if one.seconds is None else f"{one.seconds:.1f} s",
        )
        for one in report.candidates
    ]
    return _table(heading, rows)


def _warnings(report: RunReport) -> Iterator[str]:
    lines = [f"- {one.name}: {warning}" for one in report.candidates for warning in one.warnings]
    if lines:
        yield "Warnings while fitting:"
        yield "\n".join(f"- {_text(line[2:])}" for line in lines)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else _text(cell) for cell in line) + " |" for line in lines
    )


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _text(value: str) -> str:
    """`value` on one line with what markdown or HTML would read as markup taken literally."""
    plain = " ".join(str(value).split())
    for sign in "\\`*[]<>|#~":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
