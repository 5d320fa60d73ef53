"""What a state of training suffers from, in words with numbers behind them, and what would help."""

from ._diagnose import diagnose as diagnose
from ._result import (
    Diagnosis as Diagnosis,
    DISEASES as DISEASES,
    Extremes as Extremes,
    Finding as Finding,
    Logits as Logits,
    Mode as Mode,
    Noise as Noise,
    Remedy as Remedy,
)
