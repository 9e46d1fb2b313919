"""Imitate OpenAI's service and vLLM's server, over a network as unreliable as a test wants.

`FakeOpenAIServer`, for tests and rehearsals: files, fine-tuning jobs, models and chat as in OpenAI's interface. It records the requests,
and what they would have cost. `FakeVLLMServer` also reports a prompt's log-probabilities and tokens by their ids, and refuses what vLLM
0.32 refused.
"""

from __future__ import annotations

import email
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

NETWORK_FAULTS = ("500", "429", "drop", "lost", "short")  # how a request may fail; lost: carried out, but its answer never arrives
RETRY_AFTER = "0.02"  # seconds
ChatMessages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class BilledAnswer:
    """A billed answer: the digest of its request (`mark`), and its tokens, of the prompt (`read`) and of the answer (`written`)."""

    mark: str
    read: int
    written: int


@dataclass
class FakeOpenAIServer:
    """A fake of OpenAI's service, on a port of this machine.

    answer: what its tuned models answer to a conversation. key: the API key that it accepts. troubles: faults (NETWORK_FAULTS, "422" or
    "cut"), taken in turn by each request whose number `every` divides. keeps: whether answers requested with `store` can be listed later.
    latency: seconds that an answer takes. files, jobs, models: what it holds. The remaining fields record its use.
    """

    answer: Callable[[ChatMessages], str]
    key: str = "sk-stand-in"
    troubles: Sequence[str] = ()
    every: int = 3
    keeps: bool = True
    latency: float = 0.0
    files: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    served: Counter[str] = field(default_factory=Counter)  # complete responses, by method and path
    billed: list[BilledAnswer] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)  # bodies of the chat requests
    trained: list[str] = field(default_factory=list)  # jobs that were begun by a client, and billed

    def __post_init__(self) -> None:
        self._numbers, self._requests = count(1), count(1)
        self._kept: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._server = _FakeHTTPServer(("127.0.0.1", 0), _FakeRequestHandler)
        self._server.service = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @classmethod
    def from_training_file(cls, train: bytes, validation: bytes | None = None, *, right: float = 0.9, **given: Any) -> Self:
        """Return a server with a finished job on these files, whose model answers as they do, except for a share of the questions.

        right: the share of questions that it answers as the files do. given: the other fields.
        """
        rows = [json.loads(line)["messages"] for line in b"".join((train, validation or b"")).splitlines() if line.strip()]
        known = {_digest(turns[:-1]): str(turns[-1]["content"]) for turns in rows}
        others = sorted(set(known.values()))

        def answer(turns: ChatMessages) -> str:
            digest = _digest(turns)
            said = known.get(digest, others[0])
            draw = int(digest[:8], 16)
            return said if draw % 1000 < 1000 * right else others[draw % len(others)]

        made = cls(answer, **given)
        files = made.add_file(train, "train.jsonl"), None if validation is None else made.add_file(validation, "validation.jsonl")
        made.add_job(files[0], files[1])
        return made

    @property
    def base_url(self) -> str:
        """The base URL of its API."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        """Shut the server down."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_file(self, data: bytes, name: str) -> str:
        """Add a file as if it had been uploaded, and return its id."""
        id_ = f"file-{next(self._numbers)}"
        known = {"id": id_, "object": "file", "bytes": len(data), "created_at": 1760000000, "filename": name, "purpose": "fine-tune"}
        self.files[id_] = ({**known, "status": "processed", "expires_at": None, "status_details": None}, data)
        return id_

    def add_job(
        self,
        training_file: str,
        validation_file: str | None = None,
        *,
        base: str = "gpt-4o-mini-2024-07-18",
        status: str = "succeeded",
        **given: Any,
    ) -> dict[str, Any]:
        """Add a job and return it; a succeeded one has a tuned model."""
        number = next(self._numbers)
        model = f"ft:{base}:shop:{given.get('suffix') or ''}:c{number}" if status == "succeeded" else None
        how = {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8} | (given.pop("hyperparameters", None) or {})
        known: dict[str, Any] = {
            "id": f"ftjob-{number}", "object": "fine_tuning.job", "created_at": 1760000000 + number, "finished_at": 1760003600,
            "estimated_finish": None, "status": status, "model": base, "fine_tuned_model": model, "organization_id": "org-shop",
            "training_file": training_file, "validation_file": validation_file, "result_files": [], "trained_tokens": 12345,
            "hyperparameters": how, "method": {"type": "supervised", "supervised": {"hyperparameters": how}}, "seed": 7, "error": None,
            "integrations": [], "metadata": None, "suffix": None, **given,
        }  # fmt: skip
        self.jobs.insert(0, known)
        self.models |= {model} if model else set()
        return known

    def next_fault(self) -> str:
        """Return the fault of the next request; empty for none."""
        with self._lock:
            turn, rest = divmod(next(self._requests), self.every)
        return self.troubles[turn % len(self.troubles)] if self.troubles and rest == 0 else ""

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Return the status and document (or bytes) that answer a request."""
        with self._lock:
            match (method, *path.removeprefix("/v1/").split("/")):
                case ("GET", "fine_tuning", "jobs"):
                    return 200, _list_page([job for job in self.jobs if _matches_metadata(job["metadata"], query)], query)
                case ("GET", "fine_tuning", "jobs", id_, *more):
                    return self._job(id_, more, query)
                case ("POST", "fine_tuning", "jobs"):
                    return self._begin(body)
                case ("GET", "files"):
                    return 200, _list_page([known for known, _ in self.files.values()], query)
                case ("POST", "files"):
                    return 200, self.files[self.add_file(*body)][0]
                case ("GET", "files", id_, *more):
                    known, data = self.files.get(id_, (None, b""))
                    return (200, data if more else known) if known else _not_found(f"No such File object: {id_}")
                case ("GET", "models", name):
                    there = name in self.models
                    return (200, {"id": name, "object": "model", "created": 1, "owned_by": "shop"}) if there else _not_found(f"no {name}")
                case ("GET", "chat", "completions") if self.keeps:
                    return 200, _list_page([each for each in self._kept if _matches_metadata(each["metadata"], query)], query)
                case ("POST", "chat", "completions"):
                    return self._complete(body)
            return _not_found(f"Unknown request URL: {method} {path}")

    def _job(self, id_: str, more: Sequence[str], query: Mapping[str, str]) -> tuple[int, Any]:
        job = next((job for job in self.jobs if job["id"] == id_), None)
        if job is None:
            return _not_found(f"Could not find fine tune: {id_}")
        if more == ["events"]:
            said = ("The job has successfully completed", "Fine-tuning job started")
            events = [{"id": f"e-{at}", "object": "fine_tuning.job.event", "created_at": 1, "level": "info", "message": words,
                       "type": "message", "data": None} for at, words in enumerate(said)]  # fmt: skip
            return 200, _list_page(events, query)
        return 200, job

    def _begin(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        if body["training_file"] not in self.files:
            return 400, error_body("invalid training_file: no such file", "training_file")
        how = body["method"]["supervised"]["hyperparameters"]
        more = {"suffix": body.get("suffix"), "metadata": body.get("metadata"), "seed": body.get("seed", 0), "hyperparameters": how}
        job = self.add_job(body["training_file"], body.get("validation_file"), base=body["model"], **more)
        self.trained.append(job["id"])
        return 200, job

    def _complete(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        if body.get("store") and not self.keeps:
            return 400, error_body("store isn't supported here", "store")
        if body["model"] not in self.models:
            return _not_found(f"The model `{body['model']}` does not exist or you do not have access to it.")
        self.asked.append(dict(body))
        text = self.answer(body["messages"])
        read, written = sum(4 + len(str(turn["content"]).split()) for turn in body["messages"]), 1 + len(text.split())
        refused = text.startswith("I'm sorry")
        message = {"role": "assistant", "content": None if refused else text, "refusal": text if refused else None}
        made: dict[str, Any] = {
            "id": f"chatcmpl-{next(self._numbers)}", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }  # fmt: skip
        mark = _digest([body["messages"], body["model"]])
        self.billed.append(BilledAnswer(mark, read, written))
        if body.get("store"):
            self._kept.append({**made, "metadata": body.get("metadata")})
        return self.complete_response(body, made, text)

    def complete_response(self, body: Mapping[str, Any], made: dict[str, Any], text: str) -> tuple[int, Any]:
        """Return the status and document of a chat request whose completion is `made`, as a stream where it asks for one."""
        return 200, _stream_chunks(made, text, body) if body.get("stream") else made


class _FakeHTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    service: FakeOpenAIServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class _FakeRequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _FakeHTTPServer

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        service, place = self.server.service, urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        trouble = service.next_fault()
        if trouble == "short" and not place.path.endswith("/content"):
            trouble = "500"
        if self.headers.get("authorization") != f"Bearer {service.key}":
            self._send(401, error_body("Incorrect API key provided.", None, "invalid_api_key"))
        elif trouble == "drop":
            self.close_connection = True
        elif trouble == "422":  # as from a server that knows only OpenAI's fields
            self._send(422, {"detail": "Unexpected fields in the request"})
        elif trouble in ("500", "429"):
            code = "rate_limit_exceeded" if trouble == "429" else None
            self._send(int(trouble), error_body("try again", None, code), headers={"Retry-After": RETRY_AFTER})
        else:
            query = {name: values[-1] for name, values in parse_qs(place.query).items()}
            if place.path.endswith("/chat/completions") and self.command == "POST":
                time.sleep(service.latency)
            status, document = service.handle(self.command, place.path, query, _parse_body(self.headers.get("content-type", ""), data))
            if trouble == "lost":
                self.close_connection = True
                return
            if status == 200 and trouble != "short":
                service.served[f"{self.command} {place.path}"] += 1
            if isinstance(document, Iterator):
                self._stream(document, cut=trouble == "cut")
            else:
                self._send(status, document, short=trouble == "short")

    def _stream(self, chunks: Iterator[Mapping[str, Any]], *, cut: bool) -> None:
        """Send server-sent events, each after the latency of a chunk. cut: the connection breaks after the second."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in islice(chunks, 2 if cut else None):
            self._write(f"data: {json.dumps(chunk)}\n\n".encode())
            time.sleep(self.server.service.latency)
        if not cut:
            self._write(b"data: [DONE]\n\n")
            self._write(b"")
        self.close_connection = cut

    def _write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, document: Any, *, short: bool = False, headers: Mapping[str, str] = {}) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(document, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if short else data)
        self.close_connection = self.close_connection or short


