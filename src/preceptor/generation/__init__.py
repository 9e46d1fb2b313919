"""Generate and score text through one protocol, with a model on this machine or one behind OpenAI's interface.

Importing this package is light; a provider loads its libraries when it is created.
"""

from __future__ import annotations

from preceptor.generation.hosted import AnswerStore, HostedProvider, read_prices
from preceptor.generation.in_context import OptionPrompt, chat_prompt, classify_by_prompt, plain_prompt
from preceptor.generation.interface import Message, OptionScorer, TextGenerator
from preceptor.generation.local import LocalClassifier, LocalProvider
from preceptor.generation.openai_client import AccessDenied, HostedAnswer, OpenAIClient
from preceptor.generation.upstream_client import UpstreamClient, UpstreamOverloaded, UpstreamUnavailable

__all__ = [
    "AccessDenied",
    "AnswerStore",
    "HostedAnswer",
    "HostedProvider",
    "LocalClassifier",
    "LocalProvider",
    "Message",
    "OpenAIClient",
    "OptionPrompt",
    "OptionScorer",
    "TextGenerator",
    "UpstreamClient",
    "UpstreamOverloaded",
    "UpstreamUnavailable",
    "chat_prompt",
    "classify_by_prompt",
    "plain_prompt",
    "read_prices",
]
