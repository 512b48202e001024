"""An image of any storage as a local file, or the reason why it cannot be had."""

from __future__ import annotations

import time
import uuid
from pathlib import Path, PurePosixPath

from ocuseg.errors import OcusegError
from ocuseg.scale.storage import open_file_system, reason_of

__all__ = ["FetchError", "fetch"]

# No image of MAX_PIXELS needs more, and a disc of a worker shall not be filled by what is none.
_MOST_BYTES = 2 << 30
_WAITS_S = (0.5, 2.0)


class FetchError(Exception):
    """An image cannot be had; `status` is what its row says: missing, unreadable or too large."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def fetch(image: str, folder: Path) -> Path:
    """Return a local path with the content of an image: its own if it lies on a disc here, else a copy in `folder`.

    A storage that fails is asked three times. Raises FetchError.
    """
    for wait_s in (*_WAITS_S, None):
        try:
            return _fetch(image, folder)
        except FetchError:
            raise
        except FileNotFoundError as error:
            raise FetchError("missing", "does not exist; correct the path, or restore the file") from error
        except (IsADirectoryError, PermissionError, OcusegError) as error:
            raise FetchError("unreadable", f"cannot be opened ({reason_of(error)}); make it readable") from error
        except Exception as error:  # every storage has exceptions of its own
            if wait_s is None:
                raise FetchError(
                    "unreadable", f"cannot be fetched ({reason_of(error)}); run this again later"
                ) from error
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _fetch(image: str, folder: Path) -> Path:
    files, path = open_file_system(image)
    size = files.size(path)
    if size is not None and size > _MOST_BYTES:
        raise FetchError("too large", f"has {size} bytes; give images of at most {_MOST_BYTES >> 30} GiB")
    if getattr(files, "local_file", False):
        return Path(path)
    local = folder / f"{uuid.uuid4().hex}{PurePosixPath(path).suffix}"
    files.get_file(path, str(local))
    return local
