"""Where shapes come from: addresses, categories, keys, hashes, and folders as people have them."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renderer.shapes import find, scan, sources
from renderer.shapes.naming import LONGEST, make_key
from renderer.shapes.synsets import SYNSETS, synset_of

SHARED = Path(__file__).parents[2] / "../shared/data"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.fixture(autouse=True)
def no_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FARM_SHAPENET_ROOT", "FARM_MODELNET_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FARM_SAMPLES_ROOT", str(tmp_path / "samples"))


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no ../shared/data/{name} beside the repository: real models to try")
    return SHARED / name


def write(path: Path, text: str = TRIANGLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestKeys:
    def test_a_plain_name_is_its_own_key(self) -> None:
        assert make_key("02958343", "da1eda59830d") == "02958343-da1eda59830d"

    def test_another_character_becomes_an_underscore_and_a_digest_of_the_original_follows(
        self,
    ) -> None:
        digest = hashlib.sha256(b"OBJ format-a.b").hexdigest()[:8]

        assert make_key("OBJ format", "a.b") == f"OBJ_format-a_b-{digest}"

    @given(group=st.text(), id=st.text())
    def test_every_key_is_fit_for_a_tar_and_a_file_system(self, group: str, id: str) -> None:
        key = make_key(group, id.encode("utf-8", "replace").decode())

        assert re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key)

    @given(st.sets(st.text(alphabet="aä. /_-", min_size=1, max_size=4), min_size=2))
    def test_names_that_differ_have_keys_that_differ(self, names: set[str]) -> None:
        assert len({make_key("car", name) for name in names}) == len(names)

    @pytest.mark.parametrize("length", [LONGEST - 4, LONGEST - 3, 5000])
    def test_a_long_name_is_cut_and_still_told_from_its_neighbour(self, length: int) -> None:
        one, other = make_key("car", "a" * length + "1"), make_key("car", "a" * length + "2")

        assert len(one) <= LONGEST and one != other


class TestCategories:
    def test_all_55_categories_of_shapenet_core_v2_are_known_and_the_two_of_v1(self) -> None:
        assert len(SYNSETS) == 57
        assert all(re.fullmatch(r"\d{8}", offset) for offset in SYNSETS)

    @pytest.mark.parametrize("offset", SYNSETS)
    def test_the_name_that_is_shown_and_its_plural_lead_back_to_the_offset(
        self, offset: str
    ) -> None:
        name = SYNSETS[offset][0]
        plural = {"knife": "knives", "bookshelf": "bookshelves"}.get(name)
        plural = plural or name + ("es" if name.endswith(("s", "sh", "ch")) else "s")

        assert synset_of(name) == synset_of(plural) == offset

    @pytest.mark.parametrize("word", ["cars", "car", "Cars", "automobile", "02958343", "2958343"])
    def test_a_car_has_many_names(self, word: str) -> None:
        assert synset_of(word) == "02958343"


class TestAddresses:
    def test_every_source_is_found_by_its_file(self) -> None:
        assert {"folder", "modelnet", "samples", "shapenet"} <= set(sources())

    def test_a_typing_error_is_told_in_one_line_with_what_an_address_is(self) -> None:
        with pytest.raises(ValueError, match=r"no folder or file 'shapnet/cars'.*shapenet/") as e:
            scan(["shapnet/cars"])
        assert "\n" not in str(e.value)

    @pytest.mark.parametrize("source", ["shapenet", "modelnet"])
    def test_a_missing_root_names_the_variable_and_the_remedy(self, source: str) -> None:
        with pytest.raises(
            ValueError, match=rf"FARM_{source.upper()}_ROOT is not set; point it at"
        ):
            scan([f"{source}/chair"])

    def test_a_root_that_is_no_folder_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FARM_SHAPENET_ROOT", "/nowhere")

        with pytest.raises(ValueError, match="FARM_SHAPENET_ROOT=/nowhere is no folder"):
            scan(["shapenet/chair"])

    def test_available_never_raises(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for value in ("/nowhere", str(tmp_path)):
            monkeypatch.setenv("FARM_SHAPENET_ROOT", value)
            monkeypatch.setenv("FARM_MODELNET_ROOT", value)
            for source in sources().values():
                assert source.available().note

    @pytest.mark.parametrize("bad", [{"up": "x"}, {"limit": 0}])
    def test_wrong_options_are_refused_by_name(self, bad: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=next(iter(bad))):
            scan(["."], **bad)  # type: ignore[arg-type]

    def test_an_empty_folder_as_an_address_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no shapes at"):
            scan([str(tmp_path)])


class TestShapeNet:
    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        root = tmp_path / "ShapeNetCore"
        write(root / "02958343/b2/models/model_normalized.obj")
        write(root / "02958343/a1/model.obj")
        write(root / "03001627/c3/models/model_normalized.obj")
        (root / "02958343/empty").mkdir()
        (root / "02958343/textures/images").mkdir(parents=True)
        write(root / "02958343/notes.txt")
        monkeypatch.setenv("FARM_SHAPENET_ROOT", str(root))
        return root

    def test_both_versions_and_broken_folders_of_a_category_are_found(self, root: Path) -> None:
        shapes = {shape.id: shape for shape in scan(["shapenet/cars"])}

        assert list(shapes) == ["a1", "b2", "empty", "textures"]
        assert shapes["a1"].path == str(root / "02958343/a1/model.obj")
        assert shapes["b2"].key == "02958343-b2"
        assert (shapes["b2"].category, shapes["b2"].synset, shapes["b2"].up) == (
            "car",
            "02958343",
            "y",
        )
        assert shapes["empty"].problem == "an empty folder"
        assert "no mesh" in str(shapes["textures"].problem)
        assert shapes["empty"].sha256 == ""

    @pytest.mark.parametrize("address", ["shapenet", "shapenet/", "shapenet/all"])
    def test_no_category_is_every_category(self, root: Path, address: str) -> None:
        assert {shape.category for shape in scan([address])} == {"car", "chair"}

    def test_a_path_to_the_same_folder_gives_the_same_shapes(self, root: Path) -> None:
        assert scan([str(root)]) == scan(["shapenet/all"])
        assert scan([str(root / "02958343")]) == scan(["shapenet/car"])
        assert scan([str(root / "02958343/b2")]) == scan(["shapenet/car/b2"])
        mesh = root / "02958343/b2/models/model_normalized.obj"
        assert scan([str(mesh)]) == scan(["shapenet/car/b2"])

    def test_limit_takes_the_first_in_order_of_id(self, root: Path) -> None:
        assert [s.id for s in scan(["shapenet/car"], limit=1)] == ["a1"]
        assert [s.id for s in scan(["shapenet/all"], limit=2)] == ["a1", "b2"]

    def test_an_unknown_category_names_close_ones_and_what_is_there(self, root: Path) -> None:
        with pytest.raises(ValueError, match=r"'carr' \(did you mean car\?\); on disk: car, chair"):
            scan(["shapenet/carr"])

    def test_a_category_that_is_still_zipped_says_so(self, root: Path) -> None:
        (root / "03797390.zip").touch()

        with pytest.raises(ValueError, match=r"mug \(03797390\) is not in .*unpack it"):
            scan(["shapenet/mugs"])

    def test_the_taxonomy_names_what_we_do_not_know(self, root: Path) -> None:
        write(root / "09999999/x/model.obj")
        (root / "taxonomy.json").write_text('[{"synsetId": "09999999", "name": "spoon,ladle"}]')

        assert [s.category for s in scan(["shapenet/ladles"])] == ["spoon"]

    def test_the_official_split_is_used(self, root: Path) -> None:
        (root / "all.csv").write_text(
            "id,synsetId,subSynsetId,modelId,split\n1,02958343,02958343,a1,train\n"
            "2,02958343,02958343,b2,val\n"
        )

        assert [s.split for s in scan(["shapenet/car"])] == ["train", "val", None, None]

    def test_a_split_file_that_is_none_is_refused_by_name(self, root: Path) -> None:
        (root / "all.csv").write_text("a;b\n1;2\n")
        assert all(s.split is None for s in scan(["shapenet/car"]))

        (root / "all.csv").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(ValueError, match=r"all\.csv: not the split file"):
            scan(["shapenet/car"])

    def test_the_folder_above_the_root_will_do(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FARM_SHAPENET_ROOT", str(root.parent))

        assert len(scan(["shapenet/chair"])) == 1

    def test_the_84_models_of_the_shared_folder_are_found(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FARM_SHAPENET_ROOT", str(shared("shapenet_style")))

        assert len(scan(["shapenet/all"])) == 84
        assert len(scan(["shapenet/cars"])) == 27


class TestModelNet:
    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        root = tmp_path / "modelnet"
        for name in ("night_stand/train/night_stand_0001", "chair/test/chair_0890"):
            write(root / f"ModelNet40/{name}.off", OFF)
        write(root / "ModelNet10/chair/train/chair_0001.off", OFF)
        monkeypatch.setenv("FARM_MODELNET_ROOT", str(root))
        return root

    def test_classes_carry_their_own_split_and_z_is_up(self, root: Path) -> None:
        (stand,), (chair,) = scan(["modelnet/night-stands"]), scan(["modelnet/chair"])

        assert (stand.key, stand.split, stand.up) == ("night_stand-night_stand_0001", "train", "z")
        assert (stand.category, chair.split) == ("night stand", "test")

    def test_an_edition_can_be_named(self, root: Path) -> None:
        assert [s.id for s in scan(["modelnet/ModelNet10/chair"])] == ["chair_0001"]

    def test_an_unknown_class_names_what_is_there(self, root: Path) -> None:
        with pytest.raises(ValueError, match=r"no class 'chiar' \(did you mean chair\?\)"):
            scan(["modelnet/chiar"])


class TestFolder:
    def test_the_sub_folder_is_the_category_and_the_rest_of_the_path_the_id(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "toys/cars/fast/red one.obj")
        write(tmp_path / "toys/house.obj")

        shapes = {shape.category: shape for shape in scan([str(tmp_path / "toys")])}

        assert (shapes["cars"].id, shapes["toys"].id) == ("fast/red one", "house")
        assert shapes["cars"].key == make_key("cars", "fast/red one")

    def test_up_is_y_for_obj_and_gltf_and_z_for_the_others_unless_given(
        self, tmp_path: Path
    ) -> None:
        for suffix in ("obj", "OBJ", "glb", "gltf", "ply", "stl", "STL", "off"):
            write(tmp_path / suffix / f"a.{suffix}")

        up = {Path(shape.path).suffix: shape.up for shape in scan([str(tmp_path)])}

        assert up == {".obj": "y", ".OBJ": "y", ".glb": "y", ".gltf": "y", ".ply": "z",
                      ".stl": "z", ".STL": "z", ".off": "z"}  # fmt: skip
        assert {shape.up for shape in scan([str(tmp_path)], up="z")} == {"z"}

    def test_two_formats_of_one_model_keep_their_suffix(self, tmp_path: Path) -> None:
        for name in ("a.obj", "a.off", "b.obj"):
            write(tmp_path / name)

        assert [s.id for s in scan([str(tmp_path)])] == ["a.obj", "a.off", "b"]

    def test_a_model_folder_lends_its_name(self, tmp_path: Path) -> None:
        write(tmp_path / "cars/one/models/model_normalized.obj")
        write(tmp_path / "cars/two/model.obj")

        assert [s.key for s in scan([str(tmp_path)])] == ["cars-one", "cars-two"]

    def test_synset_folders_further_down_are_recognised(self, tmp_path: Path) -> None:
        write(tmp_path / "data/v2/02958343/one/models/model_normalized.obj")
        write(tmp_path / "data/20240131/two.obj")

        assert [(s.key, s.category) for s in scan([str(tmp_path / "data")])] == [
            ("02958343-one", "car"),
            ("20240131-two", "20240131"),
        ]

    def test_what_only_looks_like_a_shape_is_listed_with_its_problem(self, tmp_path: Path) -> None:
        write(tmp_path / "good.obj")
        (tmp_path / "zero.obj").touch()
        (tmp_path / "dir.obj").mkdir()
        (tmp_path / "gone.obj").symlink_to("nowhere.obj")
        (tmp_path / "loop.obj").symlink_to("loop.obj")
        (tmp_path / "hollow").mkdir()
        os.mkfifo(tmp_path / "pipe.obj")

        shapes = {Path(s.path).name: s.problem for s in scan([str(tmp_path)])}

        assert shapes["good.obj"] is None
        assert shapes["zero.obj"] == "0 bytes"
        assert shapes["dir.obj"] == "a folder with the name of a mesh file"
        assert "No such file" in str(shapes["gone.obj"])
        assert "symbolic links" in str(shapes["loop.obj"])
        assert shapes["hollow"] == "an empty folder"
        assert shapes["pipe.obj"] == "not an ordinary file"

    def test_a_folder_called_like_a_file_is_entered_where_it_holds_meshes(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "car.obj/car.obj")

        assert [s.problem for s in scan([str(tmp_path)])] == [None]

    def test_a_loop_of_links_ends_and_a_link_never_names_a_shape(self, tmp_path: Path) -> None:
        write(tmp_path / "z/real/car.obj")
        (tmp_path / "a").symlink_to(tmp_path / "z")
        (tmp_path / "z/real/up").symlink_to(tmp_path)

        assert [s.id for s in scan([str(tmp_path)])] == ["real/car"]

    def test_hidden_files_are_passed_over(self, tmp_path: Path) -> None:
        write(tmp_path / "car.obj")
        write(tmp_path / "._car.obj")
        write(tmp_path / ".git/x.obj")

        assert len(scan([str(tmp_path)])) == 1

    @pytest.mark.parametrize("name", ["a b", "Стул", "椅子", "ä'\"$", "x.y.z"])
    def test_any_name_is_normal(self, tmp_path: Path, name: str) -> None:
        (shape,) = scan([str(write(tmp_path / f"{name}.obj"))])

        assert shape.id == name and len(shape.sha256) == 64

    def test_a_name_that_is_no_utf8_is_a_problem_that_can_be_written_as_json(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / os.fsdecode(b"caf\xe9.obj")).write_text(TRIANGLE)

        (shape,) = scan([str(tmp_path)])

        assert shape.problem == "its name is not UTF-8: rename it"
        assert shape.path.encode().endswith(b"caf\\xe9.obj")

    def test_a_folder_that_cannot_be_listed_is_told(self, tmp_path: Path) -> None:
        write(tmp_path / "cars/a.obj")
        (tmp_path / "locked").mkdir()
        (tmp_path / "locked").chmod(0)
        if os.access(tmp_path / "locked", os.R_OK):
            pytest.skip("root may list every folder")

        problems = [s.problem for s in scan([str(tmp_path)]) if s.problem]

        assert problems == ["cannot be read: Permission denied"]

    def test_one_file_is_an_address(self) -> None:
        (shape,) = scan([str(shared("kenney_car_kit") / "OBJ format/taxi.obj")])

        assert (shape.category, shape.id) == ("OBJ format", "taxi")

    def test_a_file_that_is_no_mesh_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"not one of \.obj"):
            scan([str(write(tmp_path / "notes.txt"))])

    def test_the_real_corpora_are_found_whole(self) -> None:
        shapes = scan([str(shared(n)) for n in ("shapenet_style", "kenney_car_kit", "nasty")])

        assert len(shapes) == len({shape.key for shape in shapes}) == 84 + 100 + 252
        assert [Path(s.path).name for s in shapes if s.problem] == [
            "empty.obj", "empty.off", "empty.ply"]  # fmt: skip


class TestScan:
    def test_the_hash_is_of_the_mesh_then_its_files_in_order_of_name(self, tmp_path: Path) -> None:
        mesh = write(tmp_path / "m.obj", "mtllib m.mtl\n" + TRIANGLE)
        library = write(tmp_path / "m.mtl", "newmtl a\nmap_Kd z.png\nmap_Bump tex/a.png\n")
        z, a = write(tmp_path / "z.png", "zz"), write(tmp_path / "tex/a.png", "aa")

        (shape,) = scan([str(mesh)])

        content = b"".join(p.read_bytes() for p in (mesh, library, a, z))
        assert shape.sha256 == hashlib.sha256(content).hexdigest()

    def test_a_file_found_twice_counts_once(self, tmp_path: Path) -> None:
        mesh = write(tmp_path / "cars/a.obj")

        assert len(scan([str(tmp_path), str(mesh.parent), str(mesh)])) == 1

    def test_different_shapes_of_one_name_are_told_apart_by_their_content(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "x/cars/a.obj")
        write(tmp_path / "y/cars/a.obj", TRIANGLE + "# other\n")
        write(tmp_path / "z/cars/a.obj")

        shapes = scan([str(tmp_path / "x"), str(tmp_path / "y"), str(tmp_path / "z")])

        assert len(shapes) == len({shape.sha256 for shape in shapes}) == 2
        assert all(re.fullmatch("cars-a-[0-9a-f]{8}", shape.key) for shape in shapes)

    def test_the_order_of_addresses_does_not_matter(self, tmp_path: Path) -> None:
        for n in range(40):
            write(tmp_path / f"{n % 3}/{n:02}.obj", TRIANGLE + f"# {n}\n")
        parts = [str(tmp_path / str(n)) for n in range(3)]

        assert scan(parts) == scan(parts[::-1])

    def test_progress_is_told_up_to_the_end(self, tmp_path: Path) -> None:
        for n in range(7):
            write(tmp_path / f"{n}.obj")
        seen: list[tuple[int, int | None]] = []

        scan([str(tmp_path)], progress=lambda done, total: seen.append((done, total)))

        assert seen[-1] == (7, 7)

    def test_finding_opens_no_file(self, tmp_path: Path) -> None:
        write(tmp_path / "a.obj").chmod(0)

        assert [candidate.id for candidate in find(str(tmp_path))] == ["a"]
