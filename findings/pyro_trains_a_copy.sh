#!/usr/bin/env bash
# Pyro 1.9.2: a parameter of a module that is not contiguous in memory, such as all weights of a
# convolution in torch's channels_last format, is copied when `pyro.module` registers it. SVI then
# trains the copy: the network itself keeps its old weights, its biases move, and nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyro-ppl==1.9.2 torch==2.13.0 numpy
cd "$folder"
OMP_NUM_THREADS=1 env/bin/python -W ignore - <<'EOF'
import pyro
import pyro.distributions as dist
import torch

x = torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(0))
y = 3 * x.mean((1, 2, 3), keepdim=True)


def train(memory_format):
    """How far the weights and the bias of a convolution move in 100 steps of SVI."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    net = torch.nn.Conv2d(3, 1, 4).to(memory_format=memory_format)
    before = [each.detach().clone() for each in net.parameters()]

    def model():
        pyro.module("net", net)
        with pyro.plate("rows", len(x)):
            pyro.sample("y", dist.Normal(net(x), 1.0).to_event(3), obs=y)

    adam = pyro.optim.Adam({"lr": 0.05})
    svi = pyro.infer.SVI(model, lambda: None, adam, pyro.infer.Trace_ELBO())
    for _ in range(100):
        svi.step()
    return [
        (after - old).abs().max().item()
        for after, old in zip(net.parameters(), before, strict=True)
    ]


for memory_format in (torch.contiguous_format, torch.channels_last):
    weight, bias = train(memory_format)
    print(f"Pyro {pyro.__version__}, {memory_format}: weights moved {weight:.3f}, bias {bias:.3f}")
    assert (weight == 0) == (memory_format is torch.channels_last)
    assert bias > 0
EOF
