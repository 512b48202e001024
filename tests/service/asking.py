"""What the tests of refusals send, and what every refusal has to be."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
from PIL import Image


def saved(form: str, size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    """A picture of one colour, width by height, as a file of a format."""
    file = BytesIO()
    Image.new("RGB", size, (90, 120, 30)).save(file, form, **options)
    return file.getvalue()


def require_refusal(answer: httpx.Response, status: int, *words: str) -> None:
    """Require a status, and one line that says what is wrong, with these words, and the remedy."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    message = answer.json()["error"]
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert "; " in message
