"""A repository at GitHub, GitLab or Bitbucket, over the git endpoint of its CodeConnections connection.

Its address is https://codeconnections.{region}.{suffix}/git-http/{account}/{region}/{connection id}/{owner}/{name}.git.
It takes AWS's signatures as CodeCommit's does, so the same credential helper signs in.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from slipway.errors import SlipwayError
from slipway.template.git import Git

MAIN = "refs/heads/main"
# What marks the path of the endpoint; CodeCommit's has none, and CodeBuild signs in there.
_ENDPOINT = "/git-http/"
_HELPER = "!aws codecommit credential-helper $@"


def sign_in(git: Git, url: str) -> None:
    """Let git in this folder sign in at a connection's endpoint. Any other address is left to what git knows."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.path.startswith(_ENDPOINT):
        return
    key = f"credential.{parts.scheme}://{parts.netloc}"
    # The empty helper takes back those before it: CodeBuild's answers for the source of the build alone.
    git("config", f"{key}.helper", "")
    git("config", "--add", f"{key}.helper", _HELPER)
    git("config", f"{key}.UseHttpPath", "true")


def head(url: str, repository: str, stamp: str) -> str | None:
    """The commit of main, None if the repository is empty.

    Args:
        url: where git reaches it.
        repository: its name, for messages.
        stamp: message of the first commit of the project that may have it.

    Raises SlipwayError if it cannot be reached, or if it has commits and none of the first is the stamp.
    """
    with tempfile.TemporaryDirectory() as folder:
        git = Git(Path(folder))
        git("init", "--quiet")
        sign_in(git, url)
        try:
            listed = git("ls-remote", url)
        except SlipwayError as error:
            raise SlipwayError(
                f"{repository} cannot be read over its connection. Look whether RepositoryId is right, the connection "
                f"is available and tagged with the platform's Namespace, and its app was given the repository. {error}"
            ) from None
        references = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
        if not references:
            return None
        if MAIN in references and stamp in _firsts(git, url):
            return references[MAIN]
    raise SlipwayError(
        f"{repository} is not empty and does not begin with {stamp!r}: nothing was changed in it. Allowed: a "
        "repository without any commit, or one that was stamped for this project"
    )


def _firsts(git: Git, url: str) -> list[str]:
    """Messages of the commits of main that have no parents."""
    git("fetch", "--quiet", "--no-tags", url, MAIN)
    commits = git("rev-list", "--max-parents=0", "FETCH_HEAD").splitlines()
    return [git("cat-file", "commit", commit).partition("\n\n")[2] for commit in commits]
