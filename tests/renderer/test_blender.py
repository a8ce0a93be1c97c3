"""What Blender makes of a file: right place, right colour, right parts, and nothing else."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from renderer.blender.engine import missing_library
from renderer.camera import project, unproject
from renderer.members import PASSES

LIGHT = {"position": [2.0, 2.0, 2.0], "watts": 150.0, "color": [1.0, 1.0, 1.0]}
FRONT = {"azimuth": 270.0, "elevation": 0.0}  # from +z: x to the right, y up
BOX = [(1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (3, 7, 8, 4), (1, 5, 7, 3), (2, 4, 8, 6)]


def corners(low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """[8, 3]; with the faces BOX (from 1), which wind outwards."""
    ends = np.array([low, high], float)
    return np.array([[ends[x, 0], ends[y, 1], ends[z, 2]] for x in (0, 1) for y in (0, 1) for z in (0, 1)])  # noqa: E501  # fmt: skip


def obj(path: Path, *parts: str, mtl: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mtl:
        path.with_suffix(".mtl").write_text(mtl)
    path.write_text((f"mtllib {path.stem}.mtl\n" if mtl else "") + "\n".join(parts) + "\n")
    return path


def box(
    low: Sequence[float] = (0, 0, 0),
    high: Sequence[float] = (1, 1, 1),
    before: str = "",
    first: int = 1,
    uv: bool = False,
) -> str:
    """OBJ lines; `before` stands before the faces."""
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in corners(low, high)]
    lines += ["vt 0.1 0.1", "vt 0.9 0.1", "vt 0.9 0.9", "vt 0.1 0.9"] if uv else []
    lines += before.splitlines()
    for face in BOX:
        at = [first - 1 + corner for corner in face]
        lines.append("f " + " ".join(f"{n}/{k}" if uv else str(n) for k, n in enumerate(at, 1)))
    return "\n".join(lines)


def sphere(subdivisions: int = 4) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.array(ball.vertices), np.array(ball.faces)


def mesh_obj(
    path: Path, vertices: Any, faces: Any, normals: Any = None, smooth: bool = True
) -> Path:
    """An OBJ; normals, where given, are those of the corners [F, 3, 3]."""
    lines = ["v {:.9g} {:.9g} {:.9g}".format(*v) for v in vertices]
    if normals is None:
        lines += ["s 1"] if smooth else []
        lines += ["f {} {} {}".format(*(face + 1)) for face in faces]
    else:
        for n, face in enumerate(faces):
            lines += ["vn {:.6f} {:.6f} {:.6f}".format(*one) for one in normals[n]]
            lines.append("f " + " ".join(f"{v + 1}//{3 * n + k + 1}" for k, v in enumerate(face)))
    return obj(path, *lines)


def opaque(view: dict[str, np.ndarray]) -> np.ndarray:
    return view["rgba"][..., 3] == 255


def interior(view: dict[str, np.ndarray]) -> np.ndarray:
    """Opaque pixels with opaque pixels around them."""
    return cv2.erode(opaque(view).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def normals_of(view: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(view["normal"] / 32767.5 - 1)


def centres(where: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(where)
    return np.stack([columns, rows], axis=1) + 0.5


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.views, other.views, strict=True)
    return all((a[kind] == b[kind]).all() for a, b in pairs for kind in PASSES)


def srgb(linear: float) -> float:
    return 255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vertices, faces = sphere()
    folder = tmp_path_factory.mktemp("ball")
    return mesh_obj(folder / "ball.obj", vertices, faces, vertices[faces])


class TestGeometry:
    @pytest.mark.parametrize("size", [(48, 48), (37, 51), (64, 22), (7, 11)])
    def test_depth_unprojected_lies_on_the_surface_within_a_pixel(
        self, blender: Any, ball: Path, size: tuple[int, int]
    ) -> None:
        views = [{"azimuth": a, "elevation": e} for a, e in ((0, 0), (200, -30), (75, 50))]
        rendered = blender.render(ball, views, size=size)

        for view, camera in zip(rendered.views, rendered.cameras, strict=True):
            assert view["depth"].shape == size[::-1]
            hit = view["depth"] > 0
            assert hit.any()
            depth = view["depth"][hit] * 5e-5
            points = unproject(centres(hit), depth, camera, rendered.intrinsics)
            away = np.abs(np.linalg.norm(points, axis=1) - 1 / 12**0.5)
            assert away.max() < 1.1 * 2.1 / rendered.intrinsics[0, 0]
            assert np.median(away) < 0.3 * 2.1 / rendered.intrinsics[0, 0]

    def test_normals_of_a_ball_are_its_directions(self, blender: Any, ball: Path) -> None:
        rendered = blender.render(ball, [{"azimuth": 30}, {"azimuth": 160, "elevation": -40}],
                                  size=(96, 96), spp=16)  # fmt: skip
        for view, camera in zip(rendered.views, rendered.cameras, strict=True):
            inside = interior(view)
            depth = view["depth"][inside] * 5e-5
            points = unproject(centres(inside), depth, camera, rendered.intrinsics)
            expected = points / np.linalg.norm(points, axis=1, keepdims=True)
            normal = normals_of(view)[inside]
            angle = np.degrees(np.arccos(np.clip((normal * expected).sum(axis=1), -1, 1)))
            assert np.median(angle) < 1 and np.percentile(angle, 90) < 3
            assert np.allclose(np.linalg.norm(normals_of(view)[opaque(view)], axis=1), 1, atol=1e-4)

    def test_normals_of_a_box_are_its_faces_in_the_world_whatever_the_camera(
        self, blender: Any, tmp_path: Path
    ) -> None:
        path = obj(tmp_path / "box.obj", box((0, 0, 0), (3, 1, 2)))
        rendered = blender.render(
            path, [{"azimuth": a, "elevation": 30} for a in (40, 130, 220)], size=(64, 64)
        )

        for view, camera in zip(rendered.views, rendered.cameras, strict=True):
            normal = normals_of(view)[interior(view)]
            flat = np.abs(normal).max(axis=1) > np.cos(np.radians(1))
            assert flat.mean() > 0.8  # the rest are edges between two faces
            faces = {tuple(n) for n in np.rint(normal[flat]).astype(int)}
            towards = np.linalg.inv(camera)[:3, 3]
            assert faces == {tuple(n) for n in np.eye(3, dtype=int) * np.sign(towards).astype(int)}

    def test_the_world_is_centred_with_a_diagonal_of_1_and_recorded(
        self, blender: Any, tmp_path: Path
    ) -> None:
        path = obj(tmp_path / "far.obj", box((100, 200, 300), (102, 203, 306)))
        rendered = blender.render(path)
        low = rendered.triangles.reshape(-1, 3).min(axis=0)
        high = rendered.triangles.reshape(-1, 3).max(axis=0)

        assert np.allclose(low, -high, atol=1e-6)
        assert np.linalg.norm(high - low) == pytest.approx(1, abs=1e-5)
        assert rendered.normalization["center"] == pytest.approx([101, 201.5, 303])
        assert rendered.normalization["scale"] == pytest.approx(1 / 7)
        assert rendered.normalization["rotation"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

    @pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e9])
    def test_size_in_the_file_plays_no_part(
        self, blender: Any, tmp_path: Path, scale: float
    ) -> None:
        usual = blender.render(obj(tmp_path / "1.obj", box((0, 0, 0), (3, 1, 2))), spp=4)
        high = (3 * scale, scale, 2 * scale)
        other = blender.render(obj(tmp_path / "2.obj", box((0, 0, 0), high)), spp=4)

        difference = usual.views[0]["rgba"].astype(int) - other.views[0]["rgba"]
        assert (np.abs(difference) <= 2).mean() > 0.99
        assert (np.abs(usual.views[0]["depth"].astype(int) - other.views[0]["depth"]) <= 2).all()

    def test_only_pixels_of_the_projected_shape_have_anything(
        self, blender: Any, ball: Path
    ) -> None:
        (view,) = blender.render(ball, spp=4).views
        outside = view["rgba"][..., 3] == 0

        for kind in PASSES:
            assert not view[kind][outside].any(), kind
        assert (view["depth"][opaque(view)] > 0).all() and (view["mask"][opaque(view)] > 0).all()

    def test_vertices_of_no_face_do_not_count_for_the_size(
        self, blender: Any, tmp_path: Path
    ) -> None:
        stray = obj(tmp_path / "a.obj", box(), "v 50 50 50")
        assert blender.render(stray).normalization["scale"] == pytest.approx(1 / 3**0.5)


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One shape without symmetry, with its y up or its z up by the habit of each format."""
    import trimesh

    folder = tmp_path_factory.mktemp("upright")
    faces = np.array([t for a, b, c, d in BOX for t in ((a, b, c), (a, c, d))]) - 1
    ends = ((0, 0, 0), (3, 1, 1.4)), ((2.1, 1, 0.9), (2.9, 2.2, 1.3))
    shape = trimesh.util.concatenate([trimesh.Trimesh(corners(*e), faces) for e in ends])
    to_z_up = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    turned = shape.copy().apply_transform(to_z_up)
    meshes = {"obj": shape, "glb": shape, "gltf": shape, "ply": turned, "stl": turned}
    found = {}
    for suffix, mesh in {**meshes, "off": turned}.items():
        found[suffix] = folder / suffix / f"shape.{suffix}"
        found[suffix].parent.mkdir()
        if suffix == "gltf":
            for name, data in trimesh.Scene(mesh).export(file_type="gltf").items():
                (found[suffix].parent / name.replace("model.", "shape.")).write_bytes(data)
        else:
            mesh.export(found[suffix])
    return found


