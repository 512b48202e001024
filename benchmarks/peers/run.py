"""This project and its peers, timed in turns in one run, as a table and as JSON.

    python benchmarks/peers/run.py                                  all rows that are not measured yet
    python benchmarks/peers/run.py --rows train-unet,cold-start     these rows, anew
    python benchmarks/peers/run.py --rows all --docs docs/benchmarks.md

What is measured stays in `--out`, a file for each row, so that a run that was stopped goes on. Leave the machine alone
meanwhile. The peers' environment is made on first use.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from environments import make_peers, versions_of
from report import page, write_between
from row import Place, Row
from rows import ROWS
from sizes import FULL, TINY, Sizes
from turns import Outcome, take_turns

from ocuseg.machine import describe_machine, processor_features, usable_cores

ROOT = Path(__file__).parents[2]
TURN_LIMIT_S, ROW_LIMIT_S = 900.0, 420.0


def main() -> None:
    options = _options()
    chosen = list(ROWS) if options.rows in (None, "all") else options.rows.split(",")
    unknown = [name for name in chosen if name not in ROWS]
    if unknown:
        raise SystemExit(f"row {unknown[0]!r} is unknown; there are {', '.join(ROWS)}")
    results = options.out / "rows"
    results.mkdir(parents=True, exist_ok=True)
    if options.rows is None:
        chosen = [name for name in chosen if not (results / f"{name}.json").exists()]
    if options.report:
        chosen = []
    cores = _keep_to(options.cores)
    sizes = replace(TINY if options.tiny else FULL, **({"evaluate": options.masks} if options.masks else {}))
    for name in chosen:
        print(f"== {name}", flush=True)
        found = _measure(name, options, cores, sizes)
        (results / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    _write(options.out, options.docs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", help=f"of {', '.join(ROWS)}, with commas between; or all. Default: those missing")
    parser.add_argument("--rounds", type=int, help="rounds of each row; default: as each row says")
    parser.add_argument("--out", type=Path, help="default: runs/bench, with --tiny runs/bench-tiny")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-peers", help="where the peers' environment is made")
    parser.add_argument("--pip", default="", help="words for pip, such as '--index-url URL'")
    parser.add_argument("--docs", type=Path, help="a document between whose markers the table goes")
    parser.add_argument("--cores", type=int, help="for all alike; default: those this process may use")
    parser.add_argument("--masks", type=int, help="how many large masks the row 'evaluate' scores")
    parser.add_argument("--tiny", action="store_true", help="see that all of it runs; the times mean nothing")
    parser.add_argument("--report", action="store_true", help="write the table of what is measured, measure nothing")
    options = parser.parse_args()
    if options.out is None:
        options.out = ROOT / "runs" / ("bench-tiny" if options.tiny else "bench")
    return options


def _keep_to(cores: int | None) -> int:
    """Return how many cores contenders may use; where the system can, this process and its children keep to them."""
    found = usable_cores()
    wanted = min(cores or found, found)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:wanted])
    return wanted


def _measure(name: str, options: argparse.Namespace, cores: int, sizes: Sizes) -> dict[str, Any]:
    """Return what was measured of one row, as plain types."""
    out: Path = options.out
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(cores))}
    place = Place(_material(out, sizes), "not asked for", cores, sizes)
    if ROWS[name](place).peers:
        place = replace(place, peers=_peers(options))
    row = ROWS[name](place)
    for kind in row.material:
        _run(sys.executable, str(Path(__file__).with_name("material.py")), kind, str(place.material / kind),
             json.dumps(asdict(sizes)), environment=environment, log=out / f"material-{kind}.log")  # fmt: skip
    for command in row.prepare:
        _run(*command, environment=environment, log=out / f"{name}-prepare.log")
    rounds = options.rounds or row.rounds
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    outcomes = take_turns(
        row.contenders,
        steady=row.steady, rounds=rounds, warm_up=row.warm_up, turn_limit_s=TURN_LIMIT_S, row_limit_s=ROW_LIMIT_S,
        environment=environment, say=lambda text: print(text, flush=True),
    )  # fmt: skip
    return _plain(row, outcomes, place) | {"rounds": rounds, "load_before": busy, "tiny": options.tiny}


def _material(out: Path, sizes: Sizes) -> Path:
    """Return the folder of what is worked on, another one for other sizes but for how many masks are scored."""
    digest = hashlib.sha256(json.dumps(asdict(replace(sizes, evaluate=0))).encode()).hexdigest()
    return out / f"material-{digest[:8]}"


def _peers(options: argparse.Namespace) -> Path | str:
    """Return the peers' Python, or in a line why there is none."""
    log = options.out / "peers.log"
    print(f"the peers' environment: {options.peers} (made on first use, some GB; {log.name} has what pip says)")
    try:
        return make_peers(options.peers, options.pip.split(), log)
    except FileExistsError as error:
        return str(error)
    except (OSError, subprocess.CalledProcessError):
        words = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return f"its environment could not be made: {next(reversed(words), 'no word from pip')}"


def _run(*command: str, environment: dict[str, str], log: Path) -> None:
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
    if status:
        raise SystemExit(f"{' '.join(command[1:4])[:200]}: failed; {log} says why")


def _plain(row: Row, outcomes: dict[str, Outcome], place: Place) -> dict[str, Any]:
    """Return a row and what its contenders did as plain types, with the medians."""
    facts = describe_machine()
    contenders = {}
    for name, outcome in outcomes.items():
        keys = dict.fromkeys(key for turn in outcome.turns for key in turn)
        medians = {key: statistics.median(turn[key] for turn in outcome.turns) for key in keys}
        contenders[name] = asdict(outcome) | {"medians": medians}
    return {
        "title": row.title,
        "note": row.note,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {
            "processor": facts["processor"], "cores": place.cores, "features": list(processor_features() or ()),
            "system": facts["system"],
        },
        "versions": {
            "ours": versions_of(Path(sys.executable)) | {
                name: facts["packages"][name] for name in ("ocuseg", "onnxruntime", "openvino")
            },
            "peers'": versions_of(place.peers) if isinstance(place.peers, Path) else {},
        },
        "sizes": asdict(place.sizes),
        "comparisons": [asdict(comparison) for comparison in row.comparisons],
        "contenders": contenders,
    }  # fmt: skip


def _write(out: Path, docs: Path | None) -> None:
    """Write all rows that are measured, of this run or an earlier one, as JSON and as a page."""
    files = {name: out / "rows" / f"{name}.json" for name in ROWS}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}
    if not results:
        raise SystemExit(f"{out}: nothing is measured yet")
    text = page(results)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (out / "results.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nwrote {out / 'results.md'} and {out / 'results.json'}")
    if docs is not None:
        if any(row["tiny"] for row in results.values()):
            raise SystemExit(f"{docs}: not written, these times are of --tiny")
        write_between(docs, text)
        print(f"wrote {docs}")


if __name__ == "__main__":
    main()
