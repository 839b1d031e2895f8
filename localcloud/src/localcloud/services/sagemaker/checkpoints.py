"""Checkpoints of a training job: brought down before it starts, and up while it runs."""

from __future__ import annotations

import threading
from pathlib import Path

from localcloud.services.sagemaker import jobs
from localcloud.services.sagemaker.job_runner import Job
from localcloud.services.sagemaker.jobs import JobError, RoleSession

_SYNC_SECONDS = 1.0


class Checkpoints:
    """The directory of one attempt, as /opt/ml/checkpoints or where CheckpointConfig.LocalPath says.

    What the job writes there is in S3 within about a second, so that an attempt that ends without a word loses no more.
    Files that the job removes stay in S3.
    """

    def __init__(self, role: RoleSession, uri: str, directory: Path, mounts: list[tuple[Path, str]]) -> None:
        self.directory = directory
        self.mounts = mounts
        self._role = role
        self._uri = uri.rstrip("/")
        self._seen: dict[Path, tuple[int, int]] = {}
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def restore(cls, job: Job) -> Checkpoints | None:
        """What an earlier run or attempt left; None for a job without CheckpointConfig.

        Raises:
            JobError: they cannot be read.
        """
        config = job.record.get("CheckpointConfig")
        if not config:
            return None
        inside = str(config["LocalPath"]).rstrip("/")
        below = inside.startswith("/opt/ml/")
        local = job.home / inside.removeprefix("/opt/ml/") if below else job.home / ".checkpoints"
        local.mkdir(parents=True, exist_ok=True)
        found = cls(job.role, config["S3Uri"], local, [] if below else [(local, inside)])
        try:
            jobs.download(job.role, config["S3Uri"].rstrip("/") + "/", "S3Prefix", local, job.region)
        except JobError as error:
            if "No S3 objects found" not in str(error):  # a first run has none to go on from
                raise
        found._seen = dict(found._files())
        return found

    def follow(self) -> None:
        """Begin to copy what changes."""
        self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copy the last changes and end.

        Raises:
            JobError: S3 refuses.
        """
        self._done.set()
        if self._thread:
            self._thread.join()
        self._copy()

    def _follow(self) -> None:
        while not self._done.wait(_SYNC_SECONDS):
            try:
                self._copy()
            except (JobError, OSError) as error:  # told for good by `close`, should it last
                jobs.logger.warning("checkpoints are not copied to %s: %s", self._uri, error)

    def _copy(self) -> None:
        for path, state in self._files():
            if self._seen.get(path) != state:
                jobs.upload(self._role, path, f"{self._uri}/{path.relative_to(self.directory).as_posix()}")
                self._seen[path] = state

    def _files(self) -> list[tuple[Path, tuple[int, int]]]:
        found = []
        for path in sorted(self.directory.rglob("*")):
            try:
                if path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    found.append((path, (stat.st_mtime_ns, stat.st_size)))
            except FileNotFoundError:  # renamed into place while we look
                continue
        return found
