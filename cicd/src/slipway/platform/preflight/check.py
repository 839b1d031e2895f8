"""What a check is, and how checks are run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from slipway.errors import SlipwayError


class Verdict(StrEnum):
    """The mark in the table."""

    RIGHT = "✓"
    WRONG = "✗"  # the deployment would fail
    MIND = "!"  # it would not fail, but somebody should know
    UNKNOWN = "?"  # AWS did not say


@dataclass(frozen=True)
class Finding:
    """What a check found. `mend` is the command, or the words, that mend what is wrong."""

    verdict: Verdict
    subject: str
    said: str
    mend: str = ""


@dataclass
class Subject:
    """The deployment that is to be.

    Args:
        root: platform or workload.
        given: parameters from the command line.
        templates: name → text of the templates in cfn/, without .yaml.
    """

    session: Any
    namespace: str
    root: str
    given: Mapping[str, str]
    templates: Mapping[str, str]
    _clients: dict[str, Any] = field(default_factory=dict)
    _cache: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """The service's client. It gives up soon: a check that hangs is worse than one that says it does not know."""
        if service not in self._clients:
            config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 2})
            self._clients[service] = self.session.client(service, config=config)
        return self._clients[service]

    def once(self, name: str, call: Callable[[], Any]) -> Any:
        """What the call returned the first time."""
        if name not in self._cache:
            self._cache[name] = call()
        return self._cache[name]

    @property
    def region(self) -> str:
        """The region's name."""
        return str(self.session.region_name)

    @property
    def account(self) -> str:
        """The account's id."""
        return str(self.once("identity", lambda: self.client("sts").get_caller_identity())["Account"])

    def stacks(self) -> dict[str, dict[str, Any]]:
        """The platform's stacks by name without the namespace: bootstrap, guardrails, deployer, platform, …"""

        def read() -> dict[str, dict[str, Any]]:
            found = {}
            for root in ("bootstrap", "guardrails", "deployer", "platform", "workload"):
                name = f"{self.namespace}-{root}"
                try:
                    found[root] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
                except ClientError as error:
                    if "does not exist" not in error.response["Error"].get("Message", ""):
                        raise
            return found

        return dict(self.once("stacks", read))

    @property
    def first(self) -> bool:
        """Whether nothing of this root stands yet."""
        stack = self.stacks().get(self.root)
        return stack is None or stack["StackStatus"] in {"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"}

    def parameter(self, name: str) -> str:
        """The value a parameter would have: as given, as the stack has it, or the template's default."""
        if name in self.given:
            return self.given[name]
        for item in self.stacks().get(self.root, {}).get("Parameters", []):
            if item["ParameterKey"] == name:
                return str(item.get("ParameterValue", ""))
        return str(self._defaults().get(name, {}).get("Default", ""))

    def _defaults(self) -> dict[str, Any]:
        def read() -> Any:
            return yaml.load(self.templates[self.root], _Loader).get("Parameters", {})  # noqa: S506 - a SafeLoader

        return dict(self.once("defaults", read))

    def uses(self, resource_type: str) -> bool:
        """Whether any template has a resource of that type."""
        return any(re.search(rf"Type: {re.escape(resource_type)}\b", text) for text in self.templates.values())


class _Loader(yaml.SafeLoader):
    """Reads a template's short forms as nothing: only parameters are wanted."""


_Loader.add_multi_constructor("!", lambda *_: None)

Check = Callable[[Subject], Iterator[Finding]]


def templates(repository: Path) -> dict[str, str]:
    """The templates of cfn/. Raises SlipwayError if there are none."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted((repository / "cfn").glob("*.yaml"))}
    if not found:
        raise SlipwayError(f"{repository / 'cfn'}: there is no template: give the repository's root with --repository")
    return found


def run(subject: Subject, checks: Mapping[str, Check]) -> Iterator[Finding]:
    """What all checks find. One whose question AWS does not answer is unknown; none passes because it could not ask."""
    for name, check in checks.items():
        try:
            yield from check(subject)
        except ClientError as error:
            yield Finding(Verdict.UNKNOWN, name, _refused(error))
        except BotoCoreError as error:
            yield Finding(Verdict.UNKNOWN, name, f"AWS cannot be asked: {error}")


def _refused(error: ClientError) -> str:
    code = str(error.response["Error"].get("Code", ""))
    if "AccessDenied" in code or "Unauthorized" in code:
        return f"your role may not call {error.operation_name}"
    return f"{error.operation_name} is not answered here: {code} {error.response['Error'].get('Message', '')}".strip()
