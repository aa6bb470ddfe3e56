"""/jobs/schedule: what a schedule means, while somebody is still choosing one."""

from __future__ import annotations

from fastapi.responses import Response

from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.route import api_router
from include.documents.schedule import Occurrences, ScheduleSettings, document
from include.times import utcnow

router = api_router(prefix="/jobs", tags=["jobs"])


@router.post("/schedule", response_model=Occurrences, responses=problems())
def read_schedule(settings: ScheduleSettings, _: CallerDep) -> Response:
    """A schedule in words, and the next five times that a job with it would be due; nothing is stored."""
    return response(answer(Occurrences, document(settings, utcnow())))