class TestUpAxes:
    @pytest.mark.parametrize("suffix", ["glb", "gltf", "ply", "stl", "off"])
    def test_a_shape_stands_the_same_in_every_format(
        self, blender: Any, upright: dict[str, Path], suffix: str
    ) -> None:
        views = [{"azimuth": a, "elevation": 15} for a in (20, 130)]
        expected = blender.render(upright["obj"], views, up="y")
        found = blender.render(upright[suffix], views, up="y" if suffix in ("glb", "gltf") else "z")

        for one, other in zip(expected.views, found.views, strict=True):
            alpha = np.abs(one["rgba"][..., 3].astype(int) - other["rgba"][..., 3])
            assert (alpha > 10).sum() <= 2
            both = opaque(one) & opaque(other)
            difference = np.abs(one["depth"].astype(int) - other["depth"])[both]
            assert np.percentile(difference, 95) < 20  # 1/1000 of the diagonal
        assert np.allclose(
            np.sort(found.triangles.reshape(-1, 3), axis=0),
            np.sort(expected.triangles.reshape(-1, 3), axis=0),
            atol=1e-5,
        )

    def test_the_turn_is_recorded(self, blender: Any, upright: dict[str, Path]) -> None:
        rendered = blender.render(upright["stl"], up="z")
        assert rendered.normalization["rotation"] == [[1, 0, 0], [0, 0, 1], [0, -1, 0]]

    def test_a_user_may_say_otherwise(self, blender: Any, upright: dict[str, Path]) -> None:
        lying = blender.render(upright["obj"], up="z")
        extent = np.ptp(lying.triangles.reshape(-1, 3), axis=0)
        assert np.allclose(extent / extent[0], [1, 1.4 / 3, 2.2 / 3], atol=1e-5)


