"""Run a custom reward function in its own process: a line of JSON in, a line of JSON out. No other module is needed.

Started by `UserFunctionReward`, with the function's name (`module:function`) as its argument. What the function prints goes to stderr, also
from programs that it starts, and they have nothing to read.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from typing import Any


def main() -> None:
    """Answer lines until there are no more."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    module, _, name = sys.argv[1].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        wanted = min(3, len(inspect.signature(function).parameters))
    except Exception as error:
        _write_reply(answers, {"fault": f"{type(error).__name__}: {error}"})
        return
    _write_reply(answers, {"ready": True})
    for line in asked:
        try:
            _write_reply(answers, {"score": float(function(*json.loads(line)[:wanted]))})
        except Exception as error:
            _write_reply(answers, {"fault": f"{type(error).__name__}: {error}"})


def _write_reply(answers: Any, reply: dict[str, Any]) -> None:
    answers.write(json.dumps(reply) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
