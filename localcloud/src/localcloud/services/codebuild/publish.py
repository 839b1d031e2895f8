"""What a build hands on when its commands are over: exported variables, reports, artifacts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localcloud.core import Cloud, Credentials
from localcloud.services.codebuild import junit
from localcloud.services.codebuild.buildspec import Artifacts, Buildspec
from localcloud.services.codebuild.output import OutputError, Uploaded, upload
from localcloud.services.codebuild.patterns import directories, select
from localcloud.services.codebuild.record import Record
from localcloud.services.codebuild.session import Session

__all__ = ["OutputError", "artifacts", "exported_variables", "reports"]

Note = Callable[[str], None]


def exported_variables(record: Record, session: Session, names: Sequence[str], deadline: float) -> None:
    """Record the values that the variables have now; one that is not set is exported empty."""
    if not names:
        return
    values = [{"name": name, "value": session.capture(f"${{{name}}}", deadline)} for name in names]
    record.change(lambda document: document.update(exportedEnvironmentVariables=values))


def reports(cloud: Cloud, record: Record, credentials: Credentials, spec: Buildspec, base: Path, note: Note) -> None:
    """Read the test results of each report group; a report that cannot be read is INCOMPLETE and fails nothing."""
    service: Any = cloud.service("codebuild")
    for declared in spec.reports:
        found: list[dict[str, Any]] = []
        problems = []
        for root in directories(base, declared.base_directory):
            for path in select(root, declared.files):
                try:
                    found += junit.cases((root / path).read_bytes(), path)
                except (ValueError, OSError) as error:
                    problems.append(str(error))
        if not found and not problems:
            problems.append(f"no report files found for {', '.join(declared.files)}")
        try:
            arn = service.add_report(record, credentials, declared.group, found, complete=not problems)
        except Exception as error:
            note(f"Error creating the report {declared.group}: {error}")
            continue
        for problem in problems:
            note(f"Error processing report {declared.group}: {problem}")
        note(f"Uploaded report {arn} with {len(found)} test cases")


def artifacts(
    record: Record, credentials: Credentials, spec: Buildspec, base: Path, scratch: Path, session: Session, note: Note
) -> None:
    """Upload the primary and the secondary artifacts.

    Raises:
        OutputError: the first that could not be uploaded.
    """
    document = record.read()
    settings = document["_settings"]
    primary, secondary = settings["artifacts"], settings.get("secondaryArtifacts", [])
    if spec.artifacts is None:
        return
    if primary["type"] != "NO_ARTIFACTS" and primary.get("location"):  # a pipeline without outputs names no place
        declared = spec.artifacts.secondary.get(primary.get("artifactIdentifier", ""), spec.artifacts)
        if declared.files:
            sent = _one(primary, declared, document, credentials, base, scratch, session)
            note(f"Uploaded artifact to {sent.location}")
            record.change(lambda doc: doc.update(artifacts={**doc["artifacts"], **_summary(sent)}))
    done = []
    for target in secondary:
        identifier = target["artifactIdentifier"]
        found = spec.artifacts.secondary.get(identifier)
        if found is None:
            raise OutputError(
                f"no definition for secondary artifact {identifier} in the buildspec's secondary-artifacts"
            )
        sent = _one(target, found, document, credentials, base, scratch, session)
        note(f"Uploaded artifact {identifier} to {sent.location}")
        done.append({"artifactIdentifier": identifier, **_summary(sent)})
    if done:
        record.change(lambda doc: doc.update(secondaryArtifacts=done))


def _summary(sent: Uploaded) -> dict[str, str]:
    found = {"location": sent.location, "sha256sum": sent.sha256, "md5sum": sent.md5}
    return {key: value for key, value in found.items() if value}


def _one(
    target: dict[str, Any], declared: Artifacts, document: dict[str, Any], credentials: Credentials, base: Path,
    scratch: Path, session: Session,
) -> Uploaded:  # fmt: skip
    name = target.get("name") or document["projectName"]
    if target.get("overrideArtifactName") and declared.name:
        name = session.capture(declared.name)
    return upload(target, declared, base, scratch, credentials, build=document, name=name)
