"""/jobs/trial: run what a job's settings say once, before there is such a job."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from include.api import trials
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.route import api_router
from include.api.transactions import Db
from include.documents.trial import Trial, TrialSettings
from include.store.edits import LARGEST_ID

router = api_router(prefix="/jobs", tags=["jobs"])

TrialId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the trial.", examples=[7])]


@router.post("/trial", response_model=Trial, responses={202: {"model": Trial}, **problems(504)})
async def try_job(settings: TrialSettings, request: Request, caller: CallerDep) -> Response:
    """Run what a job's settings say once, now; neither a job nor an execution is stored.

    200: it has ended, with `status` success or failed. 202: its kind runs on a worker; ask at `Location` until its
    `status` is no longer running. Each request is a trial of its own: an `Idempotency-Key` is not looked at.
    """
    made = await trials.try_out(request, caller, settings)
    if made.id is None:
        return response(answer(Trial, made))
    return response(answer(Trial, made, 202, location=f"/millrace/api/v1/jobs/trials/{made.id}"))


@router.get("/trials/{trial_id}", response_model=Trial, responses=problems(404))
def get_trial(trial_id: TrialId, caller: CallerDep, transactions: Db) -> Response:
    """What has become of a trial on a worker, for an hour."""
    return response(answer(Trial, trials.find(transactions, caller, trial_id)))
