"""`python -m infra.devcluster up|down|status|build`"""

import argparse
import sys

from infra.devcluster import cluster, programs
from infra.devcluster.preflight import require_go
from tasks.errors import SlipwayError


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="infra.devcluster", description="Kubernetes of one node, here")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, or say that it runs")
    commands.add_parser("down", help="take it away")
    commands.add_parser("status", help="say whether it runs (exit code 1: it does not)")
    build = commands.add_parser("build", help="only build its programs")
    build.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(programs.BUILDS)}; default: all"
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            cluster.up(say)
        elif arguments.command == "down":
            cluster.down(say)
        elif arguments.command == "build":
            require_go()
            programs.ensure(arguments.names or programs.BUILDS, say)
        else:
            return 0 if cluster.status(say) else 1
    except SlipwayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
