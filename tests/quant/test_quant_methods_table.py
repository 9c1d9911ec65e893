"""The table of quantization methods: complete, light to import, and the only place that names them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tadicodec
from tadicodec.errors import InputError
from tadicodec.quant.methods import METHODS, find_method
from tadicodec.quant.quant_settings import QuantConfig, TuneConfig
from tadicodec.quant.trained import TrainedLinear


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_loads_and_starts_from_valid_values(name: str) -> None:
    method = find_method(name)
    assert issubclass(method.load_layer(), TrainedLinear)
    assert QuantConfig.from_dict({"method": name, **method.quantization}).method == name
    TuneConfig.from_dict(method.tuning)


@pytest.mark.parametrize("name", ["gptq", "", None, 4, ["glm"]])
def test_an_unknown_method_is_one_line(name: object) -> None:
    with pytest.raises(InputError, match="method is one of glm, lr_qat"):
        find_method(name)


def test_the_table_imports_no_torch() -> None:
    """The command line lists the methods for its help."""
    code = "import sys, tadicodec.quant.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_other_file_decides_by_a_methods_name() -> None:
    package = Path(tadicodec.__file__).parent
    literal = re.compile(rf"""["']({"|".join(name for name in METHODS if name != "glm")})["']""")
    for path in package.rglob("*.py"):
        if path != package / "quant" / "methods.py":
            assert not literal.search(path.read_text(encoding="utf-8")), path
