"""The MMRec process of benchmarks/peer.py: drives MMRec's own loader, model and trainer from a checkout.

It does not change the checkout. It adds what MMRec needs and today's libraries lack: names that NumPy and SciPy have
removed, and empty modules for packages that MMRec imports but does not use for these models. MMGCN and GRCN need
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

UNUSED_PACKAGES = (
    "lmdb",
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torch_scatter",
)


def patch_libraries() -> None:
    """Add what MMRec needs and today's libraries lack."""
    np.float = float  # type: ignore[attr-defined]  # removed in NumPy 1.24
    scipy.sparse.dok_matrix._update = lambda self, entries: self._dict.update(entries)  # removed in SciPy 1.13
    for name in UNUSED_PACKAGES:
        try:
            __import__(name)
        except ImportError:
            module = types.ModuleType(name)
            for attribute in ("pad", "resize", "scatter", "transforms"):
                setattr(module, attribute, None)
            sys.modules[name] = module
    if not torch.cuda.is_available():  # LATTICE and GRCN call `cuda` even on a CPU
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    patch_torch_geometric()


def patch_torch_geometric() -> None:
    """Give `softmax` the signature that MMRec calls, and `dropout_adj` a stand-in that drops nothing."""
    try:
        import torch_geometric.utils
    except ImportError:
        return
    if not hasattr(torch_geometric.utils, "dropout_adj"):
        torch_geometric.utils.dropout_adj = lambda edges, **_: (edges, None)
    softmax = torch_geometric.utils.softmax
    torch_geometric.utils.softmax = lambda src, index, num_nodes=None: softmax(src, index, num_nodes=num_nodes)


def build(
    model: str, data: Path, settings: dict[str, object], device: str
) -> tuple[object, tuple[object, object], Clock]:
    """MMRec's trainer, its loaders of training and validation data, and a clock started before the model was built."""
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
        str(split)  # sets the counts that the loaders read
    train = TrainDataLoader(config, splits[0], batch_size=config["train_batch_size"], shuffle=True)
    valid = EvalDataLoader(config, splits[1], additional_dataset=splits[0], batch_size=config["eval_batch_size"])
    init_seed(config["seed"])
    train.pretrain_setup()
    clock = Clock(device)
    built = get_model(model)(config, train).to(config["device"])
    return get_trainer()(config, built), (train, valid), clock


def answer(values: dict[str, object]) -> None:
    """Write to the real standard output; `main` redirects `sys.stdout`, because some models print."""
    print(json.dumps(values), file=sys.__stdout__, flush=True)


def train_epoch(trainer: object, loader: object, epoch: int) -> None:
    """One epoch, as MMRec's own training loop runs it."""
    trainer.model.pre_epoch_processing()
    trainer._train_epoch(loader, epoch)
    trainer.lr_scheduler.step()
    trainer.model.post_epoch_processing()


def peak_bytes(device: str) -> int:
    """Peak memory of the process, or of PyTorch on the GPU."""
    if device != "cpu":
        return torch.cuda.max_memory_reserved()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def serve(trainer: object, train: object, valid: object, device: str) -> None:
    """Answer commands until there are no more."""
    epoch = 0
    for line in sys.stdin:
        command = line.strip()
        clock = Clock(device)
        if command == "epoch":
            train_epoch(trainer, train, epoch)
            answer(clock.read())
            epoch += 1
        if command == "evaluate":
            scores = trainer.evaluate(valid)
            answer({**clock.read(), "recall@20": scores["recall@20"]})
        if command == "quit":
            answer({"peak_bytes": peak_bytes(device)})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the model in MMRec")
    parser.add_argument("--config", required=True, help="hyperparameters as JSON")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of enoche/MMRec at e775373")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    patch_libraries()
    # If the machine runs out of memory, the kernel ends this process first.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    data = args.data.resolve()
    for cached in data.glob("*_adj_*.pt"):
        cached.unlink()  # LATTICE stores its graphs there and would not build them again
    os.chdir(args.peer / "src")  # MMRec finds its settings relative to this folder
    sys.path.insert(0, str(Path.cwd()))
    imported = peak_bytes("cpu")
    sys.stdout = sys.stderr
    settings = {"use_gpu": args.device == "cuda", "gpu_id": 0, **json.loads(args.config)}
    trainer, loaders, clock = build(args.model, data, settings, args.device)
    answer({"imported_bytes": imported, "build": clock.read()})
    serve(trainer, *loaders, args.device)


if __name__ == "__main__":
    main()
