"""The inference server: what it reads, what it refuses, and how it runs."""

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.serving import create_app
from slipway.serving.parse import BadRequest, Columns, parse_csv, parse_json, parse_jsonlines

KINDS: dict[str, type[float] | type[str]] = {"delay": float, "miles": float, "carrier": str}


class Sum:
    """delay + miles; NaN counts as 0."""

    columns = KINDS

    def predict(self, columns: Columns) -> Sequence[float]:
        if "broken" in columns["carrier"]:
            raise ZeroDivisionError
        if "odd" in columns["carrier"]:
            return [math.nan] * len(columns["carrier"])
        return [
            (0 if math.isnan(delay) else delay) + (0 if math.isnan(miles) else miles)
            for delay, miles in zip(columns["delay"], columns["miles"], strict=True)
        ]


def ask(body: bytes, content_type: str, accept: str = "*/*", method: str = "POST") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(Sum()))
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            headers = {"Content-Type": content_type, "Accept": accept}
            return await client.request(method, "/invocations", content=body, headers=headers)

    return asyncio.run(send())


CELL = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
WORD = st.none() | st.text("ABC é,\"'\n", min_size=1, max_size=5).filter(
    lambda text: text.strip() == text and text.lower() not in {"na", "nan", "null", "none"}
)


@given(st.lists(st.tuples(CELL, CELL, WORD), min_size=1, max_size=6))
def test_csv_and_json_say_the_same(rows: list[tuple[float | None, float | None, str | None]]) -> None:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    instances = [dict(zip(KINDS, row, strict=True)) for row in rows]
    from_csv = parse_csv(buffer.getvalue().encode(), KINDS)
    from_json = parse_json(json.dumps({"instances": instances}).encode(), KINDS)
    assert str(from_csv) == str(from_json)  # as text, since NaN is not equal to NaN


def test_a_heading_is_allowed_in_any_order() -> None:
    columns = parse_csv(b"miles,carrier,delay\r\n5,UA,1\r\n", KINDS)
    assert columns == {"delay": [1.0], "miles": [5.0], "carrier": ["UA"]}
    assert list(columns) == list(KINDS)


def test_lists_are_rows_too() -> None:
    assert parse_json(b'[[1, 2, "UA"]]', KINDS) == {"delay": [1.0], "miles": [2.0], "carrier": ["UA"]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"1,2\n", "row 1: given 2 values, allowed 3: delay, miles, carrier"),
        (b"1,2,UA\n1,x,UA\n", "row 2, column miles: given 'x', allowed a number or nothing"),
        (b"1,inf,UA\n", "allowed a finite number"),
        (b"delay,miles,carrier\n", "no rows"),
        (b"delay,miles,carrier\n1,2,UA\n1,z,UA\n", "row 3, column miles"),
        (b"\xff\xfe", "not CSV"),
    ],
)
def test_bad_csv_is_told(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse_csv(body, KINDS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "not JSON"),
        ('{"rows": []}', "no rows"),
        ("[]", "no rows"),
        ('[{"delay": 1, "miles": 2, "carier": "UA"}]', "unknown column 'carier'; did you mean carrier?"),
        ('[{"delay": 1, "miles": 2}]', "row 1: no value for carrier"),
        ('[{"delay": "1", "miles": 2, "carrier": "UA"}]', "row 1, column delay: given '1', allowed a number or null"),
        ('[{"delay": true, "miles": 2, "carrier": "UA"}]', "column delay: given True"),
        ('[{"delay": 1, "miles": 2, "carrier": 3}]', "column carrier: given 3, allowed a text or null"),
        ('[{"delay": 1, "miles": 2, "carrier": "UA"}, [1]]', "row 2: given list"),
        ("[[1, 2]]", "row 1: given 2 values, allowed 3"),
        ("[1]", "row 1: given int"),
    ],
)
def test_bad_json_is_told(body: str, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body.encode(), KINDS)
    assert said in str(caught.value)


