"""Near duplicates among a million short texts beside datasketch: seconds, peak memory with the texts, planted pairs found.

The promise: under two minutes and 2 GB on two cores, and every planted pair found whose Jaccard index reaches the threshold.
datasketch (MinHash and LSH, the same 128 functions, the same character 5-grams) comes from the environment or from the folder that
DATASKETCH_SITE names (`pip install --target DIR datasketch`); it names candidates and verifies none, and is given 1,200 seconds.
Run: python -m benches.duplicates [TEXTS]
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benches._real_texts import FIELDS, short_texts
from benches._real_texts import rows as real_rows

THRESHOLD = 0.8
PLANTED = 0.1  # of all texts
LIMIT = 1_200  # seconds for datasketch

Pairs = Sequence[tuple[int, int]]


class Planted(NamedTuple):
    """A text that was made of another one."""

    how: str
    original: int
    variant: int


def two_swapped(rng: random.Random, words: list[str]) -> str:
    at = rng.randrange(len(words) - 1)
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def one_changed(rng: random.Random, words: list[str]) -> str:
    words[rng.randrange(len(words))] = rng.choice(("really", "card", "please", "it", "42"))
    return " ".join(words)


def one_mistyped(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice("aeinrst") + text[at + 1 :]


WAYS: dict[str, Callable[[random.Random, str], str]] = {
    "the same": lambda rng, text: text,
    "case": lambda rng, text: rng.choice((text.upper(), text.lower(), text.title())),
    "white space": lambda rng, text: "  " + text.replace(" ", rng.choice(("  ", "\n", "\t", "\u00a0"))) + "\n",
    "full-width letters": lambda rng, text: "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in text),
    "punctuation": lambda rng, text: text.rstrip(".?!") + rng.choice(("!!", " ...", "?!", ".")),
    "two words swapped": lambda rng, text: two_swapped(rng, text.split()),
    "a word changed": lambda rng, text: one_changed(rng, text.split()),
    "a letter mistyped": one_mistyped,
    "a prefix": lambda rng, text: rng.choice(("Hi, ", "Hello! ", "Please: ", "Q: ")) + text,
    "a suffix": lambda rng, text: text + rng.choice((" Thanks!", " please", " Thank you", " asap")),
}


def corpus(count: int) -> tuple[list[str], list[Planted]]:
    """Different short texts, a tenth of them variants of others, in random order; what was planted where."""
    rng = random.Random(1)
    variants = int(count * PLANTED)
    texts = short_texts(count - variants)
    made = []
    for number in range(variants):
        how, original = list(WAYS)[number % len(WAYS)], rng.randrange(count - variants)
        made.append(Planted(how, original, len(texts)))
        texts.append(WAYS[how](rng, texts[original]))
    order = rng.sample(range(count), count)
    place = {old: new for new, old in enumerate(order)}
    return [texts[old] for old in order], [Planted(each.how, place[each.original], place[each.variant]) for each in made]


def alike(count: int) -> tuple[list[str], list[Planted]]:
    """One sentence with a number in it: every text is near to many others."""
    return [f"your order number {n} has been shipped to the address that you gave us" for n in range(count)], []


CORPORA = {"real and planted": corpus, "of one template": alike}


def shingles(text: str) -> set[str]:
    """The character 5-grams of a text, made here once more so that the bench checks what it measures."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return {plain[at : at + 5] for at in range(max(len(plain) - 4, 1))}


def overlap(one: str, other: str) -> float:
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


def bag(text: str) -> list[str]:
    """The words of a text in alphabetical order, without marks around them."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return sorted(filter(None, (re.sub(r"^[\W_]+|[\W_]+$", "", word) for word in plain.split())))


def ours(texts: Sequence[str]) -> tuple[Sequence[int], Pairs]:
    """Each text's cluster, and pairs of texts that were found alike."""
    from preceptor.quality import find_near_duplicates

    found = find_near_duplicates(texts, threshold=THRESHOLD)
    return found.cluster.tolist(), [(pair.first, pair.second) for pair in found.pairs()]


