"""Which files a mesh names, and that nothing outside its folder is ever opened."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from renderer.shapes.references import References, lines_with, references, roots_of, texture_name


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def of(path: Path) -> References:
    return references(path, roots_of(path))


def names(found: References, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found.files]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (b"map_Kd wood.png", "wood.png"),
        (b"map_Kd -s 1 1 1 -bm 0.5 a b.png", "a b.png"),
        (b"map_Ka -o 1 tex.png", "tex.png"),
        (b"map_Kd -s 1.0 2 3.png", "3.png"),
        (b"map_Bump -bm -.5e-1 n.png", "n.png"),
        (b"refl -type sphere -mm 0 1 r.png", "r.png"),
        (b'map_Kd "quoted name.png"', "quoted name.png"),
        (b"map_Kd\ttab.png", "tab.png"),
        (b"norm -odd.png", "-odd.png"),
        (b"map_Kd ..\\images\\a.png", "..\\images\\a.png"),
        (b"map_Kd", ""),
    ],
)
def test_the_name_of_a_texture_comes_after_its_options(statement: bytes, name: str) -> None:
    assert texture_name(statement) == name


def test_libraries_may_share_a_line_or_have_spaces_in_their_names(tmp_path: Path) -> None:
    mesh = write(tmp_path / "m.obj", "mtllib my lib.mtl\n  mtllib a.mtl b c.mtl\nv 0 0 0\n")
    for name in ("my lib.mtl", "a.mtl", "b c.mtl"):
        write(tmp_path / name, f"map_Kd {name}.png\n")

    found = of(mesh)

    assert names(found, tmp_path) == ["a.mtl", "b c.mtl", "my lib.mtl"]
    assert found.missing == ("a.mtl.png", "b c.mtl.png", "my lib.mtl.png")


def test_the_library_with_the_meshs_own_name_counts_for_blender_reads_it(tmp_path: Path) -> None:
    mesh = write(tmp_path / "m.obj", "mtllib other.mtl\n")
    write(tmp_path / "m.mtl")

    assert names(of(mesh), tmp_path) == ["m.mtl"]
    assert of(mesh).missing == ("other.mtl",)


def test_shapenet_textures_are_found_beside_the_models_folder(tmp_path: Path) -> None:
    mesh = write(tmp_path / "id/models/model_normalized.obj", "mtllib model_normalized.mtl\n")
    write(mesh.with_suffix(".mtl"), "map_Kd ../images/t.jpg\nmap_Ks ../secret.jpg\n")
    texture = write(tmp_path / "id/images/t.jpg")
    write(tmp_path / "id/secret.jpg")

    found = of(mesh)

    assert found.files == (texture, mesh.with_suffix(".mtl"))
    assert found.outside == ("../secret.jpg",)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x.png", "..", "sub/../../y.png"])
def test_what_lies_outside_is_told_and_not_taken(tmp_path: Path, name: str) -> None:
    write(tmp_path / "x.png")
    write(tmp_path / "a/y.png")
    mesh = write(tmp_path / "a/b/m.obj", "mtllib m.mtl\n")
    write(mesh.with_suffix(".mtl"), f"map_Kd {name}\n")

    found = of(mesh)

    assert found.outside == (name,) and found.files == (mesh.with_suffix(".mtl"),)


def test_a_link_counts_by_where_it_leads(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.png")
    mesh = write(tmp_path / "a/m.obj", "mtllib m.mtl\n")
    write(tmp_path / "a/m.mtl", "map_Kd link.png\n")
    (tmp_path / "a/link.png").symlink_to(secret)

    assert names(of(mesh), tmp_path / "a") == ["m.mtl"]


def test_a_models_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real/m.obj", "mtllib m.mtl\n")
    write(tmp_path / "real/m.mtl", "map_Kd t.png\n")
    write(tmp_path / "real/t.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert names(of(tmp_path / "link/m.obj"), tmp_path / "link") == ["m.mtl", "t.png"]


@pytest.mark.parametrize("name", ["tex\\T.PNG", "tex/t.png", r"C:\art\tex\own.png", "/old/own.png"])
def test_names_from_another_machine_are_mended(tmp_path: Path, name: str) -> None:
    mesh = write(tmp_path / "m.obj", "mtllib m.mtl\n")
    write(tmp_path / "m.mtl", f"map_Kd {name}\n")
    write(tmp_path / "tex/T.PNG")
    write(tmp_path / "own.png")

    found = of(mesh)

    assert len(found.files) == 2 and not found.missing
    assert found.named(name) in (tmp_path / "tex/T.PNG", tmp_path / "own.png")


def test_a_gltf_names_buffers_and_images(tmp_path: Path) -> None:
    document = {
        "buffers": [{"uri": "a%20b.bin"}, {"uri": "data:,x"}, {"uri": "gone.bin"}, {"uri": 7}],
        "images": [{"uri": "https://example.org/a.png"}, {"uri": "t.png"}, {"bufferView": 0}],
    }
    mesh = write(tmp_path / "m.gltf", json.dumps(document))
    write(tmp_path / "a b.bin")
    write(tmp_path / "t.png")

    found = of(mesh)

    assert names(found, tmp_path) == ["a b.bin", "t.png"]
    assert (found.missing, found.buffers) == (("gone.bin",), ("gone.bin",))
    assert found.outside == ("https://example.org/a.png",)


def test_a_glb_is_read_from_its_first_chunk(tmp_path: Path) -> None:
    text = json.dumps({"images": [{"uri": "t.png"}]}).encode()
    mesh = tmp_path / "m.glb"
    mesh.write_bytes(b"glTF" + (2).to_bytes(4, "little") + (20 + len(text)).to_bytes(4, "little")
                     + len(text).to_bytes(4, "little") + b"JSON" + text)  # fmt: skip
    write(tmp_path / "t.png")

    assert names(of(mesh), tmp_path) == ["t.png"]


def test_a_large_mesh_is_searched_in_less_than_a_second(tmp_path: Path) -> None:
    mesh = write(tmp_path / "m.obj", "v 0.123456 0.234567 0.345678\n" * 1_800_000 + "mtllib z.mtl")
    assert mesh.stat().st_size > 50e6

    begin = time.process_time()
    found = of(mesh)

    assert found.missing == ("z.mtl",)
    assert time.process_time() - begin < 1


def test_a_line_across_two_pieces_is_found_whole(tmp_path: Path) -> None:
    text = "# mtllib no.mtl\r\nmtllib one.mtl\r\n v 1 2 3\n\tmtllib two.mtl"
    mesh = write(tmp_path / "m.obj", text)

    for chunk in range(1, 60):
        found = [line.strip() for line in lines_with(mesh, b"mtllib", chunk)]

        assert found == [b"one.mtl", b"two.mtl"]
