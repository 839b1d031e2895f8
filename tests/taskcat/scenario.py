"""Runs one scenario with taskcat's own classes; .venv-taskcat runs this, which has nothing of the project.

Usage: scenario.py FOLDER SCENARIO. The stack is created, judged and deleted; exit code 0 if all of it went well.
taskcat's report is left out: it fetches a style sheet from the internet.
"""

import sys
from pathlib import Path

from taskcat.testing import CFNTest

from taskcat import Config


def main(folder: Path, scenario: str) -> int:
    """Deploy and delete."""
    config = Config.create(project_config_path=folder / ".taskcat.yml", project_root=folder)
    test = CFNTest(config, test_names=scenario, lint_disable=True, dont_wait_for_delete=False)
    try:
        test.run()
        made = {stack.name: stack.status for stack in test.result.stacks} if hasattr(test.result, "stacks") else {}
        print(f"{scenario}: {made or [stack.status for stack in test.test_definition.stacks]}")
    finally:
        test.clean_up()
    left = [stack for stack in test.test_definition.stacks if stack.status != "DELETE_COMPLETE"]
    for stack in left:
        print(f"{scenario}: {stack.name} is {stack.status}: {stack.status_reason}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2]))
