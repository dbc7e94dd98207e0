"""One module per stage of dvc.yaml: parameters in, files out, metrics logged."""

import os

# Before torch loads GNU OpenMP: by default its threads spin for milliseconds at each barrier. On a machine that does
# other work too they then wait for one another most of the time: two threads took ten to thirty times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
