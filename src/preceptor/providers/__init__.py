"""Text scored and written behind one protocol: by a model on this machine, later by an API with the same calls.

Importing this room is light; a provider loads its libraries when it is made.
"""

from preceptor.providers.local import LocalClassifier, LocalProvider
from preceptor.providers.prompting import Prompt, chat_prompt, classify_by_prompt, plain_prompt
from preceptor.providers.provider import Message, Provider, Writer

__all__ = [
    "LocalClassifier",
    "LocalProvider",
    "Message",
    "Prompt",
    "Provider",
    "Writer",
    "chat_prompt",
    "classify_by_prompt",
    "plain_prompt",
]
