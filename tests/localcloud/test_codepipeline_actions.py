"""CodePipeline's action providers."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ACCOUNT, STAGING, REGION = "111111111111", "222222222222", "eu-west-1"
HELPERS = runpy.run_path(str(Path(__file__).with_name("pipelines.py")))
Bench, action, refused, until, zipped = (HELPERS[n] for n in ("Bench", "action", "refused", "until", "zipped"))
SMALL = "BUILD_GENERAL1_SMALL"
LAMBDA = """
import json, os, boto3
def handler(event, context):
    job = event["CodePipeline.job"]
    given = json.loads(job["data"]["actionConfiguration"]["configuration"].get("UserParameters", "{}"))
    client = boto3.client("codepipeline", region_name="eu-west-1")
    mode = given["mode"]
    if mode == "raise":
        raise ValueError("broken function")
    if mode == "fail":
        client.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": "no luck"})
    elif mode == "again" and "continuationToken" not in job["data"]:
        client.put_job_success_result(jobId=job["id"], continuationToken="second")
    else:
        said = job["data"].get("continuationToken", "first") + " " + given.get("word", "")
        client.put_job_success_result(jobId=job["id"], outputVariables={"Said": said})
"""


@pytest.fixture(scope="module")
def bench(cloud: Any) -> Any:
    return Bench(cloud)


def first(bench: Any, name: str) -> str:
    return str(bench.executions(name)[0]["pipelineExecutionId"])


def latest(bench: Any, name: str, action_name: str) -> dict[str, Any]:
    """The newest execution of an action, as ListActionExecutions shows it."""
    found = bench.pipelines.list_action_executions(pipelineName=name)["actionExecutionDetails"]
    return next(entry for entry in found if entry["actionName"] == action_name)


# -- sources -------------------------------------------------------------------------------------------------------


def commit(cloud: Any, repository: str, **files: str) -> str:
    client = cloud.client("codecommit")
    branches = client.list_branches(repositoryName=repository)["branches"]
    parent = {}
    if "main" in branches:
        parent["parentCommitId"] = client.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"]
    return str(
        client.create_commit(
            repositoryName=repository,
            branchName="main",
            authorName="Mary",
            email="mary@example.com",
            commitMessage='say "hello"\n\nmore',
            putFiles=[{"filePath": k.replace("__", "."), "fileContent": v.encode()} for k, v in files.items()],
            **parent,
        )["commitId"]
    )


def encrypted(cloud: Any, bench: Any) -> dict[str, Any]:
    """The artifact store with a key."""
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    return {"type": "S3", "location": bench.store, "encryptionKey": {"id": key, "type": "KMS"}}


def codecommit_source(repository: str, **configuration: str) -> dict[str, Any]:
    given = {"RepositoryName": repository, "BranchName": "main", "PollForSourceChanges": "false", **configuration}
    made: dict[str, Any] = action(
        "Source",
        "Source",
        "CodeCommit",
        configuration=given,
        outputArtifacts=[{"name": "Code"}],
        namespace="Source",
    )
    return made


def test_codecommit_source_and_codebuild(cloud: Any, bench: Any) -> None:
    """The commit's tree reaches the build, the build's artifact and exported variables reach the next action, and a
    failed build shows its phase and reason."""
    repository, project = f"repo-{bench.id}", f"build-{bench.id}"
    cloud.client("codecommit").create_repository(repositoryName=repository)
    spec = {
        "version": 0.2,
        "env": {"exported-variables": ["SAID"]},
        "phases": {
            "build": {"commands": ["cat a.txt > out.txt", 'SAID="$WORD of $CODEBUILD_RESOLVED_SOURCE_VERSION"']}
        },
        "artifacts": {"files": ["out.txt"]},
    }
    old = commit(cloud, repository, a__txt="old", buildspec__yml=json.dumps(spec))
    broken = {**spec, "phases": {"build": {"commands": ["false"]}}}
    head = commit(cloud, repository, a__txt="new", buildspec__yml=json.dumps(broken))
    make_project(cloud, bench, project)
    build = action(
        "Build",
        "Build",
        "CodeBuild",
        configuration={
            "ProjectName": project,
            "EnvironmentVariables": json.dumps([{"name": "WORD", "value": "#{Source.BranchName}"}]),
        },
        inputArtifacts=[{"name": "Code"}],
        outputArtifacts=[{"name": "Built"}],
        namespace="Build",
    )
    deploy = bench.deploy(configuration={"ObjectKey": "built/#{Build.SAID}"}) | {"inputArtifacts": [{"name": "Built"}]}
    store = encrypted(cloud, bench)
    key = store["encryptionKey"]["id"]
    declaration = bench.declare(f"cc-{bench.id}", [build], [deploy], executionMode="QUEUED", artifactStore=store)
    declaration["stages"][0]["actions"] = [codecommit_source(repository)]
    bench.pipelines.create_pipeline(pipeline=declaration)
    name = declaration["name"]
    bench.ends(name, first(bench, name), "Failed")
    failed = latest(bench, name, "Build")["output"]["executionResult"]
    assert failed["errorDetails"]["code"] == "JobFailed"
    assert "Phase: BUILD, Code: COMMAND_EXECUTION_ERROR" in failed["errorDetails"]["message"]
    assert failed["externalExecutionId"].startswith(f"{project}:")
    source = latest(bench, name, "Source")["output"]["outputVariables"]
    assert (source["CommitId"], source["CommitMessage"]) == (head, 'say "hello"\n\nmore')
    override = {"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": old}
    bench.ends(name, bench.start(name, sourceRevisions=[override]), "Succeeded")
    body = bench.s3.get_object(Bucket=bench.store, Key=f"built/main of {old}")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(body)).read("out.txt") == b"old"
    (built,) = latest(bench, name, "Build")["output"]["outputArtifacts"]
    for entry in (built, *latest(bench, name, "Source")["output"]["outputArtifacts"]):
        location = entry["s3location"]
        assert bench.s3.head_object(Bucket=location["bucket"], Key=location["key"])["SSEKMSKeyId"] == key
    (build_id,) = [latest(bench, name, "Build")["output"]["executionResult"]["externalExecutionId"]]
    (started,) = cloud.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
    assert started["initiator"] == f"codepipeline/{name}"


def make_project(cloud: Any, bench: Any, name: str) -> None:
    trust = json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "codebuild"))
    cloud.client("codebuild").create_project(
        name=name,
        source={"type": "CODEPIPELINE"},
        artifacts={"type": "CODEPIPELINE"},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": SMALL},
        serviceRole=bench.make_role(f"role-{name}", trust),
    )


def test_full_clone(cloud: Any, bench: Any) -> None:
    """CODEBUILD_CLONE_REF gives the build a clone with its history instead of a zip."""
    repository, project = f"clone-{bench.id}", f"clone-{bench.id}"
    cloud.client("codecommit").create_repository(repositoryName=repository)
    commands = ["git rev-parse HEAD > head.txt"]
    spec = {"version": 0.2, "phases": {"build": {"commands": commands}}, "artifacts": {"files": ["head.txt"]}}
    head = commit(cloud, repository, buildspec__yml=json.dumps(spec))
    make_project(cloud, bench, project)
    build = action(
        "Build",
        "Build",
        "CodeBuild",
        configuration={"ProjectName": project},
        inputArtifacts=[{"name": "Code"}],
        outputArtifacts=[{"name": "Built"}],
    )
    deploy = bench.deploy(configuration={"ObjectKey": "clone.zip"}) | {"inputArtifacts": [{"name": "Built"}]}
    declaration = bench.declare(f"clone-{bench.id}", [build], [deploy], artifactStore=encrypted(cloud, bench))
    declaration["stages"][0]["actions"] = [codecommit_source(repository, OutputArtifactFormat="CODEBUILD_CLONE_REF")]
    bench.pipelines.create_pipeline(pipeline=declaration)
    bench.ends(declaration["name"], first(bench, declaration["name"]), "Succeeded")
    body = bench.s3.get_object(Bucket=bench.store, Key="clone.zip")["Body"].read()
    assert zipfile.ZipFile(io.BytesIO(body)).read("head.txt").decode().strip() == head


def test_a_power_cut_during_a_build(own_cloud: Any) -> None:
    """The build died with the machine; the action and the execution end with the reason, and a retry works."""
    bench = Bench(own_cloud)
    spec = {"version": 0.2, "phases": {"build": {"commands": ["sleep 30"]}}}
    bench.s3.put_object(Bucket=bench.source, Key="app.zip", Body=zipped(buildspec__yml=json.dumps(spec)))
    make_project(own_cloud, bench, "slow")
    given = {"ProjectName": "slow"}
    build = action("Build", "Build", "CodeBuild", configuration=given, inputArtifacts=[{"name": "Code"}])
    name = bench.create([build])
    until(lambda: bench.stage(name, "Stage1")["actionStates"][0].get("latestExecution", {}).get("externalExecutionId"))
    own_cloud.kill()
    own_cloud.start()
    bench.ends(name, first(bench, name), "Failed")
    message = latest(bench, name, "Build")["output"]["executionResult"]["errorDetails"]["message"]
    assert "Build terminated with state: " in message


def test_ecr_source(cloud: Any, bench: Any) -> None:
    """The tag's digest is the revision, and imageDetail.json says where the image is."""
    repository, client = f"images-{bench.id}", cloud.client("ecr")
    client.create_repository(repositoryName=repository)
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
    put = client.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag="v1")
    digest = put["image"]["imageId"]["imageDigest"]
    deploy = bench.deploy(configuration={"ObjectKey": "image.zip"})
    declaration = bench.declare(f"ecr-{bench.id}", [deploy])
    given = {"RepositoryName": repository, "ImageTag": "v1"}
    source = action("Source", "Source", "ECR", configuration=given, outputArtifacts=[{"name": "Code"}])
    declaration["stages"][0]["actions"] = [source]
    bench.pipelines.create_pipeline(pipeline=declaration)
    ended = bench.ends(declaration["name"], first(bench, declaration["name"]), "Succeeded")
    assert ended["artifactRevisions"][0]["revisionId"] == digest
    body = bench.s3.get_object(Bucket=bench.store, Key="image.zip")["Body"].read()
    detail = json.loads(zipfile.ZipFile(io.BytesIO(body)).read("imageDetail.json"))
    assert detail["ImageURI"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}@{digest}"


