import subprocess
import sys


def test_importing_the_room_does_not_import_matplotlib() -> None:
    code = "import sys, deme.analysis; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
