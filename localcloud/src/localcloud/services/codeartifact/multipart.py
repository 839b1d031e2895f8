"""Reading the form of an upload."""

from __future__ import annotations

import io

from werkzeug.formparser import parse_form_data


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], str, bytes]:
    """(fields, file name, file) of a multipart form whose file is called `content`. The name is "" without a file."""
    environment = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, form, files = parse_form_data(environment, max_form_memory_size=64 << 20)
    file = files.get("content")
    name = (file.filename or "").rsplit("/", 1)[-1] if file else ""
    return dict(form.items()), name, file.stream.read() if file else b""
