import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from prismrec.errors import InputError, ParameterError
from prismrec.models.base import Recommender
from prismrec.models.mf_bpr import MFBPR
from prismrec.records import Settings
from prismrec.testing import NUM_ITEMS, NUM_USERS, toy_interactions
from prismrec.training import Sampler, Trained, TripletSampler, fit
from prismrec.types import Embeddings, Triplets


def train(**kwargs: object) -> Trained:
    torch.manual_seed(0)
    model = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6, batch_size=16))
    return fit(model, toy_interactions(), Settings(epochs=3, device="cpu"), **kwargs)


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("forward", torch.zeros(()), "model 'MF-BPR', forward: found Tensor returned; expected a dict of loss terms"),
        ("forward", {}, "model 'MF-BPR', forward: found dict returned"),
        ("forward", {"bpr": torch.zeros(3)}, "model 'MF-BPR', forward: found 'bpr' with shape [3]"),
        ("embed", (torch.zeros(NUM_USERS, 2),) * 2, "model 'MF-BPR', embed: found tuple returned; expected Embeddings"),
        ("embed", Embeddings(torch.zeros(NUM_USERS, 2), torch.zeros(3, 2)), f"found users [{NUM_USERS}, 2] and items"),
        ("embed", Embeddings(torch.zeros(NUM_USERS, 2), torch.zeros(NUM_ITEMS, 3)), f"items [{NUM_ITEMS}, 3]; expect"),
    ],
)
def test_a_model_that_returns_something_else_is_told_what_to_return(method: str, result: object, message: str) -> None:
    kind = type("Own", (MFBPR,), {method: lambda *_: result})
    model = kind(toy_interactions(), {}, MFBPR.Config(embedding_size=6))
    with pytest.raises(InputError, match=re.escape(message)):
        fit(model, toy_interactions(), Settings(epochs=1, device="cpu"))


class OneUser:
    """Two batches per epoch, of user 0 alone."""

    def epoch(self, generator: torch.Generator) -> Iterator[Triplets]:
        for _ in range(2):
            yield Triplets(
                torch.zeros(5, dtype=torch.int64),
                torch.randint(0, 4, (5,), generator=generator),
                torch.randint(4, NUM_ITEMS, (5,), generator=generator),
            )


class Fixed:
    """The given batches in every epoch."""

    def __init__(self, *batches: Triplets) -> None:
        self.batches = batches

    def epoch(self, generator: torch.Generator) -> tuple[Triplets, ...]:
        return self.batches


class NoBatches:
    """A sampler that forgot to return its batches."""

    def epoch(self, generator: torch.Generator) -> None:
        pass


def test_a_sampler_of_the_caller_draws_the_batches() -> None:
    trained = train(sampler=OneUser())
    torch.manual_seed(0)
    initial = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6)).user_table
    moved = (trained.weights["user_table"] != initial).any(1)
    assert moved.tolist() == [True] + [False] * (NUM_USERS - 1)
    assert torch.equal(train(sampler=OneUser()).embeddings.users, trained.embeddings.users)


def test_the_built_in_sampler_is_one_of_the_protocol() -> None:
    sampler: TripletSampler = Sampler(toy_interactions(), "interaction", 16, torch.device("cpu"))
    assert torch.equal(train(sampler=sampler).embeddings.users, train().embeddings.users)


