"""The scenarios of .taskcat.yml fit the templates; `make test-taskcat` deploys them."""

from __future__ import annotations

import pytest

from slipway.platform.preflight import check
from tests.taskcat.scenarios import FILE, Scenario, problems, scenarios
from tests.templates.library import REPOSITORY, Template

ALL = scenarios(FILE.read_text(encoding="utf-8"))
BOTH = {"cfn/platform.yaml", "cfn/workload.yaml"}


def template(name: str) -> Template:
    return Template(name, (REPOSITORY / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_scenario_gives_what_its_template_takes(scenario: Scenario) -> None:
    """Protects a run on AWS, which costs an hour: a parameter that is gone, or a value that is refused, fails here."""
    found = list(problems(scenario, template(scenario.template)))
    assert not found, "\n".join(found)


def test_the_scenarios_cover_what_can_be_chosen() -> None:
    """Protects the choices of a first deployment: accounts, network, zones and endpoints are each tried both ways."""
    assert {scenario.template for scenario in ALL} == BOTH
    for name in BOTH:
        given = [scenario.parameters for scenario in ALL if scenario.template == name]
        assert any("ExistingVpcId" in parameters for parameters in given), name
        assert any("ExistingVpcId" not in parameters for parameters in given), name
    workload = [scenario.parameters for scenario in ALL if scenario.template == "cfn/workload.yaml"]
    assert {parameters["Environment"] for parameters in workload} == {"staging", "production"}
    assert {(p.get("ZoneCount"), p.get("EndpointSet")) for p in workload} >= {(1, "essential"), (3, "full")}
    platform = [scenario.parameters for scenario in ALL if scenario.template == "cfn/platform.yaml"]
    assert {"StagingAccountId" in parameters for parameters in platform} == {True, False}


def test_scenarios_stand_side_by_side() -> None:
    """Protects a run of all of them in one account: names begin with the namespace, and stored values are its own."""
    assert len({scenario.namespace for scenario in ALL}) == len(ALL)
    for scenario in ALL:
        assert {name.split("/")[1] for name in scenario.stored} == {scenario.namespace}
    assert check.templates(REPOSITORY)  # the folder that taskcat's paths begin in


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"Nmaespace": "tc"}, "takes no Nmaespace"),
        ({"Namespace": "Two Words"}, "Namespace: given Two Words: must be 3 to 10"),
        ({"ZoneCount": 4}, "ZoneCount: given 4, allowed"),
        ({}, "AssetsPrefix is not given"),
        ({"MonthlyBudget": "much"}, "MonthlyBudget: given much, allowed a number"),
        ({"StagingAccountId": "$[taskcat_smm_/x]"}, "StagingAccountId: given"),
    ],
)
def test_what_does_not_fit_is_found(parameters: dict[str, object], said: str) -> None:
    """Shows that the test above can fail."""
    found = list(problems(Scenario("planted", "cfn/platform.yaml", parameters), template("cfn/platform.yaml")))
    assert any(said in problem for problem in found), found
