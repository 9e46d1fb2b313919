"""How far a student's distribution over the next token is from its teacher's, over the whole vocabulary.

What stands first in a name is what the mean is taken over: `kl_teacher_student` asks the student for all that the teacher might say,
`kl_student_teacher` forgives what the student leaves out and not what it adds. In the literature both are called "forward".
"""

from __future__ import annotations

import math
from typing import Any

import torch


def kl_teacher_student(teacher: Any, student: Any) -> Any:
    """KL(P‖Q) of log-probabilities (places, vocabulary) in nats, (places,)."""
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


def kl_student_teacher(teacher: Any, student: Any) -> Any:
    """KL(Q‖P), (places,)."""
    return (student.exp() * (student - teacher)).sum(dim=-1)


def generalised_jsd(teacher: Any, student: Any, beta: float) -> Any:
    """β·KL(P‖M) + (1 − β)·KL(Q‖M) with M = β·P + (1 − β)·Q (Agarwal et al. 2024, equation 1), (places,) in nats.

    Over β it tends to KL(P‖Q) as β falls to 0, and over 1 − β to KL(Q‖P) as β rises to 1; itself it vanishes at both ends, so
    that these are taken instead.
    """
    if beta == 0:
        return kl_teacher_student(teacher, student)
    if beta == 1:
        return kl_student_teacher(teacher, student)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * kl_teacher_student(teacher, mixture) + (1 - beta) * kl_teacher_student(student, mixture)
