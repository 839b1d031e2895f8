"""One build, from PROVISIONING to COMPLETED."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from localcloud.core import Cloud, Credentials, Fault
from localcloud.services.codebuild import environment, git_settings, network, publish, sources, tools
from localcloud.services.codebuild.buildspec import Buildspec, BuildspecError, OnFailure, Phase, parse
from localcloud.services.codebuild.container import (
    CURATED,
    Container,
    HostContainer,
    ImageContainer,
    ImagePullError,
    pull,
    shares_files,
)
from localcloud.services.codebuild.hints import fault_reason, hints, is_full
from localcloud.services.codebuild.logs import LogWriter
from localcloud.services.codebuild.output import S3Cache
from localcloud.services.codebuild.record import PRIVATE, Document, Record
from localcloud.services.codebuild.session import Ended, Session

logger = logging.getLogger("localcloud.codebuild")

_PHASES = ("install", "pre_build", "build", "post_build")


class PhaseFailed(Exception):
    """A phase ended badly: its status, and the context's code and message."""

    def __init__(self, code: str, message: str, status: str = "FAILED") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Build:
    """A build that runs. `work` does all of it in the calling thread; `stop` may be called from any."""

    def __init__(self, cloud: Cloud, record: Record) -> None:
        self._cloud = cloud
        self.record = record
        self._document = record.read()
        self._settings: Document = self._document[PRIVATE]
        self._stopped = threading.Event()
        self._container: Container | None = None
        self._session: Session | None = None
        self._log = LogWriter({}, None, set)
        self._resolver: environment.Resolver | None = None
        self._credentials: Credentials | None = None
        self._interface = ""
        self._spec = Buildspec("0.2")
        self._succeeding = True
        self._status = "SUCCEEDED"
        self._deadline = time.monotonic() + 60.0 * self._document["timeoutInMinutes"]
        # Not below the state directory: tools that look for configuration upwards must not find the local cloud's.
        self._root = Path(tempfile.mkdtemp(prefix="codebuild-")).resolve()
        record.change(lambda document: document[PRIVATE].update(root=str(self._root)))
        number = 100_000_000 + secrets.randbelow(900_000_000)
        self._source = self._root / "output" / f"src{number}" / "src"
        self._home = self._root / "home"
        self._tmp = self._root / "tmp"
        self._environments = tools.Environments(self._source)
        self._cache: tuple[S3Cache, str] | None = None
        self._began = time.monotonic()

    @property
    def key(self) -> str:
        """Under which the build's processes are known."""
        return f"codebuild/{self.record.account}/{self.record.id}"

    def stop(self) -> None:
        """StopBuild: end what runs; the build becomes STOPPED."""
        self._stopped.set()
        container = self._container
        if container is not None:
            container.stop()

    # ------------------------------------------------------------------ the phases in order

    def work(self) -> None:
        """Run the build to its end; whatever happens, its record comes to an end too."""
        try:
            self._work()
        except Exception as error:
            if self._cloud.stopping.is_set():
                return
            reason = fault_reason(self._cloud, error)
            logger.error("build %s failed in the local cloud: %s", self.record.id, reason, exc_info=not is_full(error))
            with contextlib.suppress(Exception):
                if "phaseStatus" not in self.record.read()["phases"][-1]:
                    self.record.leave("FAULT", "INTERNAL_SERVICE_ERROR", reason)
                self.record.finish("FAULT")
        finally:
            shutil.rmtree(self._root, ignore_errors=True)

    def _work(self) -> None:
        if self._phase("PROVISIONING", self._provision) and self._phase("DOWNLOAD_SOURCE", self._download):
            self._commands()
        self._close_session()
        self.record.enter("FINALIZING")
        network.release(self._credentials, self._interface)
        problem = self._log.close()
        self.record.leave("SUCCEEDED", "" if not problem else "CLIENT_ERROR", problem)
        if self._stopped.is_set():
            self._status = "STOPPED"
        self.record.finish(self._status)

    def _commands(self) -> None:
        """The phases of the buildspec, by CodeBuild's transitions."""
        for name in _PHASES:
            phase = self._spec.phases.get(name, Phase())
            policy = phase.on_failure
            done = self._phase(name.upper(), lambda phase=phase: self._run_phase(phase), retry=policy)  # type: ignore[misc]
            if self._status in ("TIMED_OUT", "STOPPED"):
                return
            if (
                not done
                and policy.action != "CONTINUE"
                and (name in ("install", "pre_build") or policy.action == "ABORT")
            ):
                return
        self._phase("UPLOAD_ARTIFACTS", self._publish)

    def _phase(self, name: str, body: Callable[[], None], retry: OnFailure | None = None) -> bool:
        """Run one phase, and again as its on-failure says. Whether it succeeded."""
        self.record.enter(name)
        if name.lower() in _PHASES or name == "UPLOAD_ARTIFACTS":
            self._log.note(f"Entering phase {name}")
        attempts = retry.count if retry and retry.action == "RETRY" else 0
        while True:
            failure = self._attempt(body)
            again = (
                failure
                and attempts
                and failure.status == "FAILED"
                and retry
                and re.search(retry.regex, failure.message)
            )
            if not again:
                break
            attempts -= 1
            assert failure is not None
            self._log.note(f"Retrying phase {name} after: {failure.message}")
        status, code, message = "SUCCEEDED", "", ""
        if failure:
            status, code, message = failure.status, failure.code, failure.message
            self._succeeding = False
            if self._status == "SUCCEEDED" or status != "FAILED":
                self._status = status
        aborted = bool(failure and retry and retry.action == "ABORT")
        self._log.note(f"Phase complete: {name} State: {'FAILED_WITH_ABORT' if aborted else status}")
        self._log.note(f"Phase context status code: {code} Message: {message}")
        self.record.leave(status, code, message)
        return failure is None

    def _attempt(self, body: Callable[[], None]) -> PhaseFailed | None:
        try:
            if self._stopped.is_set():
                raise PhaseFailed("", "", "STOPPED")
            body()
        except PhaseFailed as failure:
            return PhaseFailed("", "", "STOPPED") if self._stopped.is_set() else failure
        except TimeoutError:
            return PhaseFailed("BUILD_TIMED_OUT", "Build has timed out. ", "TIMED_OUT")
        except Ended as ended:
            if self._stopped.is_set():
                return PhaseFailed("", "", "STOPPED")
            return PhaseFailed("INTERNAL_SERVICE_ERROR", f"The build container ended: {ended.reason}")
        return None

    # ------------------------------------------------------------------ PROVISIONING

    def _provision(self) -> None:
        build = self._document
        for directory in (self._home, self._tmp):
            directory.mkdir(parents=True)
        try:
            self._credentials = self._cloud.assume(
                build["serviceRole"],
                f"AWSCodeBuild-{build['id'].partition(':')[2]}",
                region=self.record.region,
                service_principal="codebuild.amazonaws.com",
                source_arn=f"{build['arn'].rpartition(':build/')[0]}:project/{build['projectName']}",
            )
        except Fault as fault:
            raise PhaseFailed(
                "CLIENT_ERROR",
                f"Unable to assume the service role {build['serviceRole']}: {fault.message}. Please verify that the "
                "role exists and that its trust policy admits codebuild.amazonaws.com.",
            ) from fault
        self._resolver = environment.Resolver(self._credentials)
        resolver = self._resolver
        self._log = LogWriter(build["logs"], self._credentials, lambda: resolver.secrets)
        self._log.note("Running on CodeBuild On-demand")
        try:
            self._interface = network.attach(self._credentials, build.get("vpcConfig") or {}, self.record)
            if not build["environment"]["image"].startswith(CURATED):
                self._settings["image"] = pull(self._cloud, build["environment"]["image"], self._credentials)
        except network.NetworkError as error:
            raise PhaseFailed("VPC_CLIENT_ERROR", str(error)) from error
        except ImagePullError as error:
            raise PhaseFailed("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", str(error)) from error

    # ------------------------------------------------------------------ DOWNLOAD_SOURCE

    def _download(self) -> None:
        build, settings = self._document, self._settings
        assert self._credentials is not None
        self._log.note("Phase is DOWNLOAD_SOURCE")
        first = self._tools()
        fetched: dict[str, dict[str, str]] = {}
        try:
            primary = sources.fetch(build["source"], build.get("sourceVersion", ""), self._source, self._credentials)
            fetched[""] = primary.variables()
            versions = {
                item["sourceIdentifier"]: item["sourceVersion"] for item in build.get("secondarySourceVersions", [])
            }
            for index, source in enumerate(build.get("secondarySources", [])):
                name = source["sourceIdentifier"]
                directory = self._source.parent.parent / f"src{index}" / name
                version = versions.get(name, "")
                fetched[name] = sources.fetch(source, version, directory, self._credentials).variables()
        except sources.SourceError as error:
            raise PhaseFailed(error.code, str(error)) from error
        self._log.note(f"CODEBUILD_SRC_DIR={self._source}")
        resolved = fetched[""]["resolved"]
        if resolved:
            self._document = self.record.change(lambda document: document.update(resolvedSourceVersion=resolved))
            self._document[PRIVATE] = settings
        self._read_buildspec()
        variables = self._variables(fetched)
        self._open_session(variables, first)
        self._restore_cache()

    def _read_buildspec(self) -> None:
        assert self._credentials is not None
        given = self._document["source"].get("buildspec", "")
        if "\n" in given or given.lstrip().startswith("{"):
            text, place = given, "the project"
        elif given.startswith("arn:"):
            place = given
            try:
                text = sources.read_object(self._credentials, given).decode(errors="replace")
            except sources.SourceError as error:
                raise PhaseFailed("YAML_FILE_ERROR", f"buildspec {given}: {error}") from error
        else:
            place = given or "buildspec.yml"
            path = self._source / place
            if not path.is_file():
                raise PhaseFailed("YAML_FILE_ERROR", f"YAML file does not exist: {place} is not in the source")
            text = path.read_text(errors="replace")
        self._log.note(f"YAML location is {place}")
        try:
            self._spec = parse(text)
        except BuildspecError as error:
            raise PhaseFailed("YAML_FILE_ERROR", str(error)) from error

    def _variables(self, fetched: dict[str, dict[str, str]]) -> dict[str, str]:
        build, spec = self._document, self._spec
        assert self._credentials is not None
        assert self._resolver is not None
        self._log.note("Processing environment variables")
        shared = "image" not in self._settings or shares_files(self._cloud)
        variables = environment.lent(os.environ, shares_files=shared)
        if "image" not in self._settings:
            variables["PATH"] = tools.search_path(os.environ)
        variables |= self._credentials.environment(self.record.region)
        try:
            variables |= spec.env.variables
            variables |= self._resolver.parameters(spec.env.parameter_store)
            variables |= {name: self._resolver.secret(value) for name, value in spec.env.secrets_manager.items()}
            variables |= self._resolver.project(build["environment"].get("environmentVariables", []))
        except environment.VariableError as error:
            raise PhaseFailed(error.code, str(error)) from error
        for name, version in spec.phases.get("install", Phase()).runtime_versions.items():
            self._log.note(f"Selecting '{name}' runtime version '{version}': this machine's {name} is used")
        variables |= git_settings.write(
            self._root,
            self._home,
            self._credentials.endpoint,
            self.record.region,
            helper=spec.env.git_credential_helper,
        )
        for name, text in environment.settings_files(os.environ).items():
            (self._home / name).parent.mkdir(parents=True, exist_ok=True)
            (self._home / name).write_text(text)
        return variables | environment.standard(build, sources=fetched, home=self._home, tmp=self._tmp)

    def _tools(self) -> tuple[Path, ...]:
        """Directories to put first on PATH. An image brings its own Python and `aws`."""
        small = tools.hash_files(self._root / "bin")
        if self._document["environment"].get("privilegedMode"):
            docker = [Path(self._cloud.runtime.shim_directory())]
        else:
            tools.refuse_docker(small)
            docker = []
        return (*docker, small) if "image" in self._settings else (*docker, small, tools.curated(self._root))

    def _open_session(self, variables: dict[str, str], first: tuple[Path, ...]) -> None:
        image = self._settings.get("image")
        if image is None:
            self._container = HostContainer(self._cloud, self.key, variables, self._source)
        else:
            self._container = ImageContainer(self._cloud, self.key, image, variables, self._root, self._source)
        self._session = Session(
            self._root / "control",
            self._source,
            shell=self._spec.env.shell,
            run=self._container.run,
            stop=self._container.stop,
            on_line=self._log.line,
            persistent=self._spec.version != "0.1",
            first=first,
        )

    def _restore_cache(self) -> None:
        setting, declared = self._document.get("cache", {}), self._spec.cache
        if setting.get("type") != "S3" or not declared.paths:
            return
        assert self._session is not None
        assert self._credentials is not None
        cache = S3Cache(
            setting, declared, project=self._document["projectName"], base=self._source, home=self._home,
            scratch=self._root, credentials=self._credentials, note=self._log.note,
        )  # fmt: skip
        key = self._session.capture(declared.key, self._deadline) if declared.key else ""
        fallback = tuple(self._session.capture(item, self._deadline) for item in declared.fallback_keys)
        cache.restore(key, fallback)
        self._cache = (cache, key)

    # ------------------------------------------------------------------ commands

    def _run_phase(self, phase: Phase) -> None:
        try:
            for command in phase.commands:
                self._command(command)
        except PhaseFailed:
            self._succeeding = False
            self._finally(phase)
            raise
        self._finally(phase)

    def _finally(self, phase: Phase) -> None:
        for command in phase.finally_commands:
            self._command(command)

    def _command(self, command: str) -> None:
        assert self._session is not None
        self._log.note(f"Running command {command}")
        status = self._session.run(
            command,
            preset={"CODEBUILD_BUILD_SUCCEEDING": "1" if self._succeeding else "0"},
            deadline=self._deadline,
        )
        if self._stopped.is_set():
            raise PhaseFailed("", "", "STOPPED")
        if self._container is not None and self._container.shares_files:
            self._environments.provide()
        if status:
            for line in hints(self._cloud, self._began):
                self._log.line(line)
            self._log.note(f"Command did not exit successfully {command} exit status {status}")
            raise PhaseFailed(
                "COMMAND_EXECUTION_ERROR", f"Error while executing command: {command}. Reason: exit status {status}"
            )

    # ------------------------------------------------------------------ UPLOAD_ARTIFACTS

    def _publish(self) -> None:
        assert self._session is not None
        assert self._credentials is not None
        publish.exported_variables(self.record, self._session, self._spec.env.exported, self._deadline)
        publish.reports(self._cloud, self.record, self._credentials, self._spec, self._source, self._log.note)
        if self._cache and self._succeeding:
            self._cache[0].save(self._cache[1])
        try:
            publish.artifacts(
                self.record, self._credentials, self._spec, self._source, self._root, self._session, self._log.note
            )
        except publish.OutputError as error:
            raise PhaseFailed("CLIENT_ERROR", str(error)) from error

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
