"""Bookshelves with books in them, open towards +x."""

from __future__ import annotations

from renderer.shapes.rules.chairs import four, leg
from renderer.shapes.rules.dice import Dice
from renderer.shapes.rules.material import Material, matte, metal, paint, plastic, wood
from renderer.shapes.rules.part import Part
from renderer.shapes.rules.solid import Solid, both, box, cylinder, ellipsoid, joined, lathe

NAME = "bookshelf"
SYNSET = "02871439"
ALSO = ("bookcase", "bookcases", "shelf", "shelves")
PARTS = ("frame", "shelves", "books", "legs", "doors", "ornaments")

KINDS = ("tall", "open", "cubes", "low", "ladder")
SPINES = (
    "#8c2f2b",
    "#27496d",
    "#2f6b4f",
    "#c9a227",
    "#5b3a6b",
    "#d9d2c0",
    "#2b2c30",
    "#b5622d",
    "#4a8a91",
    "#a33f62",
)
PAINTS = ("#f1efe9", "#2b2d31", "#7d8f86", "#3f5873", "#c9b79a")


def make(form: Dice, finish: Dice) -> list[Part]:
    kind = form.turn(KINDS)
    main: Material = wood(finish) if finish.chance(0.7) else paint(finish.pick(PAINTS), "lacquer")
    rows, columns = {
        "tall": (form.whole(4, 6), 1),
        "open": (form.whole(4, 5), 1),
        "cubes": (form.whole(2, 4), form.whole(2, 4)),
        "low": (form.whole(2, 3), form.whole(1, 2)),
        "ladder": (form.whole(4, 5), 1),
    }[kind]
    each = {"cubes": form.between(0.33, 0.38)}.get(kind, form.between(0.3, 0.36))
    wide = columns * (
        each if kind == "cubes" else form.between(0.7, 0.95) / (1 if columns == 1 else 1.3)
    )
    deep, thick = form.between(0.26, 0.34), form.between(0.018, 0.032)
    foot = form.between(0.03, 0.14) if kind in ("tall", "low") else 0.0
    high = rows * each + thick
    parts: list[Part] = []
    steel = metal(finish.pick(["#26272a", "#b4b7bb", "#b08d4a"]), "frame")

    def depth(row: int) -> float:
        return deep * (1.25 - 0.5 * row / max(rows - 1, 1)) if kind == "ladder" else deep

    boards = []
    last = rows + 1 if kind != "ladder" else rows
    for row in range(last):
        d = depth(row)
        boards.append(
            box(
                d, thick, wide - (0 if kind in ("open", "ladder") else 2 * thick) + 0.002, 0.003
            ).moved((d - deep) / 2, foot + row * each + thick / 2)
        )
    parts.append(Part("shelves", joined(*boards).wrapped(0.4, "z"), main))
    if kind == "open":
        post = box(0.025, high, 0.025, 0.003).moved(0, high / 2)
        parts.append(Part("frame", four(post, deep / 2 - 0.01, wide / 2 + 0.01), steel))
        brace = box(0.008, 0.03, wide, 0.002)
        parts.append(
            Part(
                "frame",
                joined(brace.moved(-deep / 2, high * 0.25), brace.moved(-deep / 2, high * 0.75)),
                steel,
            )
        )
    elif kind == "ladder":
        top = rows * each - each * 0.35
        front = leg(top, 0.035, 0.035, True, depth(0) * 0.42 + deep * 0.1, 0.0)
        rear = box(0.035, top, 0.03, 0.004).moved(-deep / 2 + 0.01, top / 2)
        parts.append(
            Part(
                "frame",
                both(joined(front.moved(0.02), rear).moved(0, 0, wide / 2 + 0.012)).wrapped(
                    0.4, "y"
                ),
                main,
            )
        )
    else:
        side = box(deep, high, thick, 0.003).moved(0, foot + high / 2, wide / 2 - thick / 2)
        back = box(0.008, high - 0.01, wide - 0.01).moved(-deep / 2 + 0.006, foot + high / 2)
        parts.append(Part("frame", both(side).wrapped(0.4, "y"), main))
        parts.append(
            Part(
                "frame",
                back.wrapped(0.4, "y"),
                main if finish.chance(0.7) else matte(finish.pick(PAINTS), "back"),
            )
        )
        if columns > 1:
            walls = [
                box(deep - 0.02, high, thick * 0.8, 0.003).moved(
                    0, foot + high / 2, wide * (i / columns - 0.5)
                )
                for i in range(1, columns)
            ]
            parts.append(Part("frame", joined(*walls).wrapped(0.4, "y"), main))
        if foot > 0.08:
            parts.append(
                Part(
                    "legs",
                    four(
                        leg(foot + 0.01, 0.04, 0.025, form.chance(0.5), 0.01, 0.01),
                        deep / 2 - 0.04,
                        wide / 2 - 0.06,
                    ).wrapped(0.3, "y"),
                    main if kind == "low" else steel,
                )
            )
        elif foot:
            parts.append(
                Part(
                    "legs",
                    box(deep - 0.03, foot + 0.002, wide - 0.02, 0.002)
                    .moved(-0.01, foot / 2)
                    .wrapped(0.4, "z"),
                    main,
                )
            )
    books: dict[str, list[Solid]] = {}
    doors = kind == "tall" and form.chance(0.4)

    for row in range(rows):
        if doors and row == 0:
            continue
        for column in range(columns):
            y = foot + row * each + thick
            left, right = (
                (column / columns - 0.5) * wide + thick + 0.005,
                ((column + 1) / columns - 0.5) * wide - thick - 0.005,
            )
            _row(
                form,
                finish,
                books,
                parts,
                depth(row),
                depth(row) - deep,
                y,
                left,
                right,
                each - thick,
                kind == "ladder" and row == rows - 1,
            )
    for color, solids in sorted(books.items()):
        parts.append(Part("books", joined(*solids), matte(color, f"book{SPINES.index(color)}")))
    if doors:
        leaf = box(0.018, each - 0.01, wide / 2 - thick, 0.003).moved(
            deep / 2 - 0.006, foot + thick / 2 + each / 2, wide / 4 - thick / 2
        )
        knob = (
            cylinder(0.012, 0.025, 0.004, 14)
            .turned("z", 90)
            .moved(deep / 2 + 0.012, foot + each * 0.6, 0.04)
        )
        parts += [
            Part("doors", both(leaf).wrapped(0.4, "y"), main),
            Part("doors", both(knob), steel),
        ]
    return parts


