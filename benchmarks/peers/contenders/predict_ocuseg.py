"""`ocuseg.predict` on a folder of images, with one runtime; each turn opens the bundle anew, as a command does."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from line import Line

line = Line()

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import ocuseg  # noqa: E402


def main() -> None:
    settings = line.settings
    runtime = settings["runtime"]
    paths = sorted(Path(settings["images"]).iterdir())
    used = str(getattr(ocuseg.load(settings["bundle"], runtime=runtime).network, "name", runtime))
    for warm in line.turns(runtime=used):
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            done = ocuseg.predict(settings["bundle"], paths[:2] if warm else paths, out=out, runtime=runtime)
            took = time.perf_counter() - start
            failed = [outcome.error for outcome in done if outcome.error is not None]
            if failed:
                raise SystemExit(str(failed[0]))
            shares = [float((np.asarray(Image.open(path)) > 0).mean()) for path in sorted(Path(out).glob("*.png"))]
        line.answer({"image_s": took / len(shares), "same_foreground": sum(shares) / len(shares)})


if __name__ == "__main__":
    main()