# -- deployments -----------------------------------------------------------------------------------------------------

TEMPLATE = {
    "Parameters": {"Word": {"Type": "String"}, "Where": {"Type": "String", "Default": ""}},
    "Resources": {"Note": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "Word"}}}},
    "Outputs": {"NoteName": {"Value": {"Ref": "Note"}}, "Told": {"Value": {"Ref": "Where"}}},
}


def stack(name: str, stack_name: str, mode: str = "CREATE_UPDATE", **configuration: str) -> dict[str, Any]:
    given = {"ActionMode": mode, "StackName": stack_name, **configuration}
    made: dict[str, Any] = action(
        name, "Deploy", "CloudFormation", configuration=given, inputArtifacts=[{"name": "Code"}]
    )
    return made


def put_template(bench: Any, **files: Any) -> None:
    template = {"template__json": json.dumps(TEMPLATE), **{name: json.dumps(text) for name, text in files.items()}}
    bench.s3.put_object(Bucket=bench.source, Key="app.zip", Body=zipped(**template))


def test_cloudformation_in_another_account(cloud: Any, bench: Any) -> None:
    """The action's role is assumed from the pipeline's role, the stack is made in the role's account, and parameters
    come from configuration and overrides; a role that does not trust the pipeline's is refused with both names."""
    put_template(bench, staging__json={"Parameters": {"Word": "from file"}, "Tags": {"Project": "p"}})
    iam = cloud.client("iam", STAGING)
    trust = {"Effect": "Allow", "Principal": {"AWS": bench.role}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    deployer = iam.create_role(RoleName=f"deployer-{bench.id}", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    service = json.dumps(HELPERS["TRUST"]).replace("codepipeline", "cloudformation")
    passed = iam.create_role(RoleName=f"cfn-{bench.id}", AssumeRolePolicyDocument=service)["Role"]["Arn"]
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": deployer},
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bench.store}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [grant]})
    bench.s3.put_bucket_policy(Bucket=bench.store, Policy=policy)
    stack_name = f"stack-{bench.id}"
    deploy = stack(
        "Deploy",
        stack_name,
        RoleArn=passed,
        TemplatePath="Code::template.json",
        TemplateConfiguration="Code::staging.json",
        ParameterOverrides=json.dumps({"Where": {"Fn::GetArtifactAtt": ["Code", "BucketName"]}}),
        OutputFileName="outputs.json",
    )
    deploy |= {"roleArn": deployer, "namespace": "Stack", "outputArtifacts": [{"name": "Outputs"}]}
    note = bench.deploy("Note", configuration={"ObjectKey": "cfn/#{Stack.Told}"})
    name = bench.create([deploy], [note | {"inputArtifacts": [{"name": "Outputs"}]}])
    bench.ends(name, first(bench, name), "Succeeded")
    (made,) = cloud.client("cloudformation", STAGING).describe_stacks(StackName=stack_name)["Stacks"]
    assert made["Tags"] == [{"Key": "Project", "Value": "p"}]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
    value = cloud.client("ssm", STAGING).get_parameter(Name=outputs["NoteName"])["Parameter"]["Value"]
    assert (value, outputs["Told"]) == ("from file", bench.store)
    body = bench.s3.get_object(Bucket=bench.store, Key=f"cfn/{bench.store}")["Body"].read()
    assert json.loads(zipfile.ZipFile(io.BytesIO(body)).read("outputs.json")) == outputs
    result = latest(bench, name, "Deploy")["output"]["executionResult"]
    assert (result["externalExecutionId"], result["externalExecutionSummary"]) == (
        made["StackId"],
        "Stack CREATE_COMPLETE",
    )
    stranger = iam.create_role(RoleName=f"stranger-{bench.id}", AssumeRolePolicyDocument=service)["Role"]["Arn"]
    name = bench.create([{**deploy, "roleArn": stranger}])
    bench.ends(name, first(bench, name), "Failed")
    error = latest(bench, name, "Deploy")["output"]["executionResult"]["errorDetails"]
    assert error["code"] == "PermissionError"
    assert bench.role in error["message"]
    assert stranger in error["message"]


