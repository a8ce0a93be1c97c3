"""The JSON files of a dataset, field by field: read strictly, wrong fields told by name.

`docs/format.md` says what the fields mean.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

# pydantic reads typing.TypedDict only from Python 3.12 on.
from typing_extensions import TypedDict

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
Count = Annotated[int, Field(ge=0)]
Row3 = tuple[float, float, float]
Row4 = tuple[float, float, float, float]


@with_config(STRICT)
class ShardEntry(TypedDict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+-\d{6,}\.tar$")]
    split: str
    samples: Count
    bytes: Count
    sha256: Sha256


@with_config(STRICT)
class Index(TypedDict):
    version: Literal[1]
    id: Sha256
    complete: bool
    job: dict[str, Any]
    parent: dict[str, Any] | list[dict[str, Any]] | None
    created_with: dict[str, Any] | list[dict[str, Any]]
    conventions: dict[str, Any]
    members: list[str]
    splits: dict[str, list[str]]
    shards: list[ShardEntry]
    sources: list[dict[str, Any]]


@with_config(STRICT)
class SampleEntry(TypedDict):
    key: Key
    members: dict[str, tuple[Count, Count, Sha256]]
    pixels: Sha256


@with_config(STRICT)
class FailureEntry(TypedDict):
    id: str
    # "class" is no name in Python; the alias is how the file spells it.
    class_: Annotated[
        Literal["bad_input", "out_of_memory", "timeout", "crash", "blank", "environment"],
        Field(alias="class"),
    ]
    reason: str
    tries: Annotated[int, Field(ge=1)]


@with_config(STRICT)
class Sidecar(TypedDict):
    version: Literal[1]
    shard: str
    sha256: Sha256
    samples: list[SampleEntry]
    failed: list[FailureEntry]


@with_config(STRICT)
class ShapeOf(TypedDict):
    id: str
    category: str
    synset: str | None
    sha256: Sha256


@with_config(STRICT)
class NormalizationOf(TypedDict):
    rotation: tuple[Row3, Row3, Row3]
    center: Row3
    scale: Annotated[float, Field(gt=0)]


@with_config(STRICT)
class LightOf(TypedDict):
    position: Row3
    watts: Annotated[float, Field(ge=0)]
    color: Row3


@with_config(STRICT)
class ViewOf(TypedDict):
    intrinsics: NotRequired[tuple[Row3, Row3, Row3]]
    world_to_camera: NotRequired[tuple[Row4, Row4, Row4, Row4]]
    azimuth_deg: NotRequired[float]
    elevation_deg: NotRequired[Annotated[float, Field(ge=-90, le=90)]]
    distance: NotRequired[Annotated[float, Field(gt=0)]]
    lights: NotRequired[list[LightOf]]
    bbox: tuple[Count, Count, Count, Count]
    coverage: Annotated[float, Field(ge=0, le=1)]


@with_config(STRICT)
class PhotoOf(TypedDict):
    file: str
    sha256: Sha256
    size: tuple[Count, Count]
    decoded: tuple[Count, Count]
    segment: Count
    source: Literal["detector", "masks", "alpha"]
    label: str
    score: Annotated[float, Field(ge=0, le=1)] | None
    box: tuple[Count, Count, Count, Count]
    frame: tuple[Count, Count, Count]
    ratio: Annotated[float, Field(gt=0)] | None


@with_config(STRICT)
class SampleOf(TypedDict):
    version: Literal[1]
    key: Key
    seed: Count
    depth_scale: NotRequired[Annotated[float, Field(gt=0)]]
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    shape: NotRequired[ShapeOf]
    normalization: NotRequired[NormalizationOf]
    photo: NotRequired[PhotoOf]
    views: Annotated[list[ViewOf], Field(min_length=1)]


# The first two make a camera.
CAMERA_FIELDS = (
    "intrinsics", "world_to_camera", "azimuth_deg", "elevation_deg", "distance", "lights",
)  # fmt: skip

INDEX: TypeAdapter[Index] = TypeAdapter(Index)
SIDECAR: TypeAdapter[Sidecar] = TypeAdapter(Sidecar)
SAMPLE: TypeAdapter[SampleOf] = TypeAdapter(SampleOf)


def faults(adapter: TypeAdapter[Any], data: bytes) -> list[str]:
    """What of some JSON does not fit: `views.0.azimuth_deg: Field required`; empty when it fits."""
    try:
        adapter.validate_json(data)
    except ValidationError as error:
        found = []
        for fault in error.errors(include_url=False, include_context=False):
            where = ".".join(str(part) for part in fault["loc"])
            value = "" if fault["type"] == "missing" else f" ({_short(fault['input'])})"
            found.append(f"{where}: {fault['msg']}{value}" if where else str(fault["msg"]))
        return found
    return []


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
