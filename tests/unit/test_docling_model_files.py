"""Which requests are refused for want of a model file, told by files alone: Docling need not be installed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sir_convert_a_lot.domain.errors import ModelWeightsMissing
from sir_convert_a_lot.domain.job_spec import Conversion, OcrMode, TableMode
from sir_convert_a_lot.infrastructure.engines.docling.model_files import DoclingModelFiles
from sir_convert_a_lot.infrastructure.engines.docling.weights import LAYOUT, TABLES, find_in_hub_cache, hub_cache

OFF = Conversion(ocr_mode=OcrMode.OFF)


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Empty files by the right names: the layout model, and TableFormer in its fast form."""
    for repository in (LAYOUT, TABLES[TableMode.FAST]):
        for name in repository.files:
            path = tmp_path / repository.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def find_missing(models: DoclingModelFiles, device: str, conversion: Conversion, engine: str = "docling") -> list[str]:
    try:
        asyncio.run(models.require(engine, device, conversion))
    except ModelWeightsMissing as error:
        missing: list[str] = error.details["missing"]
        return missing
    return []


def test_what_is_needed_follows_the_options_of_the_request(artifacts: Path) -> None:
    models = DoclingModelFiles(artifacts)
    assert find_missing(models, "cpu", OFF) == []
    assert find_missing(models, "cpu", Conversion()) == []  # OCR on the CPU: its models are in a wheel
    accurate = OFF.model_copy(update={"table_mode": TableMode.ACCURATE})
    assert [name.rpartition("/")[2] for name in find_missing(models, "cpu", accurate)] == [
        "tm_config.json",
        "tableformer_accurate.safetensors",
    ]


def test_ocr_on_the_gpu_needs_models_of_its_own_unless_it_may_run_on_the_cpu(artifacts: Path) -> None:
    assert find_missing(DoclingModelFiles(artifacts), "cuda:0", OFF) == []
    missing = find_missing(DoclingModelFiles(artifacts), "cuda:0", Conversion())
    assert "RapidOcr/PP-OCRv6_rec_small.pth" in missing
    assert find_missing(DoclingModelFiles(artifacts, ["ocr"]), "cuda:0", Conversion()) == []


def test_engines_without_models_are_never_refused(tmp_path: Path) -> None:
    assert find_missing(DoclingModelFiles(tmp_path), "cpu", Conversion(), "builtin") == []


def test_a_look_is_kept_for_its_time_and_not_longer(artifacts: Path) -> None:
    kept, fresh = DoclingModelFiles(artifacts, ttl_s=3600), DoclingModelFiles(artifacts, ttl_s=0)
    assert find_missing(kept, "cpu", OFF) == find_missing(fresh, "cpu", OFF) == []
    shutil.rmtree(artifacts / LAYOUT.folder)
    assert find_missing(kept, "cpu", OFF) == []
    assert len(find_missing(fresh, "cpu", OFF)) == len(LAYOUT.files)


@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="needs huggingface_hub, which Docling brings")
@pytest.mark.parametrize("variables", [{"HF_HUB_CACHE": "a"}, {"HF_HOME": "b"}, {"XDG_CACHE_HOME": "c"}])
def test_the_cache_of_the_model_hub_is_read_as_its_own_library_does(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    kept = hub_cache() / f"models--{LAYOUT.folder}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / LAYOUT.revision).write_text("0123abcd", encoding="utf-8")
    (kept / "snapshots" / "0123abcd").mkdir(parents=True)
    (kept / "snapshots" / "0123abcd" / LAYOUT.files[0]).touch()
    script = (
        "import sys\n"
        "from huggingface_hub import try_to_load_from_cache\n"
        "name, revision, *files = sys.argv[1:]\n"
        "print([isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, LAYOUT.name, LAYOUT.revision, *LAYOUT.files],
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    ours = [(find_in_hub_cache(LAYOUT) / file).is_file() for file in LAYOUT.files]
    assert ours == [True, False, False]
    assert done.stdout == f"{ours}\n"


def test_looking_imports_neither_docling_nor_torch(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from sir_convert_a_lot.domain.errors import ModelWeightsMissing\n"
        "from sir_convert_a_lot.domain.job_spec import Conversion\n"
        "from sir_convert_a_lot.infrastructure.engines.docling.model_files import DoclingModelFiles\n"
        "try:\n"
        "    asyncio.run(DoclingModelFiles(Path(sys.argv[1])).require('docling', 'cuda:0', Conversion()))\n"
        "except ModelWeightsMissing:\n"
        "    print({'torch', 'docling', 'huggingface_hub', 'rapidocr', 'onnxruntime', 'numpy'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], text=True, capture_output=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"
