"""The BentoML service: a lane for each model in one process.

`bentoml serve` in the repository root, or of a built bento, starts it. BentoML packages, supervises and exposes;
batching is ours (service/lane.py).
"""

from __future__ import annotations

import os
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLConfigException, BentoMLException
from starlette.responses import JSONResponse

from service.bento import ROOT, models_of_bento
from service.body_limit import BodyLimit
from service.check import find_problem
from service.disconnect import while_connected
from service.errors import ServiceError, SettingsInvalid
from service.packaging import describe_image, model_references
from service.refusals import quiet_refusals
from service.routes import make_routes
from service.schemas import PredictRequest, PredictResponse, merge_answers, read_rows
from service.settings import read_settings

# The one place that reads the environment at import: BentoML wants a service's models and variables when its class is
# made, and checks them before it starts a process.
try:
    SETTINGS = read_settings(os.environ, built_with=models_of_bento())
except SettingsInvalid as error:
    raise BentoMLConfigException(str(error)) from None


@bentoml.service(
    name="tandem",
    image=describe_image(ROOT, SETTINGS),
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},  # a line for each request costs more than a small model; /metrics counts
    # One OpenMP thread for what is not told otherwise: idle teams spin, and slow a small model a hundredfold. The
    # runtimes are given SETTINGS.threads themselves.
    envs=[{"name": "OMP_NUM_THREADS", "value": "1"}],
)
class Tandem:
    """Predicts rows with the models that it serves: POST /predict; GET /models lists them."""

    def __init__(self) -> None:
        from service.lanes import open_lanes  # the arithmetic belongs to the worker, not to its supervisor

        quiet_refusals()
        self.lanes = open_lanes(SETTINGS)

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Before any worker is started: can every model be served?"""
        if problem := find_problem(SETTINGS):
            raise BentoMLException(problem)

    @bentoml.on_shutdown
    def close(self) -> None:
        self.lanes.close()

    def __is_ready__(self) -> bool:
        return self.lanes.ready

    @bentoml.api
    async def predict(self, request: PredictRequest, /) -> PredictResponse:
        """Answer each row with a prediction or an error of its own, in the order of the rows."""
        try:
            lane = self.lanes.find(request.model)
            values, faults = read_rows(lane.model.spec.inputs[0], request.rows)
            answers = await while_connected(SERVICE.context.request, lane.submit(values))
        except ServiceError as error:
            refusal: Any = JSONResponse({"error": str(error)}, status_code=error.status, headers=dict(error.headers))
            return refusal  # type: ignore[no-any-return]  # BentoML sends a response as it is
        return PredictResponse(
            model=lane.model.tag,
            digest=lane.model.digest,
            variant=lane.model.variant,
            predictions=merge_answers(len(request.rows), answers, faults),
        )


#: What the decorator makes of the class; its type does not say so.
SERVICE: Any = Tandem
SERVICE.models.extend(model_references(SETTINGS))
SERVICE.mount_asgi_app(make_routes(SERVICE), path="/", name="tandem")
SERVICE.add_asgi_middleware(BodyLimit, max_bytes=SETTINGS.max_body_bytes)
