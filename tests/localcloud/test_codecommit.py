"""CodeCommit as boto3, the `aws` command and plain git see it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

TOOLING, STAGING = "111111111111", "222222222222"
REGION = "eu-west-1"


def fails(code: str, call: Callable[..., Any], **request: Any) -> str:
    """The call fails with AWS's error code; the message is returned."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def git_environment(cloud: Any, account: str = TOOLING, **more: str) -> dict[str, str]:
    """Plain git with nothing but AWS's credential helper, as AWS's documentation sets it up."""
    return {
        **cloud.environment(account),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "4",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "!aws codecommit credential-helper --ignore-host-check $@",
        "GIT_CONFIG_KEY_1": "credential.useHttpPath",
        "GIT_CONFIG_VALUE_1": "true",
        "GIT_CONFIG_KEY_2": "user.name",
        "GIT_CONFIG_VALUE_2": "Mary Major",
        "GIT_CONFIG_KEY_3": "user.email",
        "GIT_CONFIG_VALUE_3": "mary@example.com",
        **more,
    }


def quick_environment(cloud: Any) -> dict[str, str]:
    """As `git_environment`, without the second that each start of the `aws` command takes."""
    password = f"{datetime.now(UTC):%Y%m%dT%H%M%S}Z{'0' * 64}"  # the account's root may sign with any secret
    helper = f"!f() {{ echo username={TOOLING}; echo password={password}; }}; f"
    return git_environment(cloud, GIT_CONFIG_VALUE_0=helper)


def git(where: Path, env: dict[str, str], *arguments: str, code: int = 0) -> str:
    done = subprocess.run(["git", *arguments], cwd=where, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return done.stdout.strip() + done.stderr.strip()


@pytest.fixture
def codecommit(cloud: Any) -> Any:
    return cloud.client("codecommit")


@pytest.fixture
def repository(codecommit: Any) -> str:
    """A new, empty repository."""
    name = f"repo-{uuid.uuid4().hex[:8]}"
    codecommit.create_repository(repositoryName=name, repositoryDescription="for a test", tags={"Project": name})
    return name


@pytest.fixture
def events(cloud: Any, repository: str) -> Iterator[Callable[[int], list[dict[str, Any]]]]:
    """Receives the repository's events through a real rule and queue, as a pipeline's rule would."""
    sqs, rules = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName=repository)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.codecommit"], "resources": [f"arn:aws:codecommit:{REGION}:{TOOLING}:{repository}"]}
    rules.put_rule(Name=repository, EventPattern=json.dumps(pattern))
    rules.put_targets(Rule=repository, Targets=[{"Id": "queue", "Arn": arn}])

    def receive(count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and len(found) < count:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get(
                "Messages", []
            ):
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            time.sleep(0.02)
        return found

    yield receive
    rules.remove_targets(Rule=repository, Ids=["queue"])
    rules.delete_rule(Name=repository)
    sqs.delete_queue(QueueUrl=url)


def commit(codecommit: Any, name: str, files: dict[str, str], branch: str = "main", parent: str | None = None) -> str:
    puts = [{"filePath": path, "fileContent": content.encode()} for path, content in files.items()]
    more = {"parentCommitId": parent} if parent else {}
    answer = codecommit.create_commit(
        repositoryName=name, branchName=branch, putFiles=puts, authorName="Ann", email="ann@example.com", **more
    )
    return str(answer["commitId"])


def worktree(cloud: Any, name: str, where: Path, env: dict[str, str]) -> Path:
    git(where, env, "clone", "-q", f"{cloud.endpoint}/v1/repos/{name}", "work")
    return where / "work"


def push(work: Path, env: dict[str, str], path: str, content: str, *refs: str) -> str:
    """Commit one file and push; returns the commit id."""
    (work / path).write_text(content)
    git(work, env, "add", "-A")
    git(work, env, "commit", "-q", "-m", f"Change {path}")
    git(work, env, "push", "-q", "origin", *(refs or ("HEAD:main",)))
    return git(work, env, "rev-parse", "HEAD")


def test_repository_has_the_members_that_aws_gives(cloud: Any, codecommit: Any, repository: str) -> None:
    """Templates and scripts read ARN, id and clone URL: their formats are AWS's, and the URL works as it stands."""
    found = codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]
    assert found["Arn"] == f"arn:aws:codecommit:{REGION}:{TOOLING}:{repository}"
    assert found["cloneUrlHttp"] == f"{cloud.endpoint}/v1/repos/{repository}"
    assert found["accountId"] == TOOLING
    assert uuid.UUID(found["repositoryId"])
    assert found["repositoryDescription"] == "for a test"
    assert "defaultBranch" not in found
    assert {"repositoryName": repository, "repositoryId": found["repositoryId"]} in codecommit.list_repositories()[
        "repositories"
    ]


