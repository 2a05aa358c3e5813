"""What this machine needs to reach package indexes, as secrets of a build: they leave no trace in an image.

Each is optional, and on a machine that has nothing set there are none. `env` is sourced by the Dockerfiles'
commands; it names the others where they will be, below /run/secrets.
"""

import configparser
import shlex
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SECRETS = "/run/secrets"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PASSED = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT",
    "PIP_RETRIES", "PIP_PROXY", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL",
    "UV_INDEX_STRATEGY", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_NATIVE_TLS",
    "UV_SYSTEM_CERTS", "MAVEN_CENTRAL", "MAVEN_USER", "MAVEN_PASSWORD",
)  # fmt: skip
PASSED_PATTERN = ("UV_INDEX_", ("_USERNAME", "_PASSWORD"))
"""Beginning and ends of the variables with which uv takes the credentials of a named index."""
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "cert")


def secrets(environment: Mapping[str, str], home: Path, etc: Path = Path("/etc")) -> dict[str, bytes]:
    """The secrets by name: `env`, `ca`, `pip`, `uv`, `netrc`; only those that there is something for."""
    found: dict[str, bytes] = {}
    variables = passed(environment)
    pip = pip_options(pip_files(environment, home, etc))
    certificates = [environment.get(name) for name in CERTIFICATES] + [pip.pop("cert", None)]
    bundle = next((Path(path) for path in certificates if path and Path(path).is_file()), None)
    if bundle is not None:
        found["ca"] = bundle.read_bytes()
        names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
        variables |= dict.fromkeys(names, f"{SECRETS}/ca")
    uv = first(environment.get("UV_CONFIG_FILE"), home / ".config/uv/uv.toml", etc / "uv/uv.toml")
    if uv is not None:
        found["uv"] = uv.read_bytes()
        variables["UV_CONFIG_FILE"] = f"{SECRETS}/uv"
    index = variables.get("UV_DEFAULT_INDEX") or variables.get("UV_INDEX_URL") or (uv and uv_index(uv))
    if index and "PIP_INDEX_URL" not in variables and "index-url" not in pip:
        variables["PIP_INDEX_URL"] = index.rpartition("=")[2] if "=" in index.partition("://")[0] else index
    if pip:
        found["pip"] = "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in pip.items())]).encode()
        variables["PIP_CONFIG_FILE"] = f"{SECRETS}/pip"
    netrc = first(environment.get("NETRC"), home / ".netrc")
    if netrc is not None:
        found["netrc"] = netrc.read_bytes()
        variables["NETRC"] = f"{SECRETS}/netrc"
    settings = first(home / ".m2/settings.xml")
    if settings is not None and "MAVEN_CENTRAL" not in variables:
        variables |= maven_mirror(settings.read_text())
    if variables:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
        found["env"] = "".join(lines).encode()
    return found


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """Pure: the variables that mean the same inside a build, without those that name files of this machine."""
    start, ends = PASSED_PATTERN
    return {
        name: value
        for name, value in environment.items()
        if value
        and (name in PASSED or name.lower() in PROXIES or (name.startswith(start) and name.endswith(ends)))
        and not local(value)
    }


def local(value: str) -> bool:
    return value.startswith(("/", "~", "file:", "./"))


def first(*paths: str | Path | None) -> Path | None:
    """The first of the paths that is a file."""
    return next((Path(path) for path in paths if path and Path(path).is_file()), None)


def pip_files(environment: Mapping[str, str], home: Path, etc: Path) -> list[Path]:
    """pip's configuration files, the strongest last."""
    named = environment.get("PIP_CONFIG_FILE")
    paths = [
        etc / "pip.conf",
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
        Path(named or "/dev/null"),
    ]
    return [path for path in paths if path.is_file()]


def pip_options(paths: list[Path]) -> dict[str, str]:
    """The options that say where packages come from."""
    parser = configparser.RawConfigParser()
    parser.read(paths)
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {key: value for key, value in parser.items(section) if key in PIP_OPTIONS}
    return {key: value for key, value in found.items() if key == "cert" or not local(value)}


def uv_index(path: Path) -> str | None:
    """The index that a uv.toml puts in place of PyPI."""
    content = tomllib.loads(path.read_text())
    named = [one["url"] for one in content.get("index", []) if one.get("default")]
    found = named[0] if named else content.get("index-url") or content.get("pip", {}).get("index-url")
    return str(found) if found else None


def maven_mirror(settings: str) -> dict[str, str]:
    """Pure: the variables for the mirror of Maven Central that a settings.xml names, if it names one."""
    document = ET.fromstring(settings)  # noqa: S314 - the user's own file
    for element in document.iter():
        element.tag = element.tag.rpartition("}")[2]
    for mirror in document.iter("mirror"):
        of = [part.strip() for part in mirror.findtext("mirrorOf", "").split(",")]
        url = mirror.findtext("url", "").strip()
        wanted = "!central" not in of and ("*" in of or "central" in of or "external:*" in of)
        if not wanted or mirror.findtext("blocked", "") == "true" or not urlsplit(url).netloc:
            continue
        found = {"MAVEN_CENTRAL": url}
        for server in document.iter("server"):
            if server.findtext("id") == mirror.findtext("id"):
                found["MAVEN_USER"] = server.findtext("username", "")
                found["MAVEN_PASSWORD"] = server.findtext("password", "")
        return {name: value for name, value in found.items() if value}
    return {}
