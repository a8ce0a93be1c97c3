"""Blender and the job, in child programs: no test imports bpy into its own process.

python children.py     a warm Blender: JSON requests on stdin, each answered on stdout
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from farm.errors import ProgramFailed
from farm.program import Program
from farm.task_log import TaskLog
from renderer.jobs import render
from renderer.members import PASSES

REPO = Path(__file__).parents[2]
LAMP = {"position": [2.0, 2.0, 2.0], "watts": 150.0, "color": [1.0, 1.0, 1.0]}


# --- a warm Blender --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What came of one file."""

    views: list[dict[str, np.ndarray]]
    """pass -> image"""
    cameras: list[np.ndarray]
    """[4, 4] world to camera"""
    intrinsics: np.ndarray
    triangles: np.ndarray
    """[T, 3, 3] world"""
    normalization: dict[str, Any]
    device: str


class Refused(Exception):
    """The file is bad input, with this reason."""


class Blender:
    """One Blender session in one child program."""

    def __init__(self, folder: Path, threads: int = 1):
        self.folder, self.count = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        self.log = (folder / "blender.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(threads)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )

    def render(
        self,
        path: Path,
        views: Sequence[Mapping[str, Any]] = ({},),
        size: tuple[int, int] = (32, 32),
        spp: int = 2,
        up: str = "y",
        roots: Sequence[Path] | None = None,
    ) -> Rendered:
        """Render a file as a session does it, without the content rules.

        views  each with azimuth, elevation, distance, lights, seed; all have defaults
        roots  of its textures; by default those that a job allows
        """
        self.count += 1
        out = self.folder / f"{self.count}.npz"
        request = {
            "path": str(path),
            "views": list(views),
            "size": size,
            "spp": spp,
            "up": up,
            "roots": None if roots is None else [str(root) for root in roots],
            "out": str(out),
        }
        answer = self.ask(request)
        if "refused" in answer:
            raise Refused(answer["refused"])
        assert "error" not in answer, answer["error"]
        with np.load(out) as arrays:
            return Rendered(
                views=[{k: arrays[f"{n}.{k}"] for k in PASSES} for n in range(len(views))],
                cameras=[arrays[f"{n}.camera"] for n in range(len(views))],
                intrinsics=arrays["intrinsics"],
                triangles=arrays["triangles"],
                normalization=answer["normalization"],
                device=answer["device"],
            )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"Blender died of {request}: {self.tail()}")
        return dict(json.loads(line))

    def tail(self) -> str:
        return (self.folder / "blender.log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        self.log.close()


def serve(threads: int) -> None:
    out = os.dup(1)
    os.dup2(2, 1)
    from renderer.blender import open_session
    from renderer.camera import Viewpoint, intrinsics, world_to_camera
    from renderer.errors import BadInput
    from renderer.layout import Light, ViewLayout
    from renderer.shapes.references import roots_of

    session = open_session(threads)
    for line in sys.stdin:
        request = json.loads(line)
        if "srgb" in request:
            from renderer.blender.passes import srgb

            answer = {"srgb": srgb(np.array(request["srgb"], np.float32)).tolist()}
            os.write(out, json.dumps(answer).encode() + b"\n")
            continue
        path, size = Path(request["path"]), tuple(request["size"])
        roots = request["roots"]
        roots = roots_of(path) if roots is None else [Path(root) for root in roots]
        intrinsic = intrinsics(size)
        arrays: dict[str, np.ndarray] = {"intrinsics": intrinsic}
        try:
            with session.shape(path, request["up"], roots) as loaded:
                arrays["triangles"] = loaded.triangles
                for number, view in enumerate(request["views"]):
                    viewpoint = Viewpoint(
                        azimuth_deg=view.get("azimuth", 30.0),
                        elevation_deg=view.get("elevation", 20.0),
                        distance=view.get("distance", 2.0),
                    )
                    lights = tuple(
                        Light(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
                        for one in view.get("lights", [LAMP])
                    )
                    layout = ViewLayout(
                        viewpoint=viewpoint, lights=lights, sampling_seed=view.get("seed", 0)
                    )
                    images = session.render(loaded, layout, intrinsic, size, request["spp"])
                    arrays |= {f"{number}.{kind}": image for kind, image in images.items()}
                    arrays[f"{number}.camera"] = world_to_camera(viewpoint)
                answer = {"normalization": dataclasses.asdict(loaded.normalization)}
                answer["device"] = session.device.kind
            np.savez(request["out"], **arrays)
        except BadInput as error:
            answer = {"refused": error.reason}
        except Exception as error:  # the test that asked is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(out, json.dumps(answer).encode() + b"\n")


# --- the job ---------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Ran:
    """What happened in a run of a job."""

    started: list[str] = field(default_factory=list)
    """Shapes on which work was begun."""
    views: int = 0
    """How often a child told of progress within a shape."""
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Shape -> class, reason."""
    dones: list[render.Done] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    deaths: int = 0


class Killed(Exception):
    """The child was killed where the test asked for it."""


class Farm:
    """The farm's part in the life of a job, in a few lines: one child after another, no queue."""

    def __init__(self, log: Path, timeout_s: float = 60, environment: Mapping[str, str] = {}):
        self.log, self.timeout_s = log, timeout_s
        self.environment = {**os.environ, "FARM_THREADS": "1", **environment}
        self.child: Program | None = None
        self.task_log: TaskLog | None = None

    def job(self, *shapes: Path | str, out: Path, **options: Any) -> render.Job:
        made = render.Job(shapes=tuple(map(str, shapes)), out=str(out), **options)
        return render.resolve(made, Path.cwd())

    def submit(self, job: render.Job, kill_after: int | None = None) -> Ran:
        """The whole job, as the controller and a worker would do it.

        kill_after  kill -9 the child when it has begun on so many shapes, and stop
        """
        ran = Ran()
        scanned = render.scan(job)
        render.prepare(job, scanned)
        render.publish(job, scanned, [], False)
        for task in render.plan(job, scanned):
            while (done := self._task(job, task, ran, kill_after)) is None:
                if ran.errors:
                    return ran
            ran.dones.append(done)
            render.publish(job, scanned, ran.dones, False)
        render.publish(job, scanned, ran.dones, True)
        return ran

    def attempt(
        self,
        job: render.Job,
        task: render.Task,
        failed: Mapping[str, tuple[str, str]] | None = None,
        told: dict[str, tuple[str, str]] | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> render.Done | None:
        """One task, once.

        failed  shapes already given up
        told    where shapes that fail are noted;  errors  what ended the task
        """
        ran = Ran(failed=dict(failed or {}))
        done = self._task(job, task, ran, None)
        if told is not None:
            told |= ran.failed
        if errors is not None:
            errors += ran.errors
        return done

    def _task(
        self, job: render.Job, task: render.Task, ran: Ran, kill_after: int | None
    ) -> render.Done | None:
        """One try; None: again, with what failed left out."""
        given_up = [
            {"item": key, "cls": cls, "reason": reason, "tries": 1}
            for key, (cls, reason) in ran.failed.items()
            if key in task.items
        ]
        request = {"kind": "render", "job": dataclasses.asdict(job)}
        request |= {"task": dataclasses.asdict(task), "failed": given_up}
        child = self._child()
        child.send({"run": request})
        item = ""
        while True:
            try:
                event = child.receive(self.timeout_s)
            except ProgramFailed as error:
                self.child, ran.deaths = None, ran.deaths + 1
                ran.failed[item] = (error.failure_class, error.reason)
                return None
            if event is None:
                child.kill()
                self.child = None
                ran.failed[item] = ("timeout", f"nothing for {self.timeout_s} s")
                return None
            match event["event"]:
                case "start":
                    item = event["item"]
                    ran.started.append(item)
                    if kill_after is not None and len(ran.started) > kill_after:
                        child.kill()
                        self.child = None
                        raise Killed
                case "failed":
                    ran.failed[event["item"]] = (event["class"], event["reason"])
                case "progress":
                    ran.views += 1
                case "commit":
                    child.send({"commit": True})
                case "retry":
                    return None
                case "error":
                    ran.errors.append(event)
                    return None
                case "done":
                    failures = event["done"].pop("failed")
                    failed = tuple(render.Failed(**failure) for failure in failures)
                    return render.Done(**event["done"], failed=failed)

    def _child(self) -> Program:
        if self.child is None:
            self.child = Program("renderer", self.environment)
            self.task_log = self.task_log or TaskLog(self.log)
            self.child.log_to(self.task_log)
            assert (self.child.receive(60) or {}).get("event") == "ready"
        return self.child

    def close(self) -> None:
        if self.child is not None:
            with contextlib.suppress(ProgramFailed):
                self.child.close()
            self.child = None
        if self.task_log is not None:
            self.task_log.close()
            self.task_log = None


if __name__ == "__main__":
    serve(int(sys.argv[1]))