def test_repository_faults_have_aws_codes(codecommit: Any, repository: str) -> None:
    """Code that handles AWS's errors by name must meet the same names here."""
    fails("RepositoryNameExistsException", codecommit.create_repository, repositoryName=repository)
    fails("InvalidRepositoryNameException", codecommit.create_repository, repositoryName="ends.git")
    fails("RepositoryDoesNotExistException", codecommit.get_repository, repositoryName="no-such")
    fails("InvalidSystemTagUsageException", codecommit.create_repository, repositoryName="x", tags={"aws:x": "1"})
    fails(
        "EncryptionKeyNotFoundException",
        codecommit.create_repository,
        repositoryName="x",
        kmsKeyId=f"arn:aws:kms:{REGION}:{TOOLING}:key/{uuid.uuid4()}",
    )
    assert "repositoryId" not in codecommit.delete_repository(repositoryName="no-such")


def test_repository_is_the_callers_accounts(cloud: Any, repository: str) -> None:
    """Accounts do not see each other's repositories, even of the same name."""
    other = cloud.client("codecommit", account=STAGING)
    fails("RepositoryDoesNotExistException", other.get_repository, repositoryName=repository)


def test_tags_name_and_description_change(codecommit: Any, repository: str) -> None:
    """What can be changed of a repository stays changed, and a new name takes the content along."""
    arn = codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]["Arn"]
    codecommit.tag_resource(resourceArn=arn, tags={"Team": "ml"})
    codecommit.untag_resource(resourceArn=arn, tagKeys=["Project"])
    assert codecommit.list_tags_for_resource(resourceArn=arn)["tags"] == {"Team": "ml"}
    codecommit.update_repository_description(repositoryName=repository, repositoryDescription="other")
    first = commit(codecommit, repository, {"a.txt": "a"})
    codecommit.update_repository_name(oldName=repository, newName=f"{repository}-new")
    found = codecommit.get_repository(repositoryName=f"{repository}-new")["repositoryMetadata"]
    assert (found["repositoryDescription"], found["defaultBranch"]) == ("other", "main")
    assert codecommit.get_branch(repositoryName=f"{repository}-new", branchName="main")["branch"]["commitId"] == first
    assert codecommit.delete_repository(repositoryName=f"{repository}-new")["repositoryId"] == found["repositoryId"]


def test_kms_key_is_kept_by_its_arn(cloud: Any, codecommit: Any) -> None:
    """A key may be named by its id; AWS answers with the ARN."""
    key = cloud.client("kms").create_key()["KeyMetadata"]
    name = f"repo-{uuid.uuid4().hex[:8]}"
    made = codecommit.create_repository(repositoryName=name, kmsKeyId=key["KeyId"])["repositoryMetadata"]
    assert made["kmsKeyId"] == key["Arn"]


