"""The approximate search: what it finds, and that it keeps the rules of the exact one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.errors import InputError
from prismrec.retrieval import indexed_search
from prismrec.retrieval.index import ItemIndex
from prismrec.retrieval.indexed_search import IndexedSearch, tune
from prismrec.retrieval.search import ExactSearch, Search
from prismrec.types import Interactions

pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")

ITEMS, WIDTH = 4000, 16


@pytest.fixture(autouse=True)
def few_allowed_items_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_search, "_LEAST_ALLOWED", 50)


def vectors(count: int = ITEMS, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Clusters of vectors whose lengths differ, as those of trained items."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, WIDTH))
    rows = centres[rng.integers(40, size=count)] + 0.4 * rng.standard_normal((count, WIDTH))
    return torch.from_numpy((scale * rows * rng.lognormal(0, 0.5, (count, 1))).astype(np.float32))


def nothing(queries: torch.Tensor, items: int = ITEMS) -> Interactions:
    return Interactions.from_pairs([], [], len(queries), items)


def searches(items: torch.Tensor, queries: torch.Tensor, target: float = 0.97) -> tuple[IndexedSearch, ExactSearch]:
    index = ItemIndex.build(items)
    tune(index, items, queries, target)
    exact = ExactSearch(items)
    return IndexedSearch(index, items, exact), exact


def recall(found: Search, exact: Search, queries: torch.Tensor, k: int, hidden: Interactions | None = None) -> float:
    hidden = nothing(queries) if hidden is None else hidden
    best = exact.search(queries, k, hidden).items
    items = found.search(queries, k, hidden).items
    return float(np.mean([np.isin(row[row >= 0], near).mean() for row, near in zip(best, items, strict=True)]))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_the_recall_that_is_reported_is_that_of_other_queries(scale: float) -> None:
    items = vectors(scale=scale)
    index = ItemIndex.build(items)
    quality = tune(index, items, vectors(800, seed=1), 0.9)
    exact = ExactSearch(items)
    others = recall(IndexedSearch(index, items, exact), exact, vectors(400, seed=2), 100)
    assert index.probes < index.count / 2
    assert quality.recall > 0.85
    assert abs(others - quality.recall) < 0.04


def test_a_higher_target_reads_more_lists() -> None:
    items, queries = vectors(), vectors(200, seed=1)
    index = ItemIndex.build(items)
    probes = []
    for target in (0.7, 0.99):
        tune(index, items, queries, target)
        probes.append(index.probes)
    assert probes[0] < probes[1]


def test_scores_are_exact_and_lists_are_in_order() -> None:
    items, queries = vectors(), vectors(50, seed=1)
    search, _ = searches(items, queries)
    found = search.search(queries, 20, nothing(queries))
    expected = (queries.double() @ items.double().T).gather(1, found.items)
    torch.testing.assert_close(found.scores.double(), expected, rtol=1e-5, atol=1e-5)
    assert (found.scores.diff(dim=1) <= 0).all()
    assert all(len(set(row)) == 20 for row in found.items.tolist())


def test_filters_keep_the_recall_whatever_they_let_through() -> None:
    items, queries = vectors(), vectors(100, seed=1)
    search, exact = searches(items, queries)
    rng = np.random.default_rng(0)
    some = {
        "at random": np.flatnonzero(rng.random(ITEMS) < 0.2),
        "short vectors": np.flatnonzero(items.norm(dim=1) < items.norm(dim=1).quantile(0.2)),
        "far from the queries": np.flatnonzero(items[:, 0] < items[:, 0].quantile(0.2)),
    }
    for name, allowed in some.items():
        part = search.among(allowed)
        assert isinstance(part, IndexedSearch)
        assert len(part) == len(allowed)
        assert recall(part, exact.among(allowed), queries, 20) > 0.97, name
        assert np.isin(part.search(queries, 20, nothing(queries)).items, allowed).all()


def test_few_items_are_searched_exactly() -> None:
    items, queries = vectors(), vectors(10, seed=1)
    search, exact = searches(items, queries)
    few = np.arange(0, ITEMS, 100)
    assert isinstance(search.among(few), ExactSearch)
    assert recall(search.among(few), exact.among(few), queries, 30) == 1


def test_long_lists_keep_the_recall() -> None:
    items, queries = vectors(), vectors(40, seed=1)
    search, exact = searches(items, queries)
    for k in (1, 150, 700):
        assert recall(search, exact, queries, k) > 0.96
    assert recall(search, exact, queries, ITEMS) == 1  # also longer than the index answers


def test_hidden_items_are_left_out_however_many_they_are() -> None:
    items, queries = vectors(), vectors(30, seed=1)
    search, exact = searches(items, queries)
    best = exact.search(queries, ITEMS, nothing(queries)).items
    counts = np.resize([0, 3, 60, 400, 1500, ITEMS - 5, ITEMS], 30)
    hidden = Interactions.from_pairs(
        np.repeat(np.arange(30), counts),
        np.concatenate([row[:count] for row, count in zip(best.numpy(), counts, strict=True)]),
        30,
        ITEMS,
    )
    assert recall(search, exact, queries[counts < ITEMS], 20, hidden.of_users(np.flatnonzero(counts < ITEMS))) > 0.96
    found = search.search(queries, 20, hidden)
    for row, count in enumerate(counts):
        listed = found.items[row][found.items[row] >= 0].numpy()
        assert not np.isin(listed, best[row, :count]).any()
        assert len(listed) == min(20, ITEMS - count)
    assert torch.equal(found.scores == -torch.inf, found.items < 0)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 120),
    width=st.integers(1, 3),
    k=st.integers(1, 130),
    density=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_an_index_that_reads_all_lists_answers_as_exact_search_does(
    count: int, width: int, k: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    items = torch.from_numpy(rng.integers(-1, 2, (count, width)).astype(np.float32))
    queries = torch.from_numpy(rng.integers(-1, 2, (5, width)).astype(np.float32))
    hidden = Interactions.from_pairs(*np.nonzero(rng.random((5, count)) < density), 5, count)
    index = ItemIndex.build(items)
    index.probes = index.count
    exact = ExactSearch(items)
    found = IndexedSearch(index, items, exact).search(queries, k, hidden)
    expected = exact.search(queries, k, hidden)
    assert found.scores.tolist() == expected.scores.tolist()  # ties may be cut anywhere


def test_an_index_in_a_file_finds_the_same(tmp_path: Path) -> None:
    items, queries = vectors(), vectors(50, seed=1)
    index = ItemIndex.build(items)
    index.probes = 9
    index.write(tmp_path / "lists")
    again = ItemIndex.read(tmp_path / "lists", 9)
    assert again.shape == (ITEMS, WIDTH)
    rows = np.ascontiguousarray(queries.numpy())
    assert np.array_equal(np.sort(again.candidates(rows, 30)), np.sort(index.candidates(rows, 30)))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists").write_bytes(b"not an index at all")
    with pytest.raises(ValueError, match="no index"):
        ItemIndex.read(tmp_path / "lists", 1)


def test_vectors_that_are_not_finite_are_refused() -> None:
    items = vectors()
    items[7, 0] = torch.nan
    with pytest.raises(InputError, match="row 7"):
        ItemIndex.build(items)
    search, _ = searches(vectors(), vectors(10, seed=1))
    with pytest.raises(InputError, match="row 0"):
        search.search(torch.full((1, WIDTH), torch.inf), 3, nothing(torch.zeros(1, WIDTH)))
