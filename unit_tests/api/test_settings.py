"""What the room needs from the form."""

from __future__ import annotations

import subprocess
import sys

from destination_cleverpush.api.client import Client
from unit_tests.api.calls import KEY, TAG, settings
from unit_tests.server import Server, said


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(settings("https://example.org"))


def test_the_host_is_told_with_its_port_and_without_its_path() -> None:
    assert settings("https://api.example.org:8443/v1").host == "api.example.org:8443"


def test_the_option_chooses_the_route() -> None:
    with Server(said(200)) as server:
        Client(settings(server.url, tag_endpoints="tag_untag")).send(TAG)
        Client(settings(server.url, tag_endpoints="add_remove")).send(TAG)
    assert [asked.path for asked in server.asked] == ["/subscription/tag", "/subscription/tag/add"]


def test_the_room_is_light() -> None:
    """It can be used without the platform's framework and without object stores."""
    program = "import sys, destination_cleverpush.api.check; print({'airbyte_cdk', 'obstore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