def test_files_written_through_the_api_are_read_back(codecommit: Any, repository: str) -> None:
    """CreateCommit, PutFile, DeleteFile and what reads: one consistent history."""
    first = commit(codecommit, repository, {"README.md": "hello", "src/train.py": "print()"})
    put = codecommit.put_file(
        repositoryName=repository, branchName="main", filePath="src/train.py", fileContent=b"print(1)",
        parentCommitId=first, fileMode="EXECUTABLE",
    )  # fmt: skip
    file = codecommit.get_file(repositoryName=repository, filePath="src/train.py")
    assert (file["fileContent"], file["fileMode"], file["fileSize"]) == (b"print(1)", "EXECUTABLE", 8)
    assert (file["commitId"], file["blobId"]) == (put["commitId"], put["blobId"])
    assert codecommit.get_blob(repositoryName=repository, blobId=file["blobId"])["content"] == b"print(1)"
    folder = codecommit.get_folder(repositoryName=repository, folderPath="/")
    assert [f["relativePath"] for f in folder["files"]] == ["README.md"]
    assert [f["absolutePath"] for f in folder["subFolders"]] == ["src"]
    inner = codecommit.get_folder(repositoryName=repository, folderPath="src", commitSpecifier=first)
    assert [f["absolutePath"] for f in inner["files"]] == ["src/train.py"]
    differences = codecommit.get_differences(
        repositoryName=repository, beforeCommitSpecifier=first, afterCommitSpecifier="main"
    )["differences"]
    assert [(d["changeType"], d["afterBlob"]["path"], d["afterBlob"]["mode"]) for d in differences] == [
        ("M", "src/train.py", "100755")
    ]
    gone = codecommit.delete_file(
        repositoryName=repository, branchName="main", filePath="README.md", parentCommitId=put["commitId"]
    )
    found = codecommit.get_commit(repositoryName=repository, commitId=gone["commitId"])["commit"]
    assert found["parents"] == [put["commitId"]]
    assert found["message"].startswith("Deleted README.md")
    listed = codecommit.batch_get_commits(repositoryName=repository, commitIds=[first, "0" * 40])
    assert listed["commits"][0]["author"]["name"] == "Ann"
    assert listed["commits"][0]["author"]["date"].endswith("+0000")
    assert listed["errors"][0]["errorCode"] == "CommitIdDoesNotExistException"


def test_commit_moves_copies_and_modes(codecommit: Any, repository: str) -> None:
    """One commit can move, delete and change modes, and answers what it did to which file."""
    first = commit(codecommit, repository, {"a.txt": "a", "b.txt": "b", "c/d.txt": "d"})
    answer = codecommit.create_commit(
        repositoryName=repository, branchName="main", parentCommitId=first, keepEmptyFolders=True,
        putFiles=[{"filePath": "moved.txt", "sourceFile": {"filePath": "a.txt", "isMove": True}}],
        deleteFiles=[{"filePath": "c/d.txt"}], setFileModes=[{"filePath": "b.txt", "fileMode": "EXECUTABLE"}],
    )  # fmt: skip
    assert [f["absolutePath"] for f in answer["filesAdded"]] == ["c/.gitkeep", "moved.txt"]
    assert [f["absolutePath"] for f in answer["filesDeleted"]] == ["a.txt", "c/d.txt"]
    assert [(f["absolutePath"], f["fileMode"]) for f in answer["filesUpdated"]] == [("b.txt", "EXECUTABLE")]


