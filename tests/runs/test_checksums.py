"""A run notices files that it did not write."""

from pathlib import Path

import pytest

from prismrec.errors import InputError
from prismrec.runs.checksums import check_file, checksum

SIZES = [0, 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3]


@pytest.mark.parametrize("size", SIZES)
def test_the_same_file_passes_and_another_size_does_not(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    expected = checksum(file)
    check_file(file, expected)
    check_file(file, expected, whole=True)
    file.write_bytes(b"x" * (size + 1))
    with pytest.raises(InputError, match="other contents"):
        check_file(file, expected)


@pytest.mark.parametrize("position", [0, 1000, -1000, -1])
def test_a_changed_byte_near_an_end_is_found_at_once(tmp_path: Path, position: int) -> None:
    file = tmp_path / "file"
    contents = bytearray(5 << 20)
    file.write_bytes(contents)
    expected = checksum(file)
    contents[position] = 1
    file.write_bytes(contents)
    with pytest.raises(InputError, match="other contents"):
        check_file(file, expected)


def test_a_changed_byte_in_the_middle_is_found_by_a_whole_check(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = bytearray(5 << 20)
    file.write_bytes(contents)
    expected = checksum(file)
    contents[len(contents) // 2] = 1
    file.write_bytes(contents)
    check_file(file, expected)
    with pytest.raises(InputError, match="other contents"):
        check_file(file, expected, whole=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    expected = checksum(file)
    file.unlink()
    with pytest.raises(InputError, match="file: found no file"):
        check_file(file, expected)
