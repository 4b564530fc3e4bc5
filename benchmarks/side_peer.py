"""The peer's side of benchmarks/peer.py: MMRec from a checkout, driven through its own loader, model and trainer.

The checkout stays as it is. What it needs beyond today's libraries is supplied here: names that NumPy and SciPy have
since removed, and stand-ins for packages that it imports but does not use for these models. MMGCN and GRCN need
torch_geometric. Commands and answers are those of side_ours.py.
"""

import argparse
import json
import logging
import os
import sys
import types
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from measured import Clock


def supply_what_is_missing() -> None:
    np.float = float  # type: ignore[attr-defined]  # removed in NumPy 1.24
    scipy.sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)  # as before SciPy 1.13
    for name in ("lmdb", "torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torch_scatter"):
        try:
            __import__(name)
        except ImportError:
            module = types.ModuleType(name)
            for attribute in ("pad", "resize", "scatter", "transforms"):
                setattr(module, attribute, None)
            sys.modules[name] = module
    if not torch.cuda.is_available():  # LATTICE and GRCN call it unasked
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    try:
        import torch_geometric.utils
    except ImportError:
        return
    if not hasattr(torch_geometric.utils, "dropout_adj"):
        torch_geometric.utils.dropout_adj = lambda edges, **_: (edges, None)
    by_keyword = torch_geometric.utils.softmax
    torch_geometric.utils.softmax = lambda src, index, num_nodes=None: by_keyword(src, index, num_nodes=num_nodes)


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--model", "--config", "--threads"):
        parser.add_argument(name, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(int(args.threads))
    supply_what_is_missing()
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # too large a model ends itself, nobody else
    data = args.data.resolve()
    for cached in data.glob("*_adj_*.pt"):
        cached.unlink()  # LATTICE leaves its graphs there, and would not build them a second time
    os.chdir(args.peer / "src")  # it finds its settings relative to there
    sys.path.insert(0, str(Path.cwd()))
    imported, out = peak_bytes(), sys.stdout
    sys.stdout = sys.stderr  # some models print
    settings = {"use_gpu": args.device == "cuda", "gpu_id": 0, **json.loads(args.config)}
    trainer, loaders, clock = build(args.model, data, settings, args.device)

    def answer(values: dict[str, object]) -> None:
        print(json.dumps(values), file=out, flush=True)

    answer({"imported_bytes": imported, "build": clock.read()})
    epochs = 0
    for line in sys.stdin:
        command, clock = line.strip(), Clock(args.device)
        if command == "epoch":
            trainer.model.pre_epoch_processing()
            trainer._train_epoch(loaders[0], epochs)
            trainer.lr_scheduler.step()
            trainer.model.post_epoch_processing()
            answer(clock.read())
            epochs += 1
        if command == "evaluate":
            scores = trainer.evaluate(loaders[1])
            answer({**clock.read(), "recall@20": scores["recall@20"]})
        if command == "quit":
            answer({"peak_bytes": peak_bytes() if args.device == "cpu" else torch.cuda.max_memory_reserved()})


def build(
    model: str, data: Path, settings: dict[str, object], device: str
) -> tuple[object, tuple[object, object], Clock]:
    """Trainer, loaders of training and validation data, and a clock started before the model was built."""
    from utils.configurator import Config
    from utils.dataloader import EvalDataLoader, TrainDataLoader
    from utils.dataset import RecDataset
    from utils.utils import get_model, get_trainer, init_seed

    text = next(path.name for path in (data / "text_feat.npy", data / "audio_feat.npy") if path.exists())
    files = {
        "data_path": f"{data.parent}/",
        "inter_file_name": f"{data.name}.inter",
        "vision_feature_file": "image_feat.npy",
        "text_feature_file": text,
        "USER_ID_FIELD": "userID",
        "ITEM_ID_FIELD": "itemID",
    }
    config = Config(model, data.name, {**files, **settings, "seed": 999})
    logging.getLogger().setLevel(logging.WARNING)
    splits = RecDataset(config).split()
    for split in splits:
        str(split)  # counts its pairs, which the loaders read
    train = TrainDataLoader(config, splits[0], batch_size=config["train_batch_size"], shuffle=True)
    valid = EvalDataLoader(config, splits[1], additional_dataset=splits[0], batch_size=config["eval_batch_size"])
    init_seed(config["seed"])
    train.pretrain_setup()
    clock = Clock(device)
    built = get_model(model)(config, train).to(config["device"])
    return get_trainer()(config, built), (train, valid), clock


if __name__ == "__main__":
    main()
