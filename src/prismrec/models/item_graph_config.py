"""The hyperparameters that LATTICE and MICRO, by the same authors, share."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from prismrec.models.base import BatchSize, Grid, Layers, ModelConfig, PositiveCount, PositiveLayers
from prismrec.nn.backbone import BackboneGraph, BackboneName


class ItemGraphConfig(ModelConfig):
    """Hyperparameters of a collaborative filter with learned item graphs.

    The defaults are those of the official code, and the grid is that of the LATTICE paper.
    """

    batch_size: BatchSize = 1024
    """Training pairs per step, B."""
    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 5e-4, 1e-3, 5e-3)] = 5e-4
    """Learning rate of Adam in the first epoch."""
    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate in epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    lr_decay_epochs: PositiveCount = 50
    """Number of epochs in which the learning rate falls by the factor lr_decay."""
    backbone: BackboneName = "LightGCN"
    """The collaborative filter to which the item graphs are added."""
    layers: Layers = 2
    """Layers L of the backbone; MF has none."""
    interaction_graph: BackboneGraph = "rw_self"
    """`rw_self`: mean over neighbours and the node itself, as in the official code; `sym`: the graph of LightGCN."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of entries dropped after each layer of NGCF in training."""
    neighbours: PositiveCount = 10
    """Neighbours k per item and modality, the item itself among them."""
    inputs: Literal["ids", "features"] = "ids"
    """What the item graphs propagate: the ID embeddings of items, or their projected features."""
    item_layers: PositiveLayers = 1
    """Layers of the item graphs, of which the last is used."""
    skip: float = Field(0.9, ge=0, le=1)
    """Weight λ of the frozen graph of raw features; the learned graph of projected features has weight 1 - λ."""
    train_features: bool = True
    """Whether the raw features are trained too, as in the official code. Adam then takes three times their memory."""
    graph_updates: Literal["momentum", "lazy"] = "momentum"
    """The weights of the graphs get one gradient per epoch. `momentum`: in the other steps, Adam's momentum moves them,
    as in the official code; `lazy`: in the other steps, they do not move."""
    regulariser: Annotated[NonNegativeFloat, Grid(0.0, 1e-5, 1e-4, 1e-3)] = 1e-5
    """Weight λ_r of ½ Σ ‖X‖² / batch_size over the final rows of the batch."""

    @property
    def graph_weights_drift(self) -> bool:
        """Whether the weights of the graphs move without a gradient; features as inputs have one at every step."""
        return self.graph_updates == "momentum" and self.inputs == "ids"
