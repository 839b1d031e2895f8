"""botocore's service models, each read once for everybody in the process: our services, our clients and ministack.

A model is some megabytes of JSON. botocore reads it into ordered dictionaries pair by pair, once for every session, and
ministack makes a session for each model; plain dictionaries keep their order, too, and are read faster. The class of a
client has a function for every operation, and botocore makes it anew for every client: here once for a session.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import boto3
import botocore.client
import botocore.session
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel


class _Files(JSONFileLoader):  # type: ignore[misc]
    def _load_file(self, full_path: str, open_method: Callable[[str, str], Any]) -> Any:
        try:
            with open_method(full_path, "rb") as stream:
                return json.load(stream)
        except FileNotFoundError:
            return None


class _Creator(botocore.client.ClientCreator):  # type: ignore[misc]
    """Makes a service's class once for a session, by whose event handlers it is shaped."""

    _classes: ClassVar[WeakKeyDictionary[Any, dict[tuple[str, str], type]]] = WeakKeyDictionary()

    def _create_client_class(self, service_name: str, service_model: ServiceModel) -> type:
        made = self._classes.setdefault(self._event_emitter, {})
        key = (service_name, service_model.api_version)
        if key not in made:
            made[key] = super()._create_client_class(service_name, service_model)
        return made[key]


LOADER = Loader(file_loader=_Files())


def document(service: str) -> dict[str, Any]:
    """The newest model of a service, by botocore's name for it; it is not to be changed.

    Raises:
        UnknownServiceError: botocore has none.
    """
    found: dict[str, Any] = LOADER.load_service_model(service, "service-2")
    return found


def session() -> boto3.session.Session:
    """A session that takes its models from here."""
    botocore.client.ClientCreator = _Creator
    made = botocore.session.get_session()
    made.register_component("data_loader", LOADER)
    return boto3.session.Session(botocore_session=made)


def install() -> None:
    """Give ministack these models where it would read its own."""
    from ministack.core import iam_actions, responses

    names = responses._BOTOCORE_NAME

    @cache
    def service_model(service: str) -> ServiceModel | None:
        name = names.get(service, service)
        try:
            return ServiceModel(document(name), name)
        except (DataNotFoundError, UnknownServiceError):
            return None

    def load(service: str) -> dict[str, Any]:
        try:
            return document(service)
        except (DataNotFoundError, UnknownServiceError):
            return {}

    responses._service_model = service_model
    iam_actions._load_botocore_model = load
