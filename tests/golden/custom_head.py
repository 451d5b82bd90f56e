"""transformers' classes for custom heads, as berth saves them beside a model: the Python in trainer/use/modeling_berth.h."""
import importlib.util
import pathlib
import sys
import tempfile

HEADER = pathlib.Path(__file__).resolve().parents[2] / "trainer" / "use" / "modeling_berth.h"


def modeling():
    """That file as a module."""
    text = HEADER.read_text().split('R"py(', 1)[1].rsplit(')py"', 1)[0]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "modeling_berth.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("modeling_berth", path)
        module = sys.modules["modeling_berth"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
