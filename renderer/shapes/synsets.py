"""The categories of ShapeNetCore: WordNet offsets and the words people use for them.

Source: taxonomy.json of ShapeNetCore v2 (55 categories), and the two that only v1 has.
"""

from __future__ import annotations

import difflib

# offset: the name that is shown, then other words for it
SYNSETS: dict[str, tuple[str, ...]] = {
    "02691156": ("airplane", "aeroplane", "plane"),
    "02747177": ("trash bin", "ashcan", "trash can", "garbage can", "wastebin", "dustbin"),
    "02773838": ("bag", "traveling bag", "travelling bag", "grip", "suitcase"),
    "02801938": ("basket", "handbasket"),
    "02808440": ("bathtub", "bathing tub", "bath", "tub"),
    "02818832": ("bed",),
    "02828884": ("bench",),
    "02834778": ("bicycle", "pushbike", "cycle"),  # v1 only
    "02843684": ("birdhouse",),
    "02858304": ("boat",),  # v1 only
    "02871439": ("bookshelf", "bookcase"),
    "02876657": ("bottle",),
    "02880940": ("bowl",),
    "02924116": ("bus", "autobus", "coach", "double-decker", "motorbus", "omnibus"),
    "02933112": ("cabinet",),
    "02942699": ("camera", "photographic camera"),
    "02946921": ("can", "tin", "tin can"),
    "02954340": ("cap",),
    "02958343": ("car", "auto", "automobile", "motorcar"),
    "02992529": ("cellphone", "cellular telephone", "cellular phone", "cell", "mobile phone"),
    "03001627": ("chair",),
    "03046257": ("clock",),
    "03085013": ("keyboard", "computer keyboard", "keypad"),
    "03207941": ("dishwasher", "dish washer", "dishwashing machine"),
    "03211117": ("display", "video display", "monitor", "television"),
    "03261776": ("earphone", "earpiece", "headphone"),
    "03325088": ("faucet", "spigot", "tap"),
    "03337140": ("file cabinet", "file", "filing cabinet"),
    "03467517": ("guitar",),
    "03513137": ("helmet",),
    "03593526": ("jar",),
    "03624134": ("knife",),
    "03636649": ("lamp",),
    "03642806": ("laptop", "laptop computer"),
    "03691459": ("loudspeaker", "speaker", "speaker unit", "speaker system"),
    "03710193": ("mailbox", "letter box"),
    "03759954": ("microphone", "mike"),
    "03761084": ("microwave", "microwave oven"),
    "03790512": ("motorcycle", "motorbike", "bike"),
    "03797390": ("mug",),
    "03928116": ("piano", "pianoforte"),
    "03938244": ("pillow",),
    "03948459": ("pistol", "handgun", "side arm"),
    "03991062": ("pot", "flowerpot", "flower pot"),
    "04004475": ("printer", "printing machine"),
    "04074963": ("remote control", "remote"),
    "04090263": ("rifle",),
    "04099429": ("rocket", "projectile"),
    "04225987": ("skateboard",),
    "04256520": ("sofa", "couch", "lounge"),
    "04330267": ("stove",),
    "04379243": ("table",),
    "04401088": ("telephone", "phone", "telephone set"),
    "04460130": ("tower",),
    "04468005": ("train", "railroad train"),
    "04530566": ("watercraft", "vessel", "ship"),
    "04554684": ("washer", "automatic washer", "washing machine"),
}


def plain(word: str) -> str:
    """A word as it is compared: `Trash_Bins` is `trash bins`."""
    return " ".join(word.lower().replace("_", " ").replace("-", " ").split())


def singulars(word: str) -> tuple[str, ...]:
    """What an English plural may be the plural of, the word itself first."""
    endings = (("", ""), ("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"))
    return tuple(
        word.removesuffix(plural) + singular
        for plural, singular in endings
        if word.endswith(plural)
    )


def synset_of(word: str, names: dict[str, tuple[str, ...]] = SYNSETS) -> str | None:
    """The offset that a name, its plural or an offset itself stands for; None: none does."""
    if word.isdigit():
        return word.zfill(8) if word.zfill(8) in names else None
    # The name that is shown goes before other words, `bike` is the other word of one only.
    words = {plain(other): offset for offset, all_ in names.items() for other in all_[1:]}
    words |= {plain(all_[0]): offset for offset, all_ in names.items() if all_}
    return next((words[s] for s in singulars(plain(word)) if s in words), None)


def close(word: str, names: list[str]) -> list[str]:
    """Names that look like what was typed, nearest first."""
    return difflib.get_close_matches(plain(word), names, n=3, cutoff=0.7)
