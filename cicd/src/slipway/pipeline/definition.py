"""The definition of a project's SageMaker pipeline: Preprocess ▸ Train or Tune ▸ Evaluate ▸ quality gate ▸ Register.

Steps run image entry points, so that no code is uploaded and the same plan yields the same bytes: step caching works.
Nothing that differs from one build to the next (version, commit, cause, champion) goes into a job; it goes into
pipeline parameters, which only the gate and the registration read. The one exception is DataVersion, a fingerprint of
the dataset, which the cached steps must see: SageMaker compares the address of an input, not what lies there.
"""

from __future__ import annotations

import json
from typing import Any

from slipway.pipeline import gate, jobs, registration
from slipway.pipeline import session as sdk_session
from slipway.pipeline.plan import Plan


def definition(plan: Plan, boto_session: Any) -> str:
    """The definition as JSON; the same plan gives the same bytes. Takes seconds: it imports the SageMaker SDK."""
    session = sdk_session.make(boto_session, plan.place.bucket)
    from sagemaker.mlops.workflow.pipeline import Pipeline

    parameters = _parameters(plan)
    preprocess = jobs.preprocess(plan, session, parameters)
    train, model = jobs.train(plan, session, parameters, preprocess)
    evaluate, report = jobs.evaluate(plan, session, parameters, preprocess, model)
    archive = jobs.registered(plan, model, evaluate)
    register = registration.register(plan, session, parameters, archive, evaluate, report)
    pipeline = Pipeline(
        name=plan.place.name,
        parameters=list(parameters.values()),
        steps=[preprocess, train, evaluate, gate.gate(plan, parameters, evaluate, report, register)],
        sagemaker_session=session,
        # The pipeline would make an experiment and a trial for every execution.
        pipeline_experiment_config=None,
    )
    text = pipeline.definition()
    # The SDK writes null for what is not configured; what is not there cannot be refused.
    return json.dumps({key: value for key, value in json.loads(text).items() if value is not None})


def _parameters(plan: Plan) -> dict[str, Any]:
    from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString

    defaults = {
        "ModelVersion": None,
        "CommitId": None,
        "Cause": "merge",
        "DataUri": plan.data_uri,
        "DataVersion": None,
    }
    found = {name: ParameterString(name=name, default_value=default) for name, default in defaults.items()}
    if plan.project.champion is not None:
        # Without a champion every model passes; with these defaults the definition does not depend on who is champion.
        found["ChampionVersion"] = ParameterString(name="ChampionVersion", default_value=gate.NOBODY)
        found["ChampionFigure"] = ParameterString(name="ChampionFigure", default_value=gate.NOBODY)
        found["ChampionLimit"] = ParameterFloat(name="ChampionLimit", default_value=gate.no_limit(plan.project))
    return found
