"""Objects in a real directory: whole, conditional, and only in the directory that was opened."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from destination_cleverpush.errors import Failure, FailureKind
from destination_cleverpush.storage import local
from destination_cleverpush.storage.local import LocalObjects, ephemeral_warning, local_failure
from destination_cleverpush.storage.objects import Conflict, Objects
from destination_cleverpush.storage.settings import LocalSettings

WHAT = "The dead letter store"


def at(path: Path) -> Objects:
    return LocalObjects(LocalSettings(str(path)), WHAT)


def text(objects: Objects, name: str) -> str:
    with objects.read(name) as file:
        return file.read().decode()


def test_an_object_is_written_read_replaced_and_removed(tmp_path: Path) -> None:
    objects = at(tmp_path)
    objects.put("a/b/c", b"1")
    objects.put("a/b/c", b"2")
    objects.put("top", b"3")
    assert text(objects, "a/b/c") == "2"
    assert sorted(objects.names()) == ["a/b/c", "top"]
    objects.delete("a/b/c")
    objects.delete("a/b/c")
    assert objects.names() == ["top"]


def test_names_are_those_under_a_folder(tmp_path: Path) -> None:
    objects = at(tmp_path)
    for name in ("a/1", "a/b/2", "ab/3"):
        objects.put(name, b"")
    assert sorted(objects.names("a")) == ["a/1", "a/b/2"]
    assert objects.names("none") == []


def test_the_draft_of_a_crash_is_no_object_and_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".a.tmp").write_text("half of i")
    objects = at(tmp_path)
    assert objects.names() == []
    objects.put("a", b"all of it")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# --- conditional writes


def test_an_object_is_made_once_and_replaced_in_the_version_that_is_known(tmp_path: Path) -> None:
    objects = at(tmp_path)
    assert objects.find("a/lock") is None
    first = objects.put_if("a/lock", b"1", None)
    assert objects.find("a/lock") == (b"1", first)
    with pytest.raises(Conflict):
        objects.put_if("a/lock", b"2", None)
    second = objects.put_if("a/lock", b"2", first)
    with pytest.raises(Conflict):
        objects.put_if("a/lock", b"3", first)
    assert objects.find("a/lock") == (b"2", second)
    objects.delete("a/lock")
    with pytest.raises(Conflict):
        objects.put_if("a/lock", b"3", second)
    assert objects.names() == []


def test_of_many_writers_one_wins(tmp_path: Path) -> None:
    version = at(tmp_path).put_if("lock", b"free", None)
    start, won = threading.Barrier(8), []

    def write(number: int) -> None:
        objects = at(tmp_path)
        start.wait()
        try:
            objects.put_if("lock", f"{number}".encode(), version)
        except Conflict:
            return
        won.append(f"{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [text(at(tmp_path), "lock")]


# --- the directory that was opened


@pytest.mark.parametrize("again", [True, False])
def test_a_directory_that_is_moved_away_is_noticed(tmp_path: Path, again: bool) -> None:
    place = tmp_path / "store"
    place.mkdir()
    objects = at(place)
    objects.put("a", b"1")
    place.rename(tmp_path / "moved")
    if again:
        place.mkdir()
    for use in (lambda: objects.put("b", b"2"), objects.names, lambda: objects.read("a"), lambda: objects.delete("a")):
        with pytest.raises(Failure, match="unmounted, removed or replaced") as error:
            use()
        assert error.value.kind is FailureKind.CONFIG
        assert error.value.message.startswith(f"{WHAT}'s directory '{place}'")
    assert not again or list(place.iterdir()) == [], "nothing is written elsewhere"


def test_a_directory_that_is_removed_is_noticed(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    objects = at(place)
    place.rmdir()
    with pytest.raises(Failure, match="unmounted, removed or replaced"):
        objects.put("a/b", b"1")


def test_a_directory_that_comes_later_can_be_used(tmp_path: Path) -> None:
    objects = at(tmp_path / "store")
    with pytest.raises(Failure, match="does not exist"):
        objects.put("a", b"1")
    (tmp_path / "store").mkdir()
    objects.put("a", b"1")
    assert objects.names() == ["a"]


UNMOUNTS = """
import subprocess, sys
from destination_cleverpush.errors import Failure
from destination_cleverpush.storage.local import LocalObjects
from destination_cleverpush.storage.settings import LocalSettings

def run(*command):
    subprocess.run(command, check=True)

place = sys.argv[1]
run("mount", "-t", "tmpfs", "none", place)
objects = LocalObjects(LocalSettings(place), "The store")
objects.put("a", b"1")
run("umount", "--lazy", place)
try:
    objects.put("b", b"2")
except Failure as failure:
    print(failure.message)
"""


def test_a_mount_that_goes_away_lazily_is_noticed(tmp_path: Path) -> None:
    enter = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    command = [*enter, sys.executable, "-c", UNMOUNTS, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.startswith(f"The store's directory '{tmp_path}' is not the one any more")
    assert list(tmp_path.iterdir()) == []


def test_open_directories_are_closed(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        at(tmp_path).put("a", b"1")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, "transient_error", "room"),
        (errno.EIO, "transient_error", "EIO"),
        (errno.EACCES, "config_error", "right to read and write"),
        (errno.EROFS, "config_error", "read-only"),
    ],
)
def test_what_a_file_system_answers_says_what_to_do(number: int, kind: str, words: str) -> None:
    failure = local_failure(OSError(number, "POISON"), WHAT, "/local")
    assert failure.kind == kind
    assert words in failure.message
    assert "POISON" not in f"{failure.message}{failure.internal}"


# --- Kubernetes

MOUNTS = """\
1 0 0:50 / / rw,relatime - overlay overlay rw
2 1 0:60 / /proc rw - proc proc rw
3 1 8:1 /var/lib/kubelet/pods/7/volumes/kubernetes.io~empty-dir/config /config rw - ext4 /dev/sda1 rw
4 1 8:2 / /local rw,relatime shared:3 - ext4 /dev/sdb rw
5 1 8:2 /x /with\\040blank rw - ext4 /dev/sdb rw
6 1 0:70 / /memory rw - tmpfs tmpfs rw
7 4 0:71 / /local/hidden rw - ext4 /dev/sdc rw
8 4 0:72 / /local/hidden rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("directory", "lasts"),
    [
        ("/local", True),
        ("/local/rejected", True),
        ("/with blank/rejected", True),
        ("/locally", False),
        ("/var/rejected", False),
        ("/config/rejected", False),
        ("/memory/rejected", False),
        ("/local/hidden", False),
        ("/local/../rejected", False),
    ],
)
def test_a_directory_that_goes_with_the_pod_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str, lasts: bool
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    warning = ephemeral_warning(directory, WHAT, mounts)
    assert (warning is None) == lasts
    assert lasts or f"{WHAT}'s directory '{directory}' is on no lasting volume" in str(warning)


def test_outside_of_kubernetes_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(local, "_KUBERNETES_SECRETS", tmp_path / "secrets")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert ephemeral_warning("/var", WHAT, mounts) is None
    (tmp_path / "secrets").mkdir()
    assert ephemeral_warning("/var", WHAT, mounts) is not None
    assert ephemeral_warning("/var", WHAT, tmp_path / "no such file") is None
