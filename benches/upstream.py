"""Chat by streams, 1, 4 and 16 clients at once, of one tuned SmolLM2-135M: straight to vLLM, through our routes to the same vLLM, and
drawn by our own engine.

All compute in float32 on one thread and draw greedily, an answer of at most 20 tokens; clients, messages, turns and figures are those of
`serving_load`. Each server stands still (SIGSTOP) while it isn't its turn; of the one before vLLM, CPU time and memory are those of both.
Texts are compared with our engine's. `apart` is the difference in nats a token between what vLLM says of the model's own probes and what
training said.

vLLM is the program `bin/vllm` in the folder that VLLM_SITE names (its own virtual environment); without it nothing is measured.

Run: VLLM_SITE=DIR python -m benches.upstream
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches._banking import rows
from benches.serving_load import CLIENTS, SYSTEM, TOKENS, TURNS, Server, by_turns, free_port, ratio, table, texts_asked
from transformers import AutoTokenizer

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.config import ServingOptions
from preceptor.runs.parity_check import check_upstream_parity
from preceptor.storage import artifacts
from preceptor.types import Release

THROUGH, STRAIGHT, OWN = "preceptor before vLLM", "vLLM", "preceptor"
LEARNT = 48


def tuned(folder: Path) -> tuple[Path, Any, str]:
    """A project with a model that learnt a few rows, and a key for it."""
    asked = rows("train")[:LEARNT]
    lines = [{"prompt": row.content["prompt"], "completion": f"It is about {next(iter(row.target)).replace('_', ' ')}."} for row in asked]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    project = Project.create(folder / "project")
    project.read(folder / "rows.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=0)
    model = project.train("sft", snapshot="v1", base="smollm2", epochs=1, learning_rate=2e-4, dtype="float32", max_tokens=200)
    with project.database.writing() as connection:
        artifacts.add_release(connection, Release(model.id, "bench", "overridden: to be measured", "none"))
    key = AccessControl(project).issue_application_token("bench", ["chat"])["token"]
    project.close()
    return folder / "project", model, key


def serve(folder: Path, model: Any, key: str, behind: Server | None) -> Server:
    """`preceptor serve` with this model, before another server or by itself."""
    project = Project.open(folder)
    more = {"upstream": f"http://127.0.0.1:{behind.port}/v1", "upstream_models": {model.id: behind.model}} if behind else {}
    project.config = project.config.model_copy(update={"serving": ServingOptions(request_timeout_seconds=600, **more)})
    project.config.save(folder)
    project.close()
    port = free_port()
    command = [sys.executable, "-m", "preceptor", "serve", "--project", str(folder), "--port", str(port)]
    return Server(command, port, model.id, key, "/health/ready", behind)


def run() -> dict[str, Any]:
    """All three, turn by turn."""
    if "VLLM_SITE" not in os.environ:
        sys.exit("VLLM_SITE names no folder with vLLM")
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    program = str(Path(os.environ["VLLM_SITE"]) / "bin" / "vllm")
    messages = [[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}] for text in texts_asked()]
    running: dict[str, Server] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, model, key = tuned(Path(name))
        tokenizer = AutoTokenizer.from_pretrained(model.path)
        try:
            port = free_port()
            how = ["--served-model-name", "support", "--dtype", "float32", "--max-model-len", "1024", "--port", str(port)]
            running[STRAIGHT] = Server([program, "serve", str(model.path), *how], port, "support", "none", "/health")
            running[THROUGH] = serve(folder, model, key, running[STRAIGHT])
            project = Project.open(folder)
            (apart,) = check_upstream_parity(project)
            project.close()
            running[OWN] = serve(folder, model, key, None)
            for server in running.values():
                server.turn(messages[-1:])
            turns, texts = by_turns(running, messages, tokenizer)
            found = table(turns, texts, {kind: server.peak_mb() for kind, server in running.items()}, OWN)
        finally:
            for server in running.values():
                server.stop()
    pairs = [(f"{THROUGH} over {kind}, {count}", (THROUGH, count), (kind, count)) for kind in (STRAIGHT, OWN) for count in CLIENTS]
    about = {"model": "SmolLM2-135M, tuned, float32", "tokens": TOKENS, "turns": TURNS, "load": round(os.getloadavg()[0], 1)}
    return {**about, "apart": apart["difference"], "rows": found, "ratios": [ratio(turns, *pair) for pair in pairs]}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
