"""What the live comparisons share: running berth, and loading what it saved with transformers."""
import os
import subprocess


def berth(program, *arguments, ranks=1):
    """Standard output of `berth ARGUMENTS` on `ranks` ranks of one thread."""
    launch = ["mpirun", "-np", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launch, str(program), *map(str, arguments)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def load(kind, folder):
    """The model of a folder, by transformers' class `kind`, which must find all its tensors there and no others."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, trust_remote_code=True)  # of custom heads
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (folder, key, info[key])
    return model.eval()
