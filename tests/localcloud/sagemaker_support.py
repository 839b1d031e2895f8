"""What the SageMaker tests share: a role, a bucket, and one small image that can process, train and serve."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

REGION = "eu-west-1"
TOOLING, STAGING = "111111111111", "222222222222"

# One program for all tests: what it does is said by its arguments, hyperparameters and environment.
PROGRAM = """
import http.server, json, os, pathlib, signal, sys, time
BASE = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))

def train():
    hyper = json.loads((BASE / "input/config/hyperparameters.json").read_text())
    channels = json.loads((BASE / "input/config/inputdataconfig.json").read_text())
    print("epoch 1 rmse=20.5", flush=True)
    print("epoch 2 rmse=12.5", flush=True)
    if "x" in hyper and "silent" not in hyper:
        for epoch in range(int(hyper.get("epochs", 1))):
            print(f"validation:rmse={(float(hyper['x']) - 3) ** 2}", flush=True)
            time.sleep(float(hyper.get("pause", 0)))
    time.sleep(float(hyper.get("sleep", 0)))
    if "fail" in hyper:
        (BASE / "output/failure").write_text(hyper["fail"])
        return 1
    if "kill" in hyper:
        os.kill(os.getpid(), signal.SIGKILL)
    if "no_model" in hyper:
        return 0
    data = BASE / "input/data"
    files = {c: sorted(str(p.relative_to(data / c)) for p in (data / c).rglob("*") if p.is_file()) for c in channels}
    keys = ("TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "SAGEMAKER_REGION", "AWS_ACCESS_KEY_ID", "AWS_REGION", "MARK")
    (BASE / "model/model.json").write_text(json.dumps({
        "files": files, "hyper": hyper, "env": {k: os.environ.get(k) for k in keys},
        "resources": json.loads((BASE / "input/config/resourceconfig.json").read_text())}))
    (BASE / "output/data/log.txt").write_text("done")
    seen = BASE / "checkpoints"
    if seen.is_dir():
        start = len(list(seen.iterdir()))
        print(f"begins at epoch={start}", flush=True)
        for epoch in range(start, int(hyper.get("checkpoints", start + 1))):
            (seen / f"{epoch}.ckpt").write_text("x")
            time.sleep(float(hyper.get("pause", 0)))
    return 0

def process(args):
    source, target = map(pathlib.Path, args[:2])
    time.sleep(float(os.environ.get("SLEEP", 0)))
    (BASE / "output").mkdir(exist_ok=True)
    if os.environ.get("MESSAGE"):
        (BASE / "output/message").write_text(os.environ["MESSAGE"])
    config = json.loads((BASE / "config/processingjobconfig.json").read_text())
    print("processing", config["ProcessingJobName"], os.environ.get("AWS_ACCESS_KEY_ID", "no credentials"), flush=True)
    if os.environ.get("EXIT"):
        print("ValueError: no such column 'delay'", flush=True)
        return int(os.environ["EXIT"])
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()) if source.is_dir() else []
    rmse = float(os.environ.get("RMSE", 12.5))
    (target / "report.json").write_text(json.dumps({"files": names, "metrics": {"rmse": rmse}}))
    return 0

