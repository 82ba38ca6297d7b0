"""Files of fresh weights for any stages, written without a fit."""

import numpy as np

from inr.coders.range_coder import RangeCoder
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages

SMALL = Siren(hidden=6, n_layers=2)


def stages_of(
    split=Whole(),  # noqa: B008, frozen, as the others
    field=SMALL,
    quantizer=Uniform(),  # noqa: B008
    coder=RangeCoder(),  # noqa: B008
) -> Stages:
    return Stages(split, field, quantizer, coder)


def built_file(stages, *, height=21, width=18, n_channels=3, bit_depth=8, peak=0.5, seed=0):
    """peak: coefficient of a band that 1 of its signal stands for."""
    field_set = stages.field_set(height, width, n_channels)
    params = field_set.init(np.random.default_rng(seed))
    fixed = field_set.fixed_steps()
    levels = {n: stages.quantizer.fitted(w) for n, w in params.items() if n not in fixed}
    codes = {
        name: Uniform().codes(w, fixed[name])
        if name in fixed
        else stages.quantizer.codes(w, levels[name])
        for name, w in params.items()
    }
    peaks = tuple((wire_step(peak),) * part.n_channels for part in field_set.parts)
    ranges = ((0, 2**bit_depth - 1),) * n_channels
    band_peaks = peaks if stages.split.HAS_BANDS else ()
    facts = PictureInfo(height, width, n_channels, bit_depth, ranges, None, band_peaks)
    return write_file(facts, stages, codes, levels)
