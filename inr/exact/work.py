"""The unit in which the work of decoding is counted.

A few bytes can name a network of millions of weights, all zero, and a picture of millions of
pixels: each within its own limit, together hours of work. So decoders count the multiply-adds of
what will be drawn, from the header alone, and hold them against a limit before any is done.

Everything else counts as the multiply-adds that take as long, about 50 billion a second on each
core: sines, what is read symbol by symbol, calls of numpy on small arrays. So a count tells the
time within a factor of about two; latents are read by one core alone.
"""

DOUBLE_MACS = 2  # one multiply-add in float64
ACTIVATION_MACS = 64  # one sine, ReLU or other function of a number
CALL_MACS = 1 << 19  # to call what computes a layer, on however few numbers: about 10 us
LATENT_MACS = 1 << 14  # to read a latent from its density, beside what predicts it: 250 ns