class TestColour:
    @pytest.mark.parametrize("color", [(0.8, 0.1, 0.02), (0, 0, 0), (1, 1, 1), (0.5, 0.25, 0.75)])
    @pytest.mark.parametrize("extra", ["", "Pm 1.0\n", "Ks 1 1 1\nNs 900\n", "Ni 1.5\nillum 7\n"])
    def test_albedo_is_the_materials_colour_also_of_metal_and_gloss(
        self, blender: Any, tmp_path: Path, color: tuple[float, ...], extra: str
    ) -> None:
        kd = " ".join(map(str, color))
        path = obj(tmp_path / "a.obj", box(before="usemtl m"), mtl=f"newmtl m\nKd {kd}\n{extra}")
        (view,) = blender.render(path).views

        found = view["albedo"][interior(view)].astype(int)
        # Blender reads Kd as linear light.
        assert (np.abs(found - np.rint([srgb(part) for part in color])) <= 1).all()

    def test_albedo_of_a_fully_metallic_glb_is_its_base_colour(
        self, blender: Any, tmp_path: Path
    ) -> None:
        import trimesh

        material = trimesh.visual.material.PBRMaterial(
            baseColorFactor=[204, 51, 26, 255], metallicFactor=1.0, roughnessFactor=0.1
        )
        mesh = trimesh.creation.box()
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        mesh.export(tmp_path / "metal.glb")
        (view,) = blender.render(tmp_path / "metal.glb").views

        expected = [srgb(part / 255) for part in (204, 51, 26)]
        assert (np.abs(view["albedo"][interior(view)] - expected) <= 1.01).all()

    def test_colours_of_vertices_are_shown_where_there_is_no_material(
        self, blender: Any, tmp_path: Path
    ) -> None:
        lines = box().splitlines()
        colored = [f"{line} 1.0 0.2 0.0" if line.startswith("v ") else line for line in lines]
        (view,) = blender.render(obj(tmp_path / "a.obj", *colored)).views

        # Colours in OBJ and PLY are sRGB as people see them.
        assert (np.abs(view["albedo"][interior(view)].astype(int) - [255, 51, 0]) <= 1).all()

    def test_no_material_at_all_is_grey(self, blender: Any, tmp_path: Path) -> None:
        (view,) = blender.render(obj(tmp_path / "a.obj", box())).views
        assert (np.abs(view["albedo"][interior(view)] - srgb(0.8)) <= 1.01).all()

    def test_light_is_encoded_by_the_srgb_curve(self, blender: Any) -> None:
        steps = np.linspace(0, 1, 1001)
        found = blender.ask({"srgb": [*steps.tolist(), -1, 2]})["srgb"]

        assert (np.abs(np.array(found[:-2]) - [srgb(step) for step in steps]) <= 0.51).all()
        assert found[-2:] == [0, 255]

    def test_a_face_in_even_light_has_the_colour_that_physics_says(
        self, blender: Any, tmp_path: Path
    ) -> None:
        """A matte face that sees only the sky of radiance 0.35: no view transform bends it."""
        mtl = "newmtl m\nKd 0.5 0.5 0.5\nKs 0 0 0\nillum 1\n"
        path = obj(tmp_path / "a.obj", box(before="usemtl m"), mtl=mtl)
        (view,) = blender.render(path, [{**FRONT, "lights": []}], spp=64).views

        found = view["rgba"][interior(view)][:, :3].mean()
        assert found == pytest.approx(srgb(0.5 * 0.35), abs=4)


class TestTransparency:
    @pytest.mark.parametrize(
        "line", ["d 0.0", "d 0.3", "Tr 1.0", "d 0.0\nTr 1.0\nillum 4", "Tf 1 1 1"]
    )
    def test_what_the_mtl_makes_invisible_is_rendered_opaque(
        self, blender: Any, tmp_path: Path, line: str
    ) -> None:
        plain = obj(tmp_path / "a.obj", box(before="usemtl m"), mtl="newmtl m\nKd 0.6 0.3 0.3\n")
        clear = obj(
            tmp_path / "b.obj", box(before="usemtl m"), mtl=f"newmtl m\nKd 0.6 0.3 0.3\n{line}\n"
        )
        one, other = blender.render(plain).views[0], blender.render(clear).views[0]

        assert (one["rgba"][..., 3] == other["rgba"][..., 3]).all()
        assert (one["albedo"] == other["albedo"]).all()
        if "illum" not in line:  # which makes it glossy besides
            assert np.abs(one["rgba"].astype(int) - other["rgba"]).mean() < 5

    def test_a_texture_whose_alpha_is_nought_shows_its_colour(
        self, blender: Any, tmp_path: Path
    ) -> None:
        image = np.full((8, 8, 4), (30, 90, 200, 0), np.uint8)  # BGRA
        cv2.imwrite(str(tmp_path / "t.png"), image)
        mtl = "newmtl m\nKd 1 1 1\nmap_Kd t.png\nmap_d t.png\n"
        path = obj(tmp_path / "a.obj", box(before="usemtl m", uv=True), mtl=mtl)
        (view,) = blender.render(path).views

        assert interior(view).any()
        assert (np.abs(view["albedo"][interior(view)].astype(int) - [200, 90, 30]) <= 1).all()

    def test_a_see_through_glb_is_rendered_opaque(self, blender: Any, tmp_path: Path) -> None:
        import trimesh

        material = trimesh.visual.material.PBRMaterial(
            baseColorFactor=[204, 51, 26, 20], alphaMode="BLEND", metallicFactor=0.0
        )
        mesh = trimesh.creation.box()
        mesh.visual = trimesh.visual.TextureVisuals(material=material)
        mesh.export(tmp_path / "glass.glb")
        (view,) = blender.render(tmp_path / "glass.glb").views

        assert interior(view).sum() > 100


class TestTextures:
    RED, BLUE = (255, 0, 0), (0, 0, 255)

    def textured(self, path: Path, name: str, kd: str = "0 0 1") -> Path:
        mtl = f"newmtl m\nKd {kd}\nmap_Kd {name}\n"
        return obj(path, box(before="usemtl m", uv=True), mtl=mtl)

    def red(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), (0, 0, 255), np.uint8))
        return path

    def color(self, blender: Any, path: Path, **options: Any) -> tuple[int, ...]:
        (view,) = blender.render(path, **options).views
        colors = np.unique(view["albedo"][interior(view)], axis=0)
        assert len(colors) == 1
        return tuple(map(int, colors[0]))

    @pytest.mark.parametrize("name", ["t.png", "./t.png", "sub/t.png", "a b.png", "T.PNG"])
    def test_one_beside_the_mesh_is_used(self, blender: Any, tmp_path: Path, name: str) -> None:
        self.red(tmp_path / name)
        assert self.color(blender, self.textured(tmp_path / "a.obj", name)) == self.RED

    def test_one_in_shapenets_images_is_used(self, blender: Any, tmp_path: Path) -> None:
        self.red(tmp_path / "id" / "images" / "t.png")
        path = self.textured(tmp_path / "id" / "models" / "model_normalized.obj", "../images/t.png")
        assert self.color(blender, path) == self.RED

    def test_images_beside_another_folder_are_not(self, blender: Any, tmp_path: Path) -> None:
        self.red(tmp_path / "id" / "images" / "t.png")
        path = self.textured(tmp_path / "id" / "mesh" / "a.obj", "../images/t.png")
        assert self.color(blender, path) == self.BLUE

    @pytest.mark.parametrize("name", ["nothing.png", "../nothing.png", "C:\\x\\nothing.png", "sub"])
    def test_a_missing_one_gives_way_to_the_plain_colour(
        self, blender: Any, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "sub").mkdir()
        assert self.color(blender, self.textured(tmp_path / "a.obj", name)) == self.BLUE

    @pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n\0\0"])
    def test_a_broken_one_gives_way_to_the_plain_colour(
        self, blender: Any, tmp_path: Path, data: bytes
    ) -> None:
        (tmp_path / "t.png").write_bytes(data)
        assert self.color(blender, self.textured(tmp_path / "a.obj", "t.png")) == self.BLUE

    @pytest.mark.parametrize("way", ["above", "far above", "absolute", "link", "linked folder"])
    def test_one_outside_of_the_models_folder_is_never_used(
        self, blender: Any, tmp_path: Path, way: str
    ) -> None:
        secret = self.red(tmp_path / "private" / "secret.png")
        model = tmp_path / "shapes" / "model"
        model.mkdir(parents=True)
        name = {
            "above": "../secret.png",
            "far above": "../../private/secret.png",
            "absolute": str(secret),
            "link": "t.png",
            "linked folder": "folder/secret.png",
        }[way]
        if way == "above":
            self.red(tmp_path / "shapes" / "secret.png")
        if way == "link":
            (model / "t.png").symlink_to(secret)
        if way == "linked folder":
            (model / "folder").symlink_to(secret.parent)

        assert self.color(blender, self.textured(model / "a.obj", name)) == self.BLUE

    @pytest.mark.parametrize("way", ["../{}", "%2e%2e/{}", "absolute", "file://absolute", "link"])
    def test_a_gltf_that_names_a_picture_elsewhere_does_not_get_it(
        self, blender: Any, tmp_path: Path, way: str
    ) -> None:
        import trimesh

        secret = self.red(tmp_path / "secret.png")
        mesh = trimesh.creation.box()
        uv = np.random.default_rng(0).random((len(mesh.vertices), 2))
        from PIL import Image

        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=Image.new("RGB", (4, 4), (9, 9, 9)),
            baseColorFactor=[255, 255, 255, 255],  # else the red of the secret would not show
            metallicFactor=0.0,
        )
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        model = tmp_path / "model"
        model.mkdir()
        name = way.replace("absolute", str(secret)).format(secret.name)
        if way == "link":
            (model / "link").symlink_to(secret)
        for name, data in trimesh.Scene(mesh).export(file_type="gltf").items():
            if name.endswith(".gltf"):
                import json

                document = json.loads(data)
                document["images"] = [{"uri": name}]
                data = json.dumps(document).encode()
            (model / name).write_bytes(data)
        (view,) = blender.render(model / "model.gltf").views

        assert len(np.unique(view["albedo"][interior(view)])) == 1  # grey, and nothing red


