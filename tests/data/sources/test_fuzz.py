"""Damaged files of every source: each gives a folder that loads, or one line; never a traceback or native output.

PRISMREC_FUZZ_CASES sets the number of cases of each source; the cases then differ from run to run.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from prismrec.data import load
from prismrec.data.sources import ImportOptions, import_source
from prismrec.errors import InputError

import public_data

CASES = os.environ.get("PRISMREC_FUZZ_CASES")
TOKENS = [
    *(b"\0", b"\n", b"\r", b"\r\n", b"\t", b'"', b"'", b"\\", b",", b"::", b"|", b" ", b"\xff", b"\xef\xbb\xbf"),
    *(b"\xed\xa0\x80", b"{", b"}", b"[" * 300, b"]", b"(", b"NaN", b"1e999", b"-", b"null", b"None", b"True"),
    *(b"9" * 30, b"\\ud800", b"u'"),
    *(b'{"a": 1}\n', b"{}\n", b"{'asin': 1}\n", b"\x1f\x8b", b"PK\x03\x04", "é☕".encode()),
]  # fmt: skip


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(content) + 1))
    length = int(rng.integers(1, 40))
    match int(rng.integers(0, 6)):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[at + length :]
        case 2:
            return content[:at] + content[at : at + length] * 2 + content[at + length :]
        case 3:
            return content[:at] + TOKENS[rng.integers(len(TOKENS))] + content[at:]
        case 4:
            return content[:at] + rng.bytes(length) + content[at + length :]
        case _:
            token = TOKENS[rng.integers(len(TOKENS))]
            return content.replace(content[at : at + 2] or b"\n", token)


def attempt(name: str, raw: Path, out: Path, rng: np.random.Generator) -> None:
    options = ImportOptions(k_core=int(rng.integers(0, 2)), all_items=bool(rng.integers(0, 2)))
    try:
        import_source(name, raw, out, options)
    except InputError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1500
        assert not out.exists()
    else:
        load(out)


@pytest.mark.parametrize("name", public_data.ALL)
def test_damaged_files_are_refused_in_one_line_or_give_a_folder_that_loads(name, tmp_path, capfd):
    seed = None if CASES else 0
    rng = np.random.default_rng(seed)
    files = public_data.ALL[name]
    readable = [file for file in files if "jpg" not in file]
    for case in range(int(CASES or 40)):
        raw = public_data.write(tmp_path / "raw", files)
        chosen = readable[rng.integers(len(readable))]
        content = files[chosen]
        for _ in range(rng.integers(1, 3)):
            content = damaged(content, rng)
        public_data.write(raw, {chosen: content})
        try:
            attempt(name, raw, tmp_path / "out", rng)
        except BaseException as error:
            raise AssertionError(f"case {case}: {chosen}: {content[:3000]!r}") from error
        shutil.rmtree(raw)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert not capfd.readouterr().err