def datasketch(texts: Sequence[str]) -> tuple[Sequence[int], Pairs]:
    """The same by its README: a MinHash a text, an index, a query a text; texts named together are one cluster."""
    if site := os.environ.get("DATASKETCH_SITE"):
        sys.path.append(site)
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    root, pairs = list(range(len(texts))), []
    for number, text in enumerate(texts):
        signed = MinHash(num_perm=128)
        signed.update_batch([part.encode() for part in shingles(text)])
        for other in index.query(signed):
            pairs.append((other, number))
            one, two = top(root, other), top(root, number)
            root[max(one, two)] = min(one, two)
        index.insert(number, signed, check_duplication=False)
    return [top(root, number) for number in range(len(texts))], pairs


def top(root: list[int], index: int) -> int:
    while root[index] != index:
        root[index] = index = root[root[index]]
    return index


def measure(library: str, path: str) -> None:
    """Cluster the texts of a file in this process and print what it took and found."""
    texts, planted = json.loads(Path(path).read_text(encoding="utf-8"))
    started, begun = time.perf_counter(), time.process_time()
    cluster, pairs = {"preceptor": ours, "datasketch": datasketch}[library](texts)
    seconds, worked = time.perf_counter() - started, time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally = Counter[tuple[str, bool, bool]]()  # how, whether at the threshold, whether found
    for how, original, variant in planted:
        tally[how, overlap(texts[original], texts[variant]) >= THRESHOLD, cluster[original] == cluster[variant]] += 1
    drawn = random.Random(2).sample(pairs, min(len(pairs), 5_000))
    wrong = sum(overlap(texts[one], texts[other]) < THRESHOLD and bag(texts[one]) != bag(texts[other]) for one, other in drawn)
    ways = [
        {
            "planted": how,
            "at the threshold": tally[how, True, True] + tally[how, True, False],
            "of them found": tally[how, True, True],
            "below": tally[how, False, True] + tally[how, False, False],
            "of these found": tally[how, False, True],
        }
        for how in WAYS
    ]
    row = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(worked, 1),
        "peak_mb": peak // 1024,
        "clusters": len(set(cluster)),
        "planted at the threshold": sum(count for (_, near, _), count in tally.items() if near),
        "found": sum(count for (_, near, hit), count in tally.items() if near and hit),
        "false pairs %": round(100 * wrong / max(len(drawn), 1), 2),
    }
    print(json.dumps({"row": row, "ways": ways if planted else []}))


def apart(library: str, path: Path) -> dict[str, Any]:
    """`measure` in a process of its own, so that its peak is its own."""
    command = [sys.executable, "-m", "benches.duplicates", "measure", library, str(path)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"row": {"left_out": f"not done in {LIMIT} s"}, "ways": []}
    except subprocess.CalledProcessError:
        return {"row": {"left_out": "not at hand"}, "ways": []}
    return dict(json.loads(done.stdout))


def in_templates() -> list[dict[str, Any]]:
    """Rows of real sets that are taken for made from a template, and the largest frame; seconds for 100,000 short texts."""
    from preceptor.quality import find_templates

    table = []
    for name, texts in [*((name, real_rows(name)) for name in FIELDS), ("100,000 short texts", short_texts(100_000))]:
        started = time.perf_counter()
        found = find_templates(texts)
        row = {"set": name, "rows": len(texts), "templates": len(found), "rows in them": sum(len(each.rows) for each in found)}
        frame = found[0].frame if found else ""
        table.append(
            {**row, "seconds": round(time.perf_counter() - started, 1), "the largest": f"{frame[:80]}{'…' if len(frame) > 80 else ''}"}
        )
    return table


def main(count: int) -> None:
    rows, ways = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in CORPORA.items():
            path = Path(folder) / "texts.json"
            texts, planted = make(count)
            path.write_text(json.dumps([texts, planted]), encoding="utf-8")
            letters = sum(map(len, texts)) / count
            del texts, planted
            for library in ("preceptor", "datasketch"):
                if library == "preceptor" or name == "real and planted":  # in one bucket each text is paired with all before it
                    found = apart(library, path)
                    rows.append({"library": library, "texts": name, "count": count, "letters": round(letters), **found["row"]})
                    ways += [{"library": library, **way} for way in found["ways"]]
    print(json.dumps({"rows": rows, "each way of planting": ways, "made from templates": in_templates()}, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], sys.argv[3])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
