"""What the API process is kept free of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parent / "faults"

SCRIPT = """
import asyncio, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from submissions import make_submission
from sir_convert_a_lot.bootstrap import build_service
from sir_convert_a_lot.settings import Settings

async def main():
    async with build_service(Settings(storage_root=Path(sys.argv[1]), workers=1)) as service:
        admitted = await service.admission.admit(make_submission(service, "digital"))
        ended = await service.jobs.wait_until_terminal(admitted.record, 60)
        loaded = sorted({name.partition(".")[0] for name in sys.modules})
        print(json.dumps({"status": ended.status.value, "backend": ended.result.backend_used, "loaded": loaded}))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_real_conversion_loads_no_pdf_library_and_no_model_into_the_api_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "root"), str(FAULTS)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert (told["status"], told["backend"]) == ("succeeded", "builtin")
    heavy = {"torch", "docling", "pypdfium2", "pymupdf", "rapidocr", "onnxruntime", "numpy", "PIL", "cv2"}
    assert heavy & set(told["loaded"]) == set()
