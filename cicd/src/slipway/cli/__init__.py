"""The command line: `slipway <noun> <verb>`. What it calls knows nothing of the command line.

Exit codes: 0 done, 1 failed for the reason printed, 2 the command line or project.yaml is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from slipway import __version__
from slipway.errors import SlipwayError

NOUNS = ("project", "packages", "image", "model", "release", "batch", "platform")


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    top = argparse.ArgumentParser(prog="slipway", description="What Slipway's builds run, for people to run too.")
    top.add_argument("--version", action="version", version=f"slipway {__version__}")
    nouns = top.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for name in NOUNS:
        module = importlib.import_module(f"slipway.cli.{name}")
        noun = nouns.add_parser(name, help=module.HELP, description=module.HELP)
        module.add(noun.add_subparsers(dest="verb", metavar="VERB", required=True))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; what a person can mend is printed without a traceback."""
    given = parser().parse_args(arguments)
    try:
        given.run(given)
    except SlipwayError as error:
        print(f"slipway: {error}" if error.exit_code == 1 else str(error), file=sys.stderr)
        return error.exit_code
    except ClientError as error:
        answer = error.response["Error"]
        code, message = answer.get("Code", "Unknown"), answer.get("Message", "no reason given")
        print(f"slipway: AWS refused {error.operation_name}: {code}: {message}", file=sys.stderr)
        return 1
    except NoRegionError:
        print("slipway: no region: set AWS_REGION, for example to eu-west-1", file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"slipway: AWS cannot be reached: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("slipway: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    return 0
