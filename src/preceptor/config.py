"""`preceptor.toml`: a project's name, its database, prices, stop rule, release bounds and serving options."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write
from preceptor.formats.toml import parse_toml, to_toml
from preceptor.planning import QualificationRule, StopRule
from preceptor.registry import OptionsBase

CONFIG_FILE = "preceptor.toml"
WORKERS_VARIABLE = "PRECEPTOR_WORKERS"  # environment: the number of processes of a server
CUSTOMERS_PREFIX = "customers of "  # begins the name of the annotator that stands for a program's users


PriceValue = Annotated[float, Field(ge=0)]


class CostOptions(OptionsBase):
    """Prices, in one currency."""

    judgment: float = Field(0.05, ge=0, description="one judgment by a person")
    kinds: dict[str, PriceValue] = Field({}, description="one judgment about a question of a kind: { rating = 0.02 }")
    annotators: dict[str, PriceValue] = Field({}, description="one judgment by an annotator, whatever the kind: { ann = 0.5 }")
    machine_hour: float = Field(0.10, ge=0, description="one hour of the machine that trains")
    currency: str = "USD"

    def judgment_price(self, annotator: str, kind: str) -> float:
        """Return the price of one judgment by an annotator about a question of this kind.

        It is the annotator's own price, else nothing for customers, else the question kind's price, else that of any judgment.
        """
        usual = 0.0 if annotator.startswith(CUSTOMERS_PREFIX) else self.kinds.get(kind, self.judgment)
        return self.annotators.get(annotator, usual)

    def total_price(self, annotators: Iterable[str], kind: str) -> float:
        """Return the price of one judgment by each of these annotators, in total."""
        return sum(count * self.judgment_price(annotator, kind) for annotator, count in sorted(Counter(annotators).items()))


class GateOptions(OptionsBase):
    """What a model must reach before it is released."""

    bounds: tuple[str, ...] = Field((), description='what metrics must reach, such as "accuracy.low >= 0.72"')
    max_slice_gap: float = Field(
        1.0, ge=0, le=1, description="how much worse a slice of the test rows may be than the rest; 1 turns the check off"
    )
    max_regression: float = Field(
        1.0, ge=0, le=1, description="how much worse the whole or a slice may be than the last release; 1 turns the check off"
    )


class AnnotatorOptions(OptionsBase):
    """How people are asked: leases, gold items, qualification, suggestions."""

    lease_seconds: float = Field(1800, gt=0, description="time for which an item is reserved for the annotator who got it")
    gold_share: float = Field(0.05, ge=0, le=1, description="share of an annotator's items whose answer is known, mixed in unmarked")
    feedback: bool = Field(True, description="after such an item, annotators learn whether they were right, and why")
    require_qualification: bool = Field(False, description="annotators first pass a test on gold, as [qualification] says")
    suggestions: bool = Field(False, description="annotators see a model's prediction, which biases them; it is stored with the judgment")
    blind_share: float = Field(0.1, ge=0, le=1, description="share of items that each annotator answers without it, to measure the bias")
    completion_code: str = Field("", description="shown to external crowds when nothing is left for them")
    address: str = Field("", description="public URL of the pages, for the links to them; empty: where serve listens")


class TrainingLogOptions(OptionsBase):
    """Where training runs are reported, besides their own log."""

    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field((), description="tensorboard, mlflow, wandb: what you have")


class GeneralDataOptions(OptionsBase):
    """Files that show whether training makes a model forget; paths are relative to the project's folder."""

    texts: tuple[str, ...] = Field((), description="texts with answers, whose log-probability is compared before and after training")
    replay: tuple[str, ...] = Field(
        (), description="texts that may be trained on again; without texts, half of these is used for evaluation"
    )
    suites: tuple[str, ...] = Field((), description="questions with options, one suite per file")


class ServingOptions(OptionsBase):
    """How requests under /v1 are answered, and what is kept of them."""

    retention_days: float = Field(
        30, ge=0, description="for which prompts and answers are stored; 0 stores nothing, and then there is no feedback"
    )
    redact_pii: bool = Field(True, description="personal data is masked before a prompt or an answer is stored")
    eval_sample_rate: float = Field(0.05, ge=0, le=1, description="share of answers sampled at random to measure live quality")
    max_queue: int = Field(32, ge=1, description="requests that may wait for their turn, in each process; more get 429")
    cache_gb: float = Field(
        0, ge=0, description="GB for keys and values of prompts and answers, in each process; 0: together a sixteenth of the machine's"
    )
    request_timeout_seconds: float = Field(
        120, gt=0, description="time for an answer, then the call fails; waiting for a person doesn't count"
    )
    max_human_wait_seconds: float = Field(600, ge=0, description="longest time that a call may wait for a person")
    max_waiting_calls: int = Field(
        64, ge=0, le=1000, description="calls that wait for people at once, in each process; more are told where to poll"
    )
    deferral_ttl_days: float = Field(1, gt=0, le=7, description="time that people have for an answer that was deferred to them")
    top_k: int = Field(4, ge=1, le=20, description="passages of documents that are retrieved for an answer")
    upstream: str = Field("", repr=False, description="an OpenAI-compatible server that generates in this one's place: http://host:8000/v1")
    upstream_key: str = Field("", description="the environment variable that holds its key, if it asks for one")
    upstream_models: dict[str, str] = Field({}, description='what our models are called there: { "m-1a2b" = "support" }')


