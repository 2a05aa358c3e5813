from dataclasses import replace
from html.parser import HTMLParser

from markdown_it import MarkdownIt

from tasks.gate import Evidence, GateDecision, SliceEvidence, decide
from tasks.report import CandidateReport, RunReport, outcome, render, render_html, summary_table
from tasks.spec import GateSpec

GATE = GateSpec(metric="roc_auc", minimum=0.7, margin=-0.01, slices={"origin": 0.6})
EVIDENCE = Evidence(
    metric="roc_auc",
    rows=1234,
    candidate=0.8123,
    has_champion=True,
    champion=0.79,
    interval=(-0.005, 0.02),
    slices=(
        SliceEvidence(
            column="origin", value="EWR|x", rows=500, candidate=0.7, champion=0.6, floor=0.6, judged=True
        ),
        SliceEvidence(column="origin", value="LGA", rows=5, candidate=None, floor=0.6, judged=False),
    ),
    unreported_slices=3,
)
START = RunReport("flights", GATE, "2026-01-01 10:00 UTC")
FULL = replace(
    START,
    facts={"engine": "polars", "rows": "1,000"},
    split="20% of the rows by a hash of id (seed 0)",
    candidates=(
        CandidateReport("logistic", {"C": 1.0}, 0.8, {"roc_auc": 0.81, "f1": 0.5}, 1.25, ("Slow.",), True),
        CandidateReport("forest", {}, 0.7, {"roc_auc": 0.75}),
    ),
    champion="v7",
    evidence=EVIDENCE,
    decision=decide(EVIDENCE, GATE),
    registered="v8",
    traffic="v8 is live.",
    pictures={"confusion_matrix": b"\x89PNG fake"},
    links={"MLflow run": "http://127.0.0.1:5000/#/runs/1"},
)


class Page(HTMLParser):
    """Counts tags and keeps the cells of tables, the links and the pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        self.targets += [value or "" for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "th") and self.cells:
            self.cells[-1] += data.strip()


def test_the_page_says_what_was_decided_and_why() -> None:
    text = render(FULL)
    assert text.startswith("# flights: promote\n")
    assert "lower end reaches the margin -0.0100" in text
    assert "**Traffic.** v8 is live." in text
    assert "[MLflow run](<http://127.0.0.1:5000/#/runs/1>)" in text
    assert "Not judged, with fewer than 100 test rows" in text
    assert "3 more values with few rows are left out" in text
    assert "- logistic: Slow." in text


def test_html_has_the_same_tables_pictures_and_links() -> None:
    page = Page(render_html(FULL))
    assert page.tags.count("table") == 4
    assert page.tags.count("img") == 1
    assert "http://127.0.0.1:5000/#/runs/1" in page.targets
    assert any(target.startswith("data:image/png;base64,") for target in page.targets)
    for cell in (
        "0.8123",
        "champion v7",
        "logistic (judged)",
        "C=1.0",
        "origin = EWR|x (500 rows)",
        "polars",
    ):
        assert cell in page.cells


def test_the_summary_has_candidate_champion_and_threshold() -> None:
    assert summary_table(FULL) == [
        ("roc_auc", "0.8123", "0.7900", ">= 0.7"),
        ("candidate - champion, 95% interval", "[-0.0050, +0.0200]", "", "lower end >= -0.01"),
        ("origin = EWR|x (500 rows)", "0.7000", "0.6000", ">= 0.6"),
    ]
    assert summary_table(START) == []


def test_a_run_that_failed_early_still_leaves_a_page() -> None:
    failed = replace(START, failure="rows.parquet: is empty.\nGive rows.")
    assert outcome(failed) == "failed"
    assert "**The run failed.** rows.parquet: is empty. Give rows." in render(failed)
    assert "Untouched" in render_html(failed)


def test_outcomes() -> None:
    assert outcome(START) == "not decided"
    assert outcome(replace(START, unchanged="nothing new")) == "unchanged"
    assert outcome(FULL) == "promote"
    assert outcome(replace(FULL, failure="the release failed")) == "promote, then failed"
    gap = decide(None, GATE)
    assert outcome(replace(START, decision=gap, failure=str(gap))) == "insufficient evidence"
    keep = GateDecision(outcome="keep", reasons=("It is worse.",))
    assert "# flights: keep" in render(replace(FULL, decision=keep))


def test_evidence_without_scores_can_be_shown() -> None:
    gone = Evidence(
        metric="roc_auc", rows=0, candidate=None, has_champion=True, champion_problem="v7 is gone"
    )
    report = replace(START, evidence=gone, decision=decide(gone, GATE))
    assert "v7 is gone" in render(report)
    assert summary_table(report)[1][1] == "not known"


def test_text_from_outside_is_never_markup() -> None:
    hostile = "<script>alert(1)</script> | **x** [a](javascript:alert(1)) `y` ![z](http://evil/p.png)"
    report = replace(
        FULL,
        failure=hostile,
        facts={hostile: hostile},
        candidates=(CandidateReport(hostile, {hostile: hostile}, warnings=(hostile,)),),
        links={"click": "javascript:alert(1)"},
    )
    page = Page(render_html(report))
    assert "script" not in page.tags
    assert "code" not in page.tags
    assert not [target for target in page.targets if not target.startswith("data:image/png;base64,")]
    assert hostile in page.cells
    markdown = MarkdownIt("commonmark").enable("table").render(render(report))  # a reader that takes HTML
    assert "<script" not in markdown
