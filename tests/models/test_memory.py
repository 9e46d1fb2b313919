from __future__ import annotations

import pytest
import torch

from preceptor.models.batching import is_out_of_memory, run_with_halving

SAID = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
]


@pytest.mark.parametrize("error", SAID, ids=["python", "cuda", "linux", "windows", "mps"])
def test_memory_errors_are_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), OSError(12, "x")])
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)


def test_what_torch_says_here():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)


def test_batches_are_halved_until_they_fit():
    seen = []

    def run(rows):
        if len(rows) > 3:
            raise MemoryError
        seen.extend(rows)

    run_with_halving([list(range(10)), [10]], run)
    assert seen == list(range(11))


def test_a_row_that_does_not_fit_and_other_errors_pass():
    with pytest.raises(MemoryError):
        run_with_halving([[1, 2]], lambda rows: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(RuntimeError, match="shapes"):
        run_with_halving([[1, 2]], lambda rows: (_ for _ in ()).throw(RuntimeError("shapes")))
