"""Choose the successor's base, and estimate what a migration would fetch, train and cost before anything is done.

The base is the best known one that this machine can train.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.generation import OpenAIClient
from preceptor.generation.hosted import BYTES_PER_TOKEN, estimate_message_tokens, estimate_text_tokens
from preceptor.models.base_models import CHAT_BASES
from preceptor.pipeline.migration.hosted_sources import HostedSource, list_source_files
from preceptor.pipeline.migration.successor_training import clamp_answer_tokens
from preceptor.planning.prices import LISTED_PRICES, TokenPrice, find_price
from preceptor.registry import suggest_name

if TYPE_CHECKING:
    from preceptor.pipeline.migration.hosted_migration import HostedMigrationOptions
    from preceptor.project import Project


_GIB = 2**30
_BASE_PARAMETERS = {"smollm2": 135e6}  # of the known chat bases, the smallest first
_BYTES_PER_PARAMETER = 16  # weights, the copy that is saved, an adapter with its gradients, activations of a small step
_FLOPS_PER_CORE = 2e10  # a second and core, as measured with a small base; for a rough estimate of the time


@dataclass(frozen=True)
class BaseProposal:
    """A base, why it was chosen, and what training takes: bytes of memory, and very roughly seconds for a million tokens."""

    base: str
    summary: str
    memory_bytes: float
    seconds_per_million_tokens: float


def propose_base(wanted: str | None = None, *, memory: float | None = None) -> BaseProposal:
    """Propose the base that is wanted, or the largest known one whose training fits into this machine's memory.

    memory: in bytes; measured where it isn't given. Raises UserError where the wanted base is neither known nor a model's folder.
    """
    here = available_memory() if memory is None else memory
    if wanted is not None and wanted not in _BASE_PARAMETERS:
        if not Path(wanted).is_dir():
            hint = f"a model's folder, or {', '.join(CHAT_BASES)}"
            raise UserError(f"there is no chat base {wanted!r}{suggest_name(wanted, CHAT_BASES)}", hint)
        weights = sum(file.stat().st_size for file in Path(wanted).glob("*.safetensors"))
        return _make_proposal(wanted, weights / 4, here, "as you wish")
    fitting = [name for name, count in _BASE_PARAMETERS.items() if count * _BYTES_PER_PARAMETER <= here]
    name = wanted or (fitting or list(_BASE_PARAMETERS))[-1]
    return _make_proposal(
        name, _BASE_PARAMETERS[name], here, "as you wish" if wanted else "the largest known base that this machine can train"
    )


def available_memory() -> float:
    """Return the bytes of memory that a process may still allocate."""
    known = Path("/proc/meminfo")
    if known.is_file():
        lines = dict(line.split(":") for line in known.read_text(encoding="ascii").splitlines())
        return float(lines["MemAvailable"].split()[0]) * 1024
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _make_proposal(name: str, parameters: float, here: float, why: str) -> BaseProposal:
    needs = parameters * _BYTES_PER_PARAMETER
    words = f"{name} ({parameters / 1e6:,.0f} million parameters), {why}: training takes about {needs / _GIB:.1f} GiB of memory"
    words += f", {here / _GIB:.1f} are free"
    if needs > here:
        words += "; that may not be enough"
    return BaseProposal(name, words, needs, 6 * parameters * 1e6 / (_FLOPS_PER_CORE * (os.cpu_count() or 1)))


_DEFAULT_EPOCHS = 3
_HELD_OUT_SHARE = 0.2  # of a training file without a validation file
_LIKELY_BYTES_PER_TOKEN = 4.0


def plan_migration(
    project: Project, source: HostedSource, service: OpenAIClient | None, settings: HostedMigrationOptions
) -> dict[str, Any]:
    """Plan what would be fetched (bytes), trained (on which base, about how long) and paid (dollars at most).

    It only reads, and pays nothing. Tokens are counted where a file is here already, and estimated from its size where it isn't.
    """
    settings = settings.for_source(source)
    if source.unsupported_reason:
        return {
            "source": source.name,
            "model": source.hosted_model or None,
            "moved": False,
            "summary": f"{source.name} isn't moved: {source.unsupported_reason}",
        }
    files = list(list_source_files(service, source))
    proposal = propose_base(settings.base)
    tokens = {each["role"]: _count_file_tokens(source, each) for each in files}
    epochs = source.hyperparameters.get("n_epochs", "auto")
    times = (3 if settings.train_on == "best" else 1) if settings.teacher else 1
    trained = tokens.get("train", 0.0) * (_DEFAULT_EPOCHS if epochs == "auto" else float(epochs)) * times
    found: dict[str, Any] = {
        "source": source.name,
        "model": source.hosted_model or None,
        "moved": not any(each.get("missing") for each in files),
        "fetch": {"files": files, "bytes": sum(each["bytes"] for each in files if not each["here"])},
        "train": {
            "base": proposal.base, "why": proposal.summary, "memory_bytes": proposal.memory_bytes, "models": times,
            "tokens": round(trained),
            "seconds": round(trained / 1e6 * proposal.seconds_per_million_tokens),
        },
        "pay": _plan_cost(source, service, settings, files, tokens),
    }  # fmt: skip
    return {**found, "summary": _plan_summary(found)}


def _plan_cost(
    source: HostedSource,
    service: OpenAIClient | None,
    settings: HostedMigrationOptions,
    files: list[dict[str, Any]],
    tokens: dict[str, float],
) -> dict[str, Any]:
    if not settings.teacher or service is None or not source.hosted_model:
        return {"dollars": 0.0, "summary": "nothing: the hosted model isn't asked" + ("" if settings.teacher else " (--teacher)")}
    if not service.has_model(source.hosted_model):
        return {"dollars": 0.0, "summary": f"nothing: {source.hosted_model} can't be asked any more; it goes on without"}
    price: TokenPrice = find_price(source.hosted_model, settings.prices or LISTED_PRICES)
    if all(each["here"] for each in files):
        read, written = _count_teacher_tokens(source, settings)
        most, how = price.cost(read, written), "at most"
    else:
        asked = (
            sum(tokens.values()) if settings.asks_training_rows else tokens.get("validation", _HELD_OUT_SHARE * tokens.get("train", 0.0))
        )
        most, how = price.cost(asked, asked) * _LIKELY_BYTES_PER_TOKEN / BYTES_PER_TOKEN, "very roughly"
    exact = "" if how == "at most" else "; it is counted from above before anything is sent, when the files are here"
    return {
        "dollars": most,
        "allowed": settings.max_cost,
        "summary": f"{how} {format_dollars(most)} USD for answers of {source.hosted_model}{exact}",
    }


def format_dollars(amount: float) -> str:
    """Format an amount with two decimals, or with four where it is between zero and one."""
    return f"{amount:.2f}" if amount >= 1 or not amount else f"{amount:.4f}"


def _count_teacher_tokens(source: HostedSource, settings: HostedMigrationOptions) -> tuple[float, float]:
    """Count the tokens that the hosted model would read, and generate at most, each answer as long as is allowed."""
    sides: dict[str, list[Any]] = {role: [] for role in source.file_roles()}
    for role, found in sides.items():
        for row in read(source.file_path(role), "jsonl"):
            with suppress(UserError):  # left out by the import, and counted there
                found.append(source.parse_row(row))
    train, held = sides.get("train", []), sides.get("validation", [])
    longest = max((estimate_text_tokens(turns[-1]["content"]) for turns in (*train, *held)), default=0)
    share = 1.0 if settings.asks_training_rows else 0.0 if held else _HELD_OUT_SHARE
    count = share * len(train) + len(held)
    asked = share * sum(estimate_message_tokens(turns[:-1]) for turns in train) + sum(estimate_message_tokens(turns[:-1]) for turns in held)
    return asked, count * clamp_answer_tokens(longest)


def _count_file_tokens(source: HostedSource, file: dict[str, Any]) -> float:
    if not file["here"]:
        return float(file["bytes"] / _LIKELY_BYTES_PER_TOKEN)
    total = 0.0
    for row in read(source.file_path(file["role"]), "jsonl"):
        try:
            total += estimate_message_tokens(source.parse_row(row))
        except UserError:
            continue  # left out by the import, and counted there
    return total * BYTES_PER_TOKEN / _LIKELY_BYTES_PER_TOKEN


def _plan_summary(found: dict[str, Any]) -> str:
    fetch, train = found["fetch"], found["train"]
    fresh = [each for each in fetch["files"] if not each["here"]]
    lines = [f"{found['source']}: {found['model'] or 'files alone'}"]
    missing = [each for each in fresh if each.get("missing")]
    lines += [f"  can't: the {each['role']} file {each['file']} was deleted; give your own copy: --{each['role']} FILE" for each in missing]
    lines.append(f"  fetch: {len(fresh) - len(missing)} files, {fetch['bytes']:,} bytes ({len(fetch['files']) - len(fresh)} are here)")
    models = f"{train['models']} models" if train["models"] > 1 else "a model"
    minutes = max(1, round(train["seconds"] / 60))
    lines.append(f"  train: {models} on about {train['tokens']:,} tokens, very roughly {minutes:,} minutes; {train['why']}")
    return "\n".join([*lines, f"  pay: {found['pay']['summary']}"])
