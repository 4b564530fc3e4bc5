"""The page in one file, without a browser."""

from pathlib import Path

from prismrec.serving import ServerSettings, offline_page


def test_the_work_is_reported_item_by_item(run_folder: Path, shop: Path) -> None:
    reports: list[tuple[int, int]] = []
    page = offline_page(
        ServerSettings(run_folder, data=shop, log_requests=False), 1, 2, lambda *each: reports.append(each)
    )
    total = reports[0][1]
    assert reports == [(done, total) for done in range(1, total + 1)]
    assert page.count('"api/item?id=') == total
