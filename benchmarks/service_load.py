"""The service under load on this machine: right answers, clear refusals, and the same memory afterwards.

    python benchmarks/service_load.py MODEL IMAGE ... --clients 20 --requests 2000

Starts `ocuseg serve MODEL` on a free port of 127.0.0.1. Of the requests six in ten are images, each answer to which is
compared with the mask of `ocuseg predict`; the others are truncated, of a wrong type, too large in bytes or in pixels,
or sent too slowly. Prints throughput, p50 and p99 of the time to an answer, the answers by kind and status, and the
memory of the service before, half-way and after (on Linux). The exit status is 1 if any answer is wrong.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
from PIL import Image

import ocuseg

UPLOAD_S = 2.0
IMAGE_MB = 4.0
KINDS = ["good"] * 60 + ["truncated"] * 12 + ["wrong type"] * 12 + ["huge"] * 6 + ["many pixels"] * 6 + ["slow"] * 4
# A full queue is an answer as good as any: the client is told when to come back.
RIGHT = {
    "good": {200, 503}, "truncated": {422, 503}, "wrong type": {415, 503}, "huge": {413, 503},
    "many pixels": {413, 503}, "slow": {408, 503},
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--waiting", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    masks = right_masks(options.model, options.images)
    chance = random.Random(options.seed)
    jobs = [(chance.choice(KINDS), chance.choice(list(masks))) for _ in range(options.requests)]
    with (
        served(options.model, options.waiting) as (address, process),
        httpx.Client(base_url=address, timeout=60) as one,
    ):
        for image, mask in masks.items():  # warm, and right before the load
            assert ask(one, "good", image, mask)[::2] == (200, True)
        before_mb = resident_mb(process)
        half = len(jobs) // 2
        answers, wall_s = load(address, jobs[:half], masks, options.clients)
        between_mb = resident_mb(process)
        more, more_s = load(address, jobs[half:], masks, options.clients)
        answers, wall_s = answers + more, wall_s + more_s
        healthy = one.get("/healthz").status_code == 200
        right_after = all(ask(one, "good", image, mask)[::2] == (200, True) for image, mask in masks.items())
        after_mb = resident_mb(process)
        numbers = one.get("/metrics").text
    wrong = [(one.kind, one.status) for one in answers if not one.right or one.status not in RIGHT[one.kind]]
    print(
        f"{options.requests} requests by {options.clients} clients in {wall_s:.1f} s: {len(answers) / wall_s:.1f}/s\n"
    )
    print("| kind | status | answers | p50, s | p99, s |\n|---|---|---|---|---|")
    for kind, status in sorted({(one.kind, one.status) for one in answers}):
        seconds = sorted(one.seconds for one in answers if (one.kind, one.status) == (kind, status))
        print(f"| {kind} | {status} | {len(seconds)} | {statistics.median(seconds):.3f} | {at(seconds, 0.99):.3f} |")
    print(f"\nwrong answers: {len(wrong)} {dict(Counter(wrong)) if wrong else ''}")
    print(f"memory: {before_mb:.0f} MB before, {between_mb:.0f} MB half-way, {after_mb:.0f} MB after")
    left = re.findall(r"^ocuseg_(?:held_bytes|requests_in_work) \S+", numbers, re.M)
    print(f"afterwards: healthy {healthy}, right {right_after}, {', '.join(left)}")
    return 1 if wrong or not healthy or not right_after else 0


def right_masks(model: str, images: list[Path]) -> dict[Path, bytes]:
    """The file that `ocuseg predict` writes for each image."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = ocuseg.predict(model, images, out=folder, runtime="onnxruntime")
        return {outcome.image: outcome.written[0].read_bytes() for outcome in outcomes}


class served:  # noqa: N801 - used as a function
    """The service as a process of its own: its address, and the process."""

    def __init__(self, model: str, waiting: int) -> None:
        command = [
            sys.executable, "-m", "ocuseg", "serve", model, "--port", "0", "--runtime", "onnxruntime",
            "--upload-seconds", str(UPLOAD_S), "--image-mb", str(IMAGE_MB), "--waiting", str(waiting),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> tuple[str, subprocess.Popen[str]]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"serving at (http://\S+/)", line):
                # What it goes on to say must not fill the pipe.
                threading.Thread(target=lambda: sys.stderr.writelines(self.process.stderr or ()), daemon=True).start()
                return found[1], self.process
        raise SystemExit("the service did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)


class Answer(NamedTuple):
    """What became of a request: its kind, the status, the seconds, and whether it is what had to come."""

    kind: str
    status: int
    seconds: float
    right: bool


def load(
    address: str, jobs: list[tuple[str, Path]], masks: dict[Path, bytes], clients: int
) -> tuple[list[Answer], float]:
    """What became of each job, and the seconds that all took."""

    def client(own: Iterator[tuple[str, Path]]) -> list[Answer]:
        with httpx.Client(base_url=address, timeout=120, verify=False) as line:
            return [Answer(kind, *ask(line, kind, image, masks[image])) for kind, image in own]

    start_s = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        parts = list(threads.map(client, (itertools.islice(jobs, first, None, clients) for first in range(clients))))
    return [answer for part in parts for answer in part], time.perf_counter() - start_s


def ask(client: httpx.Client, kind: str, image: Path, mask: bytes) -> tuple[int, float, bool]:
    """Send one request of a kind; returns the status, the seconds, and whether it is what had to come."""
    content = image.read_bytes()
    start_s = time.perf_counter()
    if kind == "slow":
        status = send_slowly(str(client.base_url), content)
        return status, time.perf_counter() - start_s, True
    body = {
        "good": content, "truncated": content[: len(content) * 2 // 3], "wrong type": b"%PDF-1.7 " + content[:5000],
        "huge": bytes(int(IMAGE_MB * 1e6) + 1), "many pixels": large_png(),
    }[kind]  # fmt: skip
    answer = client.post("/v1/predict", params={"format": "mask"}, content=body)
    seconds = time.perf_counter() - start_s
    if answer.status_code == 200:
        return 200, seconds, answer.content == mask or pixels(answer.content) == pixels(mask)
    clear = "; " in answer.json()["error"] and (answer.status_code != 503 or "retry-after" in answer.headers)
    return answer.status_code, seconds, clear


def pixels(mask: bytes) -> tuple[tuple[int, int], bytes]:
    """The size and the class ids of a mask: of a large one `predict` packs them in another way than the service."""
    with Image.open(BytesIO(mask)) as picture:
        return picture.size, picture.tobytes()


def send_slowly(address: str, content: bytes) -> int:
    """Send a few bytes at a time until the service has had enough."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=30) as line:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
        line.sendall(head.encode())
        line.settimeout(0.2)
        for byte in content:
            try:
                return int(line.recv(100).split()[1])
            except TimeoutError:
                line.sendall(bytes([byte]))
    raise AssertionError("all was sent, and no answer came")


def large_png() -> bytes:
    """A PNG of 400 million pixels in few bytes, as its header and its checksums say."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = (20000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_mb(process: subprocess.Popen[str]) -> float:
    """The memory that a process holds; NaN where the system does not say it in /proc."""
    path = Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", path.read_text()) if path.is_file() else None
    return float("nan") if found is None else int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
