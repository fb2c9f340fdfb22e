"""Build the image and report on it, or run a command with an engine that has it.

usage: python -m tools.image report
       python -m tools.image run COMMAND ...

The command finds the engine by DOCKER_HOST, and the image's name in CLEVERPUSH_IMAGE.
"""

import os
import subprocess
import sys

from tools.image.build import base_image, build_image, report
from tools.image.engine import EngineError, docker_engine


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    match arguments:
        case ["report"]:
            with docker_engine() as environment:
                print(report(environment))
            return 0
        case ["run", *command] if command:
            with docker_engine() as environment:
                image = build_image(environment, base_image(environment))
                return subprocess.run(
                    command, env=os.environ | environment | {"CLEVERPUSH_IMAGE": image}, check=False
                ).returncode
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed with exit code {error.returncode}")
