"""Build and Test with CodeBuild: StartBuild with the artifacts, then BatchGetBuilds until the build is over.

AWS hands CodeBuild the artifacts behind the scenes. Here they are StartBuild's own overrides, of type CODEPIPELINE:
sources at `bucket/key`, output artifacts at `location`/`path`/`name`, each known by the artifact's name. The
idempotency token `codepipeline/NAME/ACTION_EXECUTION_ID` makes the build's initiator `codepipeline/NAME`, and makes
starting it twice start one build, which is what a restart in between needs.
"""

from __future__ import annotations

from typing import Any

from localcloud.services.codepipeline.actions.base import ActionError, Job, Outcome, parse_json, reporting
from localcloud.services.codepipeline.catalogue import environment_problems


class CodeBuildAction:
    """Runs a project."""

    def start(self, job: Job) -> Outcome:
        """Start the build and wait for it."""
        project = job.configuration["ProjectName"]
        with reporting(f"CodeBuild project {project}"):
            build = job.client("codebuild").start_build(**self._request(job, project))["build"]
        self._show(job, build)
        return self._finish(job, build["id"])

    def resume(self, job: Job) -> Outcome:
        """CodeBuild knows the build by its id, or by the idempotency token it was started with."""
        build_id = job.state.get("buildId")
        return self._finish(job, build_id) if build_id else self.start(job)

    def _show(self, job: Job, build: dict[str, Any]) -> None:
        url = f"https://{job.region}.console.aws.amazon.com/codebuild/home?region={job.region}#/builds/{build['id']}/view/new"
        stream = (build.get("logs") or {}).get("cloudWatchLogsArn")
        shown = {"logStreamARN": stream} if stream else {}
        job.update(externalExecutionId=build["id"], externalExecutionUrl=url, state={"buildId": build["id"]}, **shown)

    def _request(self, job: Job, project: str) -> dict[str, Any]:
        given = job.configuration
        names = [artifact["name"] for artifact in job.action["inputArtifacts"]]
        primary = given.get("PrimarySource") or names[0]
        if primary not in names:
            raise ActionError(
                "ConfigurationError", f"PrimarySource '{primary}' is not one of the input artifacts {names}."
            )
        request: dict[str, Any] = {
            "projectName": project,
            "idempotencyToken": f"codepipeline/{job.place.pipeline}/{job.id}",
        }
        source, version = self._source(job, primary)
        request |= {"sourceTypeOverride": source["type"], "sourceLocationOverride": source["location"]}
        if version:
            request["sourceVersion"] = version
        secondary = [(name, *self._source(job, name)) for name in names if name != primary]
        if secondary:
            request["secondarySourcesOverride"] = [{**other, "sourceIdentifier": name} for name, other, _ in secondary]
            versions = [
                {"sourceIdentifier": name, "sourceVersion": revision} for name, _, revision in secondary if revision
            ]
            if versions:
                request["secondarySourcesVersionOverride"] = versions
        # A cloned source is a repository, and CodeBuild wants artifacts of type CODEPIPELINE with such a source alone.
        kind = "CODEPIPELINE" if source["type"] == "CODEPIPELINE" else "S3"
        outputs = [self._output(job, artifact["name"], kind) for artifact in job.action["outputArtifacts"]]
        if outputs:
            request["artifactsOverride"] = outputs[0]
        if outputs[1:]:
            request["secondaryArtifactsOverride"] = outputs[1:]
        key = (job.store.get("encryptionKey") or {}).get("id")
        if key:
            request["encryptionKeyOverride"] = key
        if given.get("BuildspecOverride"):
            request["buildspecOverride"] = given["BuildspecOverride"]
        if given.get("EnvironmentVariables"):
            request["environmentVariablesOverride"] = self._environment(given["EnvironmentVariables"])
        return request

    def _source(self, job: Job, name: str) -> tuple[dict[str, Any], str]:
        """(source, version) of an input artifact; the version is the revision of the source action that made it."""
        artifact = job.execution["artifacts"].get(name, {})
        clone = artifact.get("clone")
        if clone:
            return {"type": "CODECOMMIT", "location": clone["cloneUrl"]}, clone["commitId"]
        bucket, key = job.location("inputArtifacts", name)
        return {"type": "CODEPIPELINE", "location": f"{bucket}/{key}"}, str(artifact.get("revision") or "")

    def _output(self, job: Job, name: str, kind: str) -> dict[str, Any]:
        bucket, key = job.location("outputArtifacts", name)
        path, _, last = key.rpartition("/")
        return {
            "type": kind,
            "location": bucket,
            "path": path,
            "name": last,
            "packaging": "ZIP",
            "artifactIdentifier": name,
        }

    def _environment(self, text: str) -> list[dict[str, str]]:
        problems = list(environment_problems(text))
        if problems:  # a resolved variable may have broken what was well-formed when the pipeline was made
            raise ActionError("ConfigurationError", "; ".join(problems))
        entries: list[dict[str, str]] = parse_json(text, "EnvironmentVariables")
        return [{"type": "PLAINTEXT", **entry} for entry in entries]

    def _finish(self, job: Job, build_id: str) -> Outcome:
        client = job.client("codebuild")
        while True:
            with reporting(f"Build {build_id}", "JobFailed"):
                builds = client.batch_get_builds(ids=[build_id])["builds"]
            if not builds:
                raise ActionError("JobFailed", f"Build {build_id} does not exist any more.")
            build = builds[0]
            if build["buildStatus"] != "IN_PROGRESS":
                break
            job.pause(0.25)
        self._show(job, build)
        if build["buildStatus"] != "SUCCEEDED":
            said = f"Build terminated with state: {build['buildStatus']}"  # all that the event says of the reason
            raise ActionError("JobFailed", failure_message(build), external_id=build_id, summary=said)
        exported = build.get("exportedEnvironmentVariables") or []
        return Outcome(
            external_id=build_id, variables={entry["name"]: str(entry.get("value", "")) for entry in exported}
        )


def failure_message(build: dict[str, Any]) -> str:
    """What the action shows of a build that did not succeed: the phase, the code and the reason."""
    text = f"Build terminated with state: {build['buildStatus']}"
    for phase in build.get("phases") or []:
        if phase.get("phaseStatus") in (None, "SUCCEEDED"):
            continue
        contexts: list[dict[str, Any]] = phase.get("contexts") or []
        context = next((c for c in contexts if c.get("message") or c.get("statusCode")), {})
        return (
            f"{text}. Phase: {phase['phaseType']}, Code: {context.get('statusCode') or phase['phaseStatus']}, "
            f"Message: {context.get('message', '')}"
        )
    return text
