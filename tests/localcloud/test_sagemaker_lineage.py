"""The lineage that SageMaker keeps by itself, asked with QueryLineage, and what is counted of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import inventory
from tests.localcloud.sagemaker_support import Bench, unique, wait


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


def artifact(bench: Bench, uri: str) -> dict[str, Any]:
    found = bench.sagemaker.list_artifacts(SourceUri=uri)["ArtifactSummaries"]
    assert len(found) == 1, found
    return dict(found[0])


def ask(bench: Bench, arn: str, direction: str, **filters: Any) -> tuple[set[tuple[str, str]], list[dict[str, Any]]]:
    """({(lineage type, type)}, edges) around an entity."""
    found = bench.sagemaker.query_lineage(
        StartArns=[arn],
        Direction=direction,
        IncludeEdges=True,
        MaxResults=50,
        **({"Filters": filters} if filters else {}),
    )
    return {(item["LineageType"], item["Type"]) for item in found["Vertices"]}, found["Edges"]


def entities(bench: Bench, *, everything: bool = False) -> set[str]:
    """What identifies the lineage entities that count as resources; `everything`: also those of the past."""
    kinds = ("Artifact", "TrialComponent", "Association", "Context", "Action")
    return {item.id for item in inventory.resources(bench.cloud.home, everything=everything) if item.kind in kinds}


def test_from_data_to_the_registered_version(bench: Bench) -> None:
    """What a version was made of is found from its package: data, image, jobs, model, commit; and the other way round.
    There is one artifact a source, and nothing of it counts as a resource that somebody has left behind."""
    before = entities(bench)  # other files make some by hand, which are resources
    name, group = unique("lineage"), unique("group")
    bench.put(f"{name}/raw/a.csv")
    raw, data = f"s3://{bench.bucket}/{name}/raw/", f"s3://{bench.bucket}/{name}/data"
    bench.process(f"{name}-prep", **bench.processing_arguments(data, raw))
    job = bench.train(f"{name}-train", **bench.training_arguments(InputDataConfig=[bench.channel("train", data)]))
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    bench.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = bench.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        MetadataProperties={"CommitId": "0123abc", "Repository": "https://example.com/r"},
        InferenceSpecification={
            "Containers": [{"Image": bench.image, "ModelDataUrl": model}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )["ModelPackageArn"]
    wait(lambda: bench.sagemaker.list_artifacts(SourceUri=model)["ArtifactSummaries"], what="the lineage")
    version = artifact(bench, package)["ArtifactArn"]
    found, edges = ask(bench, version, "Ascendants")
    assert found == {
        ("Artifact", "ModelPackage"), ("Artifact", "Model"), ("Artifact", "Image"), ("Artifact", "DataSet"),
        ("TrialComponent", "TrainingJob"), ("TrialComponent", "ProcessingJob"),
    }  # fmt: skip
    component = f"{name}-train-aws-training-job"
    described = bench.sagemaker.describe_trial_component(TrialComponentName=component)
    assert described["Source"] == {"SourceArn": job["TrainingJobArn"], "SourceType": "SageMakerTrainingJob"}
    made = {"SourceArn": described["TrialComponentArn"], "DestinationArn": artifact(bench, model)["ArtifactArn"]}
    assert {**made, "AssociationType": "Produced"} in edges
    assert bench.sagemaker.describe_artifact(ArtifactArn=version)["MetadataProperties"]["CommitId"] == "0123abc"
    down, _ = ask(bench, artifact(bench, raw)["ArtifactArn"], "Descendants", LineageTypes=["Context", "Action"])
    assert down == {("Context", "ModelGroup"), ("Action", "Approval")}
    near = bench.sagemaker.query_lineage(StartArns=[version], Direction="Ascendants", MaxDepth=1)["Vertices"]
    assert {item["Type"] for item in near} == {"ModelPackage", "Model", "Image"}
    assert artifact(bench, bench.image)["ArtifactArn"]
    assert entities(bench) - before == set()
    assert entities(bench, everything=True) - before >= {version, component}


def test_a_job_that_failed_has_made_nothing(bench: Bench) -> None:
    """Its trial component says so, and produced no model."""
    name = unique("failed")
    job = bench.train(name, **bench.training_arguments(HyperParameters={"fail": "no rows"}))
    found = wait(
        lambda: bench.sagemaker.list_trial_components(SourceArn=job["TrainingJobArn"])["TrialComponentSummaries"],
        what="the trial component",
    )
    assert found[0]["Status"] == {"PrimaryStatus": "Failed", "Message": "AlgorithmError: no rows, exit code: 1"}
    vertices, _ = ask(bench, found[0]["TrialComponentArn"], "Descendants")
    assert vertices == {("TrialComponent", "TrainingJob")}


def test_questions_that_have_no_answer(bench: Bench) -> None:
    """An unknown entity is told by its ARN."""
    arn = f"arn:aws:sagemaker:eu-west-1:111111111111:artifact/{'0' * 32}"
    with pytest.raises(ClientError, match=f"'{arn}' does not exist"):
        bench.sagemaker.query_lineage(StartArns=[arn])


def test_model_cards(bench: Bench) -> None:
    """Content is a JSON object with the schema's parts; a change makes a version; a package can carry its card."""
    card = {"model_overview": {"model_description": "delays"}, "intended_uses": {"purpose_of_model": "plan"}}
    create, name = bench.sagemaker.create_model_card, unique("card")
    for content, told in (("{", "is not JSON"), ("[]", "must be a JSON object"), ('{"zzz": 1}', "zzz")):
        with pytest.raises(ClientError, match=told):
            create(ModelCardName=name, Content=content, ModelCardStatus="Draft")
    create(ModelCardName=name, Content=json.dumps(card), ModelCardStatus="Draft")
    with pytest.raises(ClientError, match="is not JSON"):
        bench.sagemaker.update_model_card(ModelCardName=name, Content="{")
    card["intended_uses"]["purpose_of_model"] = "rank"
    bench.sagemaker.update_model_card(ModelCardName=name, Content=json.dumps(card))
    bench.sagemaker.update_model_card(ModelCardName=name, ModelCardStatus="Approved")
    described = bench.sagemaker.describe_model_card(ModelCardName=name)
    assert (described["ModelCardVersion"], described["ModelCardStatus"]) == (2, "Approved")
    versions = bench.sagemaker.list_model_card_versions(ModelCardName=name)["ModelCardVersionSummaryList"]
    assert [item["ModelCardVersion"] for item in versions] == [2, 1]
    with pytest.raises(ClientError, match="NotImplemented"):
        bench.sagemaker.create_model_card_export_job(
            ModelCardName=name, ModelCardExportJobName="x", OutputConfig={"S3OutputPath": "s3://b/k"}
        )
    group = unique("group")
    bench.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    request: dict[str, Any] = {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [{"Image": bench.image}], "SupportedContentTypes": ["a/b"],
            "SupportedResponseMIMETypes": ["a/b"],
        },
    }  # fmt: skip
    with pytest.raises(ClientError, match="model_creator alone"):
        bench.sagemaker.create_model_package(
            **request, ModelCard={"ModelCardContent": json.dumps(card), "ModelCardStatus": "Draft"}
        )
    card["model_overview"] = {"model_creator": "a"}
    carried = {"ModelCardContent": json.dumps(card), "ModelCardStatus": "PendingReview"}
    with pytest.raises(ClientError, match="is not JSON"):
        bench.sagemaker.create_model_package(**request, ModelCard={**carried, "ModelCardContent": "{"})
    arn = bench.sagemaker.create_model_package(**request, ModelCard=carried)["ModelPackageArn"]
    bench.sagemaker.update_model_package(ModelPackageArn=arn, ModelCard={**carried, "ModelCardStatus": "Approved"})
    shown = bench.sagemaker.describe_model_package(ModelPackageName=arn)["ModelCard"]
    assert shown == {**carried, "ModelCardStatus": "Approved"}
