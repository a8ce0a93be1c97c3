"""A solid: a closed triangle mesh, and the ways to make one.

Every maker gives a closed surface whose triangles run counter-clockwise seen from outside, and no
triangle without area. Solids may overlap; nothing is ever cut out of anything. Smoothness is not
decided here: `crease_deg` says which edges stay sharp, and `normals.py` does the rest.

Legend: x forward, y up, z to the right of who looks along x. Lengths in metres or whatever the rule
likes: the finished shape is scaled as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, kw_only=True)
class Solid:
    points: Floats
    """[N, 3]"""
    triangles: Indices
    """[M, 3], counter-clockwise seen from outside."""
    uv: Floats | None = None
    """[M, 3, 2] texture coordinates of each triangle's corners; v up, as OBJ has it."""
    crease_deg: float = 40.0
    """Neighbouring triangles that differ by less are shaded as one smooth surface."""

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        return replace(self, points=self.points + np.array([x, y, z]))

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Solid:
        """Stretched along the axes; a negative factor mirrors, and the winding stays outward."""
        triangles, uv = self.triangles, self.uv
        if x * y * z < 0:
            triangles, uv = triangles[:, ::-1], None if uv is None else uv[:, ::-1]
        return replace(self, points=self.points * [x, y, z], triangles=triangles, uv=uv)

    def turned(self, axis: str, degrees: float) -> Solid:
        """Turned about an axis through the origin, counter-clockwise seen from its tip."""
        a, b = (AXES[axis] + 1) % 3, (AXES[axis] + 2) % 3
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        points = self.points.copy()
        points[:, a] = cos * self.points[:, a] - sin * self.points[:, b]
        points[:, b] = sin * self.points[:, a] + cos * self.points[:, b]
        return replace(self, points=points)

    def mirrored(self, axis: str = "z") -> Solid:
        return self.scaled(**{axis: -1.0})

    def creased(self, degrees: float) -> Solid:
        return replace(self, crease_deg=degrees)

    def wrapped(self, size: float, along: str = "x") -> Solid:
        """With texture coordinates: the picture, `size` wide, laid on from the six sides.

        The picture's u runs along the axis `along` wherever that lies in the surface.
        """
        corners = self.points[self.triangles]  # [M, 3, 3]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        first = AXES[along]
        second, third = (first + 1) % 3, (first + 2) % 3
        choices = {first: (second, third), second: (first, third), third: (first, second)}
        facing = np.abs(normal).argmax(axis=1)
        uv = np.empty((len(corners), 3, 2))
        for axis, (u, v) in choices.items():
            uv[facing == axis] = corners[facing == axis][:, :, [u, v]] / size
        return replace(self, uv=uv)

    @property
    def volume(self) -> float:
        """Signed: positive where the triangles face outward."""
        a, b, c = np.moveaxis(self.points[self.triangles], 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def outward(points: Floats, triangles: Indices, uv: Floats | None = None) -> Solid:
    """A solid of a closed mesh whose triangles all face outward, or all inward."""
    centred = points - points.mean(axis=0)  # for digits: a small thing far from the origin
    if Solid(points=centred, triangles=triangles).volume < 0:
        triangles, uv = triangles[:, ::-1], None if uv is None else uv[:, ::-1]
    return Solid(points=points, triangles=triangles, uv=uv)


def joined(*solids: Solid) -> Solid:
    """Several solids as one; texture coordinates and crease are those of the first."""
    starts = np.cumsum([0, *(len(solid.points) for solid in solids)])
    uv = None
    if all(solid.uv is not None for solid in solids):
        uv = np.concatenate([solid.uv for solid in solids if solid.uv is not None])
    return Solid(
        points=np.concatenate([solid.points for solid in solids]),
        triangles=np.concatenate(
            [solid.triangles + start for solid, start in zip(solids, starts, strict=False)]
        ),
        uv=uv,
        crease_deg=solids[0].crease_deg,
    )


def both(solid: Solid, axis: str = "z") -> Solid:
    """A solid and its mirror image."""
    return joined(solid, solid.mirrored(axis))


def box(x: float, y: float, z: float, bevel: float = 0.0, steps: int = 1, cuts: int = 0) -> Solid:
    """A box of that size about the origin.

    bevel   radius of its edges; at most just under half the shortest side
    steps   half the facets across an edge
    cuts    how often each side is divided besides, for who wants to bend it
    """
    half = np.array([x, y, z]) / 2
    bevel = min(bevel, 0.49 * min(x, y, z))
    lines = []
    for reach in half:
        inner = np.linspace(bevel - reach, reach - bevel, cuts + 2)
        if bevel > 0:
            edge = bevel * np.tan(np.linspace(0, math.pi / 4, steps + 1)[1:])
            inner = np.concatenate([inner[0] - edge[::-1], inner, inner[-1] + edge])
        lines.append(inner)
    shape = tuple(len(line) for line in lines)
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)  # [X, Y, Z, 3]
    surface = np.ones(shape, bool)
    surface[1:-1, 1:-1, 1:-1] = False
    number = np.cumsum(surface.ravel()).reshape(shape) - 1
    points = grid[surface]
    if bevel > 0:
        core = np.clip(points, bevel - half, half - bevel)
        away = points - core
        points = core + bevel * away / np.linalg.norm(away, axis=1, keepdims=True)
    sides = [
        _quads(number[0])[:, ::-1],
        _quads(number[-1]),
        _quads(number[:, 0]),
        _quads(number[:, -1])[:, ::-1],
        _quads(number[:, :, 0])[:, ::-1],
        _quads(number[:, :, -1]),
    ]
    return Solid(points=points, triangles=np.concatenate(sides))


