import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prismrec.errors import InputError
from prismrec.retrieval import rank, ranking
from prismrec.retrieval.ranking import map_rankings
from prismrec.types import Embeddings, Interactions


def pairs(matrix: np.ndarray) -> Interactions:
    return Interactions.from_pairs(*np.nonzero(matrix), *matrix.shape)


def plain_ranking(scores, masked, user, k):
    """The definition: candidates sorted by descending score, then by ascending number."""
    candidates = [item for item in range(len(scores[user])) if not masked[user][item]]
    best = sorted(candidates, key=lambda item: (-scores[user][item], item))[:k]
    return best + [-1] * (k - len(best)), [scores[user][item] for item in best] + [-np.inf] * (k - len(best))


@given(
    shape=st.tuples(st.integers(1, 8), st.integers(1, 60), st.integers(1, 3)),
    k=st.integers(1, 70),
    density=st.sampled_from([0.0, 0.4, 0.95, 1.0]),
    block_size=st.sampled_from([None, 1, 3]),
    least_items=st.sampled_from([ranking._LEAST_ITEMS, 1, 7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_ranking_is_the_sorted_list_of_unmasked_items_with_ties_by_number(
    shape, k, density, block_size, least_items, seed
):
    num_users, num_items, d = shape
    rng = np.random.default_rng(seed)
    # Small integers make exact scores and many ties, both zeros among them.
    users = rng.integers(-1, 2, (num_users, d)).astype(np.float32)
    items = rng.integers(-1, 2, (num_items, d)).astype(np.float32)
    hidden = [rng.random((num_users, num_items)) < density for _ in range(2)]
    wanted = rng.integers(0, num_users, rng.integers(0, 6))

    embeddings = Embeddings(torch.from_numpy(users), torch.from_numpy(items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_LEAST_ITEMS", least_items)
        patch.setattr(ranking, "_SCORES_AT_ONCE", 1)  # blocks of `least_items` items
        found = rank(embeddings, wanted, k, [pairs(h) for h in hidden], block_size=block_size)

    expected = [plain_ranking(users @ items.T, hidden[0] | hidden[1], user, k) for user in wanted]
    assert found.items.shape == found.scores.shape == (len(wanted), k)
    assert found.items.tolist() == [items for items, _ in expected]
    assert found.scores.tolist() == [scores for _, scores in expected]


@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e18])
def test_scores_of_any_magnitude_and_sign_are_ordered(scale):
    values = torch.tensor([[-3.0], [2.0], [0.0], [-1.0], [1.0], [-2.0]])
    found = rank(Embeddings(torch.tensor([[scale], [-scale]]), values), [0, 1], 6)
    assert found.items.tolist() == [[1, 4, 2, 3, 5, 0], [0, 5, 3, 2, 4, 1]]


def random_embeddings(num_users=300, num_items=2000) -> Embeddings:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn(num_users, 16, generator=generator)
    items = torch.randn(num_items, 16, generator=generator)
    return Embeddings(users, items)


def test_a_ranking_does_not_depend_on_the_number_of_threads_nor_change_it():
    embeddings = random_embeddings()
    threads = torch.get_num_threads()
    first = rank(embeddings, range(300), 20, block_size=64)
    try:
        torch.set_num_threads(3)
        second = rank(embeddings, range(300), 20, block_size=64)
        assert torch.get_num_threads() == 3
        in_new_thread = []
        probe = threading.Thread(target=lambda: in_new_thread.append(torch.get_num_threads()))
        probe.start()
        probe.join()
        assert in_new_thread == [3], "ranking changed the number of threads of new threads"
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first.items, second.items)
    assert torch.equal(first.scores, second.scores)


def test_blocks_of_users_are_passed_on_in_order_with_their_positions():
    embeddings, users = random_embeddings(), list(range(299, -1, -2))
    expected = rank(embeddings, users, 5)

    def scores(block, ranking):
        return block, ranking.scores

    results = map_rankings(embeddings, users, 5, [], scores, block_size=64)
    assert [block for block, _ in results] == [slice(0, 64), slice(64, 128), slice(128, 150)]
    torch.testing.assert_close(torch.cat([block_scores for _, block_scores in results]), expected.scores)


def test_no_users_have_an_empty_ranking():
    assert rank(random_embeddings(5, 7), [], 3).items.shape == (0, 3)


def test_lists_agree_with_topk_of_pytorch_without_ties():
    embeddings = random_embeddings()
    found = rank(embeddings, range(300), 50)
    expected = embeddings.scores().double().topk(50)
    assert torch.equal(found.items, expected.indices)
    torch.testing.assert_close(found.scores.double(), expected.values, rtol=1e-5, atol=1e-5)


def test_a_ranking_has_no_gradient():
    embeddings = random_embeddings(3, 9)
    embeddings.users.requires_grad_()
    assert not rank(embeddings, [0], 2).scores.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_ranks_exact_scores_like_a_cpu():
    generator = torch.Generator().manual_seed(0)
    users = torch.randint(-1, 2, (50, 8), generator=generator).float()
    items = torch.randint(-1, 2, (700, 8), generator=generator).float()
    masked = pairs(np.random.default_rng(0).random((50, 700)) < 0.3)
    on_cpu = rank(Embeddings(users, items), range(50), 20, [masked])
    on_cuda = rank(Embeddings(users.cuda(), items.cuda()), range(50), 20, [masked])
    assert on_cuda.items.is_cuda
    assert torch.equal(on_cpu.items, on_cuda.items.cpu())
    assert torch.equal(on_cpu.scores, on_cuda.scores.cpu())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_not_finite_are_refused_with_their_row(bad):
    embeddings = random_embeddings(5, 7)
    embeddings.items[3, 1] = bad
    with pytest.raises(InputError, match="item embeddings, row 3"):
        rank(embeddings, [0], 2)


def test_embeddings_whose_scores_may_overflow_are_refused():
    with pytest.raises(InputError, match="float32"):
        rank(Embeddings(torch.full((1, 2), 1e20), torch.full((3, 2), 1e20)), [0], 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k"),
        ({"block_size": 0}, "block_size"),
        ({"users": [5]}, "user numbers"),
        ({"users": [-1]}, "user numbers"),
        ({"mask": [Interactions.from_pairs([0], [0], 5, 8)]}, "mask"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        rank(random_embeddings(5, 7), **{"users": [0], "k": 2} | arguments)


def test_users_and_items_of_different_width_are_refused():
    with pytest.raises(InputError, match="shapes"):
        rank(Embeddings(torch.zeros(2, 3), torch.zeros(2, 4)), [0], 1)
