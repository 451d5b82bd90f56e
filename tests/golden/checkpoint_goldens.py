"""Makes tests/golden/checkpoint/: small files of tensors as the Python packages write them.

Run with torch and safetensors installed: python tests/golden/checkpoint_goldens.py
Every tensor is a function of its name, so that the tests need no second copy of the values: element i of a tensor is
(i + 1) / 8 + len(name), exact in every type used.
"""

import collections
import pathlib

import safetensors.torch
import torch

OUT = pathlib.Path(__file__).parent / "checkpoint"


def values(name, *shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return ((torch.arange(count, dtype=torch.float64) + 1) / 8 + len(name)).to(dtype).reshape(shape)


def state_dict():
    """Types, shared storages, strides and offsets."""
    shared = values("shared", 4, 3)
    tensors = collections.OrderedDict()
    tensors["a.f32"] = values("a.f32", 2, 3)
    tensors["b.f16"] = values("b.f16", 5, dtype=torch.float16)
    tensors["c.bf16"] = values("c.bf16", 2, 2, dtype=torch.bfloat16)
    tensors["d.f64"] = values("d.f64", 3, dtype=torch.float64)
    tensors["e.ids"] = torch.arange(4).reshape(1, 4)
    tensors["f.scalar"] = torch.tensor(2.5)
    tensors["g.empty"] = torch.zeros(0, 3)
    tensors["h.shared"] = shared
    tensors["i.transposed"] = shared.t()
    tensors["j.rows"] = shared[1:3]
    tensors["k.column"] = shared[:, 1]
    tensors["l.parameter"] = torch.nn.Parameter(values("l.parameter", 2))
    return tensors


def main():
    OUT.mkdir(exist_ok=True)
    tensors = state_dict()
    torch.save(tensors, OUT / "zip.bin")
    torch.save(tensors, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(dict(tensors), OUT / "plain_dict.bin")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(values(name, *parameter.shape))
    torch.save(module.state_dict(), OUT / "module.bin")  # carries _metadata
    torch.save({"a": values("a", 2), "epoch": 3}, OUT / "not_only_tensors.bin")
    torch.save(module, OUT / "whole_module.bin")
    safetensors.torch.save_file({k: v.contiguous().clone() for k, v in tensors.items()}, OUT / "python.safetensors", {"format": "pt"})


if __name__ == "__main__":
    main()
