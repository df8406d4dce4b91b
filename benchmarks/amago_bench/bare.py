"""The products and cache reads of one step of a policy, and nothing else: its lower bound."""

from collections.abc import Callable

from amago_bench.flops import Shape


def bare_step(shape: Shape, rows: int, context: int) -> Callable[[], None]:
    """A function that does the products of one action of `rows` actors.

    Dense layers as one product each with their bias; attention as its two products with keys and
    values of `context` timesteps. No activation, no softmax, no normalisation, no sampling.
    """
    import torch
    from torch.nn.functional import linear

    d, heads = shape.width, shape.heads
    outputs = shape.gammas * shape.actions * (1 if shape.discrete else 2)
    before = [shape.obs + 1 + shape.actions, shape.tstep_hidden, shape.tstep_hidden]
    dense = [*zip(before, [*before[1:], shape.tstep_out])]
    if shape.encoder == "ff":
        dense += [(shape.tstep_out, d), *[(d, 4 * d), (4 * d, d)] * shape.layers, (d, d)]
    elif shape.encoder == "gru":
        sizes = [shape.tstep_out, *[d] * (shape.layers - 1)]
        dense += [pair for size in sizes for pair in ((size, 3 * d), (d, 3 * d))] + [(d, d)]
    else:
        block = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
        dense += [(shape.tstep_out, d), *block * shape.layers]
    hidden = shape.heads_hidden
    dense += [(d, hidden), (hidden, hidden), (hidden, outputs)]
    layers = [(torch.randn(rows, a), torch.randn(b, a), torch.randn(b)) for a, b in dense]
    cached = shape.layers if shape.encoder == "transformer" else 0
    query = torch.randn(rows, heads, 1, d // heads)
    caches = [torch.randn(2, rows, heads, context, d // heads) for _ in range(cached)]

    def step() -> None:
        with torch.inference_mode():
            for x, weight, bias in layers:
                linear(x, weight, bias)
            for keys, values in caches:
                torch.matmul(query @ keys.transpose(-1, -2), values)

    return step