def test_answers_in_both_forms() -> None:
    answer = ask(b"1,2,UA\n,4,\n", "text/csv; charset=utf-8")
    assert (answer.status_code, answer.json()) == (200, {"predictions": [3.0, 4.0]})
    answer = ask(b'{"instances": [[1, 2, "UA"]]}', "application/json", accept="text/csv")
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == ("3.0\n", "text/csv")


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "said"),
    [
        (b"x", "image/png", "*/*", 415, "allowed text/csv, application/json"),
        (b"1,2,UA", "text/csv", "image/png", 406, "given 'image/png'"),
        (b" \n", "text/csv", "*/*", 400, "the body is empty"),
        (b"1", "text/csv", "*/*", 400, "row 1"),
        (b"1,2,broken", "text/csv", "*/*", 500, "the endpoint's log has the reason"),
        (b"1,2,odd", "text/csv", "*/*", 500, "no finite prediction"),
    ],
)
def test_what_cannot_be_answered_is_told(body: bytes, content_type: str, accept: str, status: int, said: str) -> None:
    answer = ask(body, content_type, accept)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_only_post_is_allowed() -> None:
    assert ask(b"", "text/csv", method="GET").status_code == 405


PREDICTOR = """
import os
from pathlib import Path

class Model:
    columns = {"delay": float}
    def predict(self, columns):
        return [float(os.environ["OMP_NUM_THREADS"])] * len(columns["delay"])

def load(folder: Path):
    assert folder.name == "model"
    return Model()
"""


def test_the_server_starts_workers_with_one_thread_each_and_answers_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "predictor.py").write_text(PREDICTOR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BASE_DIR": str(tmp_path),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
    }
    command = [sys.executable, "-m", "slipway.serving", "predictor:load", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
                    break
                except OSError:
                    assert server.poll() is None, server.stderr and server.stderr.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            answers: list[float] = []

            def work() -> None:
                for _ in range(20):
                    request = urllib.request.Request(
                        f"http://127.0.0.1:{port}/invocations", data=b"1", headers={"Content-Type": "text/csv"}
                    )
                    answers.extend(json.load(urllib.request.urlopen(request, timeout=10))["predictions"])

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert answers == [1.0] * 160
        finally:
            server.terminate()
            server.wait(20)


ROWS = [{"delay": 1, "miles": 2.5, "carrier": "UA"}, {"delay": None, "miles": 3, "carrier": None}]


@pytest.mark.parametrize("rows", [ROWS, [list(row.values()) for row in ROWS]], ids=["objects", "lists"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_lines_of_json_are_answered_a_line_a_row(rows: list[object], end: str) -> None:
    """A batch transform job splits files by line, and puts the lines of the answers together."""
    body = "\n".join(json.dumps(row) for row in rows) + end
    answer = ask(body.encode(), "application/jsonlines")
    assert answer.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line) for line in answer.text.splitlines()] == [{"prediction": 3.5}, {"prediction": 3.0}]
    assert ask(body.encode(), "application/jsonlines", "text/csv").text == "3.5\n3.0\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"delay": 1, "miles": 2, "carrier": "UA"}\n{"delay": 1', "line 2 is not JSON"),
        (b"[1, 2]", "row 1: given 2 values, allowed 3 values: delay, miles, carrier"),
        (b'[1, 2, "UA"]\n{"delay": 1}', "row 2: given dict"),
        (b'{"delay": 1, "mile": 2, "carrier": "UA"}', "unknown column 'mile'; did you mean miles"),
        (b"\n \n", "no rows"),
    ],
)
def test_a_bad_line_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        parse_jsonlines(body, KINDS)


def test_a_batch_job_is_told_how_much_to_send_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS documentation, "Use your own inference code with batch transform"."""
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "3")

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(Sum()))
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await client.get("/execution-parameters")

    told = asyncio.run(send()).json()
    assert told == {"MaxConcurrentTransforms": 3, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