def test_cloudformation_modes(cloud: Any, bench: Any) -> None:
    """A change set is made, replaced and executed; an update without changes succeeds; delete twice succeeds; a broken
    template's reason is shown."""
    put_template(bench)
    client = cloud.client("cloudformation")
    service = json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "cloudformation"))
    stack_name, role = f"modes-{bench.id}", bench.make_role(f"modes-{bench.id}", service)
    template = {"RoleArn": role, "TemplatePath": "Code::template.json"}
    change = {**template, "ChangeSetName": "change", "ParameterOverrides": json.dumps({"Word": "one"})}
    name = bench.create(
        [stack("Make", stack_name, "CHANGE_SET_REPLACE", **change)],
        [{**stack("Execute", stack_name, "CHANGE_SET_EXECUTE", ChangeSetName="change"), "inputArtifacts": []}],
    )
    bench.ends(name, first(bench, name), "Succeeded")
    assert client.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    bench.ends(name, bench.start(name), "Succeeded")
    same = {**template, "ParameterOverrides": json.dumps({"Word": "one"})}
    delete = {**stack("Delete", stack_name, "DELETE_ONLY", RoleArn=role), "inputArtifacts": []}
    again = {**delete, "name": "Again", "runOrder": 2}
    name = bench.create([stack("Same", stack_name, **same)], [delete, again])
    bench.ends(name, first(bench, name), "Succeeded")
    broken = {**template, "ParameterOverrides": json.dumps({"Word": 5})}
    name = bench.create([stack("Broken", stack_name, **broken)])
    bench.ends(name, first(bench, name), "Failed")
    assert "strings" in latest(bench, name, "Broken")["output"]["executionResult"]["errorDetails"]["message"]


