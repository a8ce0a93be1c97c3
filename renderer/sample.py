"""From a shape to a finished sample: loaded, rendered, sampled, checked, encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from renderer import content, storage
from renderer.camera import intrinsics, world_to_camera
from renderer.errors import BadInput, ItemFailed
from renderer.layout import POINTS, Layout, ViewLayout, generator, lay_out
from renderer.members import encode_array, encode_image, pixels_hash, view_name
from renderer.pointcloud import sample_surface
from renderer.shapes import digest
from renderer.shapes.health import inspect
from renderer.shapes.references import roots_of
from renderer.shapes.shape import Shape
from renderer.shards import DEPTH_SCALE, VERSION, Record, Sample, expected_members, make_record

if TYPE_CHECKING:
    from renderer.blender.session import Loaded, Session

Array = NDArray[Any]
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything but the shape that decides what a sample is."""

    cameras: str
    views: int
    size: int
    spp: int
    passes: tuple[str, ...]
    points: int
    seed: int

    def layout(self, shape: Shape) -> Layout:
        return lay_out(
            seed=self.seed, shape_sha256=shape.sha256, cameras=self.cameras, views=self.views
        )


def make_sample(
    session: Callable[[], Session],
    shape: Shape,
    recipe: Recipe,
    *,
    made: Sample | None = None,
    progress: Progress = lambda view: None,
) -> Record:
    """Render one shape.

    session   gives the warm Blender; not called where nothing is left to render
    made      the same shape with the same recipe but other views: what it has is taken from it
    progress  called with the number of every view that is done

    Raises BadInput or another ItemFailed.
    """
    if shape.problem:
        raise BadInput(shape.problem)
    path = Path(shape.path)
    layout = recipe.layout(shape)
    if made is not None and len(made.meta["views"]) >= recipe.views:
        return _assemble(shape, recipe, made.meta["normalization"], *_taken(made, recipe))
    check_file(path, shape)
    with session().shape(path, shape.up, roots_of(path)) as loaded:
        normalization = asdict(loaded.normalization)
        arrays: dict[str, Array] = {}
        encoded: dict[str, bytes] = {}
        metas: list[dict[str, Any]] = []
        if made is not None:
            arrays, encoded, metas = _taken(made, recipe)
        elif recipe.points:
            rng = generator(recipe.seed, shape.sha256, POINTS)
            cloud, normals = sample_surface(loaded.triangles, recipe.points, rng)
            arrays = {"points.npy": cloud, "normals.npy": normals}
        for number in range(len(metas), recipe.views):
            images, meta = _render(session(), loaded, layout.views[number], recipe)
            name = view_name(number, recipe.views)
            arrays |= {f"{name}.{kind}.png": images[kind] for kind in recipe.passes}
            metas.append(meta)
            progress(number)
    return _assemble(shape, recipe, normalization, arrays, encoded, metas)


def check_file(path: Path, shape: Shape) -> None:
    """Raise BadInput for a broken file, ItemFailed for one that changed since it was planned."""
    try:
        if digest(path) != shape.sha256:
            raise ItemFailed("environment", "its files have changed since the job was planned")
    except OSError as error:
        raise ItemFailed("environment", f"cannot be read: {error.strerror or error}") from error
    if problems := inspect(path).problems:
        raise BadInput("; ".join(problems))


def _render(
    session: Session, loaded: Loaded, view: ViewLayout, recipe: Recipe
) -> tuple[dict[str, Array], dict[str, Any]]:
    size = (recipe.size, recipe.size)
    intrinsic = intrinsics(size)
    images = session.render(loaded, view, intrinsic, size, recipe.spp)
    viewpoint = view.viewpoint
    meta = {
        "intrinsics": intrinsic.tolist(),
        "world_to_camera": world_to_camera(viewpoint).tolist(),
        "azimuth_deg": viewpoint.azimuth_deg,
        "elevation_deg": viewpoint.elevation_deg,
        "distance": viewpoint.distance,
        "lights": [asdict(light) for light in view.lights],
        **content.describe_view(images["rgba"]),
    }
    if reason := content.blank(images["rgba"]):
        raise ItemFailed("blank", reason, encode_image("rgba", images["rgba"]))
    return images, meta


def _taken(
    made: Sample, recipe: Recipe
) -> tuple[dict[str, Array], dict[str, bytes], list[dict[str, Any]]]:
    """Arrays, bytes and view entries of a finished sample, under the new recipe's names."""
    metas = made.meta["views"][: recipe.views]
    encoded = {name: made.read(name) for name in ("points.npy", "normals.npy") if recipe.points}
    arrays = {name: made.decode(name) for name in encoded}
    for number in range(len(metas)):
        old, new = view_name(number, len(made.meta["views"])), view_name(number, recipe.views)
        for kind in recipe.passes:
            encoded[f"{new}.{kind}.png"] = made.read(f"{old}.{kind}.png")
            arrays[f"{new}.{kind}.png"] = made.decode(f"{old}.{kind}.png")
    return arrays, encoded, list(metas)


def _assemble(
    shape: Shape,
    recipe: Recipe,
    normalization: Mapping[str, Any],
    arrays: dict[str, Array],
    encoded: Mapping[str, bytes],
    metas: Sequence[Mapping[str, Any]],
) -> Record:
    meta = {
        "version": VERSION,
        "key": shape.key,
        "seed": recipe.seed,
        "depth_scale": DEPTH_SCALE,
        "size": [recipe.size, recipe.size],
        "shape": {
            "id": shape.id,
            "category": shape.category,
            "synset": shape.synset,
            "sha256": shape.sha256,
        },
        "normalization": normalization,
        "views": list(metas),
    }
    # As a reader will see it: tuples have become lists, numbers are as JSON spells them.
    spelled = storage.canonical_json(meta)
    problems = content.problems_of_sample(meta, arrays, recipe.passes, recipe.points)
    if problems:
        blamed = next((n for n in range(len(metas)) if problems[0].startswith(f"view {n}:")), 0)
        picture = encode_image("rgba", arrays[f"{view_name(blamed, len(metas))}.rgba.png"])
        raise ItemFailed("bad_input", "; ".join(problems[:3]), picture)
    members = {"json": spelled}
    for name in expected_members(recipe.passes, recipe.views, recipe.points)[1:]:
        members[name] = encoded.get(name) or _encode(name, arrays[name])
    return make_record(shape.key, members, pixels_hash(arrays))


def _encode(name: str, array: Array) -> bytes:
    return encode_image(name.split(".")[1], array) if name.endswith(".png") else encode_array(array)