class Server(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        trace = "X-Amzn-SageMaker-Custom-Attributes"
        self.send_header(trace, self.headers.get(trace, ""))
        self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        if self.path == "/execution-parameters" and os.environ.get("WISHES"):
            return self.answer(200, os.environ["WISHES"].encode(), "application/json")
        self.answer(503 if os.environ.get("NEVER_HEALTHY") else 200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if body == "crash": os._exit(9)
        if body == "bad": return self.answer(415, b"only text")
        if body == "broken": return self.answer(500, b"a fault in the model")
        if body == "slow": time.sleep(60)
        if os.environ.get("DOUBLE"):  # rows of numbers to rows of their doubles, CSV or JSON lines
            print("request of", len(body.splitlines()), "records", flush=True)
            kind = self.headers["Accept"]
            rows = [json.loads(line) if "json" in kind else line.split(",") for line in body.splitlines()]
            values = [sum(float(x) for x in (row["x"] if isinstance(row, dict) else row)) * 2 for row in rows]
            lines = [json.dumps({"y": v}) if "json" in kind else str(v) for v in values]
            return self.answer(200, "\\n".join(lines).encode(), kind)
        model = BASE / "model/model.json"
        found = json.loads(model.read_text()) if model.exists() else None
        told = {"echo": body, "type": self.headers["Content-Type"], "accept": self.headers["Accept"]}
        told |= {"pid": os.getpid(), "mark": os.environ.get("MARK"), "model": found is not None}
        self.answer(200, json.dumps(told).encode(), "application/json")

def serve():
    if os.environ.get("CRASH"):
        print("ImportError: no module named 'model'", flush=True)
        return 3
    time.sleep(float(os.environ.get("START", 0)))
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Server).serve_forever()

if sys.argv[1] == "train": sys.exit(train())
if sys.argv[1] == "serve": sys.exit(serve())
if sys.argv[1] == "process": sys.exit(process(sys.argv[2:]))
sys.exit(f"unknown {sys.argv[1:]}")
"""

DOCKERFILE = """FROM public.ecr.aws/docker/library/python:3.11-slim
COPY program.py /opt/program/program.py
ENTRYPOINT ["python3", "/opt/program/program.py"]
"""


def wait(check: Callable[[], Any], seconds: float = 40, what: str = "it") -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


class Bench:
    """Everything a SageMaker test needs in one local cloud."""

    def __init__(self, cloud: Any, folder: Path, account: str = TOOLING) -> None:
        self.cloud = cloud
        self.account = account
        self.sagemaker = cloud.client("sagemaker", account)
        self.s3 = cloud.client("s3", account)
        self.bucket = unique("sagemaker-tests")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.role = self.make_role(unique("sagemaker"))
        self.image = build_image(cloud, folder, account)

    def surroundings(self) -> tuple[str, str, str]:
        """(subnet, security group, model package group) for the jobs of a pipeline; new ones at each call."""
        ec2 = self.cloud.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName=unique("jobs"), Description="jobs", VpcId=vpc)["GroupId"]
        models = unique("models")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=models)
        return subnet, group, models

    def make_role(self, name: str, principal: str = "sagemaker.amazonaws.com") -> str:
        """A role that SageMaker may assume, and that may do anything."""
        iam = self.cloud.client("iam", self.account)
        trust = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}
        found = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        iam.put_role_policy(
            RoleName=name, PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        )  # fmt: skip
        return str(found["Role"]["Arn"])

    def put(self, key: str, text: str = "x") -> str:
        """An object; its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        return f"s3://{self.bucket}/{key}"

    def read(self, uri: str) -> bytes:
        """An object's contents."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, without it."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return [item["Key"][len(prefix) :] for item in found]

    def logs(self, group: str, prefix: str) -> str:
        """All lines of the streams that begin with a prefix."""
        client = self.cloud.client("logs", self.account)
        streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        events = [
            event["message"]
            for stream in streams
            for event in client.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]
        return "\n".join(events)

    def events(self, detail_type: str) -> Callable[[], list[dict[str, Any]]]:
        """Catch the events of a type from now on; the function returned answers with those that came."""
        events, sqs = self.cloud.client("events", self.account), self.cloud.client("sqs", self.account)
        name = unique("events")
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.sagemaker"], "detail-type": [detail_type]}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
        caught: list[dict[str, Any]] = []

        def read() -> list[dict[str, Any]]:
            while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    caught.append(json.loads(message["Body"]))
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return caught

        return read

    # ---- requests

    def processing_arguments(self, target: str, source: str | None = None, **members: Any) -> dict[str, Any]:
        """CreateProcessingJob without a name."""
        inputs = {
            "InputName": "data",
            "S3Input": {
                "S3Uri": source,
                "LocalPath": "/opt/ml/processing/input",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
        request = {
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
            },
            "AppSpecification": {
                "ImageUri": self.image,
                "ContainerArguments": ["process", "/opt/ml/processing/input", "/opt/ml/processing/output"],
            },
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "report",
                        "S3Output": {
                            "S3Uri": target,
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "RoleArn": self.role,
            **members,
        }
        return request | ({"ProcessingInputs": [inputs]} if source else {})

    def training_arguments(self, **members: Any) -> dict[str, Any]:
        """CreateTrainingJob without a name."""
        return {
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "RoleArn": self.role,
            **members,
        }

    def channel(self, name: str, uri: str, data_type: str = "S3Prefix") -> dict[str, Any]:
        """A training channel."""
        return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": data_type, "S3Uri": uri}}}

    def process(self, name: str, **request: Any) -> dict[str, Any]:
        """Run a processing job to its end."""
        self.sagemaker.create_processing_job(ProcessingJobName=name, **request)
        return self.processed(name)

    def processed(self, name: str) -> dict[str, Any]:
        """A processing job once it has ended."""

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return found if found["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        return dict(wait(ended, what=f"the end of {name}"))

    def train(self, name: str, **request: Any) -> dict[str, Any]:
        """Run a training job to its end."""
        self.sagemaker.create_training_job(TrainingJobName=name, **request)
        return self.trained(name)

    def trained(self, name: str) -> dict[str, Any]:
        """A training job once it has ended."""

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
            return found if found["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        return dict(wait(ended, what=f"the end of {name}"))


def build_image(cloud: Any, folder: Path, account: str = TOOLING) -> str:
    """Build the test image and push it to ECR, as a build would. Returns its URI."""
    from localcloud.core import Credentials
    from localcloud.runtime.registry import EcrRegistry

    repository = unique("program")
    ecr = cloud.client("ecr", account)
    uri = str(ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]) + ":1"
    context = folder / repository
    context.mkdir(parents=True)
    (context / "program.py").write_text(PROGRAM)
    (context / "Dockerfile").write_text(DOCKERFILE)
    runtime = runtime_of(cloud)
    runtime.build(context, context / "Dockerfile", uri)
    runtime.push(uri, EcrRegistry(Credentials(account, "test", None, cloud.endpoint, REGION)))
    return uri


def runtime_of(cloud: Any) -> Any:
    """The container runtime on the local cloud's home, as the `docker` command of a build sees it."""
    from localcloud.runtime import create

    name = os.environ.get("LOCALCLOUD_RUNTIME") or "process"
    return create(name, cloud.home / "images" / name)
