"""AWS CodeCommit: bare git repositories on disk, the API on them, git's smart HTTP, and the events."""

from localcloud.services.codecommit.service import CodeCommit
from localcloud.services.codecommit.source import SourceCommit, archive_commit, resolve_commit

__all__ = ["CodeCommit", "SourceCommit", "archive_commit", "resolve_commit"]
