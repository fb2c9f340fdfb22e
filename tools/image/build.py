"""Builds the connector's image, and where no registry is reachable a stand-in for Airbyte's base image under it."""

import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions, version
from pathlib import Path

from tools.image.engine import EngineError

_ROOT = Path(__file__).resolve().parents[2]
_REPOSITORY = "airbyte/destination-cleverpush"
_BARE_IMAGE = "destination-cleverpush-bare-cdk"
_DEBIAN_RELEASE = "bookworm"  # as in Airbyte's python-connector-base 4.x; its Python is 3.11
_DEBIAN_PACKAGES = ("python3", "python3-venv", "ca-certificates")
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PULL_TIMEOUT_SECONDS = 600
_START_UPS = 5


def image_name() -> str:
    """Return the name and tag under which the image is built: repository and version."""
    return f"{_REPOSITORY}:{version('destination-cleverpush')}"


def build_image(environment: dict[str, str], base: str) -> str:
    """Build the Dockerfile on the base image and return the image's name."""
    _build(environment, image_name(), _ROOT, base)
    return image_name()


def build_bare_image(environment: dict[str, str], base: str) -> str:
    """Build an image with nothing but airbyte-cdk, at the locked versions, on the base image; return its name."""
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        for source in (Path(__file__).parent / "bare").iterdir():
            if source.is_file():
                shutil.copy(source, context)
        constraints = sorted(f"{found.name}=={found.version}" for found in distributions())
        (context / "constraints.txt").write_text("\n".join(constraints) + "\n")
        _build(environment, _BARE_IMAGE, context, base)
    return _BARE_IMAGE


def base_image(environment: dict[str, str]) -> str:
    """Return the base image to build on: $BASE_IMAGE, else the Dockerfile's if it is to be had, else the stand-in."""
    if chosen := os.environ.get("BASE_IMAGE"):
        return chosen
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", (_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise EngineError("The Dockerfile has no line ARG BASE_IMAGE=...")
    official = found[1]
    if _has_image(environment, official) or _pulled(environment, official):
        return official
    return _stand_in(environment)


def report(environment: dict[str, str]) -> str:
    """Build and measure: a table of size and start-up time (of `spec`, the median of a few) beside a bare CDK."""
    base = base_image(environment)
    image, bare = build_image(environment, base), build_bare_image(environment, base)
    rows = [f"{'image':55} {'size':>7} {'spec in':>9}"]
    rows += [
        f"{name:55} {_megabytes(environment, name):4.0f} MB {_start_up(environment, name):7.2f} s"
        for name in (image, bare)
    ]
    rows.append(f"{'of which ' + base:55} {_megabytes(environment, base):4.0f} MB")
    return "\n".join(rows)


def _megabytes(environment: dict[str, str], image: str) -> float:
    return int(_docker(environment, "image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def _start_up(environment: dict[str, str], image: str) -> float:
    seconds = []
    for _ in range(_START_UPS):
        started = time.monotonic()
        _docker(environment, "run", "--rm", "--network", "none", image, "spec")
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


def _build(environment: dict[str, str], name: str, context: Path, base: str) -> None:
    print(f"Building {name} on {base}", flush=True)
    command = ["docker", "build", "--network=host", f"--build-arg=BASE_IMAGE={base}", f"--tag={name}", str(context)]
    subprocess.run(command, env=os.environ | environment, check=True, stdout=sys.stderr)


def _has_image(environment: dict[str, str], name: str) -> bool:
    command = ["docker", "image", "inspect", name]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False).returncode == 0


def _pulled(environment: dict[str, str], name: str) -> bool:
    print(f"Pulling {name}", flush=True)
    command = ["docker", "pull", "--quiet", name]
    try:
        pull = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=_PULL_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        print("It did not arrive in time; a stand-in made of Debian packages takes its place.", flush=True)
        return False
    if pull.returncode != 0:
        print(f"{pull.stderr.strip()}\nA stand-in made of Debian packages takes its place.", flush=True)
    return pull.returncode == 0


def _stand_in(environment: dict[str, str]) -> str:
    """Make a base image of Debian's minimal system and Python, and return its name.

    Where $PIP_CERT or $SSL_CERT_FILE names a CA bundle, the image trusts it, so that builds reach a package index
    through the same proxy as the machine does.
    """
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    certificates = Path(bundle).read_bytes() if bundle else b""
    fingerprint = hashlib.sha256(certificates + repr(_DEBIAN_PACKAGES).encode()).hexdigest()[:12]
    name = f"destination-cleverpush-base:{_DEBIAN_RELEASE}-{fingerprint}"
    if _has_image(environment, name):
        return name
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise EngineError("The stand-in base image needs root and debootstrap (apt-get install debootstrap).")
    print(f"Making {name} with debootstrap", flush=True)
    with tempfile.TemporaryDirectory() as root:
        packages = ",".join(_DEBIAN_PACKAGES)
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", _DEBIAN_RELEASE, root]
        subprocess.run(command, check=True, stdout=sys.stderr)
        changes = [f"--change=ENV PATH={os.defpath}:/usr/local/bin:/usr/sbin:/sbin"]
        if certificates:
            (Path(root) / _CA_BUNDLE.lstrip("/")).write_bytes(certificates)
            changes.append(f"--change=ENV PIP_CERT={_CA_BUNDLE} REQUESTS_CA_BUNDLE={_CA_BUNDLE}")
        for waste in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(Path(root) / waste, ignore_errors=True)
        tar = subprocess.Popen(["tar", "--create", "--directory", root, "."], stdout=subprocess.PIPE)
        importing = ["docker", "import", *changes, "-", name]
        subprocess.run(importing, env=os.environ | environment, stdin=tar.stdout, check=True, stdout=sys.stderr)
        if tar.wait() != 0:
            raise EngineError("tar could not pack the stand-in base image")
    return name


def _docker(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout
