"""Synthetic meshes of a given size for the benchmarks: bumpy spheres, no two alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh


def bumpy_spheres(folder: Path, count: int, triangles: int) -> list[Path]:
    """Write `count` OBJ files of about so many triangles each, in two materials and groups."""
    rows = max(8, round((triangles / 8) ** 0.5))  # a sphere of r x 2r has about 8 r^2
    ball = trimesh.creation.uv_sphere(count=[rows + 1, 2 * rows])
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        vertices = ball.vertices * rng.uniform(0.4, 1, 3)
        waves = rng.uniform(3, 9, (4, 3))
        vertices *= 1 + 0.08 * np.sin(vertices @ waves.T).sum(axis=1, keepdims=True)
        path = folder / f"sphere-{number:03d}.obj"
        path.parent.mkdir(parents=True, exist_ok=True)
        half = len(ball.faces) // 2
        with path.open("w") as file:
            file.write(f"mtllib {path.stem}.mtl\n")
            np.savetxt(file, vertices, fmt="v %.6f %.6f %.6f")
            for name, faces in (("top", ball.faces[:half]), ("bottom", ball.faces[half:])):
                file.write(f"g {name}\nusemtl {name}\n")
                np.savetxt(file, faces + 1, fmt="f %d %d %d")
        colors = rng.uniform(0.1, 0.9, (2, 3))
        path.with_suffix(".mtl").write_text(
            "".join(
                f"newmtl {name}\nKd {r:.3f} {g:.3f} {b:.3f}\nKs 0.3 0.3 0.3\nNs 60\n"
                for name, (r, g, b) in zip(("top", "bottom"), colors, strict=True)
            )
        )
        paths.append(path)
    return paths