def batch(users: list[int], positives: list[int], negatives: list[int], dtype: torch.dtype = torch.int64) -> Triplets:
    return Triplets(*[torch.tensor(numbers, dtype=dtype) for numbers in (users, positives, negatives)])


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Fixed(), "an epoch without a batch"),
        (Fixed(batch([NUM_USERS], [0], [1])), f"users {NUM_USERS}..{NUM_USERS}; expected numbers within 0..22"),
        (Fixed(batch([0], [-1], [1])), "positives -1..-1"),
        (Fixed(batch([0], [1], [NUM_ITEMS])), "negatives 17..17"),
        (Fixed(batch([0, 1], [1], [2])), r"positives of type torch.int64 and shape \[1\]"),
        (Fixed(batch([0], [1], [2], torch.int32)), "users of type torch.int32"),
        (Fixed(batch([], [], [])), r"shape \[0\]"),
        (Fixed((torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))), "a batch of type tuple"),
        (Fixed(Triplets([0], [1], [2])), "users of type list"),
        (Fixed("batch"), "a batch of type str"),
        (NoBatches(), "an epoch of type NoneType; expected batches of type Triplets"),
    ],
)
def test_batches_that_cannot_be_used_are_refused(sampler: TripletSampler, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        train(sampler=sampler)


def shrink(model: Recommender, batch: Triplets) -> Tensor:
    """A strong pull of all user rows to zero."""
    return 100 * model.user_table.pow(2).sum()


def test_a_loss_term_of_the_caller_is_minimised_and_logged_by_its_name() -> None:
    plain, shrunk = train(), train(loss_terms={"shrink": shrink})
    assert shrunk.progress.history[0].loss.keys() == {*plain.progress.history[0].loss, "shrink"}
    assert shrunk.progress.history[2].loss["shrink"] < shrunk.progress.history[0].loss["shrink"]
    assert shrunk.weights["user_table"].norm() < plain.weights["user_table"].norm()


def test_a_loss_term_adds_its_gradient_to_that_of_the_model() -> None:
    """With the negative of the model's own loss, nothing moves."""

    def negative(model: Recommender, batch: Triplets) -> Tensor:
        return -torch.stack(list(model(batch).values())).sum()

    torch.manual_seed(0)
    initial = MFBPR(toy_interactions(), {}, MFBPR.Config(embedding_size=6)).user_table
    torch.testing.assert_close(train(loss_terms={"negative": negative}).weights["user_table"], initial.detach())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bpr", torch.zeros(()), "'bpr', a term of MF-BPR; expected another name"),
        ("mine", torch.zeros(2), r"'mine' with shape \[2\]; expected a real scalar"),
        ("mine", torch.tensor(1j), "'mine' with torch.complex64; expected a real scalar"),
        ("mine", 0.5, "'mine' with float; expected a real scalar"),
    ],
)
def test_loss_terms_that_cannot_be_added_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        train(loss_terms={name: lambda model, batch: value})


class Mine(MFBPR):
    """A model of the caller that returns what it is told."""

    name = "Mine"
    terms: object = None
    matrices: object = None

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return super().forward(batch) if self.terms is None else self.terms

    def embed(self) -> Embeddings:
        return super().embed() if self.matrices is None else self.matrices


def train_mine(terms: object = None, matrices: object = None) -> Trained:
    model = Mine(toy_interactions(), {}, MFBPR.Config(embedding_size=6, batch_size=16))
    model.terms, model.matrices = terms, matrices
    return fit(model, toy_interactions(), Settings(epochs=1, device="cpu"))


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ([torch.ones((), requires_grad=True)], "list returned"),
        ({"a": 1.0}, "'a' with float"),
        ({"a": torch.ones((), dtype=torch.int64)}, "'a' with torch.int64"),
        ({"a": torch.tensor(1j, requires_grad=True)}, "'a' with torch.complex64"),
        ({1: torch.ones((), requires_grad=True)}, "1 with torch.float32"),
        ({"a": torch.ones(())}, "terms without a gradient"),
    ],
    ids=["a list", "a float", "an integer", "a complex number", "a number for a name", "no gradient"],
)
def test_what_forward_of_a_model_of_the_caller_returns_is_checked(terms: object, found: str) -> None:
    with pytest.raises(InputError, match=f"model 'Mine', forward: found {found}"):
        train_mine(terms=terms)


USERS, ITEMS = torch.ones(NUM_USERS, 3), torch.ones(NUM_ITEMS, 3)


@pytest.mark.parametrize(
    ("matrices", "found"),
    [
        (Embeddings(USERS[:, :0], ITEMS[:, :0]), r"users \[23, 0\] and items \[17, 0\]"),
        (Embeddings(USERS[:, 0], ITEMS[:, 0]), r"users \[23\] and items \[17\]"),
        (Embeddings(USERS.numpy(), ITEMS.numpy()), "a matrix of float32"),
        (Embeddings(USERS.int(), ITEMS.int()), "a matrix of torch.int32"),
    ],
)
def test_what_embed_of_a_model_of_the_caller_returns_is_checked(matrices: object, found: str) -> None:
    with pytest.raises(InputError, match=f"model 'Mine', embed: found .*{found}"):
        train_mine(matrices=matrices)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_embeddings_of_other_precisions_become_float32(dtype: torch.dtype) -> None:
    embeddings = train_mine(matrices=Embeddings(USERS.to(dtype), ITEMS.to(dtype))).embeddings
    assert embeddings.users.dtype == embeddings.items.dtype == torch.float32
