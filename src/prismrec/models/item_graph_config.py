"""What LATTICE and MICRO, by the same authors, let one set alike."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from prismrec.models.base import ModelConfig
from prismrec.nn.backbone import BackboneGraph, BackboneName


class ItemGraphConfig(ModelConfig):
    """Hyperparameters of learned item graphs plugged into collaborative filtering (defaults: the official code's)."""

    batch_size: PositiveInt = 1024
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 5e-4
    """Step size of Adam at the first epoch."""
    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate at epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    lr_decay_epochs: PositiveInt = 50
    """Epochs over which the learning rate falls by the factor lr_decay."""
    backbone: BackboneName = "LightGCN"
    """The collaborative filtering that the item graphs are plugged into."""
    layers: NonNegativeInt = 2
    """Layers L of the backbone; MF has none."""
    interaction_graph: BackboneGraph = "rw_self"
    """`rw_self`: mean over neighbours and oneself, as in the official code; `sym`: the graph of LightGCN itself."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of entries dropped after each layer of NGCF in training."""
    neighbours: PositiveInt = 10
    """Neighbours k that each item keeps per modality, itself among them."""
    inputs: Literal["ids", "features"] = "ids"
    """What the item graphs carry: the items' ID table, or their projected features."""
    item_layers: PositiveInt = 1
    """Layers of the item graphs; only the last is read."""
    skip: float = Field(0.9, ge=0, le=1)
    """Share λ of the frozen graph of raw features; the rest is the learned graph of projected ones."""
    train_features: bool = True
    """Whether the raw features are trained too, as in the official code: three times their memory goes to Adam."""
    graph_updates: Literal["momentum", "lazy"] = "momentum"
    """Between two gradients, one epoch apart, the weights of the graphs move on by Adam's momentum, as in the official
    code, or stay."""
    regulariser: NonNegativeFloat = 1e-5
    """λ_r, for ½ Σ ‖X‖² / batch_size on the final rows of the batch."""
