"""What moving a model would fetch, train and pay, before anything of it is done."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project.migration.proposing import propose
from preceptor.project.migration.sources import Source, sizes
from preceptor.project.migration.teaching import most_tokens
from preceptor.providers import LISTED, Price, Service, price_of
from preceptor.providers.prices import BYTES_A_TOKEN, text_tokens, tokens_of

if TYPE_CHECKING:
    from preceptor.project.migration.moving import Wishes
    from preceptor.project.project import Project

EPOCHS = 3
HELD_OUT = 0.2  # of a training file that stands alone
LIKELY_BYTES_A_TOKEN = 4.0


def plan(project: Project, source: Source, service: Service | None, wishes: Wishes) -> dict[str, Any]:
    """What would be fetched (bytes), trained (on which base, about how long) and paid (dollars at most). Reads, and pays nothing.

    Tokens are counted where a file is here already, and guessed from its size where it isn't.
    """
    wishes = wishes.of(source)
    if source.why_not:
        return {
            "source": source.name,
            "model": source.hosted or None,
            "moved": False,
            "words": f"{source.name} isn't moved: {source.why_not}",
        }
    files = list(sizes(service, source))
    proposal = propose(wishes.base)
    tokens = {each["role"]: _tokens(source, each) for each in files}
    epochs = source.hyperparameters.get("n_epochs", "auto")
    times = (3 if wishes.train_on == "best" else 1) if wishes.teacher else 1
    trained = tokens.get("train", 0.0) * (EPOCHS if epochs == "auto" else float(epochs)) * times
    found: dict[str, Any] = {
        "source": source.name,
        "model": source.hosted or None,
        "moved": not any(each.get("missing") for each in files),
        "fetch": {"files": files, "bytes": sum(each["bytes"] for each in files if not each["here"])},
        "train": {
            "base": proposal.base, "why": proposal.words, "memory_bytes": proposal.memory, "models": times, "tokens": round(trained),
            "seconds": round(trained / 1e6 * proposal.seconds_a_million),
        },
        "pay": _pay(source, service, wishes, files, tokens),
    }  # fmt: skip
    return {**found, "words": _words(found)}


def _pay(source: Source, service: Service | None, wishes: Wishes, files: list[dict[str, Any]], tokens: dict[str, float]) -> dict[str, Any]:
    if not wishes.teacher or service is None or not source.hosted:
        return {"dollars": 0.0, "words": "nothing: the hosted model isn't asked" + ("" if wishes.teacher else " (--teacher)")}
    if not service.has_model(source.hosted):
        return {"dollars": 0.0, "words": f"nothing: {source.hosted} can't be asked any more; it goes on without"}
    price: Price = price_of(source.hosted, wishes.prices or LISTED)
    if all(each["here"] for each in files):
        read, written = _asked(source, wishes)
        most, how = price.of(read, written), "at most"
    else:
        asked = sum(tokens.values()) if wishes.asks_training else tokens.get("validation", HELD_OUT * tokens.get("train", 0.0))
        most, how = price.of(asked, asked) * LIKELY_BYTES_A_TOKEN / BYTES_A_TOKEN, "very roughly"
    exact = "" if how == "at most" else "; it is counted from above before anything is sent, when the files are here"
    return {"dollars": most, "allowed": wishes.max_cost, "words": f"{how} {dollars(most)} USD for answers of {source.hosted}{exact}"}


def dollars(amount: float) -> str:
    """An amount with two digits behind the point, or as many as a small one needs."""
    return f"{amount:.2f}" if amount >= 1 or not amount else f"{amount:.4f}"


def _asked(source: Source, wishes: Wishes) -> tuple[float, float]:
    """Tokens that the hosted model would read, and write at most, each answer as long as is allowed."""
    sides: dict[str, list[Any]] = {role: [] for role in source.roles()}
    for role, found in sides.items():
        for row in read(source.path(role), "jsonl"):
            with suppress(UserError):  # left out when it is moved, and counted then
                found.append(source.conversation(row))
    train, held = sides.get("train", []), sides.get("validation", [])
    longest = max((text_tokens(turns[-1]["content"]) for turns in (*train, *held)), default=0)
    share = 1.0 if wishes.asks_training else 0.0 if held else HELD_OUT
    count = share * len(train) + len(held)
    asked = share * sum(tokens_of(turns[:-1]) for turns in train) + sum(tokens_of(turns[:-1]) for turns in held)
    return asked, count * most_tokens(longest)


def _tokens(source: Source, file: dict[str, Any]) -> float:
    if not file["here"]:
        return float(file["bytes"] / LIKELY_BYTES_A_TOKEN)
    total = 0.0
    for row in read(source.path(file["role"]), "jsonl"):
        try:
            total += tokens_of(source.conversation(row))
        except UserError:
            continue  # left out when it is moved, and counted then
    return total * BYTES_A_TOKEN / LIKELY_BYTES_A_TOKEN


def _words(found: dict[str, Any]) -> str:
    fetch, train = found["fetch"], found["train"]
    fresh = [each for each in fetch["files"] if not each["here"]]
    lines = [f"{found['source']}: {found['model'] or 'files alone'}"]
    missing = [each for each in fresh if each.get("missing")]
    lines += [f"  can't: the {each['role']} file {each['file']} was deleted; give your own copy: --{each['role']} FILE" for each in missing]
    lines.append(f"  fetch: {len(fresh) - len(missing)} files, {fetch['bytes']:,} bytes ({len(fetch['files']) - len(fresh)} are here)")
    models = f"{train['models']} models" if train["models"] > 1 else "a model"
    minutes = max(1, round(train["seconds"] / 60))
    lines.append(f"  train: {models} on about {train['tokens']:,} tokens, very roughly {minutes:,} minutes; {train['why']}")
    return "\n".join([*lines, f"  pay: {found['pay']['words']}"])