class TestParts:
    def test_are_numbered_by_first_appearance_and_not_by_name(
        self, blender: Any, tmp_path: Path
    ) -> None:
        names = ["zebra", "apple", "mango 2", "Äpfel"]
        parts = [
            box((2 * n, 0, 0), (2 * n + 1, 1 + n, 1), before=f"g {name}", first=8 * n + 1)
            for n, name in enumerate(names)
        ]
        (view,) = blender.render(obj(tmp_path / "a.obj", *parts), [FRONT], size=(64, 64)).views

        seen = [view["mask"][:, column].max() for column in range(64)]
        assert [int(part) for n, part in enumerate(seen) if part and part != seen[n - 1]] == [
            1, 2, 3, 4,
        ]  # fmt: skip

    @pytest.mark.parametrize("word", ["o", "g"])
    def test_objects_and_groups_are_parts(self, blender: Any, tmp_path: Path, word: str) -> None:
        parts = [
            box((2 * n, 0, 0), (2 * n + 1, 1, 1), before=f"{word} part{9 - n}", first=8 * n + 1)
            for n in range(3)
        ]
        (view,) = blender.render(obj(tmp_path / "a.obj", *parts), [FRONT], size=(48, 48)).views
        assert set(np.unique(view["mask"])) == {0, 1, 2, 3}

    def test_of_several_parts_each_keeps_its_colour(self, blender: Any, tmp_path: Path) -> None:
        parts = [
            box((2 * n, 0, 0), (2 * n + 1, 1, 1), before=f"o p{n}\nusemtl m{n}", first=8 * n + 1)
            for n in range(3)
        ]
        mtl = "".join(f"newmtl m{n}\nKd {n == 0:d} {n == 1:d} {n == 2:d}\n" for n in range(3))
        (view,) = blender.render(
            obj(tmp_path / "a.obj", *parts, mtl=mtl), [FRONT], size=(64, 64)
        ).views
        for n in range(3):
            mine = interior(view) & (view["mask"] == n + 1)
            assert mine.any() and (view["albedo"][mine][:, n] == 255).mean() > 0.9

    def test_more_than_255_share_the_last_number(self, blender: Any, tmp_path: Path) -> None:
        parts = [
            box((2 * (n % 18), 2 * (n // 18), 0), (2 * (n % 18) + 1, 2 * (n // 18) + 1, 1),
                before=f"g part{n}", first=8 * n + 1)
            for n in range(18 * 16)
        ]  # fmt: skip
        (view,) = blender.render(obj(tmp_path / "a.obj", *parts), [FRONT], size=(150, 150)).views

        assert view["mask"].max() == 255 and len(np.unique(view["mask"])) > 230


class TestDoubledFaces:
    """SketchUp's habit, and so ShapeNet's: every face twice, back to back."""

    def shapes(self, folder: Path) -> dict[str, Path]:
        v, f = sphere(2)
        rng = np.random.default_rng(0)
        mixed = f.copy()
        turned = rng.random(len(f)) < 0.5
        mixed[turned] = mixed[turned, ::-1]
        twice = np.vstack([f, f[:, ::-1]])
        apart = np.vstack([f, f[:, ::-1] + len(v)])
        return {
            "shared": mesh_obj(folder / "1.obj", v, twice),
            "shared, with normals": mesh_obj(
                folder / "2.obj", v, twice, np.vstack([v[f], -v[f[:, ::-1]]])
            ),
            "apart": mesh_obj(folder / "3.obj", np.vstack([v, v]), apart),
            "apart, with normals": mesh_obj(
                folder / "4.obj", np.vstack([v, v]), apart, np.vstack([v[f], -v[f[:, ::-1]]])
            ),
            "inside out, normals outwards": mesh_obj(
                folder / "5.obj", v, f[:, ::-1], v[f[:, ::-1]]
            ),
            "wound at random": mesh_obj(folder / "6.obj", v, mixed),
            "wound at random, normals outwards": mesh_obj(folder / "7.obj", v, mixed, v[mixed]),
        }

    def test_and_faces_wound_wrong_look_like_the_shape_without_them(
        self, blender: Any, tmp_path: Path
    ) -> None:
        v, f = sphere(2)
        view = [{"lights": [{**LIGHT, "position": [0.0, 2.5, 1.0]}]}]
        plain = blender.render(mesh_obj(tmp_path / "0.obj", v, f, v[f]), view, spp=16)
        for name, path in self.shapes(tmp_path).items():
            found = blender.render(path, view, spp=16)
            inside = interior(plain.views[0])

            assert len(found.triangles) == len(f), name
            color = np.abs(plain.views[0]["rgba"].astype(int) - found.views[0]["rgba"])[inside]
            assert color.mean() < 6, name
            cosine = (normals_of(plain.views[0]) * normals_of(found.views[0])).sum(axis=2)[inside]
            assert cosine.min() > 0.95, name

    def test_across_parts_count_once_and_the_first_part_has_them(
        self, blender: Any, tmp_path: Path
    ) -> None:
        path = obj(
            tmp_path / "a.obj",
            box(before="g first"),
            box(before="g again", first=9),
            box((2, 0, 0), (3, 1, 1), before="g other", first=17),
        )
        found = blender.render(path, [FRONT])

        assert len(found.triangles) == 24 and set(np.unique(found.views[0]["mask"])) == {0, 1, 2}

    def test_copies_of_one_mesh_in_a_glb_stay_where_each_of_them_is(
        self, blender: Any, tmp_path: Path
    ) -> None:
        import trimesh

        scene = trimesh.Scene()
        mesh = trimesh.creation.box()
        scene.add_geometry(mesh, geom_name="box", node_name="one")
        away = np.eye(4)
        away[0, 3] = 3
        scene.graph.update("two", matrix=away, geometry="box")
        scene.export(tmp_path / "two.glb")

        assert len(blender.render(tmp_path / "two.glb").triangles) == 24


class TestAWarmSession:
    def test_lights_of_the_last_view_are_gone(self, blender: Any, ball: Path) -> None:
        many = [{**LIGHT, "position": [2.0 * np.cos(a), 1.0, 2.0 * np.sin(a)]} for a in range(6)]
        alone = blender.render(ball, [{"lights": [LIGHT]}])
        after = blender.render(ball, [{"lights": many}, {"lights": [LIGHT]}, {"lights": []}])

        assert (after.views[1]["rgba"] == alone.views[0]["rgba"]).all()
        assert after.views[2]["rgba"][..., :3].mean() < after.views[1]["rgba"][..., :3].mean()

    def test_one_view_is_the_same_alone_and_after_others(self, blender: Any, ball: Path) -> None:
        views = [{"azimuth": 40.0 * n, "seed": n} for n in range(4)]
        together = blender.render(ball, views)
        for number, view in enumerate(views):
            (alone,) = blender.render(ball, [view]).views
            assert all((alone[k] == together.views[number][k]).all() for k in PASSES)

    def test_the_order_of_shapes_plays_no_part(
        self, blender: Any, ball: Path, tmp_path: Path
    ) -> None:
        parts = [
            box((2 * n, 0, 0), (2 * n + 1, 1, 1), before=f"g p{n}\nusemtl m", first=8 * n + 1)
            for n in range(3)
        ]
        other = obj(tmp_path / "a.obj", *parts, mtl="newmtl m\nKd 1 0.2 0\nKs 1 1 1\n")
        first = [blender.render(path) for path in (ball, other)]
        second = [blender.render(path) for path in (other, ball)]

        assert same(first[0], second[1]) and same(first[1], second[0])

    def test_a_second_process_and_a_second_thread_give_the_same_bytes(
        self, blender: Any, children: Any, ball: Path, tmp_path: Path
    ) -> None:
        views = [{"azimuth": 10}, {"azimuth": 100, "elevation": -10}]
        one = blender.render(ball, views, spp=8)
        other = children.Blender(tmp_path / "other", threads=2)
        try:
            two = other.render(ball, views, spp=8)
        finally:
            other.close()

        assert same(one, two) and (one.triangles == two.triangles).all()

    def test_nothing_but_the_shape_is_seen(self, blender: Any, tmp_path: Path) -> None:
        """A mesh has a second user, far behind: neither it nor its shadow may show."""
        frame = obj(
            tmp_path / "a.obj",
            box((0, 0, 0), (1, 5, 1)),
            box((4, 0, 0), (5, 5, 1), first=9),
            box((1, 4, 0), (4, 5, 1), first=17),
        )
        (view,) = blender.render(frame, [FRONT], size=(48, 48)).views

        assert not view["rgba"][24:34, 20:28].any() and interior(view).any()

    def test_cameras_and_lamps_of_a_file_do_not_count(
        self, blender: Any, tmp_path: Path, ball: Path
    ) -> None:
        import json

        import trimesh

        trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "plain.glb")
        tree = trimesh.Scene(trimesh.creation.icosphere(subdivisions=2)).export(file_type="gltf")
        for name, data in tree.items():
            if name.endswith(".gltf"):
                document = json.loads(data)
                lights = [{"type": "point", "intensity": 5000.0}]
                document["extensions"] = {"KHR_lights_punctual": {"lights": lights}}
                document["extensionsUsed"] = ["KHR_lights_punctual"]
                document["cameras"] = [
                    {"type": "perspective", "perspective": {"yfov": 0.1, "znear": 0.1}}
                ]
                extra = {"extensions": {"KHR_lights_punctual": {"light": 0}}, "name": "lamp"}
                extra["translation"] = [0, 3, 0]
                count = len(document["nodes"])
                document["nodes"] += [extra, {"camera": 0, "name": "camera"}]
                document["scenes"][0]["nodes"] += [count, count + 1]
                data = json.dumps(document).encode()
            (tmp_path / name).write_bytes(data)

        plain = blender.render(tmp_path / "plain.glb")
        lit = blender.render(tmp_path / "model.gltf")
        assert same(plain, lit)
        assert same(blender.render(ball), blender.render(ball))

    def test_bad_files_between_good_ones_leave_no_trace(
        self, blender: Any, children: Any, ball: Path, tmp_path: Path
    ) -> None:
        before = blender.render(ball)
        (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
        (tmp_path / "b.glb").write_bytes(b"glTF and then nothing")
        (tmp_path / "c.off").write_text("OFF\n3 1 0\n0 0 0\n")
        (tmp_path / "d.xyz").write_text("0 0 0\n")
        for path in sorted(tmp_path.iterdir()):
            with pytest.raises(children.Refused):
                blender.render(path)

        assert same(blender.render(ball), before)


class TestThisMachine:
    def test_cycles_runs_on_the_cpu_where_that_is_asked_for(
        self, children: Any, ball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FARM_DEVICE", "cpu")
        asked = children.Blender(tmp_path / "cpu")
        try:
            assert asked.render(ball, size=(8, 8)).device == "CPU"
        finally:
            asked.close()

    @pytest.mark.parametrize(
        ("message", "told"),
        [
            ("libX11.so.6: cannot open shared object file: No such file", "libx11-6"),
            ("libSM.so.6: cannot open shared object file", "libsm6"),
            ("libstrange.so.1: cannot open", "the package that has libstrange.so.1"),
        ],
    )
    def test_a_missing_system_library_is_told_with_the_packages_to_install(
        self, message: str, told: str
    ) -> None:
        line = missing_library(message)
        assert told in line and "apt-get install" in line and "libgl1" in line and "\n" not in line

    def test_blender_is_of_a_version_that_we_know(self) -> None:
        version = tuple(map(int, importlib.metadata.version("bpy").split(".")[:2]))
        assert (4, 5) <= version < (6, 0)


def test_projected_vertices_bound_what_is_seen(blender: Any, ball: Path) -> None:
    rendered = blender.render(ball, spp=16)
    pixels, _ = project(rendered.triangles.reshape(-1, 3), rendered.cameras[0], rendered.intrinsics)
    rows, columns = np.nonzero(rendered.views[0]["rgba"][..., 3])
    assert columns.min() >= pixels[:, 0].min() - 1.5 and columns.max() <= pixels[:, 0].max() + 0.5
    assert rows.min() >= pixels[:, 1].min() - 1.5 and rows.max() <= pixels[:, 1].max() + 0.5
