"""What `read` knows of single formats, where Pillow alone would lose something or is not safe.

decoders       calls of Pillow and imagecodecs: errors, limits, opening
pillow         what an image that Pillow opened holds, and what Pillow would lose of it
sixteen_bit    samples of any depth become 16 bits; PNG, AVIF, JPEG 2000 and JPEG that have them
netpbm, tiff   files that are read here, whole
tiff_header    the first directory of a TIFF
colour         what a file states of its colours: as a profile, or as a warning
icc_profile    profiles made of primaries and a curve
"""