def test_what_was_rolled_back_can_be_deployed_again(cloud: Any, bench: Any) -> None:
    """Protects the release after one that failed: a stack that is already as asked, by a rollback, is a success."""
    put_template(bench)
    service = json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "cloudformation"))
    stack_name, role = f"back-{bench.id}", bench.make_role(f"back-{bench.id}", service)
    given = {"RoleArn": role, "TemplatePath": "Code::template.json", "ParameterOverrides": json.dumps({"Word": "one"})}
    name = bench.create([stack("Same", stack_name, "REPLACE_ON_FAILURE", **given)])
    bench.ends(name, first(bench, name), "Succeeded")
    wrong = {"Wrong": {"Type": "AWS::GuardDuty::Detector", "Properties": {}}}
    broken = {**TEMPLATE, "Resources": {**TEMPLATE["Resources"], **wrong}}
    bench.s3.put_object(Bucket=bench.source, Key="app.zip", Body=zipped(template__json=json.dumps(broken)))
    for _ in range(2):
        bench.ends(name, bench.start(name), "Failed")
        message = latest(bench, name, "Same")["output"]["executionResult"]["errorDetails"]["message"]
        assert "UPDATE_ROLLBACK_COMPLETE. Wrong (AWS::GuardDuty::Detector)" in message
    put_template(bench)
    bench.ends(name, bench.start(name), "Succeeded")
    change = {**given, "ChangeSetName": "change"}
    name = bench.create(
        [stack("Make", stack_name, "CHANGE_SET_REPLACE", **change)],
        [{**stack("Execute", stack_name, "CHANGE_SET_EXECUTE", ChangeSetName="change"), "inputArtifacts": []}],
    )
    bench.ends(name, first(bench, name), "Succeeded")


