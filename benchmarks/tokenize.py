"""``python benchmarks/tokenize.py`` runs ``tokenizing.py``; whoever imports ``tokenize`` gets the standard library's.

Python puts this folder first on the path of every benchmark, where this file's name hides that module.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location

if __name__ == "__main__":
    from tokenizing import main

    main()
else:
    spec = spec_from_file_location(__name__, f"{sysconfig.get_path('stdlib')}/{__name__}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])
