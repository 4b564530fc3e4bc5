"""Approximate search beside exact search: recall, time of a single query, time to build, and memory.

    python benchmarks/index.py ours [--items 1000000] [--vectors clusters]
    python benchmarks/index.py libraries [--items 1000000] [--vectors clusters] [--only faiss-lists,scann]

The vectors have 64 columns. `clusters` are normal clusters whose columns and lengths vary, `normal` are independent
normal numbers, which no index can divide well, and a run directory gives vectors between neighbouring vectors of the
run, with noise. All searches use one thread. `ours` builds `ItemIndex` and asks it for 100 items, with and without
filters. `libraries` compares methods of other libraries; each raises its setting until it finds 97 % of the best 100.

faiss is the extra `index`. The others are optional: pip install hnswlib usearch voyager scann.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prismrec.experiments.bench import peak_bytes
from prismrec.retrieval.index import ItemIndex
from prismrec.retrieval.indexed_search import IndexedSearch, tune
from prismrec.retrieval.search import ExactSearch, Search
from prismrec.runs import Run
from prismrec.types import Interactions

WIDTH, K = 64, 100
TUNED, JUDGED = 400, 400
TARGET = 0.97
EFFORTS = (100, 200, 400, 800, 1600)
"""Candidates that a graph search keeps."""
SHARES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Shares of the lists that are read."""


