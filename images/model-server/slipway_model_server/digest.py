"""One name for the exact bytes of a stored model."""

import hashlib
from collections.abc import Collection
from pathlib import Path

BLOCK = 1 << 20
LEFT_BY_READERS = "registered_model_meta"
"""MLflow writes this file (a name and a version, which nothing here reads) into the stored folder itself when a
person loads `models:/NAME@champion` from a store of plain files. It is no part of the model."""


class ModelRefused(Exception):
    """A stored model that must not be loaded; the message says what was found in which file."""


def artifact_digest(folder: Path | str) -> str:
    """`sha256:<hex>` over the relative path and the bytes of every file under `folder` but LEFT_BY_READERS.

    Raises ModelRefused for a symbolic link or anything else that is not a plain file: what it points to
    could change without the digest changing. OSError if a file cannot be read.
    """
    return read_folder(Path(folder), ())[0]


def read_folder(folder: Path, wanted: Collection[str]) -> tuple[str, dict[str, bytes]]:
    """The digest of `folder`, and the content of the `wanted` relative paths that are there.

    Content and digest come from one reading, so a file exchanged afterwards is never what gets loaded.
    """
    whole = hashlib.sha256()
    content: dict[str, bytes] = {}
    for name in _files(folder):
        one = hashlib.sha256()
        kept = bytearray()
        with (folder / name).open("rb") as file:
            while block := file.read(BLOCK):
                one.update(block)
                if name in wanted:
                    kept += block
        if name in wanted:
            content[name] = bytes(kept)
        path = name.encode()
        # The length keeps "a" + "bc" and "ab" + "c" apart.
        whole.update(len(path).to_bytes(8, "big") + path + one.digest())
    return f"sha256:{whole.hexdigest()}", content


def _files(folder: Path) -> list[str]:
    """Relative paths of all files, with `/`, in an order that no file system decides."""
    if not folder.is_dir():
        raise ModelRefused(f"{folder}: is not a folder; nothing of the model is there")
    names = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ModelRefused(f"{name}: is a symbolic link; a stored model holds plain files only")
        if path.is_file():
            if name != LEFT_BY_READERS:
                names.append(name)
        elif not path.is_dir():
            raise ModelRefused(f"{name}: is neither a file nor a folder")
    return sorted(names, key=str.encode)
