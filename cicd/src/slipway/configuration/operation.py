"""The parts of project.yaml about what comes after training: serving, monitoring, retraining and notifications."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slipway.configuration.values import EmailAddress, InstanceType, Schedule, Section, later

Event = Literal["build-failed", "model-failed", "model-registered", "approval-needed", "released", "release-failed"]


class EnvironmentServing(Section):
    """What an environment does differently. What is left out is as in `serving`."""

    instance_type: InstanceType | None = None
    """SageMaker instance type of the endpoint in this environment."""

    initial_instance_count: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of instances that the endpoint starts with in this environment."""


class Environments(Section):
    """The environments a release passes through."""

    staging: EnvironmentServing = EnvironmentServing()
    """The endpoint in the staging account."""

    production: EnvironmentServing = EnvironmentServing()
    """The endpoint in the production account."""


class Batch(Section):
    """The transform jobs that answer whole files."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type of a transform job."""

    instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of instances of a transform job."""

    max_payload_mb: Annotated[int, Field(ge=1, le=100)] = 6
    """The largest request that a transform job makes of the rows of a file, in MB."""

    max_concurrent_transforms: Annotated[int, Field(ge=1, le=100)] = 1
    """Requests at once to each instance; together they may hold 100 MB."""

    strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    """Whether a request holds as many rows as fit, or one."""


class Rollout(Section):
    """How a new version replaces the one before it."""

    strategy: Annotated[
        Literal["all-at-once", "canary", "linear"], later("canary", "linear", instead="all-at-once")
    ] = "all-at-once"
    """All at once: when the new version is ready. Not in this release: canary, linear."""


class Serving(Section):
    """How the model answers: at an endpoint, in batches, or both."""

    mode: Annotated[
        Literal["real-time", "batch", "both", "serverless", "asynchronous"],
        later("serverless", "asynchronous", instead="real-time"),
    ] = "real-time"
    """Endpoint, transform jobs, or both: a release deploys the endpoint, a model for transform jobs, or both, and takes
    away what the release before had and this one has not. Not in this release: serverless, asynchronous."""

    instance_type: InstanceType = "ml.m5.large"
    """SageMaker instance type of the endpoint."""

    initial_instance_count: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of instances that the endpoint starts with."""

    batch: Batch | None = None
    """The transform jobs, in the modes batch and both."""

    rollout: Rollout = Rollout()
    """How a new version replaces the one before it."""

    environments: Environments = Environments()
    """What staging and production do differently."""

    def of(self, environment: Literal["staging", "production"]) -> tuple[str, int]:
        """Instance type and instance count of an environment."""
        own: EnvironmentServing = getattr(self.environments, environment)
        return (
            own.instance_type or self.instance_type,
            own.initial_instance_count or self.initial_instance_count,
        )

    @property
    def transform(self) -> Batch | None:
        """The transform jobs: as `batch` says, or its defaults; None in the mode real-time."""
        return None if self.mode == "real-time" else self.batch or Batch()


class Monitoring(Section):
    """What is kept to compare a model in use with."""

    baseline: bool = False
    """The evaluation writes statistics and constraints of the training data, and the model's version names them."""

    data_capture: Annotated[bool, later(True, instead=False)] = False
    """Requests and answers of the endpoint are kept. Not in this release: true."""


class Retraining(Section):
    """What starts a training besides a merge to main."""

    schedule: Schedule | None = None
    """When to train again, in UTC: `rate(7 days)` or `cron(0 3 ? * MON *)`. Where nothing is new since the newest
    version, none is made."""

    on_new_data: Annotated[bool, later(True, instead=False)] = False
    """Train when the dataset changes. Not in this release: true."""

    on_drift: Annotated[bool, later(True, instead=False)] = False
    """Train when a monitor reports drift. Not in this release: true."""


class Notifications(Section):
    """Who is told of what by e-mail. Every address is asked once whether it agrees."""

    emails: Annotated[list[EmailAddress], Field(min_length=1, max_length=20)]
    """The addresses."""

    events: Annotated[list[Event], Field(min_length=1, max_length=20)] | None = None
    """What they are told of; everything, if it is left out."""
