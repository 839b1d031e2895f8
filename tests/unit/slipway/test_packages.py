"""The package index that builds are given: with a token that nobody else can read."""

import stat
from configparser import RawConfigParser

from slipway import packages

from .fakes import Session

PLACE = packages.Place("slipway", "python")
ENDPOINT = "https://slipway-111111111111.d.codeartifact.eu-west-1.amazonaws.com/pypi/python/"


def session() -> Session:
    made = Session()
    made.stub("codeartifact", "get_authorization_token", {"authorizationToken": "to/ken"}, {"domain": "slipway"})
    expected = {"domain": "slipway", "repository": "python", "format": "pypi"}
    made.stub("codeartifact", "get_repository_endpoint", {"repositoryEndpoint": ENDPOINT}, expected)
    return made


def test_the_address_is_one_that_pip_and_uv_take() -> None:
    assert packages.index(session(), PLACE) == ENDPOINT.replace("//", "//aws:to%2Fken@", 1) + "simple/"


def test_the_configuration_is_ours_alone_and_goes_away() -> None:
    with packages.pip_configuration(session(), PLACE) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        parser = RawConfigParser()
        parser.read(path)
        assert parser["global"]["index-url"].endswith("/pypi/python/simple/")
    assert not path.exists()


def test_the_build_says_where_and_others_ask_the_platform() -> None:
    named = {"PACKAGES_DOMAIN": "d", "PACKAGES_REPOSITORY": "r"}
    assert packages.place(Session(), "slipway", named) == packages.Place("d", "r")
    asked = Session()
    asked.parameters("/slipway/platform/", {"packages/domain": "slipway", "packages/repository": "python"})
    assert packages.place(asked, "slipway", {}) == PLACE
