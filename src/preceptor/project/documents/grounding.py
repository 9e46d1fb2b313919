"""Answers from a project's documents: what a model reads before the question, and what of its answer they bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.evaluation.judges import Case
from preceptor.evaluation.judges.overlap import OverlapJudge
from preceptor.evaluation.splitting import claims_of
from preceptor.project.documents.documents import Documents
from preceptor.project.judges.training import local_judge
from preceptor.retrieval import Hit
from preceptor.retrieval.citations import Support, by_wording, cited
from preceptor.retrieval.layout import Source, fitting, question_of, with_sources
from preceptor.store import documents

if TYPE_CHECKING:
    from preceptor.evaluation.judges import Judge
    from preceptor.models.chat import ChatTokenizer
    from preceptor.project.project import Project

SOURCES, MOST = 4, 20
ANSWER = 256  # tokens that are left for an answer, unless more or less are asked for


@dataclass(frozen=True)
class Grounded:
    """A conversation with its sources. turns: what the model reads. hits: the sources in the order of their numbers, from 1 on."""

    turns: list[dict[str, str]]
    hits: tuple[Hit, ...]
    support: Support = by_wording

    def cited(self, text: str) -> dict[str, Any]:
        """What of an answer the sources bear out, see `preceptor.retrieval.citations.cited`."""
        return cited(text, self.hits, self.support)


class Grounding:
    """Of one project. The judge that was trained for it checks sentences, or their wording is compared where none was."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.support = support_of(local_judge(project))

    @property
    def has_documents(self) -> bool:
        """Whether there is any document to find sources in."""
        with self.project.database.reading() as connection:
            return documents.state(connection)[1] > 0

    def ground(
        self,
        turns: Sequence[Mapping[str, str]],
        *,
        k: int = SOURCES,
        filters: Mapping[str, Any] | None = None,
        chat: ChatTokenizer | None = None,
        answer_tokens: int = ANSWER,
    ) -> Grounded:
        """The conversation with the k chunks that its last question finds, numbered before it, best first; without any it stays as it is.

        filters: metadata that a document must have. chat: of the model that answers: its special tokens are taken apart in the
        sources, and of these only so many stay, whole ones, as leave room for `answer_tokens`. UserError for a k outside 1 to 20,
        and where nobody asks anything.
        """
        if not 1 <= k <= MOST:
            raise UserError(f"{k} sources", f"1 to {MOST}", where="k")
        question = question_of(turns)
        if not question.strip():
            raise UserError("there is no question to find sources for", "end the conversation with the user's question", where="messages")
        found = Documents(self.project).search(question, k=k, filters=dict(filters or {}))
        special = chat.special if chat is not None else frozenset()
        sources = [Source.of(hit) for hit in found]
        if chat is not None:
            sources = fitting(turns, sources, lambda read: _fits(chat, read, answer_tokens), special)
        return Grounded(with_sources(turns, sources, special), tuple(found[: len(sources)]), self.support)


def support_of(judge: Judge) -> Support:
    """A judge as what checks sentences: NaN for one that claims nothing. Word overlap gives way to `by_wording`, which heeds numbers."""

    def support(claims: Sequence[str], sources: Sequence[tuple[str, ...]]) -> list[float]:
        if isinstance(judge, OverlapJudge):
            scores = by_wording(claims, sources)
        else:
            scores = judge.scores([Case(claim, texts) for claim, texts in zip(claims, sources, strict=True)]).tolist() if claims else []
        return [score if claims_of(claim) else float("nan") for claim, score in zip(claims, scores, strict=True)]

    return support


def folder_chat(folder: Path) -> ChatTokenizer:
    """What `ground` needs of the model in a folder."""
    from preceptor.models.chat import ChatTokenizer

    return ChatTokenizer(folder)


def _fits(chat: ChatTokenizer, turns: Sequence[Mapping[str, str]], answer_tokens: int) -> bool:
    return len(chat.prompt(turns)) + answer_tokens <= chat.limit
