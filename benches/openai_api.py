"""OpenAI's interface by its own client, as its public documentation has it, against `preceptor serve`: real rows of banking77
are uploaded, SmolLM2-135M is fine-tuned on them, its events and checkpoints are polled, and it answers, streamed and with
log-probabilities.

Told are how much better the tuned model answers than its base (paired, on the same questions), what each mistake of a client is
answered with, how far served log-probabilities are from those of evaluation, and how quick the annotators' pages are while the job
trains against before. Run: python benches/openai_api.py [ROWS A LABEL] [QUESTIONS]
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
from openai import OpenAI

from preceptor import Estimate, Project
from preceptor.annotation.access_control import AccessControl
from preceptor.generation import LocalProvider
from preceptor.statistics import compare_paired, estimate_mean

DATA = Path(__file__).parents[2] / "shared" / "data" / "tasks" / "banking77" / "items.jsonl"
LABELS = 20
SYSTEM = "Name the intent of the bank's customer."
HOW = {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": 2.5}
WATCHED = float(os.environ.get("WATCHED", "25"))  # seconds
THINKING = 0.1


def main(each: int, questions: int) -> dict[str, Any]:
    """All of it, in order, on one server."""
    train, test = rows(each, questions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bank"
        tokens, link = project(folder, [row["text"] for row in train])
        with serving(folder) as address, OpenAI(base_url=f"{address}/v1", api_key=tokens["program"], max_retries=2, timeout=300) as client:
            browser = Browser(address, link)
            browser.work(5.0)  # the first pages load what they need
            before = browser.work(WATCHED)
            note("the pages were measured before")
            file = client.files.create(file=("train.jsonl", training_file(train)), purpose="fine-tune")
            method: Any = {"type": "supervised", "supervised": {"hyperparameters": HOW}}
            job = client.fine_tuning.jobs.create(model="smollm2", training_file=file.id, seed=1, suffix="bank", method=method)
            note("the job is created")
            begun = time.monotonic()
            await_step(client, job.id, 2)
            note("it trains")
            during = browser.work(WATCHED)
            done = await_end(client, job.id)
            seconds = time.monotonic() - begun
            note("it has trained")
            events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
            checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
            return {
                "job": [{
                    "rows": len(train), "labels": LABELS, "seconds": seconds, "trained_tokens": done.trained_tokens, "events": len(events),
                    "checkpoints": len(checkpoints), "valid_loss": checkpoints[0].metrics.valid_loss,
                }],
                "answers": quality(client, done.fine_tuned_model, test),
                "pages_while_it_trains": pages(before, during),
                "streaming": [streaming(client, done.fine_tuned_model, test[0]["text"])],
                "log_probabilities": [parity(client, folder, done.fine_tuned_model, test[:20])],
                "mistakes": mistakes(client, address, tokens, file.id),
            }  # fmt: skip


def note(words: str) -> None:
    """Tell on stderr how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def rows(each: int, questions: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """So many training rows of each of the first labels, and test rows, drawn by a seed."""
    if not DATA.exists():
        sys.exit(f"the shared data is missing: {DATA}")
    by_label: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for line in DATA.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by_label[row["split"], row["label"]].append(row)
    rng = random.Random(0)
    labels = sorted({label for split, label in by_label if split == "train"})[:LABELS]
    train = [row for label in labels for row in rng.sample(by_label["train", label], each)]
    test = [row for label in labels for row in rng.sample(by_label["test", label], questions // LABELS)]
    rng.shuffle(train)
    return train, test


def asked(text: str, system: str = SYSTEM) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def training_file(train: Sequence[dict[str, str]]) -> bytes:
    """A file in the form that the documentation asks for."""
    turns = ([*asked(row["text"]), {"role": "assistant", "content": row["label"]}] for row in train)
    return "".join(json.dumps({"messages": each}) + "\n" for each in turns).encode()


def await_step(client: OpenAI, job: str, steps: int) -> None:
    """Until a job has trained so many steps."""
    while True:
        status = client.fine_tuning.jobs.retrieve(job).status
        told = [event.data for event in client.fine_tuning.jobs.list_events(job, limit=20) if event.type == "metrics"]
        if any(data["step"] >= steps for data in told):
            return
        if status in ("succeeded", "failed", "cancelled"):
            sys.exit(f"the job is {status} already: more rows are needed to watch it")
        time.sleep(0.5)


def await_end(client: OpenAI, job: str) -> Any:
    while (now := client.fine_tuning.jobs.retrieve(job)).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(2)
    if now.status != "succeeded":
        sys.exit(f"the job {now.status}: {now.error}")
    return now


def quality(client: OpenAI, tuned: str, test: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Exact match of the tuned model and of its base, which is asked the same way, and told the labels besides."""
    labels = sorted({row["label"] for row in test})
    told = f"{SYSTEM} Answer with one of: {', '.join(labels)}. Answer with the name alone."
    ways = {"fine-tuned": (tuned, SYSTEM), "base": ("smollm2", SYSTEM), "base, told the labels": ("smollm2", told)}
    right = {}
    for name, (model, system) in ways.items():

        def one(row: dict[str, str], model: str = model, system: str = system) -> float:
            made = client.chat.completions.create(model=model, messages=asked(row["text"], system), temperature=0, max_completion_tokens=16)  # type: ignore[arg-type]
            return float((made.choices[0].message.content or "").strip() == row["label"])

        note(f"asking {name}")
        with ThreadPoolExecutor(4) as pool:
            right[name] = np.array(list(pool.map(one, test)))
    found: list[dict[str, Any]] = []
    for name, values in right.items():
        difference = None if name == "fine-tuned" else compare_paired(right["fine-tuned"], values)
        row: dict[str, Any] = {"model": name, "questions": len(test), "exact_match": shown(estimate_mean(values))}
        found.append({**row, "fine_tuned_is_better_by": shown(difference)} if difference else row)
    return found


def shown(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def streaming(client: OpenAI, model: str, text: str) -> dict[str, Any]:
    """An answer as it comes: pieces, the usage at the end, and that they make up the answer that isn't streamed."""
    given: dict[str, Any] = {"model": model, "messages": asked(text), "temperature": 0, "max_completion_tokens": 16}
    whole = client.chat.completions.create(**given, logprobs=True, top_logprobs=3).choices[0]
    begun, pieces, usage, first = time.monotonic(), [], None, 0.0
    for chunk in client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        if chunk.choices and chunk.choices[0].delta.content:
            first = first or time.monotonic() - begun
            pieces.append(chunk.choices[0].delta.content)
    return {
        "pieces": len(pieces),
        "first_after_ms": 1000 * first,
        "same_as_whole": "".join(pieces) == whole.message.content,
        "completion_tokens": usage.completion_tokens if usage else 0,
        "tokens_with_logprobs": len(whole.logprobs.content or []) if whole.logprobs else 0,
    }


def parity(client: OpenAI, folder: Path, model: str, test: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The largest distance between served log-probabilities and what evaluation says of the same answers, in nats."""
    opened = Project.open(folder)
    local = LocalProvider(opened.model(model.rpartition(":")[2]).path)
    opened.close()
    furthest, tokens = 0.0, 0
    for row in test:
        made = client.chat.completions.create(
            model=model, messages=asked(row["text"]), temperature=0, logprobs=True, max_completion_tokens=24  # type: ignore[arg-type]
        ).choices[0]  # fmt: skip
        served = np.array([token.logprob for token in made.logprobs.content or []]) if made.logprobs else np.zeros(0)
        conversation = [*asked(row["text"]), {"role": "assistant", "content": made.message.content or ""}]
        said = local.score_rows({"a": conversation}).log_probabilities["a"][: len(served)]
        furthest, tokens = max(furthest, float(np.abs(served - said).max())), tokens + len(served)
    return {"answers": len(test), "tokens": tokens, "furthest_apart_nats": furthest}


def mistakes(client: OpenAI, address: str, tokens: dict[str, str], file: str) -> list[dict[str, Any]]:
    """Each mistake of a client, and what it is answered with."""
    hello: Any = [{"role": "user", "content": "hello"}]
    chat, jobs = client.chat.completions.create, client.fine_tuning.jobs
    schema: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    keys = {"nobody": "sk-no", "chatter": tokens["chatter"]}
    other = {who: OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) for who, key in keys.items()}
    tries: dict[str, tuple[int, Callable[[], Any]]] = {
        "unknown model": (404, lambda: chat(model="gpt-9", messages=hello)),
        "no messages": (400, lambda: chat(model="smollm2", messages=[])),
        "a context that is too long": (400, lambda: chat(model="smollm2", messages=[{"role": "user", "content": "hello " * 9000}])),
        "tools": (400, lambda: chat(model="smollm2", messages=hello, tools=[{"type": "function", "function": {"name": "f"}}])),
        "response_format json_schema": (400, lambda: chat(model="smollm2", messages=hello, response_format=schema)),
        "temperature of 9": (400, lambda: chat(model="smollm2", messages=hello, temperature=9)),
        "a wrong key": (401, lambda: other["nobody"].models.list()),
        "a key without the scope": (403, lambda: other["chatter"].fine_tuning.jobs.create(model="smollm2", training_file=file)),
        "unknown training file": (404, lambda: jobs.create(model="smollm2", training_file="file-nowhere")),
        "unknown base": (404, lambda: jobs.create(model="gpt-9", training_file=file)),
        "unknown job": (404, lambda: jobs.retrieve("ftjob-nowhere")),
        "cancel what has ended": (409, lambda: jobs.cancel(next(iter(jobs.list())).id)),
        "unknown file": (404, lambda: client.files.content("file-nowhere")),
        "a purpose that isn't kept": (400, lambda: client.files.create(file=("a", b"x"), purpose="vision")),
        "broken JSON": (400, lambda: raw(address, tokens["program"], b'{"model": "smollm2", ')),
        "invalid UTF-8": (400, lambda: raw(address, tokens["program"], b'{"model": "\xff"}')),
        "a body of 100 MB": (413, lambda: raw(address, tokens["program"], b" " * 100_000_000)),
    }  # fmt: skip
    found = [{"mistake": name, "wanted": wanted, **outcome(call)} for name, (wanted, call) in tries.items()]
    for each in other.values():
        each.close()
    return [*found, one_bad_line(client)]


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """The status and the code of the error that a call raises."""
    try:
        call()
    except openai.APIStatusError as fault:
        return {"status": fault.status_code, "class": type(fault).__name__, "param": str(fault.param), "code": str(fault.code)}
    return {"status": 200, "class": "none", "param": "", "code": ""}


def raw(address: str, token: str, body: bytes) -> None:
    """A body that the client wouldn't send; raises as the client would."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = httpx.post(f"{address}/v1/chat/completions", content=body, headers=headers, timeout=60)
    known = {400: openai.BadRequestError, 413: openai.APIStatusError}.get(answer.status_code, openai.APIStatusError)
    raise known(answer.text, response=answer, body=answer.json()["error"])  # type: ignore[arg-type]


def one_bad_line(client: OpenAI) -> dict[str, Any]:
    """A training file with one bad line among a thousand: the job fails, and says which."""
    good = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}) + "\n"
    bad = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}]}) + "\n"
    file = client.files.create(file=("bad.jsonl", (good * 499 + bad + good * 500).encode()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="smollm2", training_file=file.id)
    while (now := client.fine_tuning.jobs.retrieve(job.id)).status not in ("failed", "succeeded"):
        time.sleep(0.5)
    error = now.error
    named = bool(error and "line 500" in str(error.message) and "messages[1].role" in str(error.message))
    found = {"mistake": "one bad line in a thousand", "wanted": "failed", "status": now.status}
    found |= {"class": "line and field are named"} if named else {}
    return found | ({"param": str(error.param), "code": str(error.code)} if error else {})


class Browser:
    """One annotator at the pages, without a script: the next page, an answer, a moment of thought."""

    def __init__(self, address: str, link: str) -> None:
        self.client = httpx.Client(base_url=address, follow_redirects=True, timeout=60)
        self.page = self.client.get(urlsplit(link).path).text

    def work(self, seconds: float) -> dict[str, list[float]]:
        """Milliseconds of each page and of each answer that is sent."""
        found: dict[str, list[float]] = {"next page": [], "submit": []}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.page = self._timed(found["next page"], lambda: self.client.get("/work")).text
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page))
            field, value = re.findall(r'<input type="radio"[^>]*name="([^"]+)"[^>]*value="([^"]+)"', self.page)[0]
            sent = {**form, field: value}
            answer = self._timed(found["submit"], lambda sent=sent: self.client.post("/work", data=sent, follow_redirects=False))
            if answer.status_code != 303:
                sys.exit(f"the page wasn't taken: {answer.status_code}")
            time.sleep(THINKING)
        return found

    def _timed(self, times: list[float], call: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        answer = call()
        times.append(1000 * (time.perf_counter() - begun))
        return answer


def pages(before: dict[str, list[float]], during: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Medians and 95th percentiles in milliseconds, and their ratios."""
    found = []
    for what in before:
        row: dict[str, Any] = {"what": what, "requests_before": len(before[what]), "requests_while": len(during[what])}
        for percent in (50, 95):
            usual, now = (float(np.percentile(times[what], percent)) for times in (before, during))
            row |= {f"p{percent}_before_ms": usual, f"p{percent}_while_ms": now, f"p{percent}_ratio": now / usual}
        found.append(row)
    return found


def project(folder: Path, texts: Sequence[str]) -> tuple[dict[str, str], str]:
    """A project with something to annotate; tokens by who has them, and an annotator's link."""
    made = Project.create(folder)
    made.add_question("clear", "choice", ["yes", "no"], "Is it clear what the customer wants?")
    made.add_items({"id": f"i-{n}", "text": f"{texts[n % len(texts)]} ({n})"} for n in range(5000))
    access = AccessControl(made)
    scopes = {"program": ["train", "chat"], "chatter": ["chat"]}
    tokens = {who: access.issue_application_token(who, allowed)["token"] for who, allowed in scopes.items()}
    link = access.invite("ann")["link"]
    made.close()
    return tokens, link


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`preceptor serve`, from when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "preceptor", "serve", "--project", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr, stderr=sys.stderr)
    try:
        for _ in range(1200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] or [15, 240]
    sys.stdout.write(json.dumps(main(*given), indent=2) + "\n")
