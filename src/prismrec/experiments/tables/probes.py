"""What the papers' figures show besides metrics: gradients, hyperedges, and vectors in two dimensions."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.data import Dataset
from prismrec.errors import InputError, parse_json
from prismrec.files import read_text, write_text
from prismrec.models import Recommender
from prismrec.models.lgmrec import LGMRec
from prismrec.training import Callback, EpochEnd, Trained, TrainingStart
from prismrec.types import Embeddings, Interactions

Probe = Literal["gradients", "hyperedges", "map"]
_SEED = 0


class Measure(Callback):
    """A probe of one training: a callback that can look at the model, and a result at the end."""

    def __init__(self, model: Recommender, dataset: Dataset, folder: Path) -> None:
        """Keep the model, which the training changes.

        Args:
            model: the model.
            dataset: its data.
            folder: where a measure can keep what it needs after an interruption.
        """
        self.model = model
        self.dataset = dataset
        self.folder = folder

    def finish(self, _trained: Trained, /) -> tuple[Any, Mapping[str, float]]:
        """What the figure shows, ready for JSON, and the numbers for the table."""
        raise NotImplementedError


class Gradients(Measure):
    """LGMRec, Figure 1 (b): whether interactions and features move user embeddings in opposite directions.

    The final embeddings are a sum over modules, E = E_C + E_M + E_G. With g = ∂ BPR / ∂ E, the gradient of the user
    table P through one module is (∂ E_C / ∂ P)ᵀ g, likewise for E_M. A dimension is opposed if their signs differ.
    """

    epochs = frozenset({1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896})
    users = 2000
    """Number of users that are measured."""

    def __init__(self, model: Recommender, dataset: Dataset, folder: Path) -> None:
        """Check the model and draw the users."""
        super().__init__(model, dataset, folder)
        if not isinstance(model, LGMRec) or not model.config.shared_user_ids:
            raise InputError("probe gradients", model.name, "LGMRec with shared_user_ids")
        self.lgmrec = model
        self.stored = folder / "gradients.json"
        self.curve: list[dict[str, float]] = []
        rng = np.random.default_rng(_SEED)
        active = np.flatnonzero(dataset.train.user_degrees)
        self.chosen = np.sort(rng.choice(active, min(self.users, len(active)), replace=False))

    def on_start(self, start: TrainingStart) -> None:
        """Take over what was measured before an interruption."""
        if start.history and self.stored.exists():
            try:
                earlier = parse_json(read_text(self.stored))
                self.curve = [point for point in earlier if point["epoch"] <= len(start.history)]
            except (OSError, ValueError, TypeError, KeyError) as error:
                expected = f"a curve of gradients; delete {self.stored.parent} to compute it again"
                raise InputError(self.stored, str(error), expected) from error

    def on_epoch(self, epoch: EpochEnd) -> None:
        """Measure the gradients after some of the epochs."""
        if epoch.record.epoch in self.epochs:
            opposed = self._opposed()  # [n]
            self.curve.append(
                {
                    "epoch": epoch.record.epoch,
                    "dimensions": float(opposed.mean()),
                    "users": float((opposed > 0.5).double().mean()),
                }
            )
            write_text(self.stored, json.dumps(self.curve))

    def finish(self, _trained: Trained, /) -> tuple[Any, Mapping[str, float]]:
        """The curve, and the mean share of users over its epochs."""
        return self.curve, {"opposed_users": float(np.mean([point["users"] for point in self.curve]))}

    def _opposed(self) -> Tensor:
        """The share of dimensions in which the two gradients have opposite signs, `[n]`."""
        model = self.lgmrec
        was_training = model.training
        model.eval()
        with torch.no_grad():
            whole = model.embed()
        outer = _bpr_gradient(whole, self.dataset.train, self.chosen)
        with module_alone(model, "collaborative"):
            (collaborative,) = torch.autograd.grad(_inner(model.embed(), outer), [model.user_table])
        with module_alone(model, "modal"):
            (modal,) = torch.autograd.grad(_inner(model.embed(), outer), [model.user_table])
        model.train(was_training)
        rows = torch.from_numpy(self.chosen)
        return (collaborative[rows].cpu() * modal[rows].cpu() < 0).double().mean(1)


@contextmanager
def module_alone(model: LGMRec, kept: str) -> Iterator[None]:
    """Inside the block, the embeddings of LGMRec are those of one module: collaborative, modal or hypergraph."""
    before = model.config
    switches = {name: name == kept for name in ("collaborative", "modal", "hypergraph")}
    model.config = before.model_copy(update=switches)
    try:
        yield
    finally:
        model.config = before


def _bpr_gradient(whole: Embeddings, train: Interactions, users: npt.NDArray[np.int64]) -> Embeddings:
    """The gradient of the BPR loss of all training pairs of some users, each with a random negative."""
    wanted = np.isin(train.users, users)
    rows = torch.from_numpy(train.users[wanted].astype(np.int64))
    positives = torch.from_numpy(train.items[wanted].astype(np.int64))
    generator = torch.Generator().manual_seed(_SEED)
    negatives = torch.randint(train.num_items, (len(rows),), generator=generator)
    user_vectors = whole.users.detach().cpu().requires_grad_()
    item_vectors = whole.items.detach().cpu().requires_grad_()
    margins = (user_vectors[rows] * (item_vectors[positives] - item_vectors[negatives])).sum(1)
    loss = -F.logsigmoid(margins).mean()
    user_gradient, item_gradient = torch.autograd.grad(loss, [user_vectors, item_vectors])
    return Embeddings(user_gradient, item_gradient)


def _inner(embeddings: Embeddings, outer: Embeddings) -> Tensor:
    users = (embeddings.users * outer.users.to(embeddings.users.device)).sum()
    return users + (embeddings.items * outer.items.to(embeddings.items.device)).sum()


class Hyperedges(Measure):
    """LGMRec, Figure 5: memberships of two users with similar global embeddings, and of their items."""

    least, most = 4, 8
    """Limits of the number of items of the users."""
    candidates = 3000

    def finish(self, _trained: Trained, /) -> tuple[Any, Mapping[str, float]]:
        """Users, their memberships by modality, and the hyperedge of each of their items."""
        model = self.model
        if not isinstance(model, LGMRec):
            raise InputError("probe hyperedges", model.name, "LGMRec")
        model.eval()
        with torch.no_grad():
            user_members, item_members = model.memberships()  # [U, M, A], [I, M, A]
            with module_alone(model, "hypergraph"):
                vectors = F.normalize(model.embed().users).cpu()
        first, second = self._similar_pair(vectors)
        return {
            "modalities": list(self.dataset.features),
            "cosine": float(vectors[first] @ vectors[second]),
            "users": [self._user(user, user_members, item_members) for user in (first, second)],
        }, {}

    def _similar_pair(self, vectors: Tensor) -> tuple[int, int]:
        """The two users with the most similar vectors who have enough items and none in common."""
        degrees = self.dataset.train.user_degrees
        active = np.flatnonzero((degrees >= self.least) & (degrees <= self.most))
        if len(active) < 2:
            active = np.flatnonzero(degrees)
        active = np.sort(np.random.default_rng(_SEED).permutation(active)[: self.candidates])
        cosines = vectors[active] @ vectors[active].T  # [n, n]
        rows = self.dataset.train.csr[active]
        shared = torch.from_numpy((rows @ rows.T).toarray())
        cosines[(shared > 0) | torch.eye(len(active), dtype=torch.bool)] = -2
        best = int(cosines.argmax())
        return int(active[best // len(active)]), int(active[best % len(active)])

    def _user(self, user: int, user_members: Tensor, item_members: Tensor) -> dict[str, Any]:
        items = self.dataset.train.items_of(user)
        titles = self.dataset.catalog
        named = "title" if titles is not None and "title" in titles.columns else None
        return {
            "id": str(self.dataset.users.ids[user]),
            "memberships": user_members[user].tolist(),
            "items": [
                {
                    "id": str(self.dataset.items.ids[int(item)]),
                    "title": str(titles[named][int(item)]) if titles is not None and named else "",
                    "memberships": item_members[int(item)].tolist(),
                }
                for item in items
            ],
        }


class Map(Measure):
    """LUDP, Figure 4: t-SNE of some users and their items."""

    users = 8
    least, most = 10, 40
    """Limits of the number of items of the users."""

    def finish(self, trained: Trained, /) -> tuple[Any, Mapping[str, float]]:
        """The points with the number of their user, and the silhouette of the items by user."""
        try:
            from sklearn.manifold import TSNE  # type: ignore[import-untyped]
            from sklearn.metrics import silhouette_score  # type: ignore[import-untyped]
        except ImportError as error:
            raise InputError("t-SNE", str(error), "scikit-learn: pip install 'prismrec[report]'") from error
        train = self.dataset.train
        chosen = self._users(train)
        owner = {int(item): n for n, user in reversed(list(enumerate(chosen))) for item in train.items_of(int(user))}
        items = np.array(sorted(owner))
        colours = np.array([owner[int(item)] for item in items])
        vectors = torch.cat([trained.embeddings.users[chosen], trained.embeddings.items[items]]).double().numpy()
        perplexity = min(30.0, (len(vectors) - 1) / 3)
        points = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(vectors)
        measured = {}
        if 1 < len(set(colours.tolist())) < len(items):
            measured["silhouette"] = float(silhouette_score(vectors[len(chosen) :], colours))
        picture = {
            "users": points[: len(chosen)].round(3).tolist(),
            "items": points[len(chosen) :].round(3).tolist(),
            "owners": colours.tolist(),
        }
        return picture, measured

    def _users(self, train: Interactions) -> npt.NDArray[np.int64]:
        degrees = train.user_degrees
        fitting = np.flatnonzero((degrees >= self.least) & (degrees <= self.most))
        if len(fitting) < self.users:
            fitting = np.argsort(-degrees, kind="stable")[: self.users]
        return np.sort(np.random.default_rng(_SEED).permutation(fitting)[: self.users])


PROBES: Mapping[str, Callable[[Recommender, Dataset, Path], Measure]] = {
    "gradients": Gradients,
    "hyperedges": Hyperedges,
    "map": Map,
}
