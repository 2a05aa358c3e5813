"""Outside systems and decisions, one a module."""

import os

# scikit-learn's OpenMP threads spin while they wait for each other. When fits run at once, or anything else
# does, they spin away the cores that they wait for: 37 s of processor time in place of 5 for one gradient
# boosting. The library reads this when it is loaded, so it stands before any import of scikit-learn.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
