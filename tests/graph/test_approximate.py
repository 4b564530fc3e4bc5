"""The approximate search against the exact one, and the memory of both if an `[I, I]` matrix does not fit."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from prismrec.graph import approximate, knn, knn_graph
from prismrec.graph.knn import nearest_neighbours


def clustered(rows: int, width: int, per_cluster: int = 50, spread: float = 0.7, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(max(1, rows // per_cluster), width, generator=generator)
    chosen = torch.randint(len(centres), (rows,), generator=generator)
    return centres[chosen] + spread * torch.randn(rows, width, generator=generator)


def recall(found: Tensor, truth: Tensor) -> float:
    """Share of the true neighbours that were found, without the rows themselves; both arguments `[I, k]`."""
    own = torch.arange(len(truth))[:, None]
    hits = (truth[:, :, None] == found[:, None]).any(2) & (truth != own)
    return hits.sum().item() / (truth != own).sum().item()


@pytest.mark.parametrize(("width", "per_cluster"), [(8, 50), (8, 300), (32, 500)])
def test_an_approximate_search_finds_most_neighbours_and_measures_its_recall(width: int, per_cluster: int) -> None:
    features = clustered(6000, width, per_cluster)
    truth = nearest_neighbours(features, 10, "exact")
    found = nearest_neighbours(features, 10, "approximate")
    measured = recall(found.rows, truth.rows)
    assert truth.recall == 1
    assert 0.95 <= measured < 1  # a recall of 1 would mean that all cells were searched
    assert found.recall == pytest.approx(measured, abs=0.02)


def test_searching_the_nearest_cell_only_finds_too_few_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the number of cells matters for the recall in the test above."""
    monkeypatch.setattr(approximate, "WANTED_RECALL", 0.0)
    features = clustered(6000, 32, 500)
    found = nearest_neighbours(features, 10, "approximate")
    assert found.recall < 0.95
    assert recall(found.rows, nearest_neighbours(features, 10, "exact").rows) == pytest.approx(found.recall, abs=0.05)


def test_each_row_has_k_distinct_neighbours_itself_among_them_and_a_search_is_repeatable() -> None:
    features = clustered(4000, 16, 20)
    rows = nearest_neighbours(features, 7, "approximate").rows
    assert rows.shape == (4000, 7)
    assert (rows.diff(dim=1) > 0).all()  # ascending, so distinct
    assert (rows == torch.arange(4000)[:, None]).any(1).all()
    assert torch.equal(rows, nearest_neighbours(features, 7, "approximate").rows)


@pytest.mark.parametrize("block", [5, 3000])
def test_the_size_of_blocks_does_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features = clustered(2000, 16)
    whole = nearest_neighbours(features, 5, "approximate").rows
    for name in ("_BLOCK_ENTRIES", "_FOUND_AT_ONCE"):
        monkeypatch.setattr(approximate, name, block * 50)
    monkeypatch.setattr(approximate, "_LEAST_ROWS", 1)
    assert recall(nearest_neighbours(features, 5, "approximate").rows, whole) > 0.999  # products round by their shape


def test_auto_is_approximate_above_a_number_of_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    features = clustered(3000, 8)
    assert knn_graph(features, 10).recall == 1
    monkeypatch.setattr(knn, "EXACT_UP_TO", 2999)
    graph = knn_graph(features, 10)
    assert graph.recall < 1
    assert torch.equal(graph.pattern.indices.view(3000, 10), nearest_neighbours(features, 10).rows.int())


def test_rows_without_clusters_are_searched_exactly() -> None:
    noise = torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbours(noise, 10, "approximate")
    truth = nearest_neighbours(noise, 10, "exact")
    assert found.recall == 1
    assert torch.equal(found.rows, truth.rows)


def test_zero_rows_have_the_neighbours_of_the_exact_search_and_are_neighbours_of_no_other_row() -> None:
    features = clustered(3000, 16)
    zero = torch.tensor([0, 3, 1500, 2999])
    features[zero] = 0
    rows = nearest_neighbours(features, 6, "approximate").rows
    assert torch.equal(rows[zero], nearest_neighbours(features, 6, "exact").rows[zero])
    others = torch.ones(3000, dtype=torch.bool).index_fill(0, zero, False)
    assert not torch.isin(rows[others], zero).any()
    assert torch.equal(nearest_neighbours(torch.zeros(50, 4), 3, "approximate").rows[9], torch.tensor([0, 1, 9]))


def test_neighbours_of_repeated_rows_are_the_row_itself_and_its_copies() -> None:
    features = clustered(40, 16, 1)[torch.arange(4000) % 40]
    rows = nearest_neighbours(features, 5, "approximate").rows
    assert (rows == torch.arange(4000)[:, None]).any(1).all()
    assert (rows % 40 == torch.arange(4000)[:, None] % 40).all()


_AT_SIZE = """
import resource, sys, torch
from prismrec.graph import knn_graph
rows, method, room = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
centres = torch.randn(rows // 100, 8, generator=generator)
features = centres[torch.randint(len(centres), (rows,), generator=generator)]
features += 0.05 * torch.randn(rows, 8, generator=generator)
knn_graph(features[:1000], 10)  # loads libraries before the memory is limited
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + room
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    torch.empty(rows, rows, dtype=torch.bool)
except RuntimeError:
    pass  # an [I, I] matrix does not fit, even with one byte per entry
else:
    sys.exit("an [I, I] matrix fits into the limit")
graph = knn_graph(features, 10, method)
assert graph.pattern.shape == (rows, rows) and len(graph.pattern.indices) == 10 * rows
print(graph.recall)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space in the way of Linux")
@pytest.mark.parametrize(("rows", "method", "room"), [(200_000, "auto", 1 << 31), (24_000, "exact", 1 << 29)])
def test_the_search_works_if_an_item_by_item_matrix_does_not_fit_into_memory(rows: int, method: str, room: int) -> None:
    words = [str(rows), method, str(room)]
    done = subprocess.run([sys.executable, "-c", _AT_SIZE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0.95
