"""Which base the successor starts from: the best of those known that this machine can train."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import UserError
from preceptor.project.assets import CHAT_BASES
from preceptor.registry import did_you_mean

GIB = 2**30
PARAMETERS = {"smollm2": 135e6}  # of the known chat bases, the smallest first
BYTES_A_PARAMETER = 16  # weights, those that are written down beside them, an adapter with its gradients, activations of a small step
FLOPS = 2e10  # a second and core, as measured with a small base; for a rough guess of the time


@dataclass(frozen=True)
class Proposal:
    """A base, why, and what training takes: bytes of memory, and very roughly seconds for a million tokens."""

    base: str
    words: str
    memory: float
    seconds_a_million: float


def propose(wanted: str | None = None, *, memory: float | None = None) -> Proposal:
    """The base that is wanted, or the largest known one whose training fits into this machine's memory (bytes, if not as found)."""
    here = available() if memory is None else memory
    if wanted is not None and wanted not in PARAMETERS:
        if not Path(wanted).is_dir():
            hint = f"a model's folder, or {', '.join(CHAT_BASES)}"
            raise UserError(f"there is no chat base {wanted!r}{did_you_mean(wanted, CHAT_BASES)}", hint)
        weights = sum(file.stat().st_size for file in Path(wanted).glob("*.safetensors"))
        return _proposal(wanted, weights / 4, here, "as you wish")
    fitting = [name for name, count in PARAMETERS.items() if count * BYTES_A_PARAMETER <= here]
    name = wanted or (fitting or list(PARAMETERS))[-1]
    return _proposal(name, PARAMETERS[name], here, "as you wish" if wanted else "the largest known base that this machine can train")


def available() -> float:
    """Bytes of memory that a process may still take."""
    known = Path("/proc/meminfo")
    if known.is_file():
        lines = dict(line.split(":") for line in known.read_text(encoding="ascii").splitlines())
        return float(lines["MemAvailable"].split()[0]) * 1024
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _proposal(name: str, parameters: float, here: float, why: str) -> Proposal:
    needs = parameters * BYTES_A_PARAMETER
    words = f"{name} ({parameters / 1e6:,.0f} million parameters), {why}: training takes about {needs / GIB:.1f} GiB of memory"
    words += f", {here / GIB:.1f} are free"
    if needs > here:
        words += "; that may not be enough"
    return Proposal(name, words, needs, 6 * parameters * 1e6 / (FLOPS * (os.cpu_count() or 1)))
