"""What an action provider is given, and what it answers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from botocore.exceptions import ClientError

from localcloud.core import Cloud, Credentials, Fault, now
from localcloud.core.recorder import Recorded
from localcloud.services.codepipeline.records import Document, Place

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden", "403")


class ActionError(Exception):
    """The action failed.

    Args:
        code: one of JobFailed, ConfigurationError, PermissionError, RevisionUnavailable, SystemUnavailable, …
        message: the reason, for people.
        external_id, external_url, summary: what the provider calls its work, where there was any.
    """

    def __init__(
        self, code: str, message: str, *, external_id: str = "", external_url: str = "", summary: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.external_id = external_id
        self.external_url = external_url
        self.summary = summary


@dataclass(frozen=True)
class Outcome:
    """The action succeeded."""

    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    # source actions: revisionId, and where known revisionSummary, revisionUrl, created, revisionChangeIdentifier
    revision: Mapping[str, Any] | None = None
    clone: Mapping[str, str] | None = None  # CODEBUILD_CLONE_REF: where CodeBuild clones from, and the commit


class StoppedError(Exception):
    """The action was abandoned, or the local cloud is stopping: whatever it still does is of no interest."""


class ActionProvider(Protocol):
    """Runs one kind of action. `None` as the answer means that somebody will report the end later."""

    def start(self, job: Job) -> Outcome | None:
        """Do the work, or begin it.

        Raises:
            ActionError: it failed.
        """

    def resume(self, job: Job) -> Outcome | None:
        """Go on after a restart with what `start` had begun."""


class Job:
    """One action execution, as its provider sees it."""

    def __init__(
        self,
        cloud: Cloud,
        place: Place,
        execution: Document,
        action: Document,
        store: Document,
        pipeline_role: str,
        change: Callable[..., bool],
    ) -> None:
        self.cloud = cloud
        self.place = place
        self.execution = execution
        self.action = action
        self.store = store
        self.pipeline_role = pipeline_role
        self._change = change

    @property
    def id(self) -> str:
        """The action execution id."""
        return str(self.action["id"])

    @property
    def configuration(self) -> dict[str, str]:
        """The configuration with its variables resolved."""
        return dict(self.action["resolvedConfiguration"])

    @property
    def region(self) -> str:
        """Where the action runs."""
        return str(self.action["region"])

    @property
    def state(self) -> Document:
        """What the provider has kept for itself."""
        return dict(self.action.get("state") or {})

    # -- identity -----------------------------------------------------------------------------------------------

    @cached_property
    def credentials(self) -> Credentials:
        """The action role's credentials, assumed from the pipeline role; else the pipeline role's own.

        Raises:
            ActionError: PermissionError, when a role cannot be assumed.
        """
        role = self.action.get("roleArn")
        session = str(int(now().timestamp() * 1000))
        trying = self.pipeline_role
        try:
            pipeline = self.cloud.assume(
                self.pipeline_role, session, region=self.region, service_principal="codepipeline.amazonaws.com",
                source_arn=self.place.arn,
            )  # fmt: skip
            if not role or role == self.pipeline_role:
                return pipeline
            trying = role
            return self.cloud.assume(role, session, region=self.region, by=pipeline)
        except Fault as error:
            who = "CodePipeline" if trying == self.pipeline_role else f"The pipeline role {self.pipeline_role}"
            raise ActionError(
                "PermissionError", f"{who} is not authorized to perform AssumeRole on role {trying}: {error.message}"
            ) from error

    @property
    def account(self) -> str:
        """The account in which the action works: that of its role."""
        return str((self.action.get("roleArn") or self.pipeline_role).split(":")[4])

    def client(self, service: str) -> Any:
        """A client of the action's role in the action's Region."""
        return self.credentials.client(service, self.region)

    def record(self, action: str, resource: str) -> None:
        """Keep what the action did with its role by another way than the API."""
        found = self.cloud.base.identity(self.credentials.access_key) if self.cloud.base else None
        if found and self.cloud.recorder:
            self.cloud.recorder.add(Recorded(self.account, self.region, found[1], action, resource, 200))

    # -- progress -----------------------------------------------------------------------------------------------

    def update(self, **members: Any) -> None:
        """Keep members of the action execution, e.g. externalExecutionId or state.

        Raises:
            StoppedError: the action is not in progress any more.
        """
        if not self._change(self.id, members):
            raise StoppedError
        self.action.update(members)

    def pause(self, seconds: float) -> None:
        """Wait before asking again.

        Raises:
            StoppedError: the action was abandoned or the local cloud is stopping.
        """
        self.cloud.stopping.wait(seconds)
        if self.cloud.stopping.is_set() or not self._change(self.id, {}):
            raise StoppedError

    # -- artifacts ----------------------------------------------------------------------------------------------

    def location(self, member: str, name: str) -> tuple[str, str]:
        """(bucket, key) of an artifact in "inputArtifacts" or "outputArtifacts"."""
        for artifact in self.action[member]:
            if artifact["name"] == name:
                return artifact["s3location"]["bucket"], artifact["s3location"]["key"]
        raise ActionError("ConfigurationError", f"The action has no artifact named {name} in its {member}.")

    def read(self, name: str) -> bytes:
        """The content of an input artifact."""
        bucket, key = self.location("inputArtifacts", name)
        with reporting(f"input artifact {name} (s3://{bucket}/{key})"):
            return bytes(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    def read_file(self, name: str, path: str) -> bytes:
        """One file of an input artifact, which must be a zip."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.read(name))) as archive:
                return archive.read(path)
        except zipfile.BadZipFile as error:
            raise ActionError("ConfigurationError", f"Input artifact {name} is not a zip file.") from error
        except KeyError as error:
            raise ActionError("ConfigurationError", f"File [{path}] does not exist in artifact [{name}]") from error

    def write(self, content: bytes) -> None:
        """Put the only output artifact into the artifact store, encrypted with the store's key when it has one."""
        artifact = self.action["outputArtifacts"][0]
        bucket, key = self.location("outputArtifacts", artifact["name"])
        with reporting(f"output artifact {artifact['name']} (s3://{bucket}/{key})"):
            self.client("s3").put_object(
                Bucket=bucket, Key=key, Body=content, ContentType="application/zip", **self.encryption()
            )

    def encryption(self) -> dict[str, str]:
        """put_object's members for the artifact store's key."""
        key = (self.store.get("encryptionKey") or {}).get("id")
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in files.items():
            made.writestr(path, content)
    return buffer.getvalue()


class reporting:  # noqa: N801 - reads as a statement
    """Turns an AWS error inside the block into the action's failure, with what was being done."""

    def __init__(self, what: str, code: str = "ConfigurationError") -> None:
        self.what = what
        self.code = code

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, ClientError | Fault):
            raise failure(error, self.what, self.code) from error


def failure(error: ClientError | Fault, what: str, code: str = "ConfigurationError") -> ActionError:
    """The action's failure for an AWS error."""
    if isinstance(error, Fault):
        given, message = error.code, error.message
    else:
        given = str(error.response["Error"].get("Code", ""))
        message = str(error.response["Error"].get("Message", ""))
    chosen = "PermissionError" if given in DENIED else code
    return ActionError(chosen, f"{what}: {message} ({given})")


def parse_json(text: str | bytes, what: str) -> Any:
    """JSON, or the action's failure.

    Raises:
        ActionError: ConfigurationError that names `what`.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ActionError("ConfigurationError", f"{what} is not valid JSON: {error}") from error
