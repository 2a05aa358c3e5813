"""Prepared rows, and CSV converted for Spark, that nobody used for long: all can be made again from the sources.

No registered version needs them: its golden rows lie with the model, and what the gate saw in its record. Who uses
them writes their marker again (see `preparation.py`), so that the last writing is the last use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tasks import store
from tasks.preparation import MARKER
from tasks.settings import settings

DEPTHS = {"prepared": 3, "converted": 2}
"""Top folder of the store -> parts of a path that name one whole: prepared/MODEL/KEY, converted/FILE."""


@dataclass(frozen=True)
class Unused:
    """One whole below the store's root that goes, and when it was last used."""

    uri: str
    last: datetime


def unused(root: str, written: Mapping[str, datetime], before: datetime) -> tuple[Unused, ...]:
    """Pure: the wholes below the folder `root` whose every object was `written` before then."""
    last: dict[str, datetime] = {}
    for uri, when in written.items():
        parts = uri.removeprefix(f"{root}/").split("/")
        depth = DEPTHS.get(parts[0])
        if depth is not None and len(parts) >= depth:
            whole = store.join(root, *parts[:depth])
            last[whole] = max(when, last.get(whole, when))
    return tuple(Unused(uri, when) for uri, when in sorted(last.items()) if when < before)


def find(before: datetime) -> tuple[Unused, ...]:
    root = settings().store_root
    written = {uri: when for top in DEPTHS for uri, when in store.written(store.join(root, top)).items()}
    return unused(root, written, before)


def remove(found: Iterable[Unused]) -> tuple[Unused, ...]:
    """Remove what nobody came to use meanwhile, and give it. Markers go first: without one there is nothing."""
    gone = []
    for one in found:
        if max(store.written(one.uri).values(), default=one.last) <= one.last:
            marker = store.join(one.uri, MARKER)
            if store.exists(marker):
                store.delete(marker)
            store.delete(one.uri)
            gone.append(one)
    return tuple(gone)
