"""Runs `preceptor ARGS…` and dies by SIGKILL as a function is called: `killed_command.py MODULE:FUNCTION CALLS ARGS…`."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from preceptor.cli.main import main

place, calls, *args = sys.argv[1:]
module, _, path = place.partition(":")
*owners, name = path.split(".")
owner = import_module(module)
for each in owners:
    owner = getattr(owner, each)
function, left = getattr(owner, name), [int(calls)]


def die(*given, **named):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*given, **named)


setattr(owner, name, die)
main(args)
