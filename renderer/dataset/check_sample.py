"""What must hold within one sample whose members are there and decode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer import camera, content
from renderer.camera import RIGS, Viewpoint
from renderer.dataset.origin import Origin
from renderer.dataset.schema import CAMERA_FIELDS
from renderer.layout import CAMERAS, generator
from renderer.members import PASSES, view_name

Array = NDArray[Any]

# Cosines may differ in their last bits between machines; nothing else may.
CLOSE = 1e-9

Finding = tuple[str, str, str]
"""Rule, member or view, what is wrong."""


def problems(
    meta: Mapping[str, Any],
    arrays: Mapping[str, Array],
    members: Sequence[str],
    shape: Mapping[str, Any] | None,
    origin: Origin | None,
) -> Iterator[Finding]:
    """What is wrong with a sample.

    meta     its JSON, which fits the schema
    arrays   member -> decoded array
    members  what every sample of the dataset has
    shape    the shape's fields in job.json, where it is there
    origin   what made the sample, where that is known
    """
    views = len(meta["views"])
    expected = {name.split(".")[0] for name in members if name.endswith(".png")}
    if expected != {view_name(number, views) for number in range(views)}:
        yield "members", "json", f"{views} views, the members are of {len(expected)}"
        return
    posed = ["world_to_camera" in view for view in meta["views"]]
    if any(posed) and not all(posed):
        yield "json", f"view {posed.index(False)}", "it has no camera, others have one"
        return
    if any(name.endswith(".depth.png") for name in members) and "depth_scale" not in meta:
        yield "json", "json", "depth_scale: Field required where there is depth"
    wrong = list(_cloud(arrays))
    yield from wrong
    yield from _images(meta, arrays, members, None if wrong else arrays.get("points.npy"))
    if all(posed):
        rendered = origin is not None and origin.kind == "render"
        for number, view in enumerate(meta["views"]):
            # Only a render job knows of angles and lights; a camera is its two matrices.
            wanted = CAMERA_FIELDS if rendered else CAMERA_FIELDS[:2]
            lacking = [name for name in wanted if name not in view]
            if lacking:
                yield "json", f"view {number}", f"{', '.join(lacking)}: Field required"
            else:
                yield from _camera(number, view, meta["size"])
    normalization = meta.get("normalization")
    if normalization and not _is_rotation(np.array(normalization["rotation"])):
        yield "json", "json", "normalization.rotation is no rotation"
    if shape is not None:
        for name in ("id", "category", "synset", "sha256"):
            is_, said = meta.get("shape", {}).get(name), shape.get(name)
            if "shape" in meta and is_ != said:
                yield "shapes", "json", f"shape.{name} is {is_}, job.json says {said}"
    if origin is not None and origin.kind == "render":
        yield from _recipe(meta, arrays, origin)


def _is_rotation(matrix: Array) -> bool:
    apart = np.abs(matrix @ matrix.T - np.eye(3)).max()
    return bool(apart <= CLOSE and np.linalg.det(matrix) > 0)


def _images(
    meta: Mapping[str, Any],
    arrays: Mapping[str, Array],
    members: Sequence[str],
    points: Array | None,
) -> Iterator[Finding]:
    width, height = meta["size"]
    views = len(meta["views"])
    for number, view in enumerate(meta["views"]):
        prefix = view_name(number, views)
        images = {k: arrays[f"{prefix}.{k}.png"] for k in PASSES if f"{prefix}.{k}.png" in members}
        wrong = False
        for kind, image in images.items():
            if image.shape[:2] != (height, width):
                is_ = f"{image.shape[1]} x {image.shape[0]}"
                yield "size", f"{prefix}.{kind}.png", f"{is_} pixels, not {width} x {height}"
                wrong = True
        if wrong or "rgba" not in images:
            continue
        posed = "world_to_camera" in view
        for problem in content.problems_of_view(
            images, view, points if posed else None, meta.get("depth_scale")
        ):
            # A photograph goes to its borders; a rendered shape must not.
            if posed or not problem.startswith("clipped"):
                yield "content", f"view {number}", problem


def _camera(number: int, view: Mapping[str, Any], size: Sequence[int]) -> Iterator[Finding]:
    """The matrices are those of a camera, and of the angles where there are any."""
    name = f"view {number}"
    said = np.array(view["world_to_camera"])
    if all(angle in view for angle in ("azimuth_deg", "elevation_deg", "distance")):
        viewpoint = Viewpoint(
            azimuth_deg=view["azimuth_deg"],
            elevation_deg=view["elevation_deg"],
            distance=view["distance"],
        )
        try:
            matrix = camera.world_to_camera(viewpoint)
        except ValueError as error:
            yield "camera", name, str(error)
            return
        if np.abs(matrix - said).max() > CLOSE:
            yield (
                "camera",
                name,
                f"world_to_camera is not that of azimuth {viewpoint.azimuth_deg:g}, elevation "
                f"{viewpoint.elevation_deg:g}, distance {viewpoint.distance:g}",
            )
    elif not _is_rotation(said[:3, :3]) or said[3].tolist() != [0, 0, 0, 1]:
        yield "camera", name, "world_to_camera is no rotation and translation"
    (fx, skew, cx), (zero, fy, cy), last = view["intrinsics"]
    inside = 0 < cx < size[0] and 0 < cy < size[1]
    if skew or zero or last != [0, 0, 1] or fx <= 0 or fy <= 0 or not inside:
        yield "camera", name, f"intrinsics {view['intrinsics']} are those of no camera"


def _cloud(arrays: Mapping[str, Array]) -> Iterator[Finding]:
    clouds = {name: arrays[name] for name in ("points.npy", "normals.npy") if name in arrays}
    wrong = False
    for name, cloud in clouds.items():
        if cloud.dtype != np.float32 or cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
            yield "content", name, f"{cloud.dtype} of {cloud.shape}, not float32 of (N, 3)"
            wrong = True
        elif not np.isfinite(cloud).all():
            yield "content", name, "not all of it is finite"
            wrong = True
    if wrong or not clouds:
        return
    if len({len(cloud) for cloud in clouds.values()}) != 1:
        yield "content", "normals.npy", "as many normals as points are expected"
    if "points.npy" in clouds:
        reach = np.abs(clouds["points.npy"]).max()
        if reach > 0.5 + 1e-5:
            yield "content", "points.npy", f"a point lies at {reach:.3g}, outside of the unit box"
    if "normals.npy" in clouds:
        length = np.linalg.norm(clouds["normals.npy"], axis=1)
        if (np.abs(length - 1) > 1e-3).any():
            yield "content", "normals.npy", "a normal is not of unit length"


def _recipe(
    meta: Mapping[str, Any], arrays: Mapping[str, Array], origin: Origin
) -> Iterator[Finding]:
    """The sample is what its render job asks for."""
    for field in ("shape", "normalization"):
        if field not in meta:
            yield "json", "json", f"{field}: Field required"
    job = origin.job
    numbers = origin.views or tuple(range(job["views"]))
    for what, is_, said in (
        ("seed", meta["seed"], job["seed"]),
        ("size", meta["size"], [job["size"]] * 2),
        ("views", len(meta["views"]), len(numbers)),
        ("points", len(arrays.get("points.npy", ())), job["points"]),
    ):
        if is_ != said:
            yield "job", "json", f"{what} is {is_}, the job says {said}"
    if len(meta["views"]) != len(numbers) or "shape" not in meta:
        return
    intrinsics = camera.intrinsics(meta["size"])
    for number, (view, at) in enumerate(zip(meta["views"], numbers, strict=True)):
        rng = generator(job["seed"], meta["shape"]["sha256"], CAMERAS, at)
        placed = RIGS[job["cameras"]].place(at, job["views"], rng)
        for what, is_, said in (
            ("azimuth", view.get("azimuth_deg"), placed.azimuth_deg),
            ("elevation", view.get("elevation_deg"), placed.elevation_deg),
            ("distance", view.get("distance"), placed.distance),
        ):
            if is_ is None or abs(is_ - said) > CLOSE * 360:
                yield "camera", f"view {number}", f"{what} is {is_}, the seed gives {said}"
        if np.abs(intrinsics - np.array(view.get("intrinsics", 0))).max() > CLOSE * 360:
            yield "camera", f"view {number}", "intrinsics are not those of the job's lens"