class RetrievalOptions(OptionsBase):
    """How documents are read, split into chunks and found."""

    encoder: str = Field(
        "minilm", description="model whose embeddings are searched: minilm, or a model's folder; empty: lexical search only"
    )
    chunk_chars: int = Field(1000, ge=100, le=8000, description="maximum length of a chunk; an encoder reads its first 256 tokens")
    max_file_mb: float = Field(32, gt=0, description="a document that is larger is refused")
    parse_cpu_seconds: float = Field(60, gt=0, description="processor time that parsing a PDF or an HTML page may take")


class PipelineOptions(OptionsBase):
    """What `preceptor pipeline run` does unless its options say otherwise."""

    questions: tuple[str, ...] = Field((), description="what to learn; several of kind write are learnt together; empty: the only one")
    recipe: str = Field("classify", description="the training recipe")
    base: str = Field("minilm", description="the model to start from")
    options: dict[str, int | float | bool | str] = Field({}, description="of the recipe: { epochs = 3 }")
    seed: int = Field(0, ge=0, description="of the run")
    suites: tuple[str, ...] = Field((), description="suites that a generative model is evaluated on as well")
    alias: str = Field("", description="the model that this alias points to is the one to beat; empty: the last one released")
    min_new_judgments: int = Field(1, ge=1, description="new judgments without which a run trains nothing")


class ProjectConfig(OptionsBase):
    """All of preceptor.toml."""

    name: str
    database: str = Field("", repr=False)  # which may hold a password
    shared_with_group: bool = Field(False, description="the Unix group of this folder may read and write it too; else its account alone")
    redundancy: StopRule = StopRule()
    annotators: AnnotatorOptions = AnnotatorOptions()
    qualification: QualificationRule = QualificationRule()
    cost: CostOptions = CostOptions()
    training: TrainingLogOptions = TrainingLogOptions()
    forgetting: GeneralDataOptions = GeneralDataOptions()
    gate: GateOptions = GateOptions()
    serving: ServingOptions = ServingOptions()
    retrieval: RetrievalOptions = RetrievalOptions()
    pipeline: PipelineOptions = PipelineOptions()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a project's configuration from its folder; raises UserError when there is none or it can't be read."""
        path = folder / CONFIG_FILE
        try:
            values = parse_toml(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"there is no project in {folder}", f"preceptor init {folder}") from None
        except OSError as error:
            raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(path)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"can't be read: {error}", "mend the line, or make a new file: preceptor init DIR", where=str(path)) from None
        return cls.parse(values, of=str(path))

    def save(self, folder: Path) -> None:
        """Write preceptor.toml, in the order of the fields and with a comment on each."""
        with atomic_write(folder / CONFIG_FILE, private=True) as file:
            file.write(self.to_toml().encode())

    def to_toml(self) -> str:
        """Return the text of preceptor.toml."""
        lines = [f"name = {to_toml(self.name)}", "", "# The tables are in preceptor.db beside this file, or in PostgreSQL:"]
        example = '# database = "postgresql+psycopg://user@host/database"'
        lines.append(f"database = {to_toml(self.database)}" if self.database else example)
        shared = type(self).model_fields["shared_with_group"].description
        lines.append(f"shared_with_group = {to_toml(self.shared_with_group)}  # {shared}")
        for table in type(self).model_fields:
            options = getattr(self, table)
            if not isinstance(options, OptionsBase):
                continue
            lines += ["", f"[{table}]"]
            for name, field in type(options).model_fields.items():
                comment = f"  # {field.description}" if field.description else ""
                lines.append(f"{name} = {to_toml(getattr(options, name))}{comment}")
        return "\n".join(lines) + "\n"

    def database_url(self, folder: Path) -> str:
        """Return the database's URL: PRECEPTOR_DATABASE, or the file's `database`, or SQLite in the folder."""
        return os.environ.get("PRECEPTOR_DATABASE") or self.database or f"sqlite:///{folder / 'preceptor.db'}"


def count_server_processes() -> int:
    """Return the number of processes of the server to which this one belongs."""
    return max(1, int(os.environ.get(WORKERS_VARIABLE, "1")))
