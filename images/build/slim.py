"""Build time only: takes from a virtual environment what no program in an image needs, and compiles the rest.

    python slim.py VENV [--without PATTERN ...]

Goes: tests, headers and sources of compiled modules, libraries of Arrow's RPC (Flight), copies of one library
under three names, symbols that only a debugger reads, and what the patterns (relative to site-packages) name.
Stays: every module's source (tracebacks and `inspect` need it) and its bytecode, which a user without rights could
not write. Every stripped module is imported afterwards: one that no longer loads fails the build.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

TESTED = (
    "numpy", "scipy", "pandas", "sklearn", "matplotlib", "mpl_toolkits", "pyarrow", "skops", "joblib", "psutil",
    "pandera", "asyncpg", "kiwisolver", "greenlet", "gevent", "networkx", "regex", "pyspark", "google", "uvloop",
)  # fmt: skip
"""Packages that ship their tests, in folders named `tests` that nothing imports."""
UNUSED = (
    "pyarrow/include", "pyarrow/src", "pyarrow/includes", "pyarrow/*.pyx", "pyarrow/*.pxi", "pyarrow/*.pxd",
    "pyarrow/libarrow_flight.so.*", "pyarrow/libarrow_python_flight.so*", "pyarrow/_flight.*.so",
    "matplotlib/mpl-data/sample_data", "pyspark/examples", "pyspark/licenses", "**/*.c", "**/*.cpp", "**/*.pyx",
    "**/*.pxd", "**/*.a", "*.dist-info/sboms",
)  # fmt: skip
STRIPPED_FROM = 100_000
"""Bytes. Symbols in smaller libraries are not worth a process."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("venv", type=Path)
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    site = next((given.venv / "lib").glob("python3*/site-packages"))
    before = total(site)
    for pattern in (*UNUSED, *given.without):
        for path in sorted(site.glob(pattern)):
            remove(path)
    for package in TESTED:
        for path in sorted((site / package).rglob("tests")):
            remove(path)
    for cache in sorted(site.rglob("__pycache__")):
        remove(cache)
    for path in sorted(site.glob("pyarrow/libarrow_python*.so*.*.*")):
        one_copy(path)
    bytecode(site)
    names = modules(site)
    whole = {path: path.read_bytes() for path in sorted(site.rglob("*.so*")) if worth_stripping(site, path)}
    for path in whole:
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
    failed = names - loadable(given.venv, names)
    if failed:  # because of that, or because they need what is not installed?
        for path, content in whole.items():
            path.write_bytes(content)
        broken = loadable(given.venv, failed)
        if broken:
            sys.exit(f"no longer loads without its symbols: {', '.join(sorted(broken))}")
        for path in whole:
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
    sys.stdout.write(f"{site}: {before / 1e6:.0f} MB -> {total(site) / 1e6:.0f} MB\n")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def one_copy(path: Path) -> None:
    """Wheels cannot hold links: a library comes under each of its names. Here they become links again."""
    stem = path.name.split(".so")[0]
    for other in path.parent.glob(f"{stem}.so*"):
        if other != path and not other.is_symlink() and other.read_bytes() == path.read_bytes():
            other.unlink()
            other.symlink_to(path.name)


def worth_stripping(site: Path, path: Path) -> bool:
    """Not the libraries of `*.libs`, which the wheel's maker has already rearranged."""
    small = path.is_symlink() or not path.is_file() or path.stat().st_size < STRIPPED_FROM
    return not small and not path.relative_to(site).parts[0].endswith(".libs")


def modules(site: Path) -> set[str]:
    """Names of the compiled modules that will be stripped."""
    paths = [path.relative_to(site) for path in site.rglob("*.so") if path.stat().st_size >= STRIPPED_FROM]
    found = [".".join(path.with_name(path.name.split(".")[0]).parts) for path in paths]
    return {name for name in found if all(part.isidentifier() for part in name.split("."))}


LOAD = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:  # one that needs what is not installed
        continue
    print(name)
"""


def loadable(venv: Path, names: set[str]) -> set[str]:
    """Those of the modules that can be imported, all in one process."""
    command = [str(venv / "bin" / "python"), "-B", "-c", LOAD, *sorted(names)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split())


def bytecode(site: Path) -> None:
    """Bytecode that is not compared with its source's time: layers keep times of their own."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(site), quiet=2, workers=os.cpu_count() or 1, invalidation_mode=mode)


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
