"""What the scripts for goldens share: weights that follow from their names (weight-values.ts makes the same), and summaries."""

import torch


def numbers(name, shape):
    """Multiples of 2^-17 in [-1/4, 1/4), exact in float32: FNV-1a of the name seeds an LCG (Numerical Recipes)."""
    state = 0x811C9DC5
    for byte in name.encode():
        state = ((state ^ byte) * 0x01000193) % 2**32
    values = []
    for _ in range(torch.Size(shape).numel()):
        state = (1664525 * state + 1013904223) % 2**32
        values.append((state >> 16) / 2**17 - 0.25)
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def summary(x):
    flat = x.flatten()
    return {"l2": flat.norm().item(), "sum": flat.sum().item(), "first5": flat[:5].tolist()}
