"""Releases in the layouts of other libraries: MMRec, MMSSL (LATTICE's layout) and RecBole.

`prismrec.load` reads these layouts directly. An import writes them in prismrec's own layout.
"""

from importlib.metadata import version
from pathlib import Path

from prismrec.data.build import load
from prismrec.data.import_record import ImportRecord, Step
from prismrec.data.sources.contract import Download, Source
from prismrec.data.sources.options import ImportOptions
from prismrec.data.write import write_table
from prismrec.errors import ParameterError

_RECBOLE = "https://recbole.s3-accelerate.amazonaws.com/ProcessedDatasets"
_AMAZON = (
    *("Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Grocery_and_Gourmet_Food"),
    *("Health_and_Personal_Care", "Home_and_Kitchen", "Instant_Video", "Kindle_Store", "Movies_and_TV"),
    *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors"),
    *("Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games"),
)
_RECBOLE_PATHS = {
    **{f"ml-{size}": f"MovieLens/ml-{size}.zip" for size in ("100k", "1m", "10m", "20m")},
    **{f"Amazon_{category}": f"Amazon_ratings/Amazon_{category}.zip" for category in _AMAZON},
    "anime": "Anime/anime.zip",
    "book-crossing": "Book-Crossing/book-crossing.zip",
    "epinions": "Epinions/epinions.zip",
    "gowalla": "Gowalla/merged/gowalla.zip",
    "lastfm": "LastFM/lastfm.zip",
    "mind_small_train": "MIND/mind_small_train.zip",
    "mind_large_train": "MIND/mind_large_train.zip",
    "steam": "Steam/merged/steam.zip",
    "yelp2018": "Yelp/yelp2018.zip",
    "yelp2022": "Yelp/yelp2022.zip",
}


def _recbole_downloads(part: str | None) -> tuple[Download, ...]:
    return () if part is None else (Download(f"{_RECBOLE}/{_RECBOLE_PATHS[part]}"),)


def import_release(source: Source, part: str | None, folder: Path, out: Path, options: ImportOptions) -> ImportRecord:
    """Read a folder in the layout of a source, and write it in the tabular layout.

    Args:
        source: with a layout.
        part: the part; RecBole's archives hold a folder of this name.
        folder: the files.
        out: an empty folder.
        options: `min_rating`, `k_core` and `split` apply.

    Raises:
        InputError: the folder cannot be read.
        ParameterError: an option that does not apply.
    """
    for name in ("since", "until", "all_items"):
        if getattr(options, name):
            found = str(getattr(options, name)).lower()
            raise ParameterError(name, found, f"no such option: {source.name} is read as it was released")
    inside = folder / part if part is not None else folder
    place = inside if inside.is_dir() else folder
    dataset = load(
        place,
        format=source.layout,
        min_rating=options.min_rating,
        k_core=options.k_core,
        split=options.split,
        modalities=None if options.features else (),
    )
    write_table(dataset, out)
    count = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    return ImportRecord(
        source=source.check_part(part),
        title=source.title,
        licence=source.licence,
        page=source.page,
        version=version("prismrec"),
        files={path.name: path.stat().st_size for path in sorted(place.iterdir()) if path.is_file()},
        options=options.given(),
        steps=(Step("written", count),),
        users=len(dataset.users),
        items=len(dataset.items),
        notes=dataset.notes,
    )


def _by_hand(files: str, page: str) -> str:
    return f"{files}, from {page} (Google Drive, in a browser)"


_MMREC = "https://drive.google.com/drive/folders/13cBy1EA_saTUuXxVllKgtfci2A09jyaG"
_MMSSL = "https://drive.google.com/drive/folders/1AB1RsnU-ETmubJgWLpJrXd8TjaK_eTp0"
SOURCES = (
    Source(
        name="mmrec",
        title="Baby, Sports, Clothing, Electronics and MicroLens as released with MMRec",
        licence="As the data sets behind them (Amazon Reviews 2014, MicroLens).",
        page="https://github.com/enoche/MMRec/tree/master/data",
        by_hand=_by_hand("NAME.inter, image_feat.npy and text_feat.npy", _MMREC),
        layout="mmrec",
    ),
    Source(
        name="mmssl",
        title="Amazon, TikTok and Allrecipes as released with MMSSL",
        licence="As the data sets behind them.",
        page="https://github.com/HKUDS/MMSSL",
        by_hand=_by_hand("train.json, val.json, test.json and MODALITY_feat.npy", _MMSSL),
        layout="lattice",
    ),
    Source(
        name="recbole",
        title="Atomic files as released with RecBole",
        licence="As the data sets behind them.",
        page="https://recbole.io/dataset_list.html",
        measure="rating",
        parts=tuple(_RECBOLE_PATHS),
        downloads=_recbole_downloads,
        layout="recbole",
    ),
)