def _quads(numbers: Indices) -> Indices:
    """Two triangles for each cell of a grid of point numbers [A, B]."""
    a, b, c, d = numbers[:-1, :-1], numbers[1:, :-1], numbers[1:, 1:], numbers[:-1, 1:]
    cells: Indices = np.stack([a, b, c, a, c, d], axis=-1)
    return cells.reshape(-1, 3)


def loft(rings: ArrayLike, start: ArrayLike | None = None, end: ArrayLike | None = None) -> Solid:
    """A skin over rings [K, N, 3] of points, closed at both ends by fans.

    start, end      the fans' middle points; without them the rings' middles (so the end rings must
                    be seen whole from there)
    """
    rings = np.asarray(rings, float)
    count, around = rings.shape[:2]
    first = rings[0].mean(axis=0) if start is None else np.asarray(start, float)
    last = rings[-1].mean(axis=0) if end is None else np.asarray(end, float)
    numbers = np.arange(count * around).reshape(count, around)
    numbers = np.concatenate([numbers, numbers[:, :1]], axis=1)
    fans = [
        np.stack([np.full(around, count * around), numbers[0, 1:], numbers[0, :-1]], axis=1)[
            :, ::-1
        ],
        np.stack([np.full(around, count * around + 1), numbers[-1, 1:], numbers[-1, :-1]], axis=1),
    ]
    points = np.concatenate([rings.reshape(-1, 3), first[None], last[None]])
    return outward(points, np.concatenate([_quads(numbers), *fans]))


def hoop(rings: ArrayLike) -> Solid:
    """A skin over rings [K, N, 3] whose last joins the first, such as a tyre or a handle's loop."""
    rings = np.asarray(rings, float)
    count, around = rings.shape[:2]
    numbers = np.arange(count * around).reshape(count, around)
    numbers = np.concatenate([numbers, numbers[:, :1]], axis=1)
    numbers = np.concatenate([numbers, numbers[:1]], axis=0)
    return outward(rings.reshape(-1, 3), _quads(numbers))


def lathe(profile: Sequence[tuple[float, float]], sides: int = 32) -> Solid:
    """What turning a profile of (radius, y) about the y axis gives.

    An end with radius 0 becomes a tip, another is closed flat. A profile that goes up outside and
    down inside makes a vessel.
    """
    line = np.asarray(profile, float)
    start = (0.0, line[0, 1], 0.0)
    end = (0.0, line[-1, 1], 0.0)
    tiny = 1e-9
    line = line[1 if line[0, 0] < tiny else 0 : len(line) - (1 if line[-1, 0] < tiny else 0)]
    return loft(_revolved(line, sides), start, end)


def ring(profile: Sequence[tuple[float, float]], sides: int = 32) -> Solid:
    """What turning a closed outline of (radius, y) about the y axis gives: a tyre, a lampshade."""
    return hoop(np.swapaxes(_revolved(np.asarray(profile, float), sides), 0, 1))


def _revolved(line: Floats, sides: int) -> Floats:
    angle = np.arange(sides) * (2 * math.pi / sides)
    radius, y = line[:, :1], line[:, 1:]
    return np.stack(
        [radius * np.cos(angle), np.broadcast_to(y, (len(line), sides)), radius * np.sin(angle)],
        axis=-1,
    )


def cylinder(radius: float, height: float, bevel: float = 0.0, sides: int = 32) -> Solid:
    """A cylinder along y about the origin, its edges rounded by `bevel`."""
    top = height / 2
    bevel = min(bevel, 0.49 * height, 0.9 * radius)
    if not bevel:
        return lathe([(radius, -top), (radius, top)], sides)
    arc = [(bevel * math.sin(a), bevel * math.cos(a)) for a in np.linspace(0, math.pi / 2, 4)]
    upper = [(radius - bevel + s, top - bevel + c) for s, c in arc]
    return lathe([(r, -y) for r, y in upper] + upper[::-1], sides)