def test_commit_faults(codecommit: Any, repository: str) -> None:
    """A commit that AWS refuses is refused for the same reason, and changes nothing."""
    where = {"repositoryName": repository, "branchName": "main"}
    put = [{"filePath": "a.txt", "fileContent": b"2"}]
    first = commit(codecommit, repository, {"a.txt": "1"})
    second = commit(codecommit, repository, {"a.txt": "2"}, parent=first)
    fails("ParentCommitIdRequiredException", codecommit.create_commit, **where, putFiles=put)
    message = fails(
        "ParentCommitIdOutdatedException", codecommit.create_commit, **where, putFiles=put, parentCommitId=first
    )
    assert second in message
    fails("NoChangeException", codecommit.create_commit, **where, putFiles=put, parentCommitId=second)
    fails("FileEntryRequiredException", codecommit.create_commit, **where, parentCommitId=second)
    fails(
        "InvalidPathException", codecommit.create_commit, **where, parentCommitId=second,
        putFiles=[{"filePath": "../a", "fileContent": b""}],
    )  # fmt: skip
    fails(
        "DirectoryNameConflictsWithFileNameException", codecommit.create_commit, **where, parentCommitId=second,
        putFiles=[{"filePath": "a.txt/b", "fileContent": b""}],
    )  # fmt: skip
    fails(
        "BranchDoesNotExistException", codecommit.create_commit, repositoryName=repository, branchName="none",
        putFiles=put, parentCommitId=second,
    )  # fmt: skip
    fails(
        "SameFileContentException", codecommit.put_file, **where, filePath="a.txt", fileContent=b"2",
        parentCommitId=second,
    )  # fmt: skip
    fails("FileDoesNotExistException", codecommit.get_file, repositoryName=repository, filePath="none")
    fails("FolderDoesNotExistException", codecommit.get_folder, repositoryName=repository, folderPath="none")
    fails("CommitIdDoesNotExistException", codecommit.get_commit, repositoryName=repository, commitId="1" * 40)
    fails("InvalidCommitIdException", codecommit.get_commit, repositoryName=repository, commitId=second[:7])
    assert codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == second


def test_branches(codecommit: Any, repository: str) -> None:
    """Branches are made, listed, made default and deleted with AWS's rules."""
    first = commit(codecommit, repository, {"a.txt": "1"})
    codecommit.create_branch(repositoryName=repository, branchName="dev", commitId=first)
    fails(
        "BranchNameExistsException",
        codecommit.create_branch,
        repositoryName=repository,
        branchName="dev",
        commitId=first,
    )
    fails(
        "CommitDoesNotExistException",
        codecommit.create_branch,
        repositoryName=repository,
        branchName="x",
        commitId="2" * 40,
    )
    fails(
        "InvalidBranchNameException",
        codecommit.create_branch,
        repositoryName=repository,
        branchName="a..b",
        commitId=first,
    )
    fails("BranchDoesNotExistException", codecommit.get_branch, repositoryName=repository, branchName="none")
    assert codecommit.list_branches(repositoryName=repository)["branches"] == ["dev", "main"]
    fails(
        "DefaultBranchCannotBeDeletedException", codecommit.delete_branch, repositoryName=repository, branchName="main"
    )
    codecommit.update_default_branch(repositoryName=repository, defaultBranchName="dev")
    deleted = codecommit.delete_branch(repositoryName=repository, branchName="main")["deletedBranch"]
    assert deleted == {"branchName": "main", "commitId": first}


def test_git_clones_and_pushes_with_awss_credential_helper(
    cloud: Any, codecommit: Any, repository: str, tmp_path: Path, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    """The way of a person: clone by URL, commit, push; the API sees it, and each changed reference is one event."""
    work = worktree(cloud, repository, tmp_path, git_environment(cloud))
    env = quick_environment(cloud)
    first = push(work, env, "a.txt", "1")
    metadata = codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]
    assert metadata["defaultBranch"] == "main"
    assert codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == first
    git(work, env, "tag", "-a", "v1", "-m", "one")
    second = push(work, env, "a.txt", os.urandom(2_000_000).hex(), "HEAD:main", "HEAD:refs/heads/dev", "v1")
    git(work, env, "push", "-q", "origin", ":dev")
    received = events(5)
    assert {event["detail-type"] for event in received} == {"CodeCommit Repository State Change"}
    assert received[0]["source"] == "aws.codecommit"
    assert received[0]["resources"] == [metadata["Arn"]]
    assert (received[0]["account"], received[0]["region"]) == (TOOLING, REGION)
    common = {
        "callerUserArn": f"arn:aws:iam::{TOOLING}:root",
        "repositoryId": metadata["repositoryId"],
        "repositoryName": repository,
    }
    main = {"referenceType": "branch", "referenceName": "main", "referenceFullName": "refs/heads/main"}
    dev = {"referenceType": "branch", "referenceName": "dev", "referenceFullName": "refs/heads/dev"}
    tag = {"referenceType": "tag", "referenceName": "v1", "referenceFullName": "refs/tags/v1"}
    expected = [
        common | main | {"event": "referenceCreated", "commitId": first},
        common | main | {"event": "referenceUpdated", "commitId": second, "oldCommitId": first},
        common | dev | {"event": "referenceCreated", "commitId": second},
        common | tag | {"event": "referenceCreated", "commitId": first},
        common | dev | {"event": "referenceDeleted", "oldCommitId": second},
    ]
    key = json.JSONEncoder(sort_keys=True).encode
    assert sorted((event["detail"] for event in received), key=key) == sorted(expected, key=key)
    git(tmp_path, env, "clone", "-q", metadata["cloneUrlHttp"], "again")
    assert (tmp_path / "again" / "a.txt").stat().st_size == 4_000_000


