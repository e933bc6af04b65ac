"""Be a process that Prometheus watches and a test may harm: `service PORT FAULT` or `monitor PORT DOCUMENT`.

The service is the real front with the real counters and the tiny release, under a real server; while the file FAULT is
there, its model fails. The monitor is the real loop; its run reads the file DOCUMENT, as if it had found that just now.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def service(port: int, fault: Path) -> None:
    import prometheus_client
    import uvicorn
    from samples import SERVICE, release

    from hearth.answering import Answers
    from hearth.counters import Counters
    from hearth.front import Desk, Front

    class Harmed(Answers):
        def predict(self, *args: Any) -> Any:
            if fault.exists():
                raise RuntimeError("a fault that a test planted")
            return super().predict(*args)

    answers = Harmed(release(), SERVICE)
    columns = [*answers.release.facts.ranges, answers.contract.time.name]

    desk = Desk(answers, Counters(prometheus_client, "v1", "2015-03-01", columns))
    front = Front(prometheus_client.make_asgi_app(), desk)
    uvicorn.run(front, host="127.0.0.1", port=port, log_level="critical", lifespan="off")


def monitor(port: int, document: Path) -> None:
    from hearth.watch import watch

    watch(lambda: json.loads(document.read_text()) | {"at": datetime.now(UTC).isoformat()}, EVERY_S, port=port)


EVERY_S = 1.5  # between two runs of the monitor

if __name__ == "__main__":
    {"service": service, "monitor": monitor}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
