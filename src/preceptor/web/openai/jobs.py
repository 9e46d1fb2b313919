"""/v1/fine_tuning/jobs: create, follow, pause, resume and cancel fine-tuning jobs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import ConflictError, NotFoundError
from preceptor.jobs.fine_tuning_jobs import FineTuningEvent, FineTuningJob
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.dependencies import OpenAIState, get_state, require_scope
from preceptor.web.openai.files import list_page
from preceptor.web.openai.models import find_model
from preceptor.web.openai.request_body import StrictModel, drop_unsupported, parse_body, read_json_body

router = APIRouter(prefix="/fine_tuning/jobs")
TrainCaller = Annotated[AuthenticatedVisitor, Depends(require_scope("train"))]
PageLimit = Annotated[int, Query(ge=1, le=1000)]
AutoValue = Literal["auto"]
UNAVAILABLE_METHODS = {
    "reinforcement": "training on a grader's marks is asked for by preceptor train grpo, whose rewards see more than a grader"
}
UNSUPPORTED_PARAMETERS: dict[str, tuple[str, tuple[Any, ...]]] = {"integrations": ("nothing is sent elsewhere", ([],))}


class JobHyperparameters(StrictModel):
    """Hyperparameters; "auto" is chosen by measuring."""

    n_epochs: Annotated[int, Field(ge=1, le=50)] | AutoValue = "auto"
    batch_size: Annotated[int, Field(ge=1, le=256)] | AutoValue = "auto"
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100)] | AutoValue = "auto"


class PreferenceHyperparameters(JobHyperparameters):
    """Hyperparameters for preferences; also beta, how near to its base the model stays."""

    beta: Annotated[float, Field(gt=0, le=2)] | AutoValue = "auto"


class SupervisedSettings(StrictModel):
    """Settings of the method `supervised`."""

    hyperparameters: JobHyperparameters = Field(default_factory=JobHyperparameters)


class DPOSettings(StrictModel):
    """Settings of the method `dpo`."""

    hyperparameters: PreferenceHyperparameters = Field(default_factory=PreferenceHyperparameters)


class FineTuningMethodParam(StrictModel):
    """The method of fine-tuning, with its settings."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: SupervisedSettings | None = None
    dpo: DPOSettings | None = None
    reinforcement: dict[str, Any] | None = None

    @property
    def hyperparameters(self) -> JobHyperparameters:
        """The hyperparameters of its type."""
        if self.type == "dpo":
            return (self.dpo or DPOSettings()).hyperparameters
        return (self.supervised or SupervisedSettings()).hyperparameters


class JobRequest(StrictModel):
    """The body of a request for a fine-tuning job."""

    model: str
    training_file: str
    validation_file: str | None = None
    method: FineTuningMethodParam | None = None
    hyperparameters: JobHyperparameters | None = None  # where OpenAI had them before it introduced methods
    suffix: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int | None = Field(None, ge=0, lt=2**31)
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(None, max_length=16)

    @property
    def hyperparameter_values(self) -> dict[str, Any]:
        """The hyperparameters, wherever the request has them."""
        return (self.method.hyperparameters if self.method else self.hyperparameters or JobHyperparameters()).model_dump()


@router.post("")
async def create_job(request: Request, visitor: TrainCaller) -> Response:
    """Create a job. Its files are validated right away, while other jobs train; it trains when the jobs before it have ended."""
    body = drop_unsupported(await read_json_body(request), UNSUPPORTED_PARAMETERS)
    given = parse_body(JobRequest, body)
    if given.method is not None:
        _check_method(given.method, given)
    state = get_state(request)
    job = await run_in_threadpool(_create_job, state, visitor, given)
    return JSONResponse(job_document(state, job))


@router.get("")
async def list_jobs(request: Request, visitor: TrainCaller, after: str | None = None, limit: PageLimit = 20) -> Response:
    """List one's own jobs, newest first, a page at a time; managers of the project see all.

    `metadata[name]=value` keeps those that have it.
    """
    state = get_state(request)
    wanted = {key[len("metadata[") : -1]: value for key, value in request.query_params.items() if key.startswith("metadata[")}
    jobs, more = await run_in_threadpool(lambda: state.jobs.list_page(visitor, after=after, limit=limit, metadata=wanted))
    return JSONResponse(list_page([job_document(state, job) for job in jobs], more))


