"""Insert retrieved sources into a conversation and check answers against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.documents.claim_judge import load_claim_judge
from preceptor.documents.library import DocumentLibrary
from preceptor.errors import UserError
from preceptor.evaluation.claims import split_claims
from preceptor.evaluation.judges import JudgeCase
from preceptor.evaluation.judges.claim_judges import OverlapJudge
from preceptor.retrieval import SearchHit
from preceptor.retrieval.citations import SupportScorer, cite_answer, lexical_support
from preceptor.retrieval.grounded_prompt import GroundingSource, extract_question, insert_sources, select_fitting_sources
from preceptor.storage import documents

if TYPE_CHECKING:
    from preceptor.evaluation.judges import CaseJudge
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.project import Project


DEFAULT_SOURCES, MAX_SOURCES = 4, 20
DEFAULT_ANSWER_TOKENS = 256  # tokens reserved for an answer by default


@dataclass(frozen=True)
class GroundedConversation:
    """A conversation with its sources.

    messages: what the model reads. hits: the sources in the order of their numbers, from 1 on. support: scores sentences against sources.
    """

    messages: list[dict[str, str]]
    hits: tuple[SearchHit, ...]
    support: SupportScorer = lexical_support

    def check_citations(self, text: str) -> dict[str, Any]:
        """Check which sentences of an answer the sources support, see `preceptor.retrieval.citations.cite_answer`."""
        return cite_answer(text, self.hits, self.support)


class DocumentGrounding:
    """The grounding of one project's conversations in its documents.

    `support` scores sentences with the judge that was trained for the project, or by word overlap where there is none.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.support = make_support_scorer(load_claim_judge(project))

    @property
    def has_documents(self) -> bool:
        """Whether there is any document to find sources in."""
        with self.project.database.reading() as connection:
            return documents.library_version(connection)[1] > 0

    def ground(
        self,
        turns: Sequence[Mapping[str, str]],
        *,
        k: int = DEFAULT_SOURCES,
        filters: Mapping[str, Any] | None = None,
        chat: ChatTokenizer | None = None,
        answer_tokens: int = DEFAULT_ANSWER_TOKENS,
    ) -> GroundedConversation:
        """Insert the k best chunks for the last question before it, numbered, best first; without any hit the conversation is unchanged.

        filters: metadata that a document must have. chat: the tokenizer of the model that answers: its special tokens are neutralized in
        the sources, and only as many whole sources stay as leave room for `answer_tokens`. Raises UserError for a k outside 1 to 20, and
        where the conversation has no question.
        """
        if not 1 <= k <= MAX_SOURCES:
            raise UserError(f"{k} sources", f"1 to {MAX_SOURCES}", where="k")
        question = extract_question(turns)
        if not question.strip():
            raise UserError("there is no question to find sources for", "end the conversation with the user's question", where="messages")
        found = DocumentLibrary(self.project).search(question, k=k, filters=dict(filters or {}))
        special = chat.special_tokens if chat is not None else frozenset()
        sources = [GroundingSource.from_hit(hit) for hit in found]
        if chat is not None:
            sources = select_fitting_sources(turns, sources, lambda read: _fits_context(chat, read, answer_tokens), special)
        return GroundedConversation(insert_sources(turns, sources, special), tuple(found[: len(sources)]), self.support)


def make_support_scorer(judge: CaseJudge) -> SupportScorer:
    """Turn a claim judge into a scorer of sentences; it gives NaN for a sentence that makes no claim.

    A word-overlap judge is replaced by `lexical_support`, which takes numbers into account.
    """

    def support(claims: Sequence[str], sources: Sequence[tuple[str, ...]]) -> list[float]:
        if isinstance(judge, OverlapJudge):
            scores = lexical_support(claims, sources)
        else:
            scores = (
                judge.scores([JudgeCase(claim, texts) for claim, texts in zip(claims, sources, strict=True)]).tolist() if claims else []
            )
        return [score if split_claims(claim) else float("nan") for claim, score in zip(claims, scores, strict=True)]

    return support


def load_chat_tokenizer(folder: Path) -> ChatTokenizer:
    """Load the chat tokenizer of the model in a folder, as `ground` needs it."""
    from preceptor.models.causal_lm import ChatTokenizer

    return ChatTokenizer(folder)


def _fits_context(chat: ChatTokenizer, turns: Sequence[Mapping[str, str]], answer_tokens: int) -> bool:
    return len(chat.encode_prompt(turns)) + answer_tokens <= chat.limit
