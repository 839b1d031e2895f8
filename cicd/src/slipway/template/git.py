"""git in a folder, as Slipway: no prompt, no settings of a person, errors with what git said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from slipway.errors import SlipwayError

NAME, EMAIL = "Slipway", "slipway@noreply.invalid"


class Git:
    """Commands in one folder.

    Args:
        folder: where git runs.
        date: the date of commits, as git reads it; "" for now. With a date, the same content is the same commit.
    """

    def __init__(self, folder: Path, date: str = "") -> None:
        self.folder = folder
        who = {"NAME": NAME, "EMAIL": EMAIL} | ({"DATE": date} if date else {})
        self.identity = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}

    def __call__(self, *arguments: str, text: str | None = None, allowed: tuple[int, ...] = (0,)) -> str:
        """Standard output without white space around it. Raises SlipwayError."""
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments, never a shell
                ["git", *arguments],  # noqa: S607 - git is where the build image has it
                cwd=self.folder,
                env={**os.environ, **self.identity, "GIT_TERMINAL_PROMPT": "0"},
                input=text,
                text=True,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise SlipwayError("the command 'git' is not on the PATH") from None
        if done.returncode not in allowed:
            raise SlipwayError(f"git {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()
