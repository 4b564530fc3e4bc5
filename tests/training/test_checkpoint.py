from pathlib import Path

import pytest
import torch

from prismrec.errors import InputError
from prismrec.records import EpochRecord
from prismrec.training import CheckpointFolder, Progress
from prismrec.training.checkpoint import Checkpoint


def checkpoint(epoch: int, best_epoch: int) -> Checkpoint:
    history = tuple(EpochRecord(epoch=number + 1, loss={"bpr": 1.0}, seconds=0.5) for number in range(epoch))
    progress = Progress(history=history, best_epoch=best_epoch, best_score=0.5 if best_epoch else None)
    best_weights = {"table": torch.full((2,), float(best_epoch))} if best_epoch else {}
    optimizer = {"table/exp_avg": torch.ones(2), "table/step": torch.tensor(3.0)}
    return Checkpoint({"table": torch.full((2,), float(epoch))}, optimizer, best_weights, progress)


@pytest.mark.parametrize("best_epoch", [0, 2])
def test_a_saved_state_is_loaded_completely(tmp_path: Path, best_epoch: int) -> None:
    saved = checkpoint(3, best_epoch)
    CheckpointFolder(tmp_path / "checkpoint").save(saved)
    loaded = CheckpointFolder(tmp_path / "checkpoint").load()
    assert loaded.progress == saved.progress
    torch.testing.assert_close(loaded.weights, saved.weights)
    torch.testing.assert_close(loaded.optimizer, saved.optimizer)
    torch.testing.assert_close(loaded.best_weights, saved.best_weights)


def test_the_best_weights_of_earlier_states_are_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(1, 1))
    folder.save(checkpoint(2, 2))
    assert {path.name for path in tmp_path.iterdir()} == {"state.safetensors", "best-000002.safetensors"}
    assert folder.load().best_weights["table"].tolist() == [2.0, 2.0]


def test_an_empty_folder_has_no_state(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "nothing").load() is None


def test_a_damaged_state_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"state\.safetensors"):
        CheckpointFolder(tmp_path).load()


def test_a_state_without_its_best_weights_is_refused(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path).save(checkpoint(3, 2))
    (tmp_path / "best-000002.safetensors").unlink()
    with pytest.raises(InputError, match=r"state\.safetensors"):
        CheckpointFolder(tmp_path).load()