@router.get("/{id_}")
async def retrieve_job(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Return the state of a job."""
    state = get_state(request)
    return JSONResponse(job_document(state, await run_in_threadpool(state.jobs.get, id_, visitor)))


@router.post("/{id_}/cancel")
async def cancel_job(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """End a job for good."""
    return await _change_status(request, "cancel", id_, visitor)


@router.post("/{id_}/pause")
async def pause_job(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Stop a job; its progress is kept."""
    return await _change_status(request, "pause", id_, visitor)


@router.post("/{id_}/resume")
async def resume_job(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Queue a paused job again."""
    return await _change_status(request, "resume", id_, visitor)


@router.get("/{id_}/events")
async def list_events(request: Request, visitor: TrainCaller, id_: str, after: str | None = None, limit: PageLimit = 20) -> Response:
    """List the events of a job, newest first, a page at a time."""
    said, more = await run_in_threadpool(lambda: get_state(request).jobs.list_events(id_, visitor, after=after, limit=limit))
    return JSONResponse(list_page([event_document(each) for each in said], more))


@router.get("/{id_}/checkpoints")
async def list_checkpoints(request: Request, visitor: TrainCaller, id_: str, after: str | None = None, limit: PageLimit = 10) -> Response:
    """List the checkpoints of a job: the one that is its model; the others are deleted when training ends."""
    job = await run_in_threadpool(get_state(request).jobs.get, id_, visitor)
    found = [checkpoint_document(job, each) for each in job.document.get("checkpoints", ())]
    ids = [each["id"] for each in found]
    if after is not None and after not in ids:
        raise NotFoundError(f"{after!r:.80} isn't the id of a checkpoint of this job", "begin without `after`", where="after")
    rest = found[ids.index(after) + 1 :] if after is not None else found
    return JSONResponse(list_page(rest[:limit], len(rest) > limit))


def job_document(state: OpenAIState, job: FineTuningJob) -> dict[str, Any]:
    """Return a job as OpenAI describes it."""
    known, how, method = job.document, job.document["hyperparameters"], job.document["method"]
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created),
        "finished_at": None if job.finished is None else int(job.finished),
        "estimated_finish": job.estimated_finish,
        "status": job.status,
        "model": known["base"],
        "fine_tuned_model": known["fine_tuned_model"] if job.status == "succeeded" else None,
        "organization_id": state.project.config.name,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "result_files": known["result_files"],
        "trained_tokens": known["trained_tokens"],
        "hyperparameters": {name: value for name, value in how.items() if name != "beta"},
        "method": {"type": method, method: {"hyperparameters": how}},
        "seed": known["seed"],
        "error": job.error,
        "integrations": [],
        "metadata": known["metadata"],
        "user_provided_suffix": known["suffix"],
    }


def event_document(said: FineTuningEvent) -> dict[str, Any]:
    """Return an event of a job as OpenAI describes it."""
    return {
        "id": said.id,
        "object": "fine_tuning.job.event",
        "created_at": int(said.created),
        "level": said.level,
        "message": said.message,
        "type": "message" if said.data is None else "metrics",
        "data": {} if said.data is None else said.data,
    }


def checkpoint_document(job: FineTuningJob, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint as OpenAI describes it."""
    return {
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-{found['step_number']}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(job.finished or job.created),
        "fine_tuned_model_checkpoint": job.document["fine_tuned_model"],
        "fine_tuning_job_id": job.id,
        **found,
    }


def _check_method(method: FineTuningMethodParam, given: JobRequest) -> None:
    """Raise OpenAIError for a method that isn't available, and for settings that would have no effect."""
    if method.type in UNAVAILABLE_METHODS:
        why = f"the method {method.type} can't be used: {UNAVAILABLE_METHODS[method.type]}"
        raise OpenAIError(why, "use the method supervised or dpo", param="method.type", code="unsupported_value")
    if given.hyperparameters is not None:
        message, hint = "hyperparameters stand in two places", f"put them into method.{method.type}"
        raise OpenAIError(message, hint, param="hyperparameters", code="invalid_value")
    if other := next((name for name in ("supervised", "dpo", "reinforcement") if name != method.type and getattr(method, name)), None):
        raise OpenAIError(
            f"method.{other} is for another type", f"leave it out, or set type {other}", param=f"method.{other}", code="invalid_value"
        )


def _create_job(state: OpenAIState, visitor: AuthenticatedVisitor, given: JobRequest) -> FineTuningJob:
    base = find_model(state, given.model, visitor).fingerprint
    seed = secrets.randbelow(2**31) if given.seed is None else given.seed
    try:
        return state.jobs.create(
            visitor, base=base, training_file=given.training_file, validation_file=given.validation_file,
            method=given.method.type if given.method else "supervised",
            hyperparameters=given.hyperparameter_values, suffix=given.suffix, seed=seed, metadata=given.metadata,
        )  # fmt: skip
    except NotFoundError as fault:
        raise OpenAIError(fault.message, fault.hint, param=fault.where, code=f"invalid_{fault.where}") from None


async def _change_status(request: Request, verb: str, id_: str, visitor: AuthenticatedVisitor) -> Response:
    state = get_state(request)
    try:
        job = await run_in_threadpool(lambda: getattr(state.jobs, verb)(id_, visitor, by=visitor.name))
    except ConflictError as fault:
        raise OpenAIError(fault.message, fault.hint, param=fault.where, code=f"cannot_{verb}") from None
    return JSONResponse(job_document(state, job))