def _stream_chunks(made: Mapping[str, Any], text: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a completion word by word, each of its choices in turn, with the usage at the end where it is requested."""
    about = {**{name: made[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    words = re.findall(r"\s*\S+|\s+$", text)
    for number in range(body.get("n", 1)):
        for word in words:
            said = {"token": word, "logprob": -0.25, "bytes": list(word.encode()), "top_logprobs": []}
            told = {"content": [said], "refusal": None} if body.get("logprobs") else None
            yield {**about, "choices": [{"index": number, "delta": {"content": word}, "logprobs": told, "finish_reason": None}]}
        yield {**about, "choices": [{"index": number, "delta": {}, "logprobs": None, "finish_reason": "stop"}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**about, "choices": [], "usage": made["usage"]}


def _parse_body(kind: str, data: bytes) -> Any:
    """Return a JSON document, or, of a multipart form, the file's content and name."""
    if not kind.startswith("multipart/form-data"):
        return json.loads(data or b"null")
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + data)
    part = next(each for each in form.walk() if each.get_filename())
    return part.get_payload(decode=True), part.get_filename()


def _list_page(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    ids = [row["id"] for row in rows]
    begin = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = int(query.get("limit", 20))
    return {"object": "list", "data": list(rows[begin : begin + limit]), "has_more": len(rows) > begin + limit}


def _matches_metadata(metadata: Mapping[str, str] | None, query: Mapping[str, str]) -> bool:
    wanted = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
    return wanted.items() <= (metadata or {}).items()


def _not_found(message: str) -> tuple[int, Any]:
    return 404, error_body(message, None, "not_found")


def error_body(message: str, param: str | None, code: str | None = None) -> dict[str, Any]:
    """Return an error in OpenAI's form."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@dataclass
class FakeVLLMServer(FakeOpenAIServer):
    """A fake of vLLM's server.

    tokens: the tokens of an answer, each an id with the text that it adds; the last one ends the answer, and its text isn't sent. reads:
    how many tokens it reads (`max_model_len`). prompt: a conversation's tokens with their log-probabilities, None for a server that reports
    none.
    """

    tokens: Callable[[str], Sequence[tuple[int, str]]] = lambda text: ()
    reads: int = 1024
    prompt: Callable[[ChatMessages], Sequence[tuple[int, float]]] | None = None

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Return the status and document that answer a request; the list of models says how many tokens each reads."""
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": self.reads} for name in self.models]
            return 200, {"object": "list", "data": rows}
        return super().handle(method, path, query, body)

    def complete_response(self, body: Mapping[str, Any], made: dict[str, Any], text: str) -> tuple[int, Any]:
        """Return the status and document of a chat request, refused where vLLM refuses it, and with the prompt's log-probabilities."""
        if why := self._refused(body):
            return 400, error_body(why, None)
        if body.get("stream"):
            return 200, self._streamed(made, text, body)
        if body.get("prompt_logprobs") is not None and self.prompt is not None:
            made["prompt_logprobs"] = [None, *({str(token): {"logprob": nats}} for token, nats in self.prompt(body["messages"])[1:])]
        return 200, made

    def _refused(self, body: Mapping[str, Any]) -> str:
        if body.get("temperature") == 0 and body.get("n", 1) > 1:
            return f"n must be 1 when using greedy sampling, got {body['n']}."
        if body.get("top_p") == 0:
            return "top_p must be in (0, 1], got 0.0."
        if (most := body.get("max_completion_tokens", 1)) > self.reads:
            return f"max_completion_tokens={most} cannot be greater than max_model_len={self.reads}."
        return ""

    def _streamed(self, made: Mapping[str, Any], text: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield a completion token by token, each choice in turn, including the token that ends it and those of a stop sequence."""
        about = {**{name: made[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
        tokens = self.tokens(text)
        for number in range(body.get("n", 1)):
            said = ""
            for at, (token, more) in enumerate(tokens, 1):
                said += more
                stopped = at == len(tokens) or any(stop in said for stop in body.get("stop", ()))
                finish = "stop" if stopped else "length" if at == body["max_completion_tokens"] else None
                told = {"token": f"token_id:{token}", "logprob": -0.25, "bytes": [], "top_logprobs": []}
                choice = {"index": number, "delta": {"content": "" if stopped else more}, "logprobs": {"content": [told]}}
                yield {**about, "choices": [{**choice, "finish_reason": finish}]}
                if finish:
                    break
        yield {**about, "choices": [], "usage": {**made["usage"], "prompt_tokens_details": {"cached_tokens": 16}}}
