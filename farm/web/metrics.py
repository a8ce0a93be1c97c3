"""/metrics, for whoever has the farm's token or is logged in: never for everyone.

application([METRICS, ...], ..., metrics=farm.metrics.Metrics(settings, store))
"""

from __future__ import annotations

import asyncio

from farm.metrics import Metrics
from farm.web.login import Handler, Needs


class MetricsPage(Handler):
    needs = Needs.LOGIN
    takes_token = True

    async def get(self) -> None:
        metrics: Metrics = self.application.settings["metrics"]
        accept = self.request.headers.get("Accept", "")
        loop = asyncio.get_running_loop()
        body, kind = await loop.run_in_executor(None, metrics.page, accept)
        self.set_header("Content-Type", kind)
        self.finish(body)


METRICS = ("/metrics", MetricsPage)
