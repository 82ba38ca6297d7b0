"""A smaller dense network in place of a sparse one: what a sparsifier has to beat.

The "Small-Dense" baseline of Evci et al., https://arxiv.org/abs/1911.11134, section 4.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from inr.mlp.fields.protocol import Field, hidden_of, n_weights
from inr.mlp.sparsify.masks import check_settings


@dataclass(frozen=True)
class SmallDense:
    """The field with fewer units a layer, without masks."""

    sparsity: float = 0.9  # fraction of the weights that the smaller field does without

    masks: ClassVar[None] = None

    def __post_init__(self) -> None:
        check_settings(self.sparsity)

    def for_training(self) -> "SmallDense":
        return dataclasses.replace(self, sparsity=0.0)

    def prepare(self, net: Field, n_channels: int) -> Field:
        """Return `net` with the `hidden` whose trained weights are nearest in number.

        Wanted is (1 - sparsity) of its own. Biases count, tensors that are not trained do not.
        """
        wanted = (1 - self.sparsity) * _n_trained(net, n_channels)
        best, best_miss = net, float("inf")
        for hidden in range(1, hidden_of(net) + 1):
            narrower = net.with_size(hidden, net.n_layers)
            miss = abs(_n_trained(narrower, n_channels) - wanted)
            if miss >= best_miss:  # the number rises with hidden: from here on it is farther off
                break
            best, best_miss = narrower, miss
        return best


def _n_trained(net: Field, n_channels: int) -> int:
    fixed = net.fixed_steps()
    shapes = net.shapes(n_channels)
    return n_weights({name: shape for name, shape in shapes.items() if name not in fixed})
