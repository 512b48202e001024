"""The environments that contenders run in: our own, and one made for peers that need another PyTorch build."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

PEERS = ("segmentation_models_pytorch", "torchvision")
ASKED = ("torch", "segmentation_models_pytorch", "timm", "monai", "scikit-learn", "numpy", "pillow")

_FACTS = """
import json, platform
from importlib import metadata
facts = {}
for name in %r:
    try:
        facts[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({"python": platform.python_version(), **facts}))
"""


def make_peers(folder: Path, pip_words: list[str], log: Path) -> Path:
    """Return the Python of the peers' environment, which is made first where it is not there or was not finished.

    It gets the same version of PyTorch as ours. pip is asked without the settings of this machine: a folder of CPU
    wheels for our own environment would give a PyTorch that torchvision does not go with. `pip_words` are added, such
    as an index. Raises CalledProcessError, with pip's answer in `log`, and FileExistsError where the folder holds
    anything else.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "peers.txt"
    wanted = f"{torch_version()} {' '.join(pip_words)}".strip()
    if finished.exists() and finished.read_text(encoding="utf-8") == wanted:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise FileExistsError(f"{folder}: holds something else than an environment; give another --peers")
    venv.create(folder, with_pip=True, clear=True)
    quiet = {key: value for key, value in os.environ.items() if key not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")}
    quiet["PIP_CONFIG_FILE"] = os.devnull
    command = [str(python), "-m", "pip", "install", f"torch=={torch_version()}", *PEERS, *pip_words]
    with log.open("w", encoding="utf-8") as file:
        subprocess.run(command, env=quiet, stdout=file, stderr=subprocess.STDOUT, check=True)
    finished.write_text(wanted, encoding="utf-8")
    return python


def torch_version() -> str:
    """Return our own version of PyTorch without what says how it was built."""
    from importlib.metadata import version

    return version("torch").partition("+")[0]


def versions_of(python: Path) -> dict[str, Any]:
    """Return the versions of Python and of the packages that matter in an environment."""
    answer = subprocess.run([str(python), "-c", _FACTS % (ASKED,)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)
