"""Chat by streams under load: 1, 4 and 16 clients at once before four servers of SmolLM2-135M: ours, a plain `transformers` generate
loop behind the same route that answers one after another, `transformers serve`, and `transformers serve --continuous-batching`.

All hold the model in float32 on one thread and draw greedily; the clients are the official `openai` client's streams in one process, with
messages of banking77 after one system prompt; an answer has at most 20 tokens. Nobody has sent a message before, only the system prompt.
The servers take turns: each answers all three numbers of clients once a turn, and stands still (SIGSTOP) while it isn't its turn. Tokens
a second are by the clock, and also by the server's own CPU time, which hardly depends on what else the machine does. A ratio is of two
figures of the same turn, with a t interval over turns. Texts are compared with those of the plain loop. Before the first turn each server
answers one message to warm up. `shared prompt` is how long ours takes to a first token with a system prompt of some 400 tokens that
nobody has sent before, and that somebody has.

Run: python -m benches.serving_load
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benches._banking import rows
from openai import APIError, AsyncOpenAI
from transformers import AutoTokenizer

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.models.base_models import find_base_folder
from preceptor.statistics import estimate_mean

CLIENTS, TOKENS, TURNS = (1, 4, 16), 20, 5
OURS, PLAIN, SERVE, TOGETHER = "preceptor", "plain generate loop", "transformers serve", "transformers serve, continuous batching"
SYSTEM = "You help the customers of a bank. Answer in two or three whole sentences, and ask back where you can't know."
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "GOMP_SPINCOUNT": "1000"}


@dataclass
class Heard:
    """What one client heard: the answer, when each piece came in seconds from the request, and how many tokens it was."""

    text: str = ""
    times: list[float] = field(default_factory=list)
    tokens: int = 0


class Server:
    """A server in processes of its own, which stand still unless it is its turn. behind: another that its answers come from."""

    def __init__(self, command: list[str], port: int, model: str, key: str, ready: str, behind: Server | None = None) -> None:
        self.port, self.model, self.key, self.behind = port, model, key, behind
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        self.process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT}, **quiet)  # type: ignore[call-overload]
        until = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
                    break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"it didn't start: {' '.join(command)}") from None
                time.sleep(0.2)

    def turn(self, messages: list[list[dict[str, str]]]) -> tuple[list[Heard], float, float]:
        """Answer these, all at once; seconds by the clock and of the processor."""
        self.send(signal.SIGCONT)
        begun, before = time.perf_counter(), self.cpu()
        heard = asyncio.run(self._ask(messages))
        seconds, cpu = time.perf_counter() - begun, self.cpu() - before
        self.send(signal.SIGSTOP)
        return heard, seconds, cpu

    def send(self, sign: signal.Signals) -> None:
        """To all its processes, and those of the server behind it."""
        os.killpg(self.process.pid, sign)
        if self.behind is not None:
            self.behind.send(sign)

    async def _ask(self, messages: list[list[dict[str, str]]]) -> list[Heard]:
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=self.key, max_retries=0, timeout=600) as client:
            return list(await asyncio.gather(*(self._listen(client, each) for each in messages)))

    async def _listen(self, client: AsyncOpenAI, messages: Any) -> Heard:
        heard, begun = Heard(), time.perf_counter()
        stream = await client.chat.completions.create(
            model=self.model, messages=messages, temperature=0, max_tokens=TOKENS, stream=True
        )  # fmt: skip
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                heard.text += chunk.choices[0].delta.content
                heard.times.append(time.perf_counter() - begun)
        return heard

    def pids(self) -> list[str]:
        """Its processes, and those of the server behind it."""
        mine = [path.parent.name for path in Path("/proc").glob("[0-9]*/stat") if _fields(path)[2:3] == [str(self.process.pid)]]
        return mine + (self.behind.pids() if self.behind is not None else [])

    def cpu(self) -> float:
        """Seconds that they have computed so far."""
        parts = [_fields(Path(f"/proc/{pid}/stat")) for pid in self.pids()]
        return sum(int(each[11]) + int(each[12]) for each in parts) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> int:
        """The most memory of each, together."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids()]
        return sum(int(found[1]) for text in texts if (found := re.search(r"VmHWM:\s+(\d+)", text))) // 1024

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _fields(path: Path) -> list[str]:
    """Of a process's stat, from its state on; none where it is gone."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def servers(folder: Path, model: Path, failed: list[dict[str, str]]) -> dict[str, Server]:
    """All four, warm and standing still, but for those that failed."""
    python = sys.executable
    project = Project.create(folder / "project", serving={"request_timeout_seconds": 600})
    key = AccessControl(project).issue_application_token("bench", ["chat"])["token"]
    project.close()
    kinds: dict[str, tuple[list[str], str, str]] = {
        OURS: (["-m", "preceptor", "serve", "--project", str(folder / "project"), "--port"], "smollm2", "/health/ready"),
        PLAIN: (["-m", "benches._plain_generate", str(model)], "plain", "/health/ready"),
        SERVE: (
            ["-m", "transformers.cli.transformers", "serve", str(model), "--device", "cpu", "--dtype", "float32", "--port"],
            str(model),
            "/health",
        ),
    }
    kinds[TOGETHER] = (
        [*kinds[SERVE][0][:-1], "--continuous-batching", "--cb-num-blocks", "512", "--cb-max-batch-tokens", "512", "--port"],
        str(model),
        "/health",
    )
    found = {}
    for kind, (command, name, ready) in kinds.items():
        if "transformers.cli.transformers" in command:
            command = ["-c", "from transformers.cli.transformers import main; main()", *command[2:]]
        port = free_port()
        server = None
        try:
            server = Server([python, *command, str(port)], port, name, key, ready)
            server.turn([[{"role": "user", "content": "Good morning"}]])
        except (RuntimeError, APIError) as error:  # a peer that doesn't answer here is left out, and said so
            failed.append({"server": kind, "why": f"{type(error).__name__}: {error}"})
            if server is not None:
                server.stop()
            continue
        found[kind] = server
        print(f"{kind}: ready", file=sys.stderr, flush=True)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run() -> dict[str, Any]:
    """All servers, turn by turn."""
    model = find_base_folder("smollm2")
    tokenizer = AutoTokenizer.from_pretrained(model)
    asked = texts_asked()
    messages = [[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}] for text in asked]
    failed: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        running = servers(Path(folder), model, failed)
        try:
            turns, texts = by_turns(running, messages, tokenizer)
            memory = {kind: server.peak_mb() for kind, server in running.items()}
            shared = shared_prompt(running[OURS], asked)
        finally:
            for server in running.values():
                server.stop()
    about = {"model": "SmolLM2-135M, float32", "tokens": TOKENS, "turns": TURNS, "load": round(os.getloadavg()[0], 1)}
    return {**about, "rows": table(turns, texts, memory), "ratios": ratios(turns), "shared_prompt": shared, "failed": failed}


def texts_asked() -> list[str]:
    """A customer's message for each answer of all turns."""
    wanted, every = TURNS * sum(CLIENTS), rows("test", every=True)
    return [row.content["prompt"] for row in every[:: len(every) // wanted][:wanted]]


def by_turns(running: dict[str, Server], messages: Any, tokenizer: Any) -> tuple[list[dict[Any, Any]], dict[tuple[str, int], list[str]]]:
    """The figures of each turn, by server and number of clients, and the last turn's texts."""
    turns: list[dict[tuple[str, int], dict[str, Any]]] = []
    texts: dict[tuple[str, int], list[str]] = {}
    for number in range(TURNS):
        turns.append({})
        for kind, server in running.items():
            for count in CLIENTS:
                first = number * sum(CLIENTS) + sum(fewer for fewer in CLIENTS if fewer < count)
                heard, seconds, cpu = server.turn(messages[first : first + count])
                for each in heard:
                    each.tokens = len(tokenizer(each.text)["input_ids"])
                texts[kind, count] = [each.text for each in heard]
                turns[-1][kind, count] = figures(heard, seconds, cpu)
                print(f"{kind}, {count}: {turns[-1][kind, count]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return turns, texts


def figures(heard: list[Heard], seconds: float, cpu: float) -> dict[str, Any]:
    """Of one stretch."""
    firsts, lasts = [each.times[0] for each in heard], [each.times[-1] for each in heard]
    tokens = sum(each.tokens for each in heard)
    return {
        "tokens_per_second": tokens / seconds,
        "tokens_per_cpu_second": tokens / cpu,
        "firsts": firsts,
        "gaps": [gap for each in heard for gap in np.diff(each.times)],
        "all_begun_before_one_ended": max(firsts) < min(lasts),
    }


def table(turns: Any, texts: dict[tuple[str, int], list[str]], memory: dict[str, int], known: str = PLAIN) -> list[dict[str, Any]]:
    """A row for each server and number of clients, over all turns. known: the server with whose texts all are compared."""
    found = []
    for kind, count in turns[0]:
        mine = [turn[kind, count] for turn in turns]
        firsts, gaps = ([value for each in mine for value in each[name]] for name in ("firsts", "gaps"))
        found.append(
            {
                "server": kind,
                "clients": count,
                "tokens_per_second": estimate_mean(np.array([each["tokens_per_second"] for each in mine])).to_dict(),
                "tokens_per_cpu_second": estimate_mean(np.array([each["tokens_per_cpu_second"] for each in mine])).to_dict(),
                **{f"first_token_p{q}_ms": round(1000 * float(np.percentile(firsts, q))) for q in (50, 95)},
                **{f"between_tokens_p{q}_ms": round(1000 * float(np.percentile(gaps, q))) for q in (50, 95)},
                "all_begun_before_one_ended": f"{sum(each['all_begun_before_one_ended'] for each in mine)} of {len(mine)}",
                "same_texts": f"{sum(a == b for a, b in zip(texts[kind, count], texts[known, count], strict=True))} of {count}",
                "peak_mb": memory[kind],
            }
        )
    return found


def ratios(turns: Any) -> list[dict[str, Any]]:
    """Of tokens a second: ours at n clients over ours at one, and ours over each other server at the same number."""
    pairs = [(f"{OURS}, {count} clients over 1", (OURS, count), (OURS, 1)) for count in CLIENTS[1:]]
    pairs += [
        (f"{OURS} over {kind}, {count}", (OURS, count), (kind, count))
        for kind in (PLAIN, SERVE, TOGETHER)
        for count in CLIENTS
        if (kind, count) in turns[0]
    ]
    return [ratio(turns, *pair) for pair in pairs]


def ratio(turns: Any, name: str, mine: tuple[str, int], other: tuple[str, int]) -> dict[str, Any]:
    """Of tokens a second: a server with so many clients over another."""
    units = ("tokens_per_second", "tokens_per_cpu_second")
    return {"ratio": name} | {
        unit: estimate_mean(np.array([turn[mine][unit] / turn[other][unit] for turn in turns])).to_dict() for unit in units
    }


def shared_prompt(server: Server, asked: list[str]) -> list[dict[str, Any]]:
    """Milliseconds to a first token after a long system prompt, the first time and later."""
    times: dict[str, list[float]] = {"new to the server": [], "sent before": []}
    for number in range(TURNS):
        system = f"Rule {number}: {SYSTEM} " * 15
        for kind, text in zip(times, asked, strict=False):
            (heard,), _, _ = server.turn([[{"role": "system", "content": system}, {"role": "user", "content": text}]])
            times[kind].append(1000 * heard.times[0])
    return [{"system prompt": kind, "first_token_ms": estimate_mean(np.array(values)).to_dict()} for kind, values in times.items()]


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