def test_git_reads_the_repository_of_the_callers_account(cloud: Any, repository: str, tmp_path: Path) -> None:
    """One host serves all accounts: whose repository is meant follows from who asks."""
    said = git(
        tmp_path, git_environment(cloud, STAGING), "clone", f"{cloud.endpoint}/v1/repos/{repository}", "x", code=128
    )
    assert "not found" in said


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("", ""),
        (TOOLING, "wrong"),
        ("AKIAUNKNOWN", "20200101T000000Z" + "0" * 64),
        (TOOLING, "20200101T000000Z" + "0" * 64),
    ],
)
def test_git_without_valid_credentials_is_refused(
    cloud: Any, repository: str, tmp_path: Path, user: str, password: str
) -> None:
    """No credentials, made-up ones, an unknown key, a signature of long ago: 401, and nothing is told more."""
    import httpx

    given: Any = (user, password) if user else None
    url = f"{cloud.endpoint}/v1/repos/{repository}/info/refs"
    answer = httpx.get(url, params={"service": "git-upload-pack"}, auth=given)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_git_with_a_roles_session_is_verified_by_signature(cloud: Any, repository: str, tmp_path: Path) -> None:
    """Jobs push as their role: session token and signature are checked against STS, and the event names the session."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": TOOLING}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName=repository, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    made = sts.assume_role(RoleArn=role, RoleSessionName="mary")["Credentials"]
    session = {
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        "AWS_SESSION_TOKEN": made["SessionToken"],
    }
    env = git_environment(cloud, **session)
    work = worktree(cloud, repository, tmp_path, env)
    push(work, env, "a.txt", "1")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        wrong = env | {name: session[name][:-1] + ("A" if session[name][-1] != "A" else "B")}
        said = git(work, wrong, "fetch", code=128)
        assert "could not read Username" in said or "Authentication failed" in said


def test_pushes_at_the_same_time_do_not_lose_each_other(
    cloud: Any, codecommit: Any, repository: str, tmp_path: Path, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    """Two branches pushed at once both arrive, each with its event; of two pushes to one branch exactly one wins."""
    commit(codecommit, repository, {"a.txt": "0"})
    env = quick_environment(cloud)
    works = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        works.append(worktree(cloud, repository, tmp_path / str(number), env))
    done: list[int] = []

    def work_on(work: Path, branch: str, number: int) -> None:
        (work / f"{number}.txt").write_text(str(number))
        git(work, env, "add", "-A")
        git(work, env, "commit", "-q", "-m", str(number))
        command = ["git", "push", "-q", "origin", f"HEAD:refs/heads/{branch}"]
        done.append(subprocess.run(command, cwd=work, env=env, capture_output=True, check=False).returncode)

    branches = ("main", "main", "other")
    threads = [
        threading.Thread(target=work_on, args=(w, b, n)) for n, (w, b) in enumerate(zip(works, branches, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(code == 0 for code in done) == 2
    assert sorted(event["detail"]["referenceName"] for event in events(3)) == ["main", "main", "other"]


def test_default_branch_is_not_deleted_by_a_push(cloud: Any, codecommit: Any, repository: str, tmp_path: Path) -> None:
    """A slip of the finger must not leave a repository without what its pipeline builds."""
    commit(codecommit, repository, {"a.txt": "0"})
    env = quick_environment(cloud)
    work = worktree(cloud, repository, tmp_path, env)
    git(work, env, "push", "origin", ":main", code=1)
    assert codecommit.list_branches(repositoryName=repository)["branches"] == ["main"]


def test_pull_request_is_merged_by_fast_forward(
    codecommit: Any, repository: str, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    """A merge moves the branch, closes the request, and the reference's event carries the merge."""
    first = commit(codecommit, repository, {"a.txt": "0"})
    codecommit.create_branch(repositoryName=repository, branchName="dev", commitId=first)
    target = [{"repositoryName": repository, "sourceReference": "dev"}]
    pull = codecommit.create_pull_request(title="Better", targets=target)["pullRequest"]
    second = commit(codecommit, repository, {"a.txt": "1"}, branch="dev", parent=first)
    number = pull["pullRequestId"]
    assert (
        codecommit.get_pull_request(pullRequestId=number)["pullRequest"]["pullRequestTargets"][0]["sourceCommit"]
        == second
    )
    fails(
        "TipOfSourceReferenceIsDifferentException", codecommit.merge_pull_request_by_fast_forward,
        pullRequestId=number, repositoryName=repository, sourceCommitId=first,
    )  # fmt: skip
    merged = codecommit.merge_pull_request_by_fast_forward(pullRequestId=number, repositoryName=repository)[
        "pullRequest"
    ]
    metadata = merged["pullRequestTargets"][0]["mergeMetadata"]
    assert (merged["pullRequestStatus"], metadata["isMerged"], metadata["mergeCommitId"]) == ("CLOSED", True, second)
    assert codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == second
    received = [event["detail"] for event in events(7)]
    update = next(d for d in received if d["event"] == "referenceUpdated" and d["referenceName"] == "main")
    assert (update["mergeOption"], update["baseCommitId"], update["commitId"]) == ("FAST_FORWARD_MERGE", first, second)
    assert [d["event"] for d in received if d["event"].startswith("pull")] == [
        "pullRequestCreated", "pullRequestSourceBranchUpdated", "pullRequestMergeStatusUpdated",
    ]  # fmt: skip
    fails(
        "PullRequestAlreadyClosedException", codecommit.merge_pull_request_by_squash,
        pullRequestId=number, repositoryName=repository,
    )  # fmt: skip