def _row(
    form: Dice,
    finish: Dice,
    books: dict[str, list[Solid]],
    parts: list[Part],
    deep: float,
    shift: float,
    y: float,
    left: float,
    right: float,
    room: float,
    bare: bool,
) -> None:
    """Fills one compartment: mostly books from the left, now and then a vase or a globe."""
    z = left
    until = right if form.chance(0.45) else left + (right - left) * form.between(0.45, 0.9)
    size, color = form.between(0.6, 0.85), finish.pick(SPINES)
    while not bare:
        thick = form.between(0.018, 0.045)
        if z + thick > until:
            break
        if form.chance(0.35):  # a new set
            size, color = form.between(0.55, 0.9), finish.pick(SPINES)
        tall, long = (
            room * size * form.between(0.96, 1.0),
            min(deep * 0.85, form.between(0.15, 0.22)),
        )
        spine = box(long, tall, thick * 0.94, 0.003)
        books.setdefault(color, []).append(
            spine.moved(shift / 2 + deep / 2 - long / 2 - 0.025, y + tall / 2, z + thick / 2)
        )
        z += thick
    free = right - z
    if free > 0.14 and form.chance(0.7):
        color = finish.pick(SPINES)
        tint = paint(color, f"vase{SPINES.index(color)}")
        middle = z + free / 2
        kind = form.pick(["vase", "globe", "stack"])
        if kind == "vase":
            h = room * form.between(0.45, 0.75)
            vase = lathe(
                [
                    (0, 0),
                    (h * 0.16, 0),
                    (h * 0.28, h * 0.35),
                    (h * 0.22, h * 0.65),
                    (h * 0.1, h * 0.85),
                    (h * 0.15, h),
                    (0, h * 0.98),
                ],
                20,
            ).creased(60)
            name = "ornaments"
            parts.append(Part(name, vase.moved(shift / 2, y, middle), tint))
        elif kind == "globe":
            r = min(room * 0.28, free * 0.4, 0.09)
            ball = ellipsoid(r, r, r, 20).moved(shift / 2, y + r * 1.45, middle)
            stand = lathe(
                [
                    (0, 0),
                    (r * 0.7, 0),
                    (r * 0.6, 0.01),
                    (0.012, r * 0.3),
                    (0.01, r * 0.6),
                    (0, r * 0.6),
                ],
                18,
            ).moved(shift / 2, y, middle)
            parts += [
                Part("ornaments", ball, plastic("#2f6fa8", "globe")),
                Part("ornaments", stand, metal("#b08d4a", "brass")),
            ]
        else:
            at = y
            for _ in range(form.whole(2, 4)):
                h = form.between(0.02, 0.04)
                books.setdefault(finish.pick(SPINES), []).append(
                    box(min(deep * 0.8, 0.16), h * 0.94, min(free * 0.85, 0.2), 0.003).moved(
                        shift / 2 + 0.02, at + h / 2, middle
                    )
                )
                at += h
