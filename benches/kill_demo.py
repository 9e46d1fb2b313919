"""The true demo, killed by SIGKILL at ten random moments and started again, beside one that was left alone.

Both must end with the same consensus and the same snapshot. Each start lives up to a tenth of
the whole run, so that kills fall into loading, asking, fitting and writing alike. Run: python -m benches.kill_demo
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KILLS = 10


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "preceptor", "demo", "--stop-after", "snapshot", "--json", "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(demo: subprocess.Popen[str], kind: str, kills: int, began: float) -> dict[str, Any]:
    out, _ = demo.communicate()
    document = json.loads(out)
    consensus = json.dumps(document["consensus"], sort_keys=True).encode()
    return {
        "demo": kind,
        "kills": kills,
        "seconds": round(time.perf_counter() - began),
        "judgments": document["judgments"]["used"],
        "consensus": hashlib.sha256(consensus).hexdigest()[:16],
        "snapshot": document["snapshot"][:16],
    }


def run(seed: int = 0) -> list[dict[str, Any]]:
    """One row for the demo left alone, one for the demo that was killed."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        whole = finish(start(Path(folder) / "whole"), "left alone", 0, began)
        began, kills = time.perf_counter(), 0
        for _ in range(KILLS):
            demo = start(Path(folder) / "cut")
            time.sleep(rng.uniform(0.2, 2 + whole["seconds"] / KILLS))
            demo.kill()
            demo.communicate()
            kills += demo.returncode < 0
        cut = finish(start(Path(folder) / "cut"), "killed", kills, began)
    same = all(whole[name] == cut[name] for name in ("judgments", "consensus", "snapshot"))
    return [whole, cut | {"same": same}]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