def test_pull_request_is_squashed_and_conflicts_are_told(codecommit: Any, repository: str) -> None:
    """A squash keeps one parent; what conflicts is refused with the files, and nothing moves."""
    first = commit(codecommit, repository, {"a.txt": "0", "b.txt": "0"})
    for branch in ("clean", "conflict"):
        codecommit.create_branch(repositoryName=repository, branchName=branch, commitId=first)
    commit(codecommit, repository, {"b.txt": "1"}, branch="clean", parent=first)
    commit(codecommit, repository, {"a.txt": "1"}, branch="conflict", parent=first)
    tip = commit(codecommit, repository, {"a.txt": "2"}, parent=first)
    numbers = {}
    for branch in ("clean", "conflict"):
        target = [{"repositoryName": repository, "sourceReference": branch, "destinationReference": "main"}]
        numbers[branch] = codecommit.create_pull_request(title=branch, targets=target)["pullRequest"]["pullRequestId"]
    where = {"repositoryName": repository}
    message = fails(
        "ManualMergeRequiredException",
        codecommit.merge_pull_request_by_squash,
        pullRequestId=numbers["conflict"],
        **where,
    )
    assert "a.txt" in message
    codecommit.merge_pull_request_by_squash(pullRequestId=numbers["clean"], commitMessage="One", **where)
    head = codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"]
    assert codecommit.get_commit(repositoryName=repository, commitId=head)["commit"]["parents"] == [tip]
    assert codecommit.list_pull_requests(repositoryName=repository, pullRequestStatus="OPEN")["pullRequestIds"] == [
        numbers["conflict"]
    ]
    codecommit.update_pull_request_status(pullRequestId=numbers["conflict"], pullRequestStatus="CLOSED")
    fails("PullRequestDoesNotExistException", codecommit.get_pull_request, pullRequestId="99999999")


