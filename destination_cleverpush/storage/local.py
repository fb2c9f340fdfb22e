"""Objects as files that only their owner may read (they hold personal data), under a directory that must exist."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from destination_cleverpush.errors import Failure, config_error, transient_error
from destination_cleverpush.storage.objects import Conflict, Version
from destination_cleverpush.storage.settings import LocalSettings

_MENDABLE_ERRNOS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP}
)
_KUBERNETES_SECRETS = Path("/var/run/secrets/kubernetes.io")
_MOUNTS = Path("/proc/self/mountinfo")


class LocalObjects:
    """Files under a directory.

    The directory is opened once, and what was opened is what is written. Nothing counts as done unless the path still
    leads there afterwards: a mount that went away, or another one over it, is noticed.
    """

    def __init__(self, settings: LocalSettings, what: str) -> None:
        self._path = settings.destination_path
        self._what = what
        self._root: int | None = None
        with suppress(OSError):  # told when the store is used: a sync without rejected rows needs no directory
            self._open()

    def put(self, name: str, data: bytes) -> None:
        """Write beside, sync to disk, and rename: after a crash there is the old version or the new one."""
        with self._directory() as root:
            _make_folders(root, name)
            _write(root, name, data)

    def put_if(self, name: str, data: bytes, version: Version | None) -> Version:
        """Compare and write, with a lock on a file beside the object."""
        with self._directory() as root:
            _make_folders(root, name)
            with _locked(root, name):
                content = _content(root, name)
                if (None if content is None else _version(content)) != version:
                    raise Conflict
                _write(root, name, data)
        return _version(data)

    def delete(self, name: str) -> None:
        """Remove the file."""
        with self._directory() as root, suppress(FileNotFoundError):
            os.unlink(name, dir_fd=root)

    def names(self, folder: str = "") -> list[str]:
        """All files under the folder, drafts of a crash and locks left out."""
        with self._directory():
            place = Path(self._path, folder)
            files = files_under(place) if not folder or place.exists() else []
        return [path.relative_to(self._path).as_posix() for path in files if not path.name.startswith(".")]

    def read(self, name: str) -> BinaryIO:
        """The open file."""
        with self._directory() as root:
            return _open_file(root, name)

    def find(self, name: str) -> tuple[bytes, Version] | None:
        """The whole file; its version is the digest of what it holds."""
        with self._directory() as root:
            content = _content(root, name)
        return None if content is None else (content, _version(content))

    def _open(self) -> int:
        if self._root is None:
            self._root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            weakref.finalize(self, os.close, self._root)
        return self._root

    @contextmanager
    def _directory(self) -> Iterator[int]:
        """The open directory; afterwards, failures that say what to do."""
        try:
            yield self._open()
        except OSError as error:
            raise (self._replaced() or local_failure(error, self._what, self._path)) from None
        if replaced := self._replaced():
            raise replaced

    def _replaced(self) -> Failure | None:
        if self._root is None:
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._root), Path(self._path).stat()):
                return None
        return config_error(
            f"{self._what}'s directory '{self._path}' is not the one any more that it was at first: it was unmounted, "
            "removed or replaced meanwhile. Bring it back, and see to it that it stays while the connector runs.",
            f"{self._what}, local: directory replaced",
        )


def files_under(folder: Path) -> list[Path]:
    """All files in the directory and in those below it.

    Raises:
        OSError: one of the directories cannot be read; its files are not passed over.
    """

    def fail(error: OSError) -> None:
        raise error

    walk = os.walk(folder, onerror=fail)
    return [path for place, _, names in walk for name in names if (path := Path(place, name)).is_file()]


def local_failure(error: OSError, what: str, directory: str) -> Failure:
    """What an error of the file system means."""
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    place = f"{what}'s directory '{directory}'"
    if error.errno in _MENDABLE_ERRNOS:
        wish = {
            errno.ENOENT: "does not exist. Create it, and mount it into the connector's container",
            errno.ENOTDIR: "is not a directory. Name a directory",
            errno.EROFS: "is on a read-only file system. Mount it so that the connector can write",
        }.get(
            error.errno or 0,
            "may not be used. Give the user that the connector runs as the right to read and write there",
        )
        return config_error(f"{place} {wish} ({name}).", f"{what}, local: {name}")
    return transient_error(
        f"{place} could not be written ({name}). Make sure that its disk has room and works; Airbyte will try "
        "again later.",
        f"{what}, local: {name}",
    )


def ephemeral_warning(directory: str, what: str, mounts: Path = _MOUNTS) -> str | None:
    """What to tell the user where the directory goes away with the pod: in Kubernetes, and on no lasting volume.

    Args:
        mounts: the mounts that the process sees, as in proc_pid_mountinfo(5).
    """
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not _KUBERNETES_SECRETS.exists():
        return None
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    mount = _mount_of(PurePosixPath(os.path.realpath(directory)), [_parse_mount(line) for line in lines])
    if mount is not None and mount.lasts:
        return None
    return (
        f"{what}'s directory '{directory}' is on no lasting volume of this Kubernetes pod: what is kept there is "
        "thrown away with the pod when the sync ends. Mount a persistent volume there, or choose S3, Google Cloud "
        "Storage or Azure."
    )


class _Mount(NamedTuple):
    point: PurePosixPath
    lasts: bool


def _parse_mount(line: str) -> _Mount:
    fields, _, kind = line.partition(" - ")
    _, _, _, root, point, *_ = fields.split(" ")
    point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point)
    passing = point == "/" or "kubernetes.io~empty-dir" in root or kind.split(" ")[0] in ("tmpfs", "ramfs")
    return _Mount(PurePosixPath(point), not passing)


def _mount_of(path: PurePosixPath, mounts: list[_Mount]) -> _Mount | None:
    """The mount that the path lies on: of those nearest to it, the last one hides the others."""
    over = [mount for mount in mounts if path.is_relative_to(mount.point)]
    return max(reversed(over), key=lambda mount: len(mount.point.parts), default=None)


def _make_folders(root: int, name: str) -> None:
    for folder in reversed(PurePosixPath(name).parents[:-1]):
        try:
            os.mkdir(folder, 0o700, dir_fd=root)
        except FileExistsError:
            continue
        _sync_folder(root, folder.parent)


def _write(root: int, name: str, data: bytes) -> None:
    target = PurePosixPath(name)
    draft = target.with_name(f".{target.name}.tmp")
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=root)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, target, src_dir_fd=root, dst_dir_fd=root)
    _sync_folder(root, target.parent)


def _sync_folder(root: int, folder: PurePosixPath) -> None:
    handle = os.open(folder, os.O_RDONLY, dir_fd=root)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(root: int, name: str) -> Iterator[None]:
    path = PurePosixPath(name)
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600, dir_fd=root)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict from None
        yield
    finally:
        os.close(handle)


def _open_file(root: int, name: str) -> BinaryIO:
    return os.fdopen(os.open(name, os.O_RDONLY, dir_fd=root), "rb")


def _content(root: int, name: str) -> bytes | None:
    try:
        with _open_file(root, name) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _version(content: bytes) -> Version:
    return hashlib.sha256(content).hexdigest(), None
