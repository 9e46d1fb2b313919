"""Runs `preceptor ARGS…` again and again, each time until a function is called, which SIGKILLs it: MODULE:FUNCTION=CALLS… -- ARGS….

What the command needs is imported once; each run is a fork. The exit codes are printed as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module

from preceptor.cli.main import main


def deadly(place: str, calls: int) -> None:
    """Let a function kill the process as it is called once more than so often."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    function, left = getattr(owner, name), [calls]

    def die(*given, **named):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    setattr(owner, name, die)


at = sys.argv.index("--")
kills, args = [kill.split("=") for kill in sys.argv[1:at]], sys.argv[at + 1 :]
if "--recipe" in args:
    import_module("transformers.modeling_utils")
codes = []
for place, calls in kills:
    import_module(place.partition(":")[0])
    if (child := os.fork()) == 0:
        deadly(place, int(calls))
        main(args)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
