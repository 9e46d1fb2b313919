"""Text scored and written behind one protocol: by a model on this machine, or by one behind OpenAI's interface.

Importing this room is light; a provider loads its libraries when it is made.
"""

from preceptor.providers.answered import Answered
from preceptor.providers.hosted import HostedProvider
from preceptor.providers.local import LocalClassifier, LocalProvider
from preceptor.providers.prices import LISTED, Price, price_of, read_prices
from preceptor.providers.prompting import Prompt, chat_prompt, classify_by_prompt, plain_prompt
from preceptor.providers.provider import Message, Provider, Writer
from preceptor.providers.relaying import Gone, Overloaded, Relay
from preceptor.providers.service import Answer, Denied, Service

__all__ = [
    "LISTED",
    "Answer",
    "Answered",
    "Denied",
    "Gone",
    "HostedProvider",
    "LocalClassifier",
    "LocalProvider",
    "Message",
    "Overloaded",
    "Price",
    "Prompt",
    "Provider",
    "Relay",
    "Service",
    "Writer",
    "chat_prompt",
    "classify_by_prompt",
    "plain_prompt",
    "price_of",
    "read_prices",
]
