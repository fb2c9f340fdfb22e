"""The console command `destination-cleverpush`."""

import sys

from destination_cleverpush.destination import DestinationCleverpush


def main() -> None:
    """Run the command that the arguments name."""
    DestinationCleverpush().run(sys.argv[1:])