def clusters(count: int, users: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items around 2,000 centres of unequal size; users between a centre and five items."""
    spectrum = np.arange(1, WIDTH + 1) ** -0.5
    centres = rng.standard_normal((2000, WIDTH)) * spectrum
    sizes = (np.arange(2000) + 10.0) ** -0.7
    centre_of = rng.choice(2000, count, p=sizes / sizes.sum())
    items = (centres[centre_of] + 0.6 * spectrum * rng.standard_normal((count, WIDTH))).astype(np.float32)
    items *= np.exp(0.35 * rng.standard_normal((count, 1))).astype(np.float32)
    clicked = rng.integers(count, size=(users, 5))
    noise = 0.4 * spectrum * rng.standard_normal((users, WIDTH))
    return items, (items[clicked].mean(1) + centres[centre_of[clicked[:, 0]]] + noise).astype(np.float32)


def between_neighbours(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random points between each row and one of its ten nearest rows, with a tenth of the spread as noise."""
    squares = (rows**2).sum(1)
    nearest = np.concatenate(
        [np.argpartition(squares - 2 * block @ rows.T, 10, axis=1)[:, :10] for block in np.array_split(rows, 20)]
    )
    first = rng.integers(len(rows), size=count)
    second = nearest[first, rng.integers(10, size=count)]
    weight = rng.random((count, 1), dtype=np.float32)
    noise = 0.1 * rows.std(0) * rng.standard_normal((count, rows.shape[1]), dtype=np.float32)
    return weight * rows[first] + (1 - weight) * rows[second] + noise


def make_vectors(kind: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Items `[I, d]` and users `[800, d]`."""
    rng = np.random.default_rng(0)
    users = TUNED + JUDGED
    if kind == "clusters":
        rows, queries = clusters(count, users, rng)
    elif kind == "normal":
        rows = rng.standard_normal((count, WIDTH), dtype=np.float32)
        queries = rng.standard_normal((users, WIDTH), dtype=np.float32)
    else:
        run = Run.load(Path(kind))
        rows = between_neighbours(run.embeddings.items.numpy(), count, rng)
        queries = between_neighbours(run.embeddings.users.numpy(), users, rng)
    return torch.from_numpy(rows), torch.from_numpy(queries)


def best(search: Search, queries: torch.Tensor, count: int) -> np.ndarray:
    return search.search(queries, K, Interactions.from_pairs([], [], len(queries), count)).items.numpy()


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([np.isin(true, row).mean() for row, true in zip(found, truth, strict=True)]))


def percentiles(ask: Callable[[int], object], count: int) -> str:
    """p50 and p99 in milliseconds of single queries, after one for warming up."""
    ask(0)
    seconds = []
    for number in range(count):
        start = time.perf_counter()
        ask(number)
        seconds.append(time.perf_counter() - start)
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    return f"{p50:.2f} | {p99:.2f}"


def ours(items: torch.Tensor, queries: torch.Tensor) -> None:
    """Build, and ask with and without filters."""
    count = len(items)
    before = peak_bytes() or 0
    start = time.perf_counter()
    index = ItemIndex.build(items)
    built = time.perf_counter() - start
    memory = ((peak_bytes() or 0) - before) / 2**20
    tune(index, items, queries[:TUNED], TARGET)
    exact = ExactSearch(items)
    search = IndexedSearch(index, items, exact)
    judged = queries[TUNED:]
    print(f"built in {built:.1f} s, {memory:,.0f} MiB more at the peak; {index.probes} of {index.count} lists read\n")
    print("| items allowed | recall@100 | p50 ms | p99 ms | exact: p50 ms | p99 ms |\n|---|---|---|---|---|---|")
    rng = np.random.default_rng(1)
    lengths = items.norm(dim=1).numpy()
    filters = {
        "all": None,
        "a random half": np.flatnonzero(rng.random(count) < 0.5),
        "a random tenth": np.flatnonzero(rng.random(count) < 0.1),
        "the shortest fifth of the vectors": np.flatnonzero(lengths < np.quantile(lengths, 0.2)),
    }
    for name, allowed in filters.items():
        indexed, plain = (search, exact) if allowed is None else (search.among(allowed), exact.among(allowed))
        found = recall(best(indexed, judged, count), best(plain, judged, count))
        times = [
            percentiles(lambda number, each=each: best(each, judged[number : number + 1], count), asked)
            for each, asked in ((indexed, JUDGED), (plain, 100))
        ]
        print(f"| {name} | {found:.3f} | {times[0]} | {times[1]} |", flush=True)


Method = tuple[str, Callable[[np.ndarray], Iterator[tuple[object, Callable[[np.ndarray], np.ndarray]]]]]


def graphs(name: str, build: Callable[[np.ndarray], Any], ask: Callable[[Any, np.ndarray, int], np.ndarray]) -> Method:
    """A graph, searched with more and more candidates."""

    def settings(rows: np.ndarray) -> Iterator[tuple[object, Callable[[np.ndarray], np.ndarray]]]:
        graph = build(rows)
        for effort in EFFORTS:
            yield effort, lambda query, effort=effort: ask(graph, query, effort)

    return name, settings


def build_hnswlib(rows: np.ndarray) -> Any:
    import hnswlib

    graph = hnswlib.Index("ip", WIDTH)
    graph.init_index(len(rows), ef_construction=100, M=16)
    graph.add_items(rows, num_threads=1)
    return graph


def ask_hnswlib(graph: Any, query: np.ndarray, effort: int) -> np.ndarray:
    graph.set_ef(effort)
    return graph.knn_query(query, K, num_threads=1)[0][0]


def build_usearch(rows: np.ndarray) -> Any:
    from usearch.index import Index

    graph = Index(ndim=WIDTH, metric="ip", dtype="f32", connectivity=16, expansion_add=100)
    graph.add(np.arange(len(rows)), rows, threads=1)
    return graph


def ask_usearch(graph: Any, query: np.ndarray, effort: int) -> np.ndarray:
    graph.expansion_search = effort
    return graph.search(query[0], K).keys


def build_voyager(rows: np.ndarray) -> Any:
    import voyager

    graph = voyager.Index(voyager.Space.InnerProduct, WIDTH, M=16, ef_construction=100)
    graph.add_items(rows, num_threads=1)
    return graph


def ask_voyager(graph: Any, query: np.ndarray, effort: int) -> np.ndarray:
    return graph.query(query, K, num_threads=1, query_ef=effort)[0][0]


def build_faiss_graph(rows: np.ndarray) -> Any:
    import faiss

    graph = faiss.IndexHNSWFlat(WIDTH, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    graph.add(rows)
    return graph


def ask_faiss_graph(graph: Any, query: np.ndarray, effort: int) -> np.ndarray:
    graph.hnsw.efSearch = effort
    return graph.search(query, K)[1][0]


def faiss_lists(rows: np.ndarray) -> Iterator[tuple[object, Callable[[np.ndarray], np.ndarray]]]:
    """Inverted lists as the factory of faiss makes them: an item is in the list of the largest inner product."""
    import faiss

    count = int(4 * len(rows) ** 0.5)
    lists = faiss.index_factory(WIDTH, f"IVF{count},SQ8", faiss.METRIC_INNER_PRODUCT)
    lists.train(rows)
    lists.add(rows)
    for share in SHARES:
        lists.nprobe = max(int(share * count), 1)
        yield lists.nprobe, lambda query: lists.search(query, K)[1][0]


def our_lists(rows: np.ndarray) -> Iterator[tuple[object, Callable[[np.ndarray], np.ndarray]]]:
    """The lists alone, without the exact scores that `IndexedSearch` adds."""
    index = ItemIndex.build(torch.from_numpy(rows))
    for share in SHARES:
        index.probes = max(int(share * index.count), 1)
        yield index.probes, lambda query: index.candidates(query, K)[0]


def scann_lists(rows: np.ndarray) -> Iterator[tuple[object, Callable[[np.ndarray], np.ndarray]]]:
    import scann

    count = int(4 * len(rows) ** 0.5)
    builder = scann.scann_ops_pybind.builder(rows, K, "dot_product")
    tree = builder.tree(num_leaves=count, num_leaves_to_search=50, training_sample_size=min(len(rows), 250_000))
    searcher = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(1000).build()
    for share in SHARES:
        leaves = max(int(share * count), 1)
        yield leaves, lambda query, leaves=leaves: searcher.search(query[0], leaves_to_search=leaves)[0]


METHODS = dict(
    [
        ("ours", our_lists),
        ("faiss-lists", faiss_lists),
        ("scann", scann_lists),
        graphs("faiss-graph", build_faiss_graph, ask_faiss_graph),
        graphs("hnswlib", build_hnswlib, ask_hnswlib),
        graphs("usearch", build_usearch, ask_usearch),
        graphs("voyager", build_voyager, ask_voyager),
    ]
)


def libraries(items: torch.Tensor, queries: torch.Tensor, names: list[str]) -> None:
    """Raise the setting of each method until it finds enough, and print the last one."""
    rows = np.ascontiguousarray(items.numpy())
    judged = np.ascontiguousarray(queries[TUNED:].numpy())
    truth = best(ExactSearch(items), queries[TUNED:], len(rows))
    print("| method | build s | setting | recall@100 | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
    for name in names:
        start = time.perf_counter()
        built = 0.0
        try:
            for setting, ask in METHODS[name](rows):
                reached = setting
                built = built or time.perf_counter() - start
                padded = np.full((len(judged), K), -1)
                for number, query in enumerate(judged):
                    answer = ask(query[None])
                    padded[number, : len(answer)] = answer
                found = recall(padded, truth)
                if found >= TARGET:
                    break
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        times = percentiles(lambda number: ask(judged[number][None]), len(judged))  # noqa: B023
        print(f"| {name} | {built:.0f} | {reached} | {found:.3f} | {times} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ours", "libraries"])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--vectors", default="clusters", help="clusters, normal, or a run directory")
    parser.add_argument("--only", default=",".join(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    items, queries = make_vectors(options.vectors, options.items)
    print(f"{options.items:,} items, vectors: {options.vectors}", flush=True)
    if options.what == "ours":
        ours(items, queries)
    else:
        libraries(items, queries, options.only.split(","))


if __name__ == "__main__":
    main()
