"""One run, one process, one device: what starts a command several times over is refused before anything is loaded.

Batches go by tokens. accelerate's shard of batches drops those that haven't `batch_size` rows, and so nearly all of them; and two
processes that build one model without knowing of each other spoil it. Importing this module is light.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from preceptor.errors import UserError

# How many processes a launcher started, as accelerate, transformers and Slurm's srun read it; and what else has them build groups.
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("LOCAL_RANK", "SMDATAPARALLEL_LOCAL_RANK")
_WRAPPERS = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM", "ACCELERATE_USE_PARALLELISM_CONFIG")


def refuse_several_processes(environment: Mapping[str, str] = os.environ) -> None:
    """UserError where a launcher (torchrun, accelerate launch, mpirun, srun) started this process as one of several."""
    hint = "start one process, without torchrun, accelerate launch, mpirun or srun: preceptor train …"
    for name in _COUNTS:
        if (count := _number(environment.get(name))) > 1:
            raise UserError(f"this is one of {count} processes ({name}={count}), and a model is trained by one process", hint)
    for name in _RANKS:
        if _number(environment.get(name)) >= 0:
            raise UserError(f"a launcher started this process ({name}={environment[name]}), and a model is trained by one alone", hint)
    for name in _WRAPPERS:
        if environment.get(name, "").strip().lower() in ("1", "true", "yes", "y", "on", "t"):
            raise UserError(f"{name} asks to spread the model over devices, and a model is trained on one", hint)


def _number(text: str | None) -> int:
    """The number that a variable holds; −1 without one."""
    try:
        return int(text or "")
    except ValueError:
        return -1
