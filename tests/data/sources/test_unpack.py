"""Archives that nobody vouches for."""

import io
import stat
import tarfile
import zipfile

import pytest

from prismrec.data.sources.unpack import unpack
from prismrec.errors import InputError


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("write", [zipped, tarred])
def test_one_folder_in_an_archive_is_kept_and_loose_files_get_one(tmp_path, out, write):
    suffix = ".zip" if write is zipped else ".tar.gz"
    names = unpack(write(tmp_path / f"deep{suffix}", [("ml/a.dat", b"1"), ("ml/b/c.dat", b"2")]), out)
    assert names == ["ml/a.dat", "ml/b/c.dat"]
    assert (out / "ml/b/c.dat").read_bytes() == b"2"
    names = unpack(write(tmp_path / f"flat{suffix}", [("a.dat", b"1"), ("b.dat", b"2")]), out)
    assert names == ["flat/a.dat", "flat/b.dat"]


@pytest.mark.parametrize("write", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "a\\..\\evil", ".."])
def test_a_member_that_leads_out_of_the_folder_is_refused(tmp_path, out, write, name):
    archive = write(tmp_path / "x.zip", [("fine.txt", b"1"), (name, b"2")])
    with pytest.raises(InputError, match="paths stay inside"):
        unpack(archive, out)
    assert not list(out.iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, out, kind):
    info = tarfile.TarInfo("link")
    info.type = kind
    info.linkname = "/etc/passwd"
    with pytest.raises(InputError, match="a link or a device"):
        unpack(tarred(tmp_path / "x.tar", [(info, b"")], "w"), out)


def test_links_in_a_zip_are_refused(tmp_path, out):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="a link 'link'"):
        unpack(zipped(tmp_path / "x.zip", [(info, "/etc/passwd")]), out)


def test_two_members_with_one_name_are_refused(tmp_path, out):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(tmp_path / "x.zip", [("a/b.txt", b"1"), ("a/b.txt", b"2")])
    with pytest.raises(InputError, match=r"two members 'a/b\.txt'"):
        unpack(archive, out)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, out):
    with pytest.raises(InputError, match="when unpacked"):
        unpack(zipped(tmp_path / "x.zip", [("a.txt", bytes(100_000_000))]), out)
    assert not list(out.iterdir())


def test_a_member_with_more_bytes_than_it_declares_is_refused(tmp_path, out):
    archive = zipped(tmp_path / "x.zip", [("a.txt", b"x" * 1000)])
    data = archive.read_bytes()
    size = (1000).to_bytes(4, "little")
    archive.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(InputError):
        unpack(archive, out)


@pytest.mark.parametrize("write", [zipped, tarred])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused_in_one_line(tmp_path, out, write, share):
    archive = write(tmp_path / "x.zip", [("a/b.txt", bytes(range(256)) * 1000), ("a/c.txt", b"2" * 10_000)])
    data = archive.read_bytes()
    archive.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as refusal:
        unpack(archive, out)
    assert refusal.value.where == str(archive)


def test_a_file_that_is_no_archive_is_refused(tmp_path, out):
    (tmp_path / "x.zip").write_bytes(b"<html>")
    with pytest.raises(InputError, match="a complete zip or tar archive"):
        unpack(tmp_path / "x.zip", out)