def ellipsoid(x: float, y: float, z: float, sides: int = 24) -> Solid:
    """An ellipsoid with these half-axes about the origin."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, sides // 2 + 1)
    profile = [(math.cos(a), math.sin(a)) for a in angle]
    profile[0], profile[-1] = (0.0, -1.0), (0.0, 1.0)
    return lathe(profile, sides).scaled(x, y, z)


def sweep(
    path: ArrayLike,
    section: ArrayLike,
    sizes: ArrayLike = 1.0,
    closed: bool = False,
    side: ArrayLike = (0.0, 0.0, 1.0),
) -> Solid:
    """A section drawn along a path.

    path        [K, 3], no two neighbours equal
    section     [N, 2] around (0, 0): its first axis is `side` made square to the path, its second
                the path's direction times that axis
    sizes       the section's scale, one number or [K]
    closed      whether the path's end joins its start
    side        not along the path anywhere
    """
    path, section = np.asarray(path, float), np.asarray(section, float)
    after, before = np.roll(path, -1, axis=0), np.roll(path, 1, axis=0)
    if not closed:
        after[-1], before[0] = path[-1], path[0]
    along = after - before
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.asarray(side, float) - along * (along @ np.asarray(side, float))[:, None]
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(along, first)
    scale = np.broadcast_to(np.asarray(sizes, float), len(path))[:, None, None]
    offset = section[:, :1] * first[:, None] + section[:, 1:] * second[:, None]  # [K, N, 3]
    rings = path[:, None] + scale * offset
    return hoop(rings) if closed else loft(rings)


def circle(radius: float = 1.0, sides: int = 10) -> Floats:
    """Points [sides, 2] of a circle."""
    angle = np.arange(sides) * (2 * math.pi / sides)
    points: Floats = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points


def rounded(width: float, height: float, radius: float, steps: int = 3) -> Floats:
    """Points [N, 2] of a rectangle with round corners about (0, 0), counter-clockwise."""
    radius = min(radius, 0.49 * width, 0.49 * height)
    arc = np.linspace(0, math.pi / 2, steps + 1)
    corner = radius * np.stack([np.cos(arc), np.sin(arc)], axis=1)
    out = []
    for turn in range(4):
        cos, sin = round(math.cos(turn * math.pi / 2)), round(math.sin(turn * math.pi / 2))
        centre = np.array([width / 2 - radius, height / 2 - radius])
        centre = centre * [[1, 1], [-1, 1], [-1, -1], [1, -1]][turn]
        out.append(centre + corner @ np.array([[cos, sin], [-sin, cos]]))
    return np.concatenate(out)


def tube(
    path: ArrayLike,
    radius: ArrayLike,
    sides: int = 10,
    closed: bool = False,
    side: ArrayLike | None = None,
) -> Solid:
    """A round tube along a path [K, 3]; radius one number or [K]."""
    path = np.asarray(path, float)
    if side is None:  # square to most of the path
        spread = np.abs(np.diff(path, axis=0)).sum(axis=0)
        side = np.eye(3)[int(spread.argmin())]
    return sweep(path, circle(1.0, sides), radius, closed, side)


def curve(points: ArrayLike, steps: int = 6) -> Floats:
    """A smooth line through points [K, D]: Catmull-Rom, `steps` pieces between two of them."""
    points = np.asarray(points, float)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    return _spline(padded, steps, last=True)


def loop(points: ArrayLike, steps: int = 6) -> Floats:
    """A smooth closed line through points [K, D], its end not repeated."""
    points = np.asarray(points, float)
    return _spline(np.concatenate([points[-1:], points, points[:2]]), steps, last=False)


def _spline(padded: Floats, steps: int, last: bool) -> Floats:
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    out = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    out = out.reshape(-1, padded.shape[1])
    return np.concatenate([out, padded[-2:-1]]) if last else out


def extruded(outline: ArrayLike, depth: float, bevel: float = 0.0, steps: int = 2) -> Solid:
    """A flat outline (x, y) made `depth` thick along z, about z = 0.

    The outline may be hollow in places (a guitar's waist) but must not cross itself; a bevel must
    be small against its bends.
    """
    outline = np.asarray(outline, float)
    if area(outline) < 0:
        outline = outline[::-1]
    bevel = min(bevel, 0.49 * depth)
    layers = [(0.0, depth / 2)]
    if bevel > 0:
        angle = np.linspace(0, math.pi / 2, steps + 1)
        layers = [(bevel * (1 - math.cos(a)), depth / 2 - bevel * (1 - math.sin(a))) for a in angle]
    layers = [(inset, -z) for inset, z in layers[::-1]] + layers
    rings = [
        np.pad(shrunk(outline, inset), ((0, 0), (0, 1)), constant_values=z) for inset, z in layers
    ]
    around = len(outline)
    numbers = np.arange(len(rings) * around).reshape(len(rings), around)
    sides = _quads(np.concatenate([numbers, numbers[:, :1]], axis=1))[:, ::-1]
    cap = clipped(rings[-1][:, :2])
    caps = [cap[:, ::-1], cap + numbers[-1, 0]]
    return outward(np.concatenate(rings), np.concatenate([sides, *caps]))


def area(outline: Floats) -> float:
    """Signed area of a polygon [N, 2]: positive counter-clockwise."""
    following = np.roll(outline, -1, axis=0)
    return float((outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum() / 2)


def shrunk(outline: Floats, inset: float) -> Floats:
    """A counter-clockwise polygon with every edge moved inward."""
    if inset == 0:
        return outline
    edge = np.roll(outline, -1, axis=0) - outline
    normal = np.stack([-edge[:, 1], edge[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    before = np.roll(normal, 1, axis=0)
    cosine = (normal * before).sum(axis=1, keepdims=True)
    # A sharp corner would shoot far inward: at most 2.5 times the inset.
    moved: Floats = outline + inset * (normal + before) / np.maximum(1 + cosine, 0.4)
    return moved


def clipped(outline: Floats) -> Indices:
    """Triangles [N - 2, 3] of a counter-clockwise polygon [N, 2], by cutting off ears.

    Of the ears the one with the widest smallest angle goes first, so that slivers stay rare.
    """
    left = list(range(len(outline)))
    out = []
    quality: dict[int, float] = {i: _ear(outline, left, i) for i in left}
    while len(left) > 3:
        tip = max(left, key=lambda i: quality[i])
        at = left.index(tip)
        before, after = left[at - 1], left[(at + 1) % len(left)]
        out.append((before, tip, after))
        del left[at]
        for i in (before, after):
            quality[i] = _ear(outline, left, i)
    out.append((left[0], left[1], left[2]))
    return np.array(out, np.int64)


def _ear(outline: Floats, left: list[int], tip: int) -> float:
    """How good a corner of what is left of a polygon is to cut off; negative: not allowed."""
    at = left.index(tip)
    before, after = left[at - 1], left[(at + 1) % len(left)]
    a, b, c = outline[before], outline[tip], outline[after]

    def cross(p: Floats, q: Floats, r: Floats) -> Floats:
        turn: Floats = (q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1]) - (
            q[..., 1] - p[..., 1]
        ) * (r[..., 0] - p[..., 0])
        return turn

    doubled = float(cross(a, b, c))
    longest = max(float(((p - q) ** 2).sum()) for p, q in ((a, b), (b, c), (c, a)))
    if doubled <= 1e-9 * longest:
        return -1.0
    others = outline[[i for i in left if i not in (before, tip, after)]]
    inside = (cross(a, b, others) >= 0) & (cross(b, c, others) >= 0) & (cross(c, a, others) >= 0)
    return -0.5 if inside.any() else doubled / longest


def plate(grid: ArrayLike, thickness: float) -> Solid:
    """A thin plate on a patch of surface, half of it above and half below.

    grid    [A, B, 3] points of the surface; texture coordinates run (0, 0) at [0, 0] to (1, 1) at
            [-1, -1], u along the second axis
    """
    grid = np.asarray(grid, float)
    rows, columns = grid.shape[:2]
    normal = np.cross(np.gradient(grid, axis=0), np.gradient(grid, axis=1))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    numbers = np.arange(rows * columns).reshape(rows, columns)
    rim = np.concatenate(
        [numbers[0, :-1], numbers[:-1, -1], numbers[-1, :0:-1], numbers[:0:-1, 0], numbers[0, :1]]
    )
    below = rows * columns
    triangles = np.concatenate(
        [
            _quads(numbers),
            _quads(numbers)[:, ::-1] + below,
            _quads(np.stack([rim + below, rim])),
        ]
    )
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    uv = np.tile(np.stack([u, v], axis=-1).reshape(-1, 2), (2, 1))
    points = np.concatenate([grid + normal * thickness / 2, grid - normal * thickness / 2])
    return outward(points.reshape(-1, 3), triangles, uv[triangles])


def facing(width: float, height: float, thickness: float) -> Solid:
    """An upright plate that looks along +x, its picture the right way round; about the origin."""
    z, y = np.array([width, -width]) / 2, np.array([-height, height]) / 2
    grid = np.stack(np.broadcast_arrays(0.0, y[:, None], z[None, :]), axis=-1)
    return plate(grid, thickness)