def test_aws_command_speaks_to_it(cloud: Any, repository: str) -> None:
    """The `aws` command works against the endpoint with nothing but the environment."""
    done = subprocess.run(
        ["aws", "codecommit", "get-repository", "--repository-name", repository, "--query", "repositoryMetadata.Arn"],
        env=cloud.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout).endswith(repository)


def test_cloudformation_makes_changes_and_deletes_a_repository(cloud: Any, codecommit: Any) -> None:
    """The type has AWS's attributes, follows its properties and goes with the stack; what is not served is refused."""
    name = f"cfn-{uuid.uuid4().hex[:8]}"
    cloudformation = cloud.client("cloudformation")

    def template(**properties: Any) -> str:
        resource = {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": name, **properties}}
        outputs = {key: {"Value": {"Fn::GetAtt": ["Repo", key]}} for key in ("Arn", "CloneUrlHttp", "Name")}
        outputs["Ref"] = {"Value": {"Ref": "Repo"}}
        return json.dumps({"Resources": {"Repo": resource}, "Outputs": outputs})

    cloudformation.create_stack(StackName=name, TemplateBody=template(Tags=[{"Key": "A", "Value": "1"}]))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    listed = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in listed}
    found = codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    assert outputs == {
        "Arn": found["Arn"], "CloneUrlHttp": found["cloneUrlHttp"], "Name": name, "Ref": found["repositoryId"],
    }  # fmt: skip
    cloudformation.update_stack(StackName=name, TemplateBody=template(RepositoryDescription="new"))
    cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert codecommit.get_repository(repositoryName=name)["repositoryMetadata"]["repositoryDescription"] == "new"
    assert codecommit.list_tags_for_resource(resourceArn=found["Arn"])["tags"].get("A") is None
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    fails("RepositoryDoesNotExistException", codecommit.get_repository, repositoryName=name)

    refused = f"{name}-code"
    cloudformation.create_stack(StackName=refused, TemplateBody=template(Code={"S3": {"Bucket": "b", "Key": "k"}}))
    with pytest.raises(Exception, match="StackCreateComplete"):
        cloudformation.get_waiter("stack_create_complete").wait(StackName=refused, WaiterConfig={"Delay": 1})
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in cloudformation.describe_stack_events(StackName=refused)["StackEvents"]
    ]
    assert any("the property Code is not served" in reason for reason in reasons)


def test_a_push_survives_the_death_of_the_local_cloud(own_cloud: Any, tmp_path: Path) -> None:
    """What git acknowledged is there after kill -9, and what was not told of is told of after the start."""
    codecommit = own_cloud.client("codecommit")
    codecommit.create_repository(repositoryName="survivor")
    env = quick_environment(own_cloud)
    work = worktree(own_cloud, "survivor", tmp_path, env)
    first = push(work, env, "a.txt", "1")
    own_cloud.kill()
    # What a push leaves that the process did not live to tell of: a reference without an event.
    bare = own_cloud.home / "codecommit" / TOOLING / REGION / "survivor.git"
    git(bare, env, "update-ref", "refs/heads/late", first)
    own_cloud.start()
    assert codecommit.get_branch(repositoryName="survivor", branchName="main")["branch"]["commitId"] == first
    import sqlite3

    deadline = time.monotonic() + 10
    told: dict[str, str] = {}
    while time.monotonic() < deadline and "refs/heads/late" not in told:
        with sqlite3.connect(own_cloud.home / "localcloud.sqlite") as database:
            row = database.execute("SELECT document FROM record WHERE kind='codecommit.announced'").fetchone()
        told = json.loads(row[0])
        time.sleep(0.05)
    assert told == {"refs/heads/main": first, "refs/heads/late": first}
    push(work, env, "a.txt", "2")
