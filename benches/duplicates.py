"""Seconds to find near duplicates among 100,000 short texts: all different, and all from one template.

Run: python benches/duplicates.py [TEXTS]
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import sys
import time

from preceptor.curation import near_duplicates


def different(count: int) -> list[str]:
    """Sentences of 20 words out of 20,000."""
    rng = random.Random(0)
    return [" ".join(f"w{rng.randrange(20_000)}" for _ in range(20)) for _ in range(count)]


def alike(count: int) -> list[str]:
    """One sentence with a number in it: every text is near to many others."""
    return [f"your order number {n} has been shipped to the address that you gave us" for n in range(count)]


def main(count: int) -> None:
    rows = []
    for name, texts in (("different", different(count)), ("of one template", alike(count))):
        started = time.perf_counter()
        found = near_duplicates(texts)
        rows.append({"texts": name, "count": count, "seconds": round(time.perf_counter() - started, 1), "near": found.near})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"rows": rows, "peak_mb": peak, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}, indent=2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
