"""The console command `destination-cleverpush`."""

import signal
import sys

from destination_cleverpush.destination import DestinationCleverpush


def main() -> None:
    """Run the command that the arguments name."""
    # In a container this is process 1, which the kernel lets ignore every signal that it does not handle itself.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    DestinationCleverpush().run(sys.argv[1:])
