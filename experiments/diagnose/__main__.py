"""Says what a run of training suffers from, and what would help, from the checkpoint that `iterate` wrote.

    python -m experiments.diagnose --checkpoint DIR --game MODULE:FUNCTION [--out DIR] [--budget N]
                                   [--remedies NAME,NAME,...] [--precision 32|64]

FUNCTION, of a module that Python finds from the current folder, takes nothing and returns the arguments of the
`iterate` that wrote the checkpoint, as a dictionary: `update`, `field`, `y0`, and where they were given `args`,
`batches`, `save_every`, `record`. The checkpoint is read, the memory of the update with it, and handed to
`analysis.diagnose` with the minibatch of its last step. The report goes to stdout, and to the folder of `--out`
diagnosis.png, .svg, .nc and .json, all together or not at all. Ctrl-C ends the diagnosis with what was measured.

Exit status: 0, whatever the diagnosis says; 2 bad usage, a checkpoint that is damaged or of another run among it;
130 and 143 after Ctrl-C and SIGTERM outside of the diagnosis.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from experiments._machinery import _commandline, _folder
from experiments._machinery._interrupts import Interrupted, interruptible
from experiments._machinery._output import told
from experiments.diagnose import _arguments

COMMAND = "experiments.diagnose"


def main(argv: Sequence[str]) -> NoReturn:
    """Diagnoses as the arguments say; exits."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        raise SystemExit(0)
    try:
        asked = _arguments.parse(argv)
        _folder.check(asked.out, _arguments.NAME)
        with interruptible():
            _diagnose(asked)
    except OSError as error:
        _commandline.refuse(COMMAND, f"cannot read or write a file: {error}")
    except ValueError as error:
        _commandline.refuse(COMMAND, _arguments.one_line(error))
    except Interrupted as stop:
        print("Interrupted: nothing was written.", file=sys.stderr)
        raise SystemExit(128 + stop.number) from None
    raise SystemExit(0)


def _diagnose(asked: _arguments.Asked) -> None:
    os.environ["MPLBACKEND"] = "agg"  # needs no screen
    asked.prepare_jax()
    # Below the command line, so that a mistyped option answers at once.
    from experiments.diagnose import _run

    diagnosis = _run.diagnosis(asked)
    print(diagnosis)
    _folder.save(asked.out, _arguments.NAME, _run.files(diagnosis, asked))
    print(f"Results are in {asked.out}", flush=True)


if __name__ == "__main__":
    with told(COMMAND):
        main(sys.argv[1:])