# -- invocations -----------------------------------------------------------------------------------------------------


def test_lambda_reports_its_result(cloud: Any, bench: Any) -> None:
    """Success with variables, failure with the reason, a continuation, and a function that breaks."""
    trust = json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "lambda"))
    function = f"function-{bench.id}"
    cloud.client("lambda").create_function(
        FunctionName=function,
        Runtime="python3.11",
        Role=bench.make_role(f"lambda-{bench.id}", trust),
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py=LAMBDA)},
        Timeout=30,
    )

    def invoke(mode: str) -> dict[str, Any]:
        given = {"FunctionName": function, "UserParameters": json.dumps({"mode": mode, "word": "#{Source.ObjectKey}"})}
        made: dict[str, Any] = action("Invoke", "Invoke", "Lambda", configuration=given, namespace="Function")
        return made

    ends = {"succeed": "Succeeded", "fail": "Failed", "again": "Succeeded", "raise": "Failed"}
    names = {mode: bench.create([invoke(mode)]) for mode in ends}
    for mode, status in ends.items():
        bench.ends(names[mode], first(bench, names[mode]), status)
    said = {mode: latest(bench, names[mode], "Invoke")["output"] for mode in ends}
    assert said["succeed"]["outputVariables"] == {"Said": "first app.zip"}
    assert said["again"]["outputVariables"] == {"Said": "second app.zip"}
    assert said["fail"]["executionResult"]["errorDetails"] == {"code": "JobFailed", "message": "no luck"}
    assert "broken function" in said["raise"]["executionResult"]["errorDetails"]["message"]
    job = said["succeed"]["executionResult"]["externalExecutionId"]
    refused("InvalidJobStateException", bench.pipelines.put_job_success_result, jobId=job)
    refused("JobNotFoundException", bench.pipelines.put_job_success_result, jobId=str(uuid4()))


def test_step_functions_are_waited_for(cloud: Any, bench: Any) -> None:
    """A state machine gets its input, its output is the artifact, and a failed execution fails the action."""
    client = cloud.client("stepfunctions")
    trust = json.loads(json.dumps(HELPERS["TRUST"]).replace("codepipeline", "states"))
    role = bench.make_role(f"states-{bench.id}", trust)

    def machine(name: str, state: dict[str, Any]) -> str:
        definition = json.dumps({"StartAt": "Only", "States": {"Only": state}})
        made = client.create_state_machine(name=f"{name}-{bench.id}", definition=definition, roleArn=role)
        return str(made["stateMachineArn"])

    good = machine("good", {"Type": "Wait", "Seconds": 1, "End": True})
    bad = machine("bad", {"Type": "Fail", "Error": "Nope", "Cause": "because"})
    wait = action(
        "Wait",
        "Invoke",
        "StepFunctions",
        configuration={"StateMachineArn": good, "Input": json.dumps({"key": "#{Source.ObjectKey}"})},
        outputArtifacts=[{"name": "Out"}],
    )
    put = bench.deploy(configuration={"ObjectKey": "states/out.zip"}) | {"inputArtifacts": [{"name": "Out"}]}
    fail = action("Fail", "Invoke", "StepFunctions", configuration={"StateMachineArn": bad})
    name = bench.create([wait], [put], [fail])
    bench.ends(name, first(bench, name), "Failed")
    body = bench.s3.get_object(Bucket=bench.store, Key="states/out.zip")["Body"].read()
    assert json.loads(zipfile.ZipFile(io.BytesIO(body)).read("output.json")) == {"key": "app.zip"}
    message = latest(bench, name, "Fail")["output"]["executionResult"]["errorDetails"]["message"]
    assert "FAILED. Nope: because" in message
